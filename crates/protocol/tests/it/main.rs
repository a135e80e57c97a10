//! The scripts on a real server: their contract, every reply, every key they leave behind, and what they never do.

mod acceptance;
mod begin;
mod claim;
mod claim_records;
mod contract;
mod db;
mod enqueue;
mod events;
mod leases;
mod order;
mod print;
mod random;
mod random_walk;
mod register;
mod resolve;
mod ring;
mod settle;
mod smoke;
mod snapshot;
mod sound;
mod stage;
mod sweep;
mod transitions;
mod travel;
