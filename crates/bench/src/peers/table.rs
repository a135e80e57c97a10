//! Figures of several rounds, and the page that shows them.

use std::fmt::Write as _;

use posthaste_rig::servers::Fsync;

use super::system::System;
use super::{AT_ONCE, aof, say};
use crate::figures::show;

/// What a table is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Drain(Fsync),
    Enqueue(Fsync),
    /// With this many pending.
    Lateness(u64),
}

/// A figure of a table; in the order of the columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Rate,
    Enqueued,
    P50,
    P99,
    Latest,
    Early,
    WorkerCpu,
    QueueCpu,
    ServerCpu,
    NginxCpu,
    WorkerPeak,
    QueuePeak,
    ServerPeak,
    Bytes,
}

const COLUMNS: [Column; 14] = [
    Column::Rate,
    Column::Enqueued,
    Column::P50,
    Column::P99,
    Column::Latest,
    Column::Early,
    Column::WorkerCpu,
    Column::QueueCpu,
    Column::ServerCpu,
    Column::NginxCpu,
    Column::WorkerPeak,
    Column::QueuePeak,
    Column::ServerPeak,
    Column::Bytes,
];

impl Subject {
    /// The heading.
    pub(super) fn title(self) -> String {
        match self {
            Self::Drain(fsync) => format!("Drain, {}", aof(fsync)),
            Self::Enqueue(fsync) => format!("Enqueue in batches, {}", aof(fsync)),
            Self::Lateness(pending) => format!("Lateness with {} pending, no AOF", thousands(pending)),
        }
    }

    /// The first rows of all tables belong together.
    fn rank(self) -> (u8, u64) {
        match self {
            Self::Drain(Fsync::Off) => (0, 0),
            Self::Drain(_) => (0, 1),
            Self::Enqueue(Fsync::Off) => (1, 0),
            Self::Enqueue(_) => (1, 1),
            Self::Lateness(pending) => (2, pending),
        }
    }
}

impl Column {
    /// The heading, with the unit.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Rate => "messages a second",
            Self::Enqueued => "jobs a second",
            Self::P50 => "p50 ms",
            Self::P99 => "p99 ms",
            Self::Latest => "latest ms",
            Self::Early => "early",
            Self::WorkerCpu => "worker CPU, s per 1,000",
            Self::QueueCpu => "queue CPU, s per 1,000",
            Self::ServerCpu => "Redis CPU, s per 1,000",
            Self::NginxCpu => "nginx CPU, s per 1,000",
            Self::WorkerPeak => "worker peak MB",
            Self::QueuePeak => "queue peak MB",
            Self::ServerPeak => "Redis peak MB",
            Self::Bytes => "bytes a job",
        }
    }

    fn show(self, value: f64) -> String {
        match self {
            Self::WorkerCpu | Self::QueueCpu | Self::ServerCpu | Self::NginxCpu => format!("{value:.3}"),
            Self::Early
            | Self::Bytes
            | Self::P50
            | Self::P99
            | Self::Latest
            | Self::Rate
            | Self::Enqueued => show(value.round()).trim_end_matches(".00").to_owned(),
            Self::WorkerPeak | Self::QueuePeak | Self::ServerPeak => format!("{value:.0}"),
        }
    }
}

/// Median, lowest and highest of several rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

#[derive(Debug)]
struct Figure {
    subject: Subject,
    system: String,
    column: Column,
    values: Vec<f64>,
}

/// All figures, what was measured, and which figures are void.
#[derive(Debug, Default)]
pub(super) struct Results {
    figures: Vec<Figure>,
    versions: Vec<String>,
    voids: Vec<String>,
}

impl Results {
    /// A figure of one round.
    pub(super) fn add(&mut self, subject: Subject, system: &str, column: Column, value: f64) {
        let same = |figure: &&mut Figure| {
            figure.subject == subject && figure.system == system && figure.column == column
        };
        match self.figures.iter_mut().find(same) {
            Some(figure) => figure.values.push(value),
            None => {
                self.figures.push(Figure { subject, system: system.to_owned(), column, values: vec![value] });
            }
        }
    }

    /// What is measured.
    pub(super) fn version(&mut self, text: String) {
        if !text.is_empty() {
            self.versions.push(text);
        }
    }

    /// A measurement that failed leaves no figure, but a remark.
    pub(super) fn void_if_failed(&mut self, what: &str, system: &System, outcome: anyhow::Result<()>) {
        if let Err(error) = outcome {
            let text = format!("{}, {what}: {error:#}", system.name());
            say(&format!("void: {text}"));
            self.voids.push(text.lines().next().unwrap_or_default().to_owned());
        }
    }

    /// All subjects with figures, in the order of the page.
    pub(super) fn subjects(&self) -> Vec<Subject> {
        let mut subjects: Vec<Subject> = Vec::new();
        for figure in &self.figures {
            if !subjects.contains(&figure.subject) {
                subjects.push(figure.subject);
            }
        }
        subjects.sort_by_key(|subject| subject.rank());
        subjects
    }

    /// The systems with figures of this subject, in the order they were measured.
    pub(super) fn systems(&self, subject: Subject) -> Vec<&str> {
        let mut systems: Vec<&str> = Vec::new();
        for figure in self.figures.iter().filter(|figure| figure.subject == subject) {
            if !systems.contains(&figure.system.as_str()) {
                systems.push(&figure.system);
            }
        }
        systems
    }

    /// One figure over all rounds.
    pub(super) fn spread(&self, subject: Subject, system: &str, column: Column) -> Option<Spread> {
        let figure = self
            .figures
            .iter()
            .find(|figure| figure.subject == subject && figure.system == system && figure.column == column)?;
        let mut values = figure.values.clone();
        values.sort_by(f64::total_cmp);
        Some(Spread { median: *values.get(values.len() / 2)?, min: *values.first()?, max: *values.last()? })
    }

    fn table(&self, subject: Subject) -> String {
        let systems = self.systems(subject);
        // A column that holds nothing for anybody is left out.
        let columns = COLUMNS.into_iter().filter(|column| {
            let mut spreads = systems.iter().filter_map(|system| self.spread(subject, system, *column));
            spreads.any(|spread| spread.max > 0.0 || *column == Column::Early)
        });
        let columns: Vec<Column> = columns.collect();
        let mut text = String::from("| |");
        columns.iter().for_each(|column| text += &format!(" {} |", column.title()));
        text += "\n| --- |";
        columns.iter().for_each(|_| text += " --- |");
        for system in systems {
            let _ = write!(text, "\n| {system} |");
            for column in &columns {
                let cell = self.spread(subject, system, *column).map(|spread| cell(*column, spread));
                let _ = write!(text, " {} |", cell.unwrap_or_default());
            }
        }
        text + "\n"
    }

    /// Prints all tables.
    #[expect(clippy::print_stdout, reason = "figures are what this program is for")]
    pub(super) fn print(&self) {
        println!("{}", self.versions.join("; "));
        for subject in self.subjects() {
            println!("\n### {}\n\n{}", subject.title(), self.table(subject));
        }
        self.voids.iter().for_each(|text| println!("void: {text}"));
    }

    /// The whole page, with the plots of these names.
    pub(super) fn page(&self, messages: u64, pending: &[u64], runs: u32, plots: &[String]) -> String {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let pending: Vec<String> = pending.iter().map(|n| thousands(*n)).collect();
        let mut text = format!(
            "# Beside other queues\n\nWritten by `make bench-peers` (`crates/bench/src/peers/`); the programs of the \
             others are in `crates/bench/peers/`.\n\nEach message is one POST of 160 letters into the same nginx, which \
             answers 200 at once; at most {AT_ONCE} at a time, from one worker process. All processes share {cores} cores. \
             Each measurement has a new Redis, over a unix socket, and a new nginx. Rounds: {runs}; in each every \
             system has its turn; a cell is the median, with the lowest and highest in brackets. By nginx's log every \
             message arrived exactly once, otherwise there is no figure.\n\n\
             - Drain: {} jobs wait, then the worker starts; the rate is from the first arrival to the last, and CPU is \
             counted meanwhile. A worker's peak is that of all its processes.\n\
             - Enqueue: jobs of 160 letters put into Redis; by `addBulk`, `push_bulk` and `push_all` in batches of 1,000, by \
             Celery one after the other over one connection, because it has no batches. Posthaste takes them over HTTP, with \
             its checks of keys, numbers and limits.\n\
             - Lateness: 2,000 jobs fall due over 10 s while {} others are due tomorrow; from the due time to the arrival. \
             apalis knows whole seconds only. Sidekiq looks each second instead of every five.\n\n\
             BullMQ removes what is done (`removeOnComplete`), as the others do; Posthaste keeps its history. Celery runs \
             with threads, its fastest pool here. apalis's waiting jobs are moved to its list beforehand, because by its \
             source its own script fails above some 8,000 at once.\n\nVersions: {}.\n",
            thousands(messages),
            pending.join(" or "),
            self.versions.join("; "),
        );
        for subject in self.subjects() {
            let _ = write!(text, "\n## {}\n\n{}", subject.title(), self.table(subject));
        }
        if !plots.is_empty() {
            text += "\n## Plots\n";
        }
        for plot in plots {
            let _ = write!(text, "\n![{}]({plot})\n", plot.trim_end_matches(".svg").replace('-', " "));
        }
        if !self.voids.is_empty() {
            text += "\n## Void\n\n";
        }
        self.voids.iter().for_each(|void| text += &format!("- {void}\n"));
        text
    }
}

/// `median (min to max)`, or the median alone when they are all the same.
fn cell(column: Column, spread: Spread) -> String {
    let [median, min, max] = [spread.median, spread.min, spread.max].map(|value| column.show(value));
    if min == max { median } else { format!("{median} ({min} to {max})") }
}

/// `20,000`
fn thousands(n: u64) -> String {
    Column::Rate.show(crate::figures::per_second(n, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results() -> Results {
        let mut results = Results::default();
        for (system, rates) in [("Posthaste", [20_000.0, 30_000.0, 25_000.0]), ("BullMQ", [6_000.0; 3])] {
            for rate in rates {
                results.add(Subject::Drain(Fsync::Off), system, Column::Rate, rate);
                results.add(Subject::Drain(Fsync::Off), system, Column::QueueCpu, 0.0);
            }
        }
        results.add(Subject::Lateness(20_000), "Posthaste", Column::Early, 0.0);
        results
    }

    #[test]
    fn a_cell_has_the_median_and_the_spread() {
        let table = results().table(Subject::Drain(Fsync::Off));
        let wanted = "| | messages a second |\n| --- | --- |\n| Posthaste | 25,000 (20,000 to 30,000) |\n\
                      | BullMQ | 6,000 |\n";
        assert_eq!(table, wanted);
    }

    #[test]
    fn nobody_early_is_said() {
        assert!(results().table(Subject::Lateness(20_000)).contains("| Posthaste | 0 |"));
    }

    #[test]
    fn the_page_names_versions_plots_and_what_is_void() {
        let mut results = results();
        results.version("BullMQ 6.7.0".into());
        let failed = Err(anyhow::anyhow!("message 3 arrived twice"));
        results.void_if_failed("drain, no AOF", &System::Singles, failed);
        let page = results.page(20_000, &[20_000, 100_000], 3, &["peers-drain.svg".into()]);
        for part in [
            "20,000 jobs wait",
            "20,000 or 100,000 others",
            "Versions: BullMQ 6.7.0.",
            "## Drain, no AOF",
            "## Lateness with 20,000 pending",
            "](peers-drain.svg)",
            "Posthaste, orders of one, drain, no AOF: message 3 arrived twice",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
    }
}
