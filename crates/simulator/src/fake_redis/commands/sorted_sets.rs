//! Sorted sets by member: ZADD, ZREM, ZSCORE, ZMSCORE, ZCARD, ZRANK, ZPOPMIN.

use super::count;
use crate::fake_redis::argv::Argv;
use crate::fake_redis::command::{Access, Command};
use crate::fake_redis::event::Class;
use crate::fake_redis::fault::CommandError;
use crate::fake_redis::flavour::Flavour;
use crate::fake_redis::number::{format_score, parse_score};
use crate::fake_redis::reply::{Answer, Reply};
use crate::fake_redis::sorted_set::Score;
use crate::fake_redis::{FakeRedis, SortedSet};

pub(super) fn commands() -> Vec<Command> {
    vec![
        Command::of("zadd", -4, Access::Grow, zadd),
        Command::of("zrem", -3, Access::Write, zrem),
        Command::of("zscore", 3, Access::Read, zscore),
        Command::of("zmscore", -3, Access::Read, zmscore),
        Command::of("zcard", 2, Access::Read, zcard),
        Command::of("zrank", -3, Access::Read, zrank),
        Command::of("zpopmin", -2, Access::Write, zpopmin),
    ]
}

/// A score as an answer.
pub(super) fn shown(score: f64, flavour: Flavour) -> Reply {
    Reply::Made(format_score(score, flavour).into_bytes())
}

/// The options of ZADD.
#[derive(Clone, Copy, Default)]
struct AddOptions {
    only_new: bool,
    only_existing: bool,
    only_greater: bool,
    only_less: bool,
    count_changed: bool,
}

impl AddOptions {
    /// Parses the options; returns them and the index of the first score.
    fn read(argv: &Argv) -> Result<(Self, usize), CommandError> {
        let mut options = Self::default();
        let mut at = 2;
        loop {
            match argv[at].to_ascii_lowercase().as_slice() {
                b"nx" => options.only_new = true,
                b"xx" => options.only_existing = true,
                b"gt" => options.only_greater = true,
                b"lt" => options.only_less = true,
                b"ch" => options.count_changed = true,
                b"incr" => return Err(CommandError::Unmodelled("option INCR of ZADD".to_owned())),
                _ => break,
            }
            at += 1;
        }
        let rest = argv.len() - at;
        if rest == 0 || !rest.is_multiple_of(2) {
            return Err(CommandError::Syntax);
        }
        if options.only_new && options.only_existing {
            return Err(CommandError::ExistingAndNew);
        }
        if [options.only_new, options.only_greater, options.only_less].iter().filter(|set| **set).count() > 1
        {
            return Err(CommandError::GreaterLessNew);
        }
        Ok((options, at))
    }

    /// Whether a member with this score now gets the new one.
    fn allow(self, old: Option<f64>, new: f64) -> bool {
        match old {
            None => !self.only_existing,
            Some(_) if self.only_new => false,
            Some(old) => (!self.only_greater || new > old) && (!self.only_less || new < old),
        }
    }
}

fn zadd(world: &mut FakeRedis, argv: &Argv) -> Answer {
    let (options, first) = AddOptions::read(argv)?;
    let pairs = argv.pairs_from(first);
    let pairs: Vec<(Score, &[u8])> = pairs
        .map(|(score, parcel_id)| {
            parse_score(score).map(|score| (score, parcel_id)).ok_or(CommandError::NotFloat)
        })
        .collect::<Result<_, _>>()?;
    let key = &argv[1];
    if world.collection::<SortedSet>(key)?.is_none() && options.only_existing {
        return Ok(Reply::Int(0));
    }
    let at_once = world.flavour().sizes_sorted_sets_at_once();
    let sorted: &mut SortedSet = world.collection_or_new(key)?;
    if at_once {
        sorted.make_room_for(
            pairs.len(),
            pairs.iter().map(|(_, parcel_id)| parcel_id.len()).max().unwrap_or(0),
        );
    }
    let (mut added, mut updated) = (0, 0);
    for (score, parcel_id) in pairs {
        let old = sorted.score(parcel_id);
        if !options.allow(old, score.get()) {
            continue;
        }
        match old {
            None => added += 1,
            Some(old) if old != score.get() => updated += 1,
            Some(_) => continue,
        }
        sorted.set(parcel_id, score);
    }
    if added + updated > 0 {
        world.tell(Class::Sorted, "zadd", key);
    }
    Ok(Reply::Int(if options.count_changed { added + updated } else { added }))
}

fn zrem(world: &mut FakeRedis, argv: &Argv) -> Answer {
    let key = &argv[1];
    let Some(sorted) = world.collection_mut::<SortedSet>(key)? else { return Ok(Reply::Int(0)) };
    let removed = argv.words_from(2).filter(|parcel_id| sorted.remove(parcel_id)).count();
    if removed > 0 {
        let spent = world.remove_if_spent::<SortedSet>(key);
        world.tell(Class::Sorted, "zrem", key);
        if spent {
            world.tell(Class::Generic, "del", key);
        }
    }
    Ok(Reply::count(removed))
}

fn zscore(world: &mut FakeRedis, argv: &Argv) -> Answer {
    let flavour = world.flavour();
    let score = world.collection::<SortedSet>(&argv[1])?.and_then(|sorted| sorted.score(&argv[2]));
    Ok(score.map_or(Reply::Nil, |score| shown(score, flavour)))
}

fn zmscore(world: &mut FakeRedis, argv: &Argv) -> Answer {
    let flavour = world.flavour();
    let sorted: Option<&SortedSet> = world.collection(&argv[1])?;
    let scores = argv.words_from(2).map(|parcel_id| {
        let score = sorted.and_then(|sorted| sorted.score(parcel_id));
        score.map_or(Reply::Nil, |score| shown(score, flavour))
    });
    Ok(Reply::Array(scores.collect()))
}

fn zcard(world: &mut FakeRedis, argv: &Argv) -> Answer {
    Ok(Reply::count(world.collection::<SortedSet>(&argv[1])?.map_or(0, SortedSet::len)))
}

fn zrank(world: &mut FakeRedis, argv: &Argv) -> Answer {
    if argv.len() > 3 {
        // Redis 7.0 allows three words; later servers support WITHSCORE.
        return match world.flavour() {
            Flavour::Redis70 => Err(CommandError::Arity),
            _ => Err(CommandError::Unmodelled("option WITHSCORE of ZRANK".to_owned())),
        };
    }
    let rank = world.collection::<SortedSet>(&argv[1])?.and_then(|sorted| sorted.rank(&argv[2]));
    Ok(rank.map_or(Reply::Nil, Reply::count))
}

fn zpopmin(world: &mut FakeRedis, argv: &Argv) -> Answer {
    let (key, flavour) = (&argv[1], world.flavour());
    let most = match argv.len() {
        2 => 1,
        3 => count(argv, 2)?,
        _ => return Err(CommandError::Syntax),
    };
    let Some(_) = world.collection::<SortedSet>(key)?.filter(|_| most > 0) else {
        return Ok(Reply::Array(Vec::new()));
    };
    let mut popped = Vec::new();
    if let Some(sorted) = world.collection_mut::<SortedSet>(key)? {
        for (parcel_id, score) in std::iter::from_fn(|| sorted.pop_lowest()).take(most) {
            popped.extend([Reply::Bytes(parcel_id), shown(score, flavour)]);
        }
    }
    world.tell(Class::Sorted, "zpopmin", key);
    if world.remove_if_spent::<SortedSet>(key) {
        world.tell(Class::Generic, "del", key);
    }
    Ok(Reply::Array(popped))
}
