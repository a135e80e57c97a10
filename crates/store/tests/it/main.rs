//! The store on real servers; one file per behaviour.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

mod accept_big;
mod accept_small;
mod api_keys;
mod cluster;
mod cluster_start;
mod courier;
mod courier_states;
mod crossed;
mod durability;
mod history;
mod house;
mod listing;
mod lists;
mod memory_full;
mod order_summary;
mod preflight;
mod recipients;
mod reconnection;
mod repeats;
mod retry;
mod rollback;
mod suppressions;
mod trouble;
mod urls;
mod waiting;
mod wakeups;
mod watching;
mod wiped;
