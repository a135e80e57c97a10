//! The scripts on a real server: their contract, every reply, every key they leave behind, and what they never do.

mod contract;
mod db;
mod order;
mod print;
mod random;
mod random_walk;
mod smoke;
mod snapshot;
mod sound;
mod transitions;
mod travel;
