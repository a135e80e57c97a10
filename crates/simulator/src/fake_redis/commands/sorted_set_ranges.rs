//! Sorted sets by rank and score: ZRANGE, ZRANGEBYSCORE, ZCOUNT.

use super::sorted_sets::shown;
use super::{int, slice};
use crate::fake_redis::argv::Argv;
use crate::fake_redis::command::{Access, Command};
use crate::fake_redis::fault::CommandError;
use crate::fake_redis::flavour::Flavour;
use crate::fake_redis::number::parse_limit;
use crate::fake_redis::reply::{Answer, Reply};
use crate::fake_redis::sorted_set::Limit;
use crate::fake_redis::{FakeRedis, SortedSet, Str};

pub(super) fn commands() -> Vec<Command> {
    vec![
        Command::of("zrange", -4, Access::Read, zrange),
        Command::of("zrangebyscore", -4, Access::Read, zrangebyscore),
        Command::of("zcount", 4, Access::Read, zcount),
    ]
}

/// The options of a range.
struct RangeOptions {
    by_score: bool,
    reverse: bool,
    with_scores: bool,
    offset: i64,
    limit: i64,
}

impl RangeOptions {
    /// Parses the options after the range; `fixed` if the command's name already means by score and ascending.
    fn read(argv: &Argv, fixed: bool) -> Result<Self, CommandError> {
        let mut options = Self { by_score: fixed, reverse: false, with_scores: false, offset: 0, limit: -1 };
        let mut at = 4;
        while at < argv.len() {
            if argv.is(at, "withscores") {
                options.with_scores = true;
            } else if argv.is(at, "limit") && at + 2 < argv.len() {
                (options.offset, options.limit) = (int(argv, at + 1)?, int(argv, at + 2)?);
                at += 2;
            } else if argv.is(at, "rev") && !fixed && !options.reverse {
                options.reverse = true;
            } else if argv.is(at, "byscore") && !options.by_score {
                options.by_score = true;
            } else if argv.is(at, "bylex") && !options.by_score {
                return Err(CommandError::Unmodelled("option BYLEX of ZRANGE".to_owned()));
            } else {
                return Err(CommandError::Syntax);
            }
            at += 1;
        }
        if options.limit != -1 && !options.by_score {
            return Err(CommandError::LimitWithoutScores);
        }
        Ok(options)
    }

    /// Applies LIMIT to the members in range.
    fn cut<'a>(&self, found: impl Iterator<Item = (&'a Str, f64)>, flavour: Flavour) -> Reply {
        // A negative offset is beyond the end; a negative limit means no limit.
        let offset = usize::try_from(self.offset).unwrap_or(usize::MAX);
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        self.list(found.skip(offset).take(limit), flavour)
    }

    fn list<'a>(&self, members: impl Iterator<Item = (&'a Str, f64)>, flavour: Flavour) -> Reply {
        let mut items = Vec::new();
        for (parcel_id, score) in members {
            items.push(Reply::Bytes(Str::clone(parcel_id)));
            if self.with_scores {
                items.push(shown(score, flavour));
            }
        }
        Reply::Array(items)
    }
}

fn limits(argv: &Argv, low: usize, high: usize, flavour: Flavour) -> Result<(Limit, Limit), CommandError> {
    parse_limit(&argv[low], flavour).zip(parse_limit(&argv[high], flavour)).ok_or(CommandError::NotLimit)
}

fn zrange(world: &mut FakeRedis, argv: &Argv) -> Answer {
    range(world, argv, false)
}

fn zrangebyscore(world: &mut FakeRedis, argv: &Argv) -> Answer {
    range(world, argv, true)
}

fn range(world: &mut FakeRedis, argv: &Argv, fixed: bool) -> Answer {
    let (options, flavour) = (RangeOptions::read(argv, fixed)?, world.flavour());
    if options.by_score {
        let (low, high) = if options.reverse { (3, 2) } else { (2, 3) };
        let (low, high) = limits(argv, low, high, flavour)?;
        let Some(sorted) = world.collection::<SortedSet>(&argv[1])? else {
            return Ok(Reply::Array(Vec::new()));
        };
        let found = sorted.between(low, high);
        return Ok(if options.reverse {
            options.cut(found.rev(), flavour)
        } else {
            options.cut(found, flavour)
        });
    }
    let (start, end) = (int(argv, 2)?, int(argv, 3)?);
    let sorted: Option<&SortedSet> = world.collection(&argv[1])?;
    let Some((sorted, places)) = sorted.and_then(|sorted| Some((sorted, slice(start, end, sorted.len())?)))
    else {
        return Ok(Reply::Array(Vec::new()));
    };
    let (skip, take) = (places.start, places.len());
    Ok(if options.reverse {
        options.list(sorted.iter().rev().skip(skip).take(take), flavour)
    } else {
        options.list(sorted.iter().skip(skip).take(take), flavour)
    })
}

fn zcount(world: &mut FakeRedis, argv: &Argv) -> Answer {
    let (low, high) = limits(argv, 2, 3, world.flavour())?;
    let sorted: Option<&SortedSet> = world.collection(&argv[1])?;
    Ok(Reply::count(sorted.map_or(0, |sorted| sorted.between(low, high).count())))
}
