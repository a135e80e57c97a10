//! One real server and one world, side by side.

use std::collections::HashMap;

use posthaste_rig::resp::{Connection, RespReply};
use posthaste_rig::servers::{Fsync, PrivateServer, ServerKind};
use posthaste_simulator::fake_redis::{COMPACT_BYTES, Classes, Data, Event, FakeClock, FakeRedis, Flavour};
use posthaste_simulator::{ScriptProgram, ScriptRun, ScriptRunError, Value};

use crate::commands::{Step, has_undefined_order};

/// Deadlines and lifetimes may differ by this, because the real server's clock runs on from one `empty` to the next.
const TOLERANCE_MS: i64 = 60_000;

/// Reads every living key by its type, in the order of keys: key, type, deadline, form, content.
const DUMP: &str = "
local keys, out = redis.call('KEYS', '*'), {}
table.sort(keys)
for i, key in ipairs(keys) do
  local kind, content, form = redis.call('TYPE', key).ok, nil, ''
  if kind == 'string' then content = { redis.call('GET', key) }
  elseif kind == 'hash' then content, form = redis.call('HGETALL', key), redis.call('OBJECT', 'ENCODING', key)
  elseif kind == 'zset' then content = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  elseif kind == 'list' then content = redis.call('LRANGE', key, 0, -1)
  else content = redis.call('SMEMBERS', key) table.sort(content) end
  out[i] = { key, kind, redis.call('PEXPIRETIME', key), form, content }
end
return { redis.call('DBSIZE'), out }";

/// The two, kept in step.
pub(crate) struct Pair {
    /// The model.
    pub(crate) world: FakeRedis,
    connection: Connection,
    listener: Connection,
    published: u64,
    scripts: HashMap<String, ScriptProgram>,
    _server: PrivateServer,
}

/// The server's time.
fn clock_of(connection: &mut Connection) -> FakeClock {
    let time = connection.command(&["TIME"]).expect("the time");
    let seconds: i64 = time.items()[0].text().and_then(|text| text.parse().ok()).expect("seconds");
    FakeClock::at_ms(seconds * 1000)
}

impl Pair {
    /// Starts a server that leaves expiry to the test and publishes all events, and a world of its kind at its time.
    pub(crate) fn start() -> Self {
        let server = PrivateServer::builder().fsync(Fsync::Off).events("EA").start().expect("a server");
        let mut connection = server.connect().expect("a connection");
        let mut listener = server.connect().expect("a connection");
        let answer = connection.command(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"]).expect("an answer");
        assert_eq!(answer, RespReply::Status("OK".into()));
        listener.command(&["PSUBSCRIBE", "*"]).expect("a subscription");
        let flavour = match server.kind() {
            ServerKind::Redis70 => Flavour::Redis70,
            ServerKind::Redis80 => Flavour::Redis80,
            ServerKind::Valkey81 => Flavour::Valkey81,
        };
        let clock = clock_of(&mut connection);
        let mut world = FakeRedis::new(flavour, clock).watching(Classes::ALL);
        world.set_listeners(1);
        Self { world, connection, listener, published: 0, scripts: HashMap::new(), _server: server }
    }

    /// Lets both run out of memory.
    pub(crate) fn fill_memory(&mut self) {
        for (name, value) in [("maxmemory-policy", "noeviction"), ("maxmemory", "1")] {
            let answer = self.connection.command(&["CONFIG", "SET", name, value]).expect("an answer");
            assert_eq!(answer, RespReply::Status("OK".into()));
        }
        self.world.set_memory_full(true);
    }

    /// Empties both and runs the steps; returns any difference.
    pub(crate) fn play(&mut self, steps: &[Step]) -> Result<(), String> {
        self.empty();
        for (at, step) in steps.iter().enumerate() {
            self.compare::<&str, _>(&step.script, &[], &step.words, Some(step))
                .map_err(|difference| format!("step {}: {difference}", at + 1))?;
        }
        Ok(())
    }

    /// Empties both, and sets the world's clock by the server's.
    pub(crate) fn empty(&mut self) {
        self.connection.command(&["FLUSHALL"]).expect("an empty database");
        self.world.wipe();
        let clock = clock_of(&mut self.connection);
        self.world.set_clock(clock);
    }

    /// Runs one script on both; returns the difference, or the common answer.
    pub(crate) fn eval<K: AsRef<[u8]>, A: AsRef<[u8]>>(
        &mut self,
        script: &str,
        keys: &[K],
        args: &[A],
    ) -> Result<Value, String> {
        self.compare(script, keys, args, None)
    }

    /// Runs one script in the world alone.
    pub(crate) fn run_in_world(&mut self, script: &str) -> Result<ScriptRun, ScriptRunError> {
        ScriptProgram::new(script).expect("a script").run::<&str, &str>(&mut self.world, &[], &[])
    }

    fn compare<K: AsRef<[u8]>, A: AsRef<[u8]>>(
        &mut self,
        text: &str,
        keys: &[K],
        args: &[A],
        step: Option<&Step>,
    ) -> Result<Value, String> {
        let before = self.world.clone();
        if !self.scripts.contains_key(text) {
            let script = ScriptProgram::new(text).map_err(|error| error.to_string())?;
            self.scripts.insert(text.to_owned(), script);
        }
        let script = &self.scripts[text];
        let run = match script.run(&mut self.world, keys, args) {
            // Not supported by the model: nothing to compare.
            Err(ScriptRunError::Unmodelled(_)) => {
                self.world = before;
                return Ok(Value::Nil);
            }
            Err(error) => return Err(error.to_string()),
            Ok(run) => run,
        };

        let mut words: Vec<&[u8]> = vec![b"EVAL", text.as_bytes()];
        let count = keys.len().to_string();
        words.push(count.as_bytes());
        words.extend(keys.iter().map(AsRef::as_ref));
        words.extend(args.iter().map(AsRef::as_ref));
        let reply = value(self.connection.command(&words).expect("an answer"));
        let received = self.received();

        let (mut modelled, mut real) = (run.reply, reply);
        if let Some(step) = step {
            let large = has_large_hash(&before) || has_large_hash(&self.world);
            step.put_in_order(&mut modelled, large);
            step.put_in_order(&mut real, large);
        }
        if !self.exactness(step.is_some_and(Step::asks_for_lifetime)).same(&modelled, &real) {
            return Err(format!("the model answers\n  {modelled:?}\nthe server\n  {real:?}"));
        }
        let reported: Vec<(String, Vec<u8>)> = run.events.iter().map(spoken).collect();
        if reported != received {
            return Err(format!("the model publishes\n  {reported:?}\nthe server\n  {received:?}"));
        }
        self.compare_keys()?;
        Ok(modelled)
    }

    fn exactness(&self, clocks_differ: bool) -> Exactness {
        Exactness { clocks_differ, digits_differ: self.world.flavour() != Flavour::Redis70 }
    }

    /// The events the server has published up to now.
    fn received(&mut self) -> Vec<(String, Vec<u8>)> {
        self.published += 1;
        let mark = self.published.to_string();
        self.connection.command(&["PUBLISH", "mark", &mark]).expect("an answer");
        let mut received = Vec::new();
        loop {
            let message = self.listener.receive().expect("a message");
            let [_, _, channel, payload] = message.items() else { panic!("no message: {message:?}") };
            let channel = channel.text().expect("a channel").to_owned();
            let payload = payload.bytes().expect("a payload").to_vec();
            if channel == "mark" && payload == mark.as_bytes() {
                return received;
            }
            received.push((channel, payload));
        }
    }

    fn compare_keys(&mut self) -> Result<(), String> {
        let dump = value(self.connection.command(&["EVAL", DUMP, "0"]).expect("an answer"));
        let Some([Value::Int(stored), Value::Array(entries)]) = dump.as_array() else {
            return Err(format!("no dump: {dump:?}"));
        };
        let now = self.world.clock().ms();
        let living = self.world.entries().filter(|(_, entry)| entry.expires_at.is_none_or(|at| at >= now));
        let modelled: Vec<Value> = living
            .map(|(key, entry)| {
                let form = match &entry.data {
                    Data::Hash(hash) if hash.is_compact() => "listpack",
                    Data::Hash(_) => "hashtable",
                    _ => "",
                };
                let kind = Value::Bytes(entry.data.type_name().into());
                let deadline = Value::Int(entry.expires_at.unwrap_or(-1));
                let content = Value::Array(content(&self.world, key, &entry.data));
                Value::Array(vec![
                    Value::Bytes(key.to_vec()),
                    kind,
                    deadline,
                    Value::Bytes(form.into()),
                    content,
                ])
            })
            .collect();
        let mut entries = entries.clone();
        for entry in &mut entries {
            order_table(entry);
        }
        let modelled_count = i64::try_from(self.world.len()).expect("a count");
        let modelled = Value::Array(modelled);
        let entries = Value::Array(entries);
        if modelled_count != *stored || !self.exactness(true).same(&modelled, &entries) {
            return Err(format!(
                "the model holds {modelled_count} keys, living\n  {modelled:?}\nthe server {stored}\n  {entries:?}"
            ));
        }
        Ok(())
    }
}

/// Sorts the pairs of a hash that has no defined order.
fn order_table(entry: &mut Value) {
    if let Value::Array(parts) = entry
        && parts[3] == Value::Bytes(b"hashtable".into())
        && let Value::Array(words) = &mut parts[4]
    {
        *words = sorted_pairs(words);
    }
}

/// Fields and values in pairs, in the order of fields.
pub(crate) fn sorted_pairs(words: &[Value]) -> Vec<Value> {
    let mut pairs: Vec<&[Value]> = words.chunks(2).collect();
    pairs.sort_by_key(|pair| pair[0].as_bytes().map(<[u8]>::to_vec));
    pairs.concat()
}

/// The content of a key, as the model itself would return it.
fn content(world: &FakeRedis, key: &[u8], data: &Data) -> Vec<Value> {
    let bytes = |bytes: &[u8]| Value::Bytes(bytes.to_vec());
    match data {
        Data::Text(text) => vec![bytes(text)],
        Data::Hash(hash) => {
            let words: Vec<Value> =
                hash.iter().flat_map(|(field, value)| [bytes(field), bytes(value)]).collect();
            if hash.is_compact() { words } else { sorted_pairs(&words) }
        }
        Data::Sorted(_) => {
            let words = [b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"];
            let members = Value::from(world.clone().call(&words).expect("members"));
            members.as_array().unwrap_or_default().to_vec()
        }
        Data::List(list) => list.iter().map(|item| bytes(item)).collect(),
        Data::Set(set) => set.iter().map(|parcel_id| bytes(parcel_id)).collect(),
    }
}

fn spoken(event: &Event) -> (String, Vec<u8>) {
    match event {
        Event::Key { name, key, .. } => (format!("__keyevent@0__:{name}"), key.to_vec()),
        Event::Message { channel, payload } => {
            (String::from_utf8_lossy(channel).into_owned(), payload.to_vec())
        }
    }
}

fn value(reply: RespReply) -> Value {
    match reply {
        RespReply::Nil => Value::Nil,
        RespReply::Int(number) => Value::Int(number),
        RespReply::Bytes(bytes) => Value::Bytes(bytes),
        RespReply::Status(text) => Value::Status(text),
        RespReply::Array(items) => Value::Array(items.into_iter().map(value).collect()),
        RespReply::Error(text) => {
            // The model does not report the position in the script.
            let end = text.rfind(" script: ").unwrap_or(text.len());
            Value::Error(text[..end].to_owned())
        }
    }
}

/// How exactly two replies must agree.
#[derive(Clone, Copy)]
struct Exactness {
    /// Large numbers may differ as clocks do.
    clocks_differ: bool,
    /// The same number of many digits may have one more.
    digits_differ: bool,
}

impl Exactness {
    fn same(self, modelled: &Value, real: &Value) -> bool {
        match (modelled, real) {
            (Value::Int(a), Value::Int(b)) if self.clocks_differ && *a > TOLERANCE_MS => {
                a.abs_diff(*b) <= TOLERANCE_MS.unsigned_abs()
            }
            (Value::Array(a), Value::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| self.same(a, b))
            }
            (Value::Bytes(a), Value::Bytes(b)) if self.digits_differ && a != b => {
                let number =
                    |text: &[u8]| std::str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok());
                b.len() >= 16 && number(a).is_some() && number(a) == number(b)
            }
            (a, b) => a == b,
        }
    }
}

/// Removes steps for as long as the two still differ.
pub(crate) fn shortest_failing(
    pair: &mut Pair,
    mut steps: Vec<Step>,
    mut difference: String,
) -> (Vec<Step>, String) {
    let mut at = steps.len();
    while at > 0 {
        at -= 1;
        let mut fewer = steps.clone();
        fewer.remove(at);
        if let Err(still) = pair.play(&fewer) {
            (steps, difference) = (fewer, still);
        }
    }
    (steps, difference)
}

impl Step {
    /// Sorts what has no defined order in a reply: the fields of a large hash.
    fn put_in_order(&self, reply: &mut Value, large: bool) {
        // A large hash may also have been created and removed within the step.
        let passing = self.many && self.words.iter().any(|word| word.len() > COMPACT_BYTES);
        if !large && !passing {
            return;
        }
        match (self.many, reply) {
            (false, reply) => order(&self.commands[0], reply),
            (true, Value::Array(replies)) => {
                for (command, reply) in self.commands.iter().zip(replies) {
                    order(command, reply);
                }
            }
            (true, _) => {}
        }
    }
}

fn has_large_hash(world: &FakeRedis) -> bool {
    world.entries().any(|(_, entry)| matches!(&entry.data, Data::Hash(hash) if !hash.is_compact()))
}

fn order(command: &[Vec<u8>], reply: &mut Value) {
    if let (Some(width), Value::Array(words)) = (has_undefined_order(command), reply) {
        match width {
            2 => *words = sorted_pairs(words),
            _ => words.sort_by_key(|word| word.as_bytes().map(<[u8]>::to_vec)),
        }
    }
}
