//! A private server with the scripts: one call, one decoded reply.

use std::cell::{Cell, RefCell};

use posthaste_model::{Channel, UnixMs};
use posthaste_protocol::scripts::register_process::{RegisterProcess, Registered};
use posthaste_protocol::{PartitionKeys, Refusal, ReplyValue, ScriptAnswer, ScriptCall};
use posthaste_rig::{Connection, Fsync, PrivateServer, RespReply};

use crate::mutant;
use crate::snapshot::Snapshot;

/// The epoch of every test database.
pub(crate) const EPOCH: &str = "e1";

/// A private server, and a connection to it.
pub(crate) struct Db {
    /// The server.
    pub(crate) server: PrivateServer,
    /// Keys of partition 0.
    pub(crate) keys: PartitionKeys,
    /// The epoch passed in calls.
    pub(crate) epoch: RefCell<String>,
    connection: RefCell<Connection>,
    requests: Cell<u64>,
    moments: RefCell<Vec<u64>>,
    sent: RefCell<Vec<Vec<Vec<u8>>>>,
}

/// What a call did: its reply, and every key that changed.
#[derive(Debug)]
pub(crate) struct Step<R> {
    /// The script's own reply.
    pub(crate) reply: R,
    /// The server's time in the script.
    pub(crate) now: u64,
    /// One line per change.
    pub(crate) changes: Vec<String>,
}

impl Db {
    /// An empty server.
    pub(crate) fn empty() -> Self {
        let server = PrivateServer::builder().fsync(Fsync::Off).start().expect("a server");
        Self::on(server)
    }

    /// An initialized database.
    pub(crate) fn start() -> Self {
        let db = Self::empty();
        db.register();
        db
    }

    /// The given server.
    pub(crate) fn on(server: PrivateServer) -> Self {
        let connection = RefCell::new(server.connect().expect("a connection"));
        let db = Self {
            server,
            keys: PartitionKeys::of_partition(0),
            epoch: RefCell::new(String::new()),
            connection,
            requests: Cell::new(0),
            moments: RefCell::default(),
            sent: RefCell::default(),
        };
        // Keys expire only when touched, as with millions of keys: nothing disappears between two snapshots.
        db.raw(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"]);
        db
    }

    /// Initializes the database with [`EPOCH`].
    pub(crate) fn register(&self) {
        self.epoch.replace(String::new());
        let reply = self.reply(&RegisterProcess {
            keys: &self.keys,
            fresh_epoch: EPOCH,
            partitions: 1,
            channel: None,
            receipts: None,
        });
        assert_eq!(reply, Registered::Ok { schema: 2 });
        self.epoch.replace(EPOCH.to_owned());
    }

    /// An empty database, initialized again.
    pub(crate) fn reset(&self) {
        self.raw(&["FLUSHALL"]);
        self.moments.borrow_mut().clear();
        self.sent.borrow_mut().clear();
        self.register();
    }

    /// One raw command. An error reply fails the test.
    pub(crate) fn raw<A: AsRef<[u8]>>(&self, args: &[A]) -> RespReply {
        let reply = self.connection.borrow_mut().command(args).expect("a reply");
        assert!(reply.error().is_none(), "{}: {reply:?}", String::from_utf8_lossy(args[0].as_ref()));
        reply
    }

    /// Many raw commands. An error reply fails the test.
    pub(crate) fn pipeline(&self, commands: &[Vec<Vec<u8>>]) {
        let mut connection = self.connection.borrow_mut();
        for commands in commands.chunks(500) {
            commands.iter().for_each(|args| connection.send(args).expect("sent"));
            for args in commands {
                let reply = connection.receive().expect("a reply");
                assert!(reply.error().is_none(), "{}: {reply:?}", String::from_utf8_lossy(&args[0]));
            }
        }
    }

    /// Calls a script as a client does: by its digest, and with its text if the server does not know it.
    pub(crate) fn call<S: ScriptCall>(&self, script: &S) -> Result<ScriptAnswer<S::Reply>, Refusal> {
        self.requests.set(self.requests.get() + 1);
        let request = format!("r{}", self.requests.get());
        let call = mutant::changed(script.invoke(&request, &self.epoch.borrow()));
        let mut args: Vec<Vec<u8>> = vec![b"EVALSHA".into(), call.script.sha.clone().into()];
        args.push(call.keys.len().to_string().into());
        args.extend(call.keys.into_iter().map(String::into_bytes));
        args.extend(call.args.into_iter().map(Vec::from));
        let mut connection = self.connection.borrow_mut();
        let mut reply = connection.command(&args).expect("a reply");
        if reply.error().is_some_and(|e| e.starts_with("NOSCRIPT")) {
            (args[0], args[1]) = (b"EVAL".into(), call.script.body.clone().into());
            reply = connection.command(&args).expect("a reply");
        }
        self.sent.borrow_mut().push(args);
        let answer = S::read(&request, value_of(reply));
        if let Some(answer) = answer.as_ref().ok().filter(|answer| answer.now.0 > 0) {
            self.moments.borrow_mut().push(answer.now.0);
        }
        answer
    }

    /// How many calls were made.
    pub(crate) fn sent(&self) -> usize {
        self.sent.borrow().len()
    }

    /// Forgets the calls made so far.
    pub(crate) fn forget_sent(&self) {
        self.sent.borrow_mut().clear();
    }

    /// Delivers call number `at` again, as if the network had delayed a copy of it.
    pub(crate) fn late_copy(&self, at: usize) {
        let args = self.sent.borrow()[at].clone();
        self.raw(&args);
    }

    /// Delivers the last call again and requires that no key changes.
    #[track_caller]
    pub(crate) fn again(&self) {
        self.harmless(self.sent() - 1);
    }

    /// Delivers call number `at` again and requires that no key changes.
    #[track_caller]
    pub(crate) fn harmless(&self, at: usize) {
        let before = self.snapshot();
        self.late_copy(at);
        let changes = self.snapshot().since(&before, &self.moments());
        assert!(changes.is_empty(), "a copy of call {at} changed {changes:#?}");
    }

    /// Calls a script that must succeed.
    #[track_caller]
    pub(crate) fn answer<S: ScriptCall>(&self, script: &S) -> ScriptAnswer<S::Reply> {
        match self.call(script) {
            Ok(answer) => answer,
            Err(refusal) => panic!("{}: {refusal}", S::contract().text.name),
        }
    }

    /// Calls a script that must succeed, and returns only its reply.
    #[track_caller]
    pub(crate) fn reply<S: ScriptCall>(&self, script: &S) -> S::Reply {
        self.answer(script).reply
    }

    /// Calls a script that must succeed, and returns what it changed.
    #[track_caller]
    pub(crate) fn step<S: ScriptCall>(&self, script: &S) -> Step<S::Reply> {
        let before = self.snapshot();
        let answer = self.answer(script);
        let changes = self.snapshot().since(&before, &self.moments.borrow());
        Step { reply: answer.reply, now: answer.now.0, changes }
    }

    /// Calls a script and requires that no key changes; returns the reply.
    #[track_caller]
    pub(crate) fn unchanged<S: ScriptCall>(&self, script: &S) -> S::Reply {
        let before = self.snapshot();
        let reply = self.reply(script);
        let after = self.snapshot();
        // Keys that expired in the meantime were not changed by the script.
        let now = self.now();
        let (before, after) = (before.living(now), after.living(now));
        let changes = after.since(&before, &self.moments.borrow());
        assert!(changes.is_empty() && after == before, "{}: {changes:#?}", S::contract().text.name);
        reply
    }

    /// All keys.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot::take(|args| self.raw(args))
    }

    /// The server's time.
    pub(crate) fn now(&self) -> UnixMs {
        let time = self.raw(&["TIME"]);
        let number = |at: usize| time.items()[at].text().and_then(|t| t.parse::<u64>().ok()).expect("a time");
        UnixMs(number(0) * 1000 + number(1) / 1000)
    }

    /// Waits until the server's clock is past `moment`: a few milliseconds, never a guess.
    pub(crate) fn pass(&self, moment: UnixMs) {
        posthaste_rig::eventually("the moment to pass", || match self.now() {
            now if now > moment => Ok(()),
            now => Err(format!("{now:?}")),
        });
    }

    /// The times of all calls so far.
    pub(crate) fn moments(&self) -> Vec<u64> {
        self.moments.borrow().clone()
    }

    /// Moves the remembered times back, as [`crate::time_shift`] does with all times in the database.
    pub(crate) fn shift_moments(&self, ms: u64) {
        self.moments.borrow_mut().iter_mut().for_each(|moment| *moment -= ms);
    }
}

impl<R> Step<R> {
    /// Requires exactly these changes, in any order. `@now` and `@now+N` stand for the time in the script; every
    /// other `@name` is defined in `names`. `went_back` checks that every change leaves a mark and no repeat does, so
    /// the fence is compared only where it is listed.
    #[track_caller]
    pub(crate) fn changed(&self, names: &[(&str, u64)], expected: &[&str]) {
        let mut expected: Vec<String> = expected.iter().map(|line| fill(line, self.now, names)).collect();
        let mut found = self.changes.clone();
        let marks = |line: &String| line.contains(" fence:{0}:");
        if !expected.iter().any(marks) {
            found.retain(|line| !marks(line));
        }
        expected.sort();
        found.sort();
        let missing: Vec<_> = expected.iter().filter(|line| !found.contains(line)).collect();
        let surplus: Vec<_> = found.iter().filter(|line| !expected.contains(line)).collect();
        assert!(
            missing.is_empty() && surplus.is_empty(),
            "at {}\nexpected and not seen {missing:#?}\nseen and not expected {surplus:#?}",
            self.now
        );
    }
}

/// Replaces `@name` and `@name+N` with numbers.
fn fill(line: &str, now: u64, names: &[(&str, u64)]) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('@') {
        out.push_str(before);
        let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
        let (name, tail) = after.split_at(end);
        let base =
            if name == "now" { Some(now) } else { names.iter().find(|(n, _)| *n == name).map(|(_, v)| *v) };
        let base = base.unwrap_or_else(|| panic!("@{name} is not defined"));
        let digits =
            tail.strip_prefix('+').map_or(0, |t| t.find(|c: char| !c.is_ascii_digit()).unwrap_or(t.len()));
        let more: u64 = if digits == 0 { 0 } else { tail[1..=digits].parse().expect("digits") };
        out.push_str(&(base + more).to_string());
        rest = if digits == 0 { tail } else { &tail[digits + 1..] };
    }
    out + rest
}

/// A channel.
pub(crate) fn channel(name: &str) -> Channel {
    name.parse().expect("a channel")
}

fn value_of(reply: RespReply) -> ReplyValue {
    match reply {
        RespReply::Nil => ReplyValue::Nil,
        RespReply::Int(n) => ReplyValue::Int(n),
        RespReply::Bytes(bytes) => ReplyValue::Bytes(bytes.into()),
        RespReply::Status(text) => ReplyValue::Bytes(text.into_bytes().into()),
        RespReply::Error(text) => ReplyValue::Error(text),
        RespReply::Array(items) => ReplyValue::Array(items.into_iter().map(value_of).collect()),
    }
}
