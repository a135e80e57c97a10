//! Runs the explorer of the protocol by hand: `cargo run -p posthaste-simulator --example explore -- --help`.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand, ValueEnum};
use posthaste_model::OnUnknown;
use posthaste_simulator::explorer::coverage::Window;
use posthaste_simulator::explorer::mutants::{Hunt, MUTANTS};
use posthaste_simulator::explorer::report::{ExplorationLimits, ExplorationReport, explore};
use posthaste_simulator::explorer::scenario::{Budgets, Resolver, Scenario, UNIT_MS, ms};
use posthaste_simulator::explorer::suite::{self, Case};
use posthaste_simulator::explorer::walk::walk;
use posthaste_simulator::{ScriptError, Scripts};

/// Prints a line. A closed output is not an error.
macro_rules! say {
    ($($what:tt)*) => {
        writeln!(std::io::stdout(), $($what)*).unwrap_or_default()
    };
}

/// Explores the protocol: the scripts of lua/ under a model checker
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    what: What,
    /// Threads of one exploration. With one thread, the path to a broken property is the shortest
    #[arg(long, default_value_t = 1, global = true)]
    threads: usize,
}

#[derive(Subcommand)]
enum What {
    /// Explore the systems that every test run explores completely
    Gate {
        /// Only systems whose name contains this; names are as listed
        #[arg(long, default_value = "")]
        only: String,
    },
    /// Explore larger systems, each for a limited time
    Larger {
        /// Only systems whose name contains this; names are as listed
        #[arg(long, default_value = "")]
        only: String,
        /// Minutes for each
        #[arg(long, default_value_t = 5.0)]
        minutes: f64,
    },
    /// Run every mutant of the scripts: which are killed, which survive, and why they may
    Mutants {
        /// Only mutants whose name contains this
        #[arg(long, default_value = "")]
        only: String,
    },
    /// Walk at random through much larger systems
    Walk {
        /// Seed of the walk
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Minutes to walk
        #[arg(long, default_value_t = 1.0, conflicts_with = "steps")]
        minutes: f64,
        /// Steps to walk, instead of a time
        #[arg(long)]
        steps: Option<u64>,
    },
    /// Explore one system of two couriers and one order, with the given adversities
    One {
        /// How unknowns are handled
        on_unknown: OnUnknownOption,
        /// How the order is stored
        layout: Layout,
        /// Deliveries of the order
        #[arg(long, default_value_t = 2)]
        deliveries: u32,
        /// Minutes; by default until everything is explored
        #[arg(long)]
        minutes: Option<f64>,
        /// Adversities, such as crashes=2 copies=1: crashes lost copies later refused throttled unknown not_sent
        /// overslept zombies stops cancels expiries receipts renewals moves. Shape, such as window=2: begin
        /// (deliveries with the claim), window and due (in leases), life (in half leases), lead (ms), blame, single,
        /// tokens, strangers, late (not accepted yet), asking and trusting (resolvers)
        settings: Vec<String>,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum OnUnknownOption {
    Hold,
    Retry,
}

#[derive(Clone, Copy, ValueEnum)]
enum Layout {
    Inline,
    Big,
}

fn main() -> Result<ExitCode, ScriptError> {
    let Args { what, threads } = Args::parse();
    let good = match what {
        What::Gate { only } => {
            let gate = suite::GROUPS.iter().flat_map(|group| suite::gate(group)).collect();
            cases(gate, &only, ExplorationLimits { threads, ..ExplorationLimits::NONE })?
        }
        What::Larger { only, minutes } => cases(
            suite::larger(),
            &only,
            ExplorationLimits { time: Some(span(minutes)), threads, ..ExplorationLimits::NONE },
        )?,
        What::Mutants { only } => mutants(&only)?,
        What::Walk { seed, minutes, steps } => walk_on(seed, span(minutes), steps)?,
        What::One { on_unknown, layout, deliveries, minutes, settings } => {
            let on_unknown =
                if matches!(on_unknown, OnUnknownOption::Hold) { OnUnknown::Hold } else { OnUnknown::Retry };
            let scenario =
                suite::deliveries(on_unknown, matches!(layout, Layout::Big), deliveries, Budgets::NONE);
            match set(scenario, &settings) {
                Ok(scenario) => one(
                    scenario,
                    ExplorationLimits { time: minutes.map(span), threads, ..ExplorationLimits::NONE },
                )?,
                Err(wrong) => {
                    say!("invalid setting: {wrong}; see --help");
                    false
                }
            }
        }
    };
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn span(minutes: f64) -> Duration {
    Duration::try_from_secs_f64(minutes * 60.0).unwrap_or_default()
}

fn set(mut s: Scenario, settings: &[String]) -> Result<Scenario, String> {
    for setting in settings {
        let (name, value) = setting.split_once('=').unwrap_or((setting, "1"));
        let number: u8 = value.parse().map_err(|_| setting.clone())?;
        match name {
            "begin" => s.claim_begins = vec![0, u32::from(number)],
            "window" => s.window_units = i64::from(number),
            "due" => s.orders[0].due_in = Some(ms(i64::from(number) * UNIT_MS)),
            "lead" => s.lead_ms = i64::from(number),
            "life" => s.life_ms = i64::from(number) * UNIT_MS / 2,
            "blame" => s.blame = true,
            "single" => s.single_begins = true,
            "tokens" => s.tokens = true,
            "strangers" => s.strangers = true,
            "late" => s.orders[0].accepted = false,
            "asking" => s.resolver = Resolver::Asking,
            "trusting" => s.resolver = Resolver::Trusting,
            _ => *s.budgets.named(name).ok_or(setting.clone())? = number,
        }
    }
    Ok(s)
}

fn cases(cases: Vec<Case>, only: &str, limits: ExplorationLimits) -> Result<bool, ScriptError> {
    let began = Instant::now();
    let scripts = Scripts::load()?;
    let mut all = BTreeMap::new();
    let (mut states, mut steps, mut good) = (0, 0, true);
    for case in cases.into_iter().filter(|case| format!("{}: {}", case.group, case.scenario).contains(only)) {
        let name = case.group;
        let report = explore(case.scenario, scripts.clone(), limits);
        say!("{name}: {report}");
        let missed = report.missed(&case.windows);
        missed.iter().for_each(|window| say!("  never entered: {}", window.text()));
        good &= report.failure.is_none() && missed.is_empty();
        states += report.states;
        steps += report.steps;
        add(&mut all, &report);
    }
    say!("\n{states} states, {steps} steps, {:.0} s. Windows entered:", began.elapsed().as_secs_f64());
    show(&all);
    Ok(good)
}

fn one(scenario: Scenario, limits: ExplorationLimits) -> Result<bool, ScriptError> {
    let report = explore(scenario, Scripts::load()?, limits);
    say!("{report}");
    show(&report.windows);
    Ok(report.failure.is_none())
}

fn add(all: &mut BTreeMap<Window, u64>, report: &ExplorationReport) {
    for (window, times) in &report.windows {
        *all.entry(*window).or_default() += times;
    }
}

fn show(windows: &BTreeMap<Window, u64>) {
    windows.iter().for_each(|(window, times)| say!("{times:>10} {}", window.text()));
    let never: Vec<&str> = Window::ALL
        .iter()
        .filter(|window| !windows.contains_key(window))
        .map(|window| window.text())
        .collect();
    never.iter().for_each(|text| say!("     never {text}"));
}

fn mutants(only: &str) -> Result<bool, ScriptError> {
    let (mut killed, mut allowed, mut others) = (0, 0, 0);
    for mutant in MUTANTS.iter().filter(|mutant| mutant.name.contains(only)) {
        match mutant.hunt() {
            Ok(Hunt::Killed(report)) => {
                killed += 1;
                say!("killed    {}: {report}", mutant.name);
            }
            Ok(Hunt::Survived(report)) => {
                let why = mutant.survives.unwrap_or("unexpectedly");
                *if mutant.survives.is_some() { &mut allowed } else { &mut others } += 1;
                say!("survives  {}, {why}: {report}", mutant.name);
            }
            Err(error) => {
                others += 1;
                say!("unmade    {error}");
            }
        }
    }
    say!("\n{killed} killed, {allowed} survive as expected, {others} survive unexpectedly");
    Ok(others == 0)
}

fn walk_on(seed: u64, time: Duration, steps: Option<u64>) -> Result<bool, ScriptError> {
    let began = Instant::now();
    let scripts = Scripts::load()?;
    let walked = walk(seed, &scripts, |walked| match steps {
        Some(steps) => walked.steps < steps,
        None => began.elapsed() < time,
    });
    say!("{walked}, {:.0} s", began.elapsed().as_secs_f64());
    show(&walked.windows);
    Ok(walked.failure.is_none())
}
