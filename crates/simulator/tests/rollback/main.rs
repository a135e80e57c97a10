//! A database that goes back, in every way: whatever was reported and is lost shows, what is not lost does not, no
//! fence is given out twice, and a halted database refuses every caller that does not know of the halt. Scripts
//! without one of these guards are detected.

mod parked;

use std::collections::BTreeSet;
use std::time::Duration;

use posthaste_model::{
    Address, Channel, Content, CourierId, Delivery, OnUnknown, OrderId, OutcomeKind, Priority, Reason, Text,
    UnixMs,
};
use posthaste_protocol::record::{Inline, KeyId, KeyScope, NewKey, SecretHash, SendAs};
use posthaste_protocol::scripts::ParcelRef;
use posthaste_protocol::scripts::begin::Begin;
use posthaste_protocol::scripts::cancel::Cancel;
use posthaste_protocol::scripts::claim::{Claim, ClaimReply as Claimed};
use posthaste_protocol::scripts::create_key::CreateKey;
use posthaste_protocol::scripts::enqueue::Enqueue;
use posthaste_protocol::scripts::halt::{HaltCause, HaltDatabase};
use posthaste_protocol::scripts::open_server_run::{OpenServerRun, ServerRun};
use posthaste_protocol::scripts::recover::Recover;
use posthaste_protocol::scripts::register_process::RegisterProcess;
use posthaste_protocol::scripts::reschedule::Reschedule;
use posthaste_protocol::scripts::revoke_key::RevokeKey;
use posthaste_protocol::scripts::settle::{AttemptReport, Reported, Settle, Settlement};
use posthaste_protocol::{PartitionKeys, ScriptCall};
use posthaste_simulator::explorer::mutants::Mutant;
use posthaste_simulator::explorer::suite;
use posthaste_simulator::fake_redis::{FakeClock, Flavour};
use posthaste_simulator::{FakeRedis, Scripts};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Walks for each set of scripts.
const WALKS: u64 = 300;

/// What a process learned, and at which step of which line of events.
struct Acknowledged {
    what: &'static str,
    mark: u64,
    /// The index in `Walk::line` of the first world in which it is true.
    at: usize,
    lost: bool,
}

struct Walk<'s> {
    scripts: &'s Scripts,
    rng: StdRng,
    keys: PartitionKeys,
    world: FakeRedis,
    /// The worlds up to now that were not lost, each after one step.
    line: Vec<FakeRedis>,
    acknowledged: Vec<Acknowledged>,
    fences: BTreeSet<u64>,
    orders: Vec<(OrderId, bool)>,
    held: Vec<ParcelRef>,
    runs: u64,
    requests: u64,
    epoch: String,
}

impl<'s> Walk<'s> {
    fn start(scripts: &'s Scripts, seed: u64) -> Self {
        let world = FakeRedis::new(Flavour::Redis70, FakeClock::at_ms(1_790_000_000_000));
        let (rng, keys) = (StdRng::seed_from_u64(seed), PartitionKeys::of_partition(0));
        let mut walk = Self {
            scripts,
            rng,
            keys,
            world,
            line: Vec::new(),
            acknowledged: Vec::new(),
            fences: BTreeSet::new(),
            orders: Vec::new(),
            held: Vec::new(),
            runs: 0,
            requests: 0,
            epoch: String::new(),
        };
        let keys = walk.keys.clone();
        let register = RegisterProcess {
            keys: &keys,
            fresh_epoch: "e",
            partitions: 1,
            channel: Some(&email()),
            receipts: None,
        };
        walk.call(&register);
        walk.epoch = "e".to_owned();
        walk.call(&OpenServerRun { keys: &keys, lost: None });
        walk.line.push(walk.world.clone());
        walk
    }

    /// Calls a script, and remembers what it reported: its answer, and its mark.
    fn call<S: ScriptCall>(&mut self, script: &S) -> Option<(S::Reply, u64, bool)> {
        self.requests += 1;
        self.world.advance_ms(1);
        let (request, epoch, before) =
            (format!("r{}", self.requests), self.epoch.clone(), self.world.clone());
        let called = self.scripts.call(&mut self.world, script, &request, &epoch).expect("it is modelled");
        let answer = called.answer.ok()?;
        Some((answer.reply, answer.fence, self.world != before))
    }

    /// The process that receives `mark` keeps it. `changed`: the answer says that something happened.
    fn tell(&mut self, what: &'static str, mark: u64, changed: bool) {
        if changed {
            self.acknowledged.push(Acknowledged { what, mark, at: self.line.len(), lost: false });
        }
        self.line.push(self.world.clone());
    }

    fn step(&mut self) {
        let keys = self.keys.clone();
        match self.rng.random_range(0..11) {
            0 | 1 => self.accept(),
            2 | 3 => self.claim(),
            4 => {
                let Some(parcel) = self.parcel() else { return };
                let attempts = vec![(0, 1)];
                let parcels = [(parcel, attempts)];
                let send_window = Duration::from_secs(30);
                let (deliveries_a_token, partitions, channel) = (0, 1, email());
                let begin = Begin {
                    keys: &keys,
                    channel: &channel,
                    send_window,
                    deliveries_a_token,
                    partitions,
                    parcels: &parcels,
                };
                if let Some((_, mark, changed)) = self.call(&begin) {
                    self.tell("begin", mark, changed);
                }
            }
            5 => {
                let Some(parcel) = self.parcel() else { return };
                let report = AttemptReport {
                    delivery: 0,
                    attempt: 1,
                    outcome: OutcomeKind::Sent,
                    reason: Reason::None,
                    value: 0,
                };
                let settlements = [Settlement { parcel, leave: true, reports: vec![report] }];
                if let Some((settled, mark, _)) =
                    self.call(&Settle { keys: &keys, channel: &email(), settlements: &settlements })
                {
                    // A lease that came back reports nothing to anybody.
                    let applied =
                        |reported: &Reported| matches!(reported, Reported::Applied | Reported::Evidence);
                    let any = settled.parcels.iter().any(|(_, reports)| reports.iter().any(applied));
                    self.tell("settle", mark, any);
                }
            }
            6 => {
                let Some((order_id, _)) = self.order() else { return };
                if let Some((_, mark, changed)) = self.call(&Cancel { keys: &keys, order_id: &order_id }) {
                    self.tell("cancel", mark, changed);
                }
            }
            7 => {
                let Some((order_id, _)) = self.order() else { return };
                let due = UnixMs(1_790_000_900_000 + self.requests);
                let move_it =
                    Reschedule { keys: &keys, order_id: &order_id, due, not_after: None, revision: 0 };
                if let Some((_, mark, changed)) = self.call(&move_it) {
                    self.tell("reschedule", mark, changed);
                }
            }
            8 => self.of_parked(),
            9 => self.fail_order(),
            _ => self.of_key(),
        }
    }

    fn accept(&mut self) {
        let keys = self.keys.clone();
        let later = self.rng.random_bool(0.3);
        let order_id: OrderId = format!("u:{}", self.requests + 1).parse().expect("an order id");
        let content = Content { text: Text::new("a text"), ..Content::default() };
        let delivery = Delivery {
            index: 0,
            recipient: "r".to_owned(),
            name: String::new(),
            address: Address::new("a@b.c".to_owned()),
        };
        let pieces = Inline::encode(&content, &[delivery]).expect("it is small");
        let enqueue = Enqueue {
            keys: &keys,
            order_id: &order_id,
            due: later.then_some(UnixMs(1_790_000_800_000)),
            priority: Priority::Bulk,
            on_unknown: OnUnknown::Hold,
            not_after: None,
            span: Duration::from_secs(259_200),
            digest: [1; 12],
            channels: &[(email(), 1)],
            no_contact: &[],
            inline: Some(&pieces),
            upload: "",
        };
        if let Some((_, mark, changed)) = self.call(&enqueue) {
            self.orders.push((order_id, later));
            self.tell("enqueue", mark, changed);
        }
    }

    fn claim(&mut self) {
        let keys = self.keys.clone();
        let courier: CourierId = "c".parse().expect("an id");
        let claim = Claim {
            keys: &keys,
            channel: &email(),
            courier: &courier,
            number: self.requests,
            lease: Duration::from_secs(10),
            limit: 1,
            bulk_limit: 1,
            begin: self.rng.random_range(0..2),
            send_window: Duration::from_secs(30),
            empty_handed: true,
        };
        let Some((Claimed::Claimed(taken), fence, _)) = self.call(&claim) else { return };
        let any = !taken.parcels.is_empty();
        if any {
            assert!(self.fences.insert(fence), "the fence {fence} was given out twice");
        }
        self.held
            .extend(taken.parcels.into_iter().map(|parcel| ParcelRef { parcel_id: parcel.parcel_id, fence }));
        self.tell("claim", fence, any);
    }

    fn of_key(&mut self) {
        let keys = self.keys.clone();
        let id: KeyId = format!("key{:09}", self.rng.random_range(0..3)).parse().expect("an id");
        if self.rng.random() {
            let key = NewKey {
                hash: SecretHash::new([1; 32]),
                name: "a key".to_owned(),
                scopes: KeyScope::ALL.into_iter().collect(),
                sender: None,
                role: None,
                send_as: SendAs::any(),
                expires: None,
                id,
            };
            if let Some((_, mark, changed)) = self.call(&CreateKey { keys: &keys, key: &key }) {
                self.tell("create_key", mark, changed);
            }
        } else if let Some((_, mark, changed)) = self.call(&RevokeKey { keys: &keys, id: &id }) {
            self.tell("revoke_key", mark, changed);
        }
    }

    fn order(&mut self) -> Option<(OrderId, bool)> {
        let at = self.rng.random_range(0..self.orders.len().max(1));
        self.orders.get(at).cloned()
    }

    fn parcel(&mut self) -> Option<ParcelRef> {
        let at = self.rng.random_range(0..self.held.len().max(1));
        self.held.get(at).cloned()
    }

    /// Another server takes over, with less than was reported; the first process to call it compares.
    fn goes_back(&mut self) {
        let to = self.rng.random_range(0..self.line.len());
        let clock = self.world.clock();
        self.world = self.line[to].clone();
        self.line.truncate(to + 1);
        self.runs += 1;
        self.world.set_run(self.runs);
        // Sometimes its clock is a little behind.
        let behind = if self.rng.random_bool(0.2) { self.rng.random_range(0..3) } else { 0 };
        self.world.set_clock(clock.later_by_ms(-behind));
        for acknowledged in &mut self.acknowledged {
            acknowledged.lost |= acknowledged.at > to;
        }
        let keys = self.keys.clone();
        let (runs, ..) = self.call(&OpenServerRun { keys: &keys, lost: None }).expect("an answer");
        self.compare(&runs);
        // The next process opens it again.
        let (again, _, changed) = self.call(&OpenServerRun { keys: &keys, lost: None }).expect("an answer");
        assert!(again == runs && !changed, "opened twice: {runs:?} {again:?}");
        self.line.push(self.world.clone());
    }

    fn compare(&self, runs: &[ServerRun]) {
        for acknowledged in &self.acknowledged {
            let shown = runs.iter().any(|run| run.lost(acknowledged.mark));
            assert_eq!(
                shown, acknowledged.lost,
                "{} at mark {}: {runs:?}",
                acknowledged.what, acknowledged.mark
            );
        }
    }

    /// An operator halts it and recovers it.
    fn is_halted(&mut self) {
        let keys = self.keys.clone();
        let known = self.acknowledged.iter().map(|acknowledged| acknowledged.mark).max().unwrap_or(0);
        let halt = HaltDatabase {
            keys: &keys,
            cause: HaltCause::WentBack,
            found: Some(known),
            known,
            since: None,
            last: None,
            orders: &[],
        };
        self.call(&halt).expect("it is halted");
        // A process that does not know of the halt changes nothing.
        for _ in 0..10 {
            let before = self.world.clone();
            self.step();
            self.world.set_clock(before.clock());
            assert!(self.world == before, "written to a halted database");
        }
        let running = self.epoch.clone();
        self.epoch.insert(0, '!');
        let (epoch, fence, _) = self.call(&Recover { keys: &keys, partitions: 1 }).expect("an answer");
        let epoch = epoch.expect("it was halted");
        assert!(fence > known && self.fences.iter().all(|given| *given < fence), "{fence}");
        // Late: a process that noticed before the recovery.
        self.epoch = running;
        assert!(self.call(&halt).is_none(), "halted again by a late process");
        self.epoch = epoch;
        let (again, _, changed) = self.call(&Recover { keys: &keys, partitions: 1 }).expect("an answer");
        assert!(again.is_none() && !changed, "recovered twice");
        self.call(&OpenServerRun { keys: &keys, lost: None }).expect("an answer");
        // All processes start over.
        self.acknowledged.clear();
        self.line = vec![self.world.clone()];
    }
}

fn email() -> Channel {
    "email".parse().expect("a channel")
}

/// Walks through servers that go back repeatedly; returns how the first walk fails, if one does.
fn walks(scripts: &Scripts) -> Option<String> {
    (0..WALKS).find_map(|seed| {
        let walked = std::panic::catch_unwind(|| {
            let mut walk = Walk::start(scripts, seed);
            for _ in 0..3 {
                for _ in 0..walk.rng.random_range(1..12) {
                    walk.step();
                }
                walk.goes_back();
                if walk.rng.random_bool(0.3) {
                    walk.is_halted();
                }
            }
        });
        let failure = walked.err()?;
        let text = failure.downcast_ref::<String>().cloned();
        Some(format!("seed {seed}: {}", text.unwrap_or_else(|| "an assertion".to_owned())))
    })
}

#[test]
fn only_what_was_reported_and_lost_shows() {
    assert_eq!(walks(&Scripts::load().expect("the scripts of lua/")), None);
}

#[test]
fn scripts_without_a_guard_are_detected() {
    let marking = "enqueue claim begin settle cancel reschedule create_key revoke_key release_parked fail_parcel fail_order";
    let marks = marking.split(' ').map(|file| (file, "leave_mark()", ""));
    let mutants = [
        ("open_server_run", "if last ~= run then", "if not last then"),
        ("open_server_run", "if found > 0 or last then", "if false then"),
        ("open_server_run", "raised = found < micros and micros or", "raised ="),
        ("open_server_run", "or found + MARGIN * (1 + tonumber(sub(run, 1, 3), 16))", "or found + 1"),
        ("halt", "epoch = '!' .. name", "epoch = name"),
        ("halt", "or later > generation", ""),
        ("recover", "if sub(epoch, 1, 1) ~= '!' then", "if false then"),
        ("recover", "epoch = name .. '+' .. int((tonumber(generation) or 0) + 1)", "epoch = name"),
    ];
    for (file, text, instead) in marks.chain(mutants) {
        let hunted_in = || suite::gate("crashes").remove(0).scenario;
        let mutant = Mutant { name: "of a roll-back", file, text, instead, hunted_in, survives: None };
        let scripts = mutant.scripts().unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(walks(&scripts).is_some(), "{file} without `{text}` was not detected");
    }
}
