//! The scripts on a real server: their contract, every reply, every key they leave behind, and what they never do.

mod acceptance;
mod begin;
mod claim;
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
mod ring;
mod settle;
mod smoke;
mod snapshot;
mod sound;
mod stage;
mod transitions;
mod travel;
