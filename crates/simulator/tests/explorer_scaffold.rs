//! The pattern of the explorer on a toy: two couriers, one parcel, one lease, late copies of requests. The checker
//! finds nothing wrong with the scripts, and finds the damage when a guard is removed.

use posthaste_simulator::fake_redis::{Classes, FakeClock, Flavour};
use posthaste_simulator::{FakeRedis, ScriptProgram, ScriptRun, ScriptRunError, Value};
use stateright::{Checker, HasDiscoveries, Model, Property};

const CLAIM: &str = "#!lua
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
if redis.call('EXISTS', KEYS[1]) == 1 or redis.call('EXISTS', KEYS[3]) == 1 then
  return { 'busy' }
end
local fence = redis.call('INCR', KEYS[2])
redis.call('SET', KEYS[1], fence, 'PXAT', string.format('%.0f', now + 10))
return { 'ok', fence }";

const FINISH: &str = "#!lua
if redis.call('GET', KEYS[1]) ~= ARGV[1] then --GUARD
  return { 'lost' } --GUARD
end --GUARD
redis.call('DEL', KEYS[1])
return { 'ok', redis.call('INCR', KEYS[3]) }";

const KEYS: [&str; 3] = ["lease:{0}", "fence:{0}", "finished:{0}"];

/// What a courier remembers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Courier {
    Idle,
    Waiting,
    Holding(i64),
    Done,
}

/// A request in flight.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Request {
    Claim,
    Finish(i64),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    world: FakeRedis,
    couriers: [Courier; 2],
    /// Sorted: their order means nothing.
    on_the_way: Vec<(usize, Request)>,
    crashes_left: u8,
    copies_left: u8,
    jumps_left: u8,
    defect: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
enum Action {
    Ask(usize),
    Arrive { at: usize, and_stay: bool },
    Crash(usize),
    Jump,
}

struct Toy {
    finish: ScriptProgram,
    claim: ScriptProgram,
}

impl Toy {
    fn new(finish: &str) -> Self {
        let script = |text| ScriptProgram::new(text).expect("a script").in_one_slot();
        Self { finish: script(finish), claim: script(CLAIM) }
    }

    fn run(&self, state: &mut State, request: &Request) -> Value {
        let run: Result<ScriptRun, ScriptRunError> = match request {
            Request::Claim => self.claim.run::<_, &str>(&mut state.world, &KEYS, &[]),
            Request::Finish(fence) => self.finish.run(&mut state.world, &KEYS, &[fence.to_string()]),
        };
        run.map(|run| run.reply).unwrap_or_else(|error| {
            state.defect = Some(error.to_string());
            Value::Nil
        })
    }
}

/// How often the parcel was finished.
fn finished(state: &State) -> Option<&[u8]> {
    state.world.text(KEYS[2].as_bytes())
}

impl Model for Toy {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let clock = FakeClock::at_ms(1_700_000_000_000);
        vec![State {
            world: FakeRedis::new(Flavour::Redis70, clock).watching(Classes::NONE),
            couriers: [Courier::Idle, Courier::Idle],
            on_the_way: Vec::new(),
            crashes_left: 2,
            copies_left: 1,
            jumps_left: 3,
            defect: None,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (courier, memory) in state.couriers.iter().enumerate() {
            if matches!(memory, Courier::Idle | Courier::Holding(_)) {
                actions.push(Action::Ask(courier));
            }
            if state.crashes_left > 0 && *memory != Courier::Idle {
                actions.push(Action::Crash(courier));
            }
        }
        for at in 0..state.on_the_way.len() {
            actions.push(Action::Arrive { at, and_stay: false });
            if state.copies_left > 0 {
                actions.push(Action::Arrive { at, and_stay: true });
            }
        }
        if state.jumps_left > 0 && state.world.entry(KEYS[0].as_bytes()).is_some() {
            actions.push(Action::Jump);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Ask(courier) => {
                let request = match state.couriers[courier] {
                    Courier::Holding(fence) => Request::Finish(fence),
                    _ => Request::Claim,
                };
                state.couriers[courier] = Courier::Waiting;
                state.on_the_way.push((courier, request));
                state.on_the_way.sort();
            }
            Action::Arrive { at, and_stay } => {
                let (courier, request) =
                    if and_stay { state.on_the_way[at].clone() } else { state.on_the_way.remove(at) };
                state.copies_left -= u8::from(and_stay);
                let reply = self.run(&mut state, &request);
                if state.couriers[courier] == Courier::Waiting {
                    state.couriers[courier] = match (request, reply.as_array()) {
                        (Request::Claim, Some([_, Value::Int(fence)])) => Courier::Holding(*fence),
                        (Request::Claim, _) => Courier::Idle,
                        (Request::Finish(_), _) => Courier::Done,
                    };
                }
            }
            Action::Crash(courier) => {
                state.couriers[courier] = Courier::Idle;
                state.crashes_left -= 1;
            }
            Action::Jump => {
                let ends = state.world.entry(KEYS[0].as_bytes())?.expires_at?;
                state.world.set_clock(FakeClock::at_ms(ends + 1));
                state.world.expire_all_due();
                state.jumps_left -= 1;
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("finished once", |_, state| matches!(finished(state), None | Some(b"1"))),
            Property::always("no defect", |_, state: &State| state.defect.is_none()),
            Property::sometimes("finished", |_, state| finished(state).is_some()),
            Property::sometimes("claimed again", |_, state: &State| {
                state.world.text(KEYS[1].as_bytes()) == Some(b"2")
            }),
        ]
    }
}

#[test]
fn the_guarded_scripts_hold() {
    let checker = Toy::new(FINISH).checker().threads(2).spawn_bfs().join();
    checker.assert_properties();
    assert!(
        checker.unique_state_count() > 1_000 && checker.is_done(),
        "{} states",
        checker.unique_state_count()
    );
}

#[test]
fn the_mutant_is_caught() {
    let mutant: String =
        FINISH.lines().filter(|line| !line.contains("--GUARD")).collect::<Vec<_>>().join("\n");
    let model = Toy::new(&mutant).checker().finish_when(HasDiscoveries::AnyFailures);
    let checker = model.spawn_bfs().join();
    let path = checker.discovery("finished once").expect("a path to the harm");
    assert!(path.into_actions().len() >= 4);
}
