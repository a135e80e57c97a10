//! The binary as its users run it: against a scripted server, and with everything real.

mod channels;
mod cli;
mod dev;
mod operator;
mod orders;
mod parked;
mod people;
mod recover;
mod script;
mod send;
mod suppressions;
mod watch;
