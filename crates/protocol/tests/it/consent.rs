//! A person's newest opt-in or opt-out wins: a table of every order in which notices can be said and arrive, with
//! late copies.

use std::cell::Cell;
use std::time::Duration;

use posthaste_model::{Channel, Reason, UnixMs};
use posthaste_protocol::record::{Notice, NoticeId, NoticeTime, SuppressionId, SuppressionSource};
use posthaste_protocol::scripts::delete_suppression::DeleteSuppression;
use posthaste_protocol::scripts::opt_in::{OptIn, OptedIn};
use posthaste_protocol::scripts::suppress::{NewSuppression, PutSuppressions, Suppressed};

use crate::db::{Db, channel};
use crate::suppressions::{agree, fresh, id, key};

const LIST: &str = "suppressed:{0}:sms";
const CONSENT: &str = "consent:{0}:sms";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Out,
    In,
}

/// Which clock dates the notices of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clock {
    /// The provider's (Twilio, Telegram).
    Provider,
    /// Our clock, when we received them (VK, e-mail).
    Ours,
}

/// One address on a list, and the notices about it.
struct Case<'a> {
    db: &'a Db,
    address: SuppressionId,
    clock: Clock,
    base: UnixMs,
    remember: bool,
}

thread_local! {
    static ADDRESSES: Cell<u32> = const { Cell::new(0) };
}

impl<'a> Case<'a> {
    fn new(db: &'a Db, clock: Clock) -> Self {
        ADDRESSES.set(ADDRESSES.get() + 1);
        db.forget_sent();
        let base = UnixMs(db.now().0 / 1000 * 1000 - 1_000_000);
        Self { db, address: id(ADDRESSES.get()), clock, base, remember: true }
    }

    /// Second `at` of the case.
    fn moment(&self, at: usize) -> UnixMs {
        UnixMs(self.base.0 + 10_000 * at as u64)
    }

    fn put(&self, reason: Reason, source: SuppressionSource, notice: Notice) -> Suppressed {
        let entry = NewSuppression { id: self.address, of_sender: false, reason, source, after: 1, notice };
        let (keys, key, channel) = (&self.db.keys, &key(), &sms());
        let script = PutSuppressions { keys, key, channel, entries: &[entry] };
        self.db.reply(&script).expect("the same key").remove(0)
    }

    fn out(&self, notice: Notice) -> Suppressed {
        self.put(Reason::OptedOut, SuppressionSource::Stop, notice)
    }

    fn back(&self, notice: Notice) -> OptedIn {
        let (keys, key, channel) = (&self.db.keys, &key(), &sms());
        let (id, remember, reasons) = (self.address, self.remember, &[Reason::OptedOut]);
        let script = OptIn { keys, key, channel, id, notice, reasons, remember };
        self.db.reply(&script)
    }

    /// Delivers the `at`-th opt-in or opt-out.
    fn say(&self, word: Word, at: usize, id: NoticeId) {
        self.say_at(word, self.moment(at), id);
    }

    fn say_at(&self, word: Word, moment: UnixMs, id: NoticeId) {
        let said = match (self.clock, word) {
            (Clock::Provider, _) => NoticeTime::Provider(moment),
            (Clock::Ours, Word::In) => NoticeTime::NotBefore(moment),
            (Clock::Ours, Word::Out) => NoticeTime::Ago(self.db.now().since(moment)),
        };
        match word {
            Word::Out => drop(self.out(Notice { id, said })),
            Word::In => drop(self.back(Notice { id, said })),
        }
    }

    /// An operator who has seen the list takes the address off.
    fn delete(&self) {
        let (keys, key, channel) = (&self.db.keys, &key(), &sms());
        let record = self.db.raw(&[b"HGET", LIST.as_bytes(), self.address.as_bytes()]);
        let posthaste_rig::RespReply::Bytes(record) = record else { return };
        let seen = UnixMs(record[10..16].iter().fold(0, |n, b| n << 8 | u64::from(*b)));
        self.db.reply(&DeleteSuppression { keys, key, channel, id: self.address, seen });
    }

    /// The reason it is suppressed for.
    fn suppressed_for(&self) -> Option<Reason> {
        match self.db.raw(&[b"HGET", LIST.as_bytes(), self.address.as_bytes()]) {
            posthaste_rig::RespReply::Bytes(record) if record[1] == b'a' => {
                Some(Reason::from_code(u16::from_be_bytes([record[2], record[3]])))
            }
            _ => None,
        }
    }

    fn expect(&self, suppressed: bool, reported: impl std::fmt::Debug) -> Result<(), String> {
        let found = self.suppressed_for();
        if found.is_some() == suppressed {
            return Ok(());
        }
        Err(format!(
            "{reported:?}: {:?} clock, expected suppressed {suppressed}, found {found:?}",
            self.clock
        ))
    }
}

fn sms() -> Channel {
    channel("sms")
}

fn notices() -> Vec<NoticeId> {
    (0..12).map(|_| fresh().id).collect()
}

/// All sequences of this length.
fn sequences<T: Copy>(of: &[T], length: usize) -> Vec<Vec<T>> {
    (0..length).fold(vec![vec![]], |shorter, _| {
        shorter.iter().flat_map(|s| of.iter().map(move |one| [s.as_slice(), &[*one]].concat())).collect()
    })
}

/// All orders of the numbers below `n`.
fn orders(n: usize) -> Vec<Vec<usize>> {
    let all: Vec<usize> = (0..n).collect();
    sequences(&all, n).into_iter().filter(|order| all.iter().all(|one| order.contains(one))).collect()
}

/// An order of deliveries, and every variant with one additional late copy.
fn with_copies(order: &[usize]) -> Vec<Vec<usize>> {
    let mut all = vec![order.to_vec()];
    for first in 0..order.len() {
        for later in first + 1..=order.len() {
            let mut more = order.to_vec();
            more.insert(later, order[first]);
            all.push(more);
        }
    }
    all
}

const BOTH: [Word; 2] = [Word::Out, Word::In];

/// The newest notice wins, in whatever order the notices and one late copy arrive; later copies of all calls change
/// nothing.
fn every_order(db: &Db) -> Result<(), String> {
    for clock in [Clock::Provider, Clock::Ours] {
        for words in (1..=3).flat_map(|length| sequences(&BOTH, length)) {
            for deliveries in orders(words.len()).iter().flat_map(|order| with_copies(order)) {
                let (case, ids) = (Case::new(db, clock), notices());
                for at in &deliveries {
                    case.say(words[*at], *at, ids[*at]);
                }
                let newest = words[words.len() - 1] == Word::Out;
                case.expect(newest, (&words, &deliveries))?;
                (0..db.sent()).for_each(|at| db.late_copy(at));
                case.expect(newest, (&words, &deliveries, "and all calls once more"))?;
            }
        }
    }
    Ok(())
}

/// Where opt-ins from unknown addresses are not remembered, notices come in order, with late copies (Telegram).
fn in_order(db: &Db) -> Result<(), String> {
    for words in (1..=4).flat_map(|length| sequences(&BOTH, length)) {
        let order: Vec<usize> = (0..words.len()).collect();
        for deliveries in with_copies(&order) {
            let (case, ids) = (Case::new(db, Clock::Provider), notices());
            let case = Case { remember: false, ..case };
            for at in &deliveries {
                case.say(words[*at], *at, ids[*at]);
            }
            case.expect(words[words.len() - 1] == Word::Out, (&words, &deliveries))?;
        }
    }
    Ok(())
}

/// If the order can't be proved, the entry stands.
fn doubts(db: &Db) -> Result<(), String> {
    let unknown = || Notice { said: NoticeTime::Unknown, ..fresh() };
    for clock in [Clock::Provider, Clock::Ours] {
        // Said in the same second, or the same millisecond.
        for words in [[Word::Out, Word::In], [Word::In, Word::Out]] {
            let case = Case::new(db, clock);
            let moment = case.moment(1);
            match clock {
                Clock::Provider => words.iter().for_each(|word| case.say_at(*word, moment, fresh().id)),
                // The test's clock keeps running, so the earlier one is said a moment later.
                Clock::Ours if words[0] == Word::Out => {
                    case.say_at(Word::Out, moment, fresh().id);
                    case.say_at(Word::In, moment, fresh().id);
                }
                Clock::Ours => continue,
            }
            case.expect(true, ("at once", &words))?;
        }
        // Repeats that were not received before.
        let case = Case::new(db, clock);
        case.say(Word::In, 1, fresh().id);
        case.out(unknown());
        case.expect(true, "an opt-out of unknown time")?;
        case.back(unknown());
        case.expect(true, "an opt-in of unknown time")?;
        let case = Case::new(db, clock);
        case.back(unknown());
        case.say(Word::Out, 1, fresh().id);
        case.expect(true, "an opt-out after an opt-in of unknown time")?;
    }
    let case = Case::new(db, Clock::Ours);
    case.put(Reason::Bounced, SuppressionSource::Bounce, fresh());
    case.back(unknown());
    if case.out(Notice { said: NoticeTime::Ago(Duration::from_secs(60)), ..fresh() }) == Suppressed::Outdated
    {
        return Err("an opt-in of unknown time is taken for newer".to_owned());
    }
    // Clocks that may differ by seconds.
    for (later, suppressed) in [(0, true), (2_000, true), (4_000, false)] {
        let case = Case::new(db, Clock::Provider);
        case.out(unknown());
        let said = NoticeTime::Provider(UnixMs(db.now().0 + later));
        case.back(Notice { said, ..fresh() });
        case.expect(suppressed, ("the provider's clock against ours", later))?;
    }
    let case = Case::new(db, Clock::Provider);
    case.back(Notice { said: NoticeTime::Provider(UnixMs(db.now().0 + 2_000)), ..fresh() });
    case.out(Notice { said: NoticeTime::Ago(Duration::ZERO), ..fresh() });
    case.expect(true, "an opt-in by another clock")?;
    // Our clock went back since the opt-in.
    let case = Case::new(db, Clock::Ours);
    case.say(Word::Out, 1, fresh().id);
    case.say(Word::In, 2, fresh().id);
    db.ahead(CONSENT, Duration::from_secs(9_000));
    case.say(Word::Out, 3, fresh().id);
    case.expect(true, "a clock that went back")?;
    // An outdated notice stays outdated, however late a copy of its call comes.
    let case = Case::new(db, Clock::Ours);
    case.say(Word::In, 50, fresh().id);
    case.say(Word::Out, 49, fresh().id);
    case.expect(false, "outdated")?;
    db.later(Duration::from_secs(3_600));
    (0..db.sent()).for_each(|at| db.late_copy(at));
    case.expect(false, "outdated, an hour later")
}

/// A person's notices delete no entry from another source, in whatever order everything arrives.
fn other_entries(db: &Db) -> Result<(), String> {
    let bars = [
        (Reason::Bounced, SuppressionSource::Bounce),
        (Reason::OptedOut, SuppressionSource::Bounce),
        (Reason::InvalidAddress, SuppressionSource::Provider),
        (Reason::Manual, SuppressionSource::Operator),
        (Reason::OptedOut, SuppressionSource::Operator),
    ];
    for (reason, source) in bars {
        for words in (0..=3).flat_map(|length| sequences(&BOTH, length)) {
            for at in 0..=words.len() {
                let (case, ids) = (Case::new(db, Clock::Provider), notices());
                let bar = fresh();
                for n in 0..=words.len() {
                    if n == at {
                        case.put(reason, source, bar);
                    }
                    if n < words.len() {
                        case.say(words[n], n, ids[n]);
                    }
                }
                let reported = (reason, source, &words, at);
                case.expect(true, reported)?;
                // The operator deletes everything; a copy of the entry's notice is not new.
                case.delete();
                case.put(reason, source, bar);
                case.expect(false, (reported, "deleted"))?;
                // Nothing of it is left beneath the person's next entry.
                case.say(Word::Out, 8, ids[8]);
                case.say(Word::In, 9, ids[9]);
                case.expect(false, (reported, "deleted, and opted out and in again"))?;
            }
        }
    }
    // The provider's entry for the person's own reason is deleted with it, unless it is newer.
    for (ago, suppressed) in [(0, false), (60_000, true)] {
        for words in [&[][..], &[Word::Out]] {
            let case = Case::new(db, Clock::Provider);
            case.put(Reason::OptedOut, SuppressionSource::Provider, fresh());
            words.iter().for_each(|word| case.say(*word, 0, fresh().id));
            let said = NoticeTime::Provider(UnixMs(db.now().0 - ago));
            case.back(Notice { said, ..fresh() });
            case.expect(suppressed && words.is_empty(), ("the provider's refusal", ago, words))?;
        }
    }
    Ok(())
}

/// An operator's deletion holds against copies of notices about deleted entries, but not against new notices (e-mail).
fn operators_delete(db: &Db) -> Result<(), String> {
    for steps in (1..=4).flat_map(|length| sequences(&[true, false], length)) {
        for copied in 0..=steps.len() {
            let (case, ids) = (Case::new(db, Clock::Ours), notices());
            for (at, click) in steps.iter().enumerate() {
                match click {
                    true => drop(case.out(Notice { id: ids[at], said: NoticeTime::Ago(Duration::ZERO) })),
                    false => case.delete(),
                }
            }
            if steps.get(copied) == Some(&true) {
                case.out(Notice { id: ids[copied], said: NoticeTime::Ago(Duration::ZERO) });
            }
            case.expect(steps[steps.len() - 1], ("clicks and deletes", &steps, copied))?;
        }
    }
    Ok(())
}

/// Entries of a program without notices are dated by the time they were written.
fn of_earlier_programs(db: &Db) -> Result<(), String> {
    for (ago, suppressed) in [(60_000, true), (0, true)] {
        let case = Case::new(db, Clock::Provider);
        case.out(fresh());
        db.raw(&[b"HDEL", CONSENT.as_bytes(), case.address.as_bytes()]);
        case.back(Notice { said: NoticeTime::Provider(UnixMs(db.now().0 - ago)), ..fresh() });
        case.expect(suppressed, ("written before", ago))?;
        case.back(Notice { said: NoticeTime::Provider(UnixMs(db.now().0 + 5_000)), ..fresh() });
        case.expect(false, "said after it")?;
    }
    Ok(())
}

/// Copies of notices that are no longer stored are recognized by their time.
fn many(db: &Db) -> Result<(), String> {
    for length in [11, 12] {
        let (case, ids) = (Case::new(db, Clock::Provider), notices());
        let word = |at: usize| BOTH[at % 2];
        (0..length).for_each(|at| case.say(word(at), at, ids[at]));
        for (copy, &id) in ids.iter().enumerate().take(length) {
            case.say(word(copy), copy, id);
            case.expect(word(length - 1) == Word::Out, ("a copy of many", copy, length))?;
        }
        let record =
            db.snapshot().hash(CONSENT)[&String::from_utf8_lossy(case.address.as_bytes()).into_owned()].len();
        if record != 12 + 8 * 8 {
            return Err(format!("a record of {record} bytes"));
        }
    }
    Ok(())
}

pub(crate) fn all(db: &Db) -> Result<(), String> {
    doubts(db)?;
    of_earlier_programs(db)?;
    many(db)?;
    operators_delete(db)?;
    in_order(db)?;
    other_entries(db)?;
    every_order(db)
}

pub(crate) fn ready() -> Db {
    let db = Db::start();
    agree(&db);
    db
}

#[test]
fn the_newest_word_wins_in_every_order() {
    assert_eq!(all(&ready()), Ok(()));
}
