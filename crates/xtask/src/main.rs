//! House rules and chores as code: `cargo run -p posthaste-xtask -- <task>`.

mod advisories;
mod counts;
mod lua;
mod pages;
mod servers;
mod shell;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use shell::say;

const HELP: &str = "\
tasks:
  tidy                     check the house rules
  lua                      assemble each script and run luacheck over it
  pages                    write the pages of docs/ that are made from the code
  servers                  fetch Redis 8.0 and Valkey 8.1 into target/servers
  advisories               cargo-deny's advisories, from the database or a dated snapshot
  test                     build everything, run all tests, print the totals as `N passed, N failed`
  test --on <server> <folder> …
                           run the tests of the packages in these folders on another server:
                           redis8 or valkey8
  counts [--reset]         the sum of all test runs since the last reset";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["tidy"] => tidy::run(),
        ["lua"] => lua::run(),
        ["pages"] => pages::run(),
        ["servers"] => servers::run(),
        ["advisories"] => advisories::run(),
        ["test", rest @ ..] => test::run(rest),
        ["counts"] => counts::run(),
        ["counts", "--reset"] => counts::reset(),
        _ => {
            say(HELP);
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("{}: {error:#}", words.first().unwrap_or(&"xtask")));
            ExitCode::FAILURE
        }
    }
}
