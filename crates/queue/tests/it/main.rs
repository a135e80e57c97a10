//! The service over real HTTP, on a private Redis server.

mod client;
mod intake;
mod service;
mod shares;

mod access;
mod away;
mod big_bodies;
mod cluster;
mod description;
mod hostile;
mod hostile_heads;
mod intake_accept;
mod intake_change;
mod intake_hostile;
mod intake_keys;
mod intake_legacy_api;
mod intake_limits;
mod intake_too_long;
mod intake_unknown;
mod intake_upload;
mod key_end;
mod key_life;
mod lost_replies;
mod lost_replies_more;
mod parked;
mod patience;
mod provider_codes;
mod reading;
mod secrets;
mod send_as;
mod sms_limits;
mod stopping;
mod suppressions;
mod trackers;
