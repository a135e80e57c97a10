//! The protocol under the model checker: explored to the end in small systems, walked through at random in large ones,
//! and mutants of its scripts found out.
#![expect(clippy::print_stdout, reason = "the figures of a test, shown when it is run with --nocapture")]

mod exhaustive;
mod mutants;
mod namings;
mod walks;
