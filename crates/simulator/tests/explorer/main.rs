//! The protocol under the model checker: small systems explored completely, random walks through large ones,
//! and mutants of its scripts detected.
#![expect(clippy::print_stdout, reason = "the figures of a test, shown when it is run with --nocapture")]

mod documented;
mod exhaustive;
mod mutants;
mod namings;
mod walks;
