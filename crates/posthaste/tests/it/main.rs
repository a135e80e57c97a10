//! The binary as users run it: against a scripted server, and end to end.

mod acceptance;
mod channels;
mod cli;
mod dev;
mod key_file;
mod operator;
mod orders;
mod parked;
mod people;
mod recover;
mod script;
mod send;
mod suppressions;
mod watch;
