//! Metrics of the process, in the Prometheus text format.
//!
//! Code records through the macros of the `metrics` crate; this module installs and renders the recorder, and gives it the
//! help text and unit of each metric of the catalogue. Histograms have fixed buckets, given by the caller for each name, so
//! that replicas can be added up.

use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use metrics::{Recorder, SetRecorderError, Unit};
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
pub use posthaste_catalogue::metrics as catalogue;
use posthaste_catalogue::metrics::{MetricKind, MetricUnit};

/// The name of a histogram and the upper bounds of its buckets, ascending, without the last, infinite one.
pub type Buckets<'a> = (&'a str, &'a [f64]);

/// The buckets of any other histogram, in seconds: 1 ms to 1 min.
const OTHER: &[f64] = &[0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0];

/// Samples stay in memory until they are sorted into buckets; this is how often that happens without a scrape.
const UPKEEP: Duration = Duration::from_secs(5);

/// The metrics of the process; clones refer to the same metrics.
#[derive(Debug, Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
}

/// Why metrics can't be recorded: a bug in the program.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetricsError {
    /// The bounds are empty, not ascending or not finite.
    #[error("the buckets of histogram {0} must be finite numbers in ascending order, and at least one")]
    Buckets(String),
    /// The exporter refuses its settings.
    #[error("the metrics recorder cannot be built")]
    Build(#[source] BuildError),
    /// Another recorder is already installed, or this one with other buckets.
    #[error("another metrics recorder is already installed")]
    Taken,
}

impl From<SetRecorderError<PrometheusRecorder>> for MetricsError {
    fn from(_: SetRecorderError<PrometheusRecorder>) -> Self {
        Self::Taken
    }
}

impl Metrics {
    /// Installs the recorder of the process. A second call with the same buckets returns the same metrics.
    ///
    /// # Errors
    /// The buckets are invalid, or another recorder is installed.
    pub fn install(buckets: &[Buckets<'_>]) -> Result<Self, MetricsError> {
        static INSTALLED: Mutex<Option<(String, Metrics)>> = Mutex::new(None);
        let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = format!("{buckets:?}");
        match &*installed {
            Some((given, metrics)) if *given == wanted => return Ok(metrics.clone()),
            Some(_) => return Err(MetricsError::Taken),
            None => {}
        }
        let (recorder, metrics) = Self::recorder(buckets)?;
        metrics::set_global_recorder(recorder)?;
        *installed = Some((wanted, metrics.clone()));
        Ok(metrics)
    }

    /// A recorder that is not installed, for tests: use it with `metrics::with_local_recorder`.
    ///
    /// # Errors
    /// The buckets are invalid.
    pub fn recorder(buckets: &[Buckets<'_>]) -> Result<(PrometheusRecorder, Self), MetricsError> {
        let mut builder = PrometheusBuilder::new().set_buckets(OTHER).map_err(MetricsError::Build)?;
        for (name, bounds) in buckets {
            let ascending = bounds.windows(2).all(|pair| pair[0] < pair[1]);
            if bounds.is_empty() || !ascending || bounds.iter().any(|bound| !bound.is_finite()) {
                return Err(MetricsError::Buckets((*name).to_owned()));
            }
            let matcher = Matcher::Full((*name).to_owned());
            builder = builder.set_buckets_for_metric(matcher, bounds).map_err(MetricsError::Build)?;
        }
        let recorder = builder.build_recorder();
        describe(&recorder);
        let metrics = Self { handle: recorder.handle() };
        Ok((recorder, metrics))
    }

    /// All metrics as text, including those of the process itself (memory, CPU, files, threads).
    pub fn render(&self) -> String {
        let mut text = self.handle.render();
        for (name, kind, help, value) in process() {
            // Writing to a String cannot fail.
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n\n");
        }
        text
    }

    /// Bounds the memory of waiting samples if the metrics are not scraped. Never ends; the admin port runs it.
    pub async fn keep_up(&self) {
        let mut ticks = tokio::time::interval(UPKEEP);
        loop {
            ticks.tick().await;
            self.handle.run_upkeep();
        }
    }
}

/// Gives a recorder the help text and unit of each metric.
fn describe(recorder: &impl Recorder) {
    for metric in catalogue::all() {
        let (name, help) = (metric.name.into(), metric.help_text().into());
        let unit = match metric.unit {
            MetricUnit::Count => Some(Unit::Count),
            MetricUnit::Seconds => Some(Unit::Seconds),
            MetricUnit::Flag => None,
        };
        match metric.kind {
            MetricKind::Counter => recorder.describe_counter(name, unit, help),
            MetricKind::Gauge => recorder.describe_gauge(name, unit, help),
            MetricKind::Histogram => recorder.describe_histogram(name, unit, help),
        }
    }
}

/// A metric of the process itself: name, type, help, value.
type Sample = (&'static str, &'static str, &'static str, f64);

/// What the kernel reports about this process; missing values are left out.
#[cfg(target_os = "linux")]
fn process() -> Vec<Sample> {
    use procfs::WithCurrentSystemInfo;
    use procfs::process::{LimitValue, Process};

    let mut samples: Vec<Sample> = Vec::new();
    let Ok(process) = Process::myself() else { return samples };
    if let Ok(stat) = process.stat() {
        let ticks = (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64;
        samples.push(("process_cpu_seconds_total", "counter", "CPU time, user and system.", ticks));
        let resident = stat.rss_bytes().get() as f64;
        samples.push(("process_resident_memory_bytes", "gauge", "Resident memory.", resident));
        samples.push(("process_threads", "gauge", "Threads.", stat.num_threads as f64));
    }
    if let Ok(open) = process.fd_count() {
        samples.push(("process_open_fds", "gauge", "Open file descriptors.", open as f64));
    }
    if let Ok(limits) = process.limits()
        && let LimitValue::Value(limit) = limits.max_open_files.soft_limit
    {
        samples.push(("process_max_fds", "gauge", "Maximum open file descriptors allowed.", limit as f64));
    }
    samples
}

/// Other systems have no `/proc`.
#[cfg(not(target_os = "linux"))]
fn process() -> Vec<Sample> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value of the line that begins with `name` and a space.
    fn value(text: &str, name: &str) -> Option<f64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        line.parse().ok()
    }

    #[test]
    fn histograms_have_the_buckets_of_their_name() {
        let (recorder, metrics) =
            Metrics::recorder(&[("lateness_seconds", &[0.003, 0.02])]).expect("good buckets");
        metrics::with_local_recorder(&recorder, || {
            for lateness in [0.001, 0.01, 5.0] {
                metrics::histogram!("lateness_seconds").record(lateness);
            }
            metrics::histogram!("other_seconds").record(0.002);
            metrics::counter!("claims_total", "channel" => "sms").increment(2);
        });
        let text = metrics.render();
        assert_eq!(value(&text, "lateness_seconds_bucket{le=\"0.003\"}"), Some(1.0), "{text}");
        assert_eq!(value(&text, "lateness_seconds_bucket{le=\"0.02\"}"), Some(2.0), "{text}");
        assert_eq!(value(&text, "lateness_seconds_bucket{le=\"+Inf\"}"), Some(3.0), "{text}");
        assert_eq!(value(&text, "other_seconds_bucket{le=\"0.003\"}"), Some(1.0), "{text}");
        assert_eq!(value(&text, "claims_total{channel=\"sms\"}"), Some(2.0), "{text}");
    }

    /// Kind, name, unit and help of a metric.
    type Description = (&'static str, String, Option<Unit>, String);

    /// Keeps what it is given.
    #[derive(Default)]
    struct Described(Mutex<Vec<Description>>);

    impl Described {
        fn keep(&self, kind: &'static str, name: &metrics::KeyName, unit: Option<Unit>, help: &str) {
            self.0.lock().unwrap().push((kind, name.as_str().to_owned(), unit, help.to_owned()));
        }
    }

    impl Recorder for Described {
        fn describe_counter(&self, name: metrics::KeyName, unit: Option<Unit>, help: metrics::SharedString) {
            self.keep("counter", &name, unit, &help);
        }
        fn describe_gauge(&self, name: metrics::KeyName, unit: Option<Unit>, help: metrics::SharedString) {
            self.keep("gauge", &name, unit, &help);
        }
        fn describe_histogram(
            &self,
            name: metrics::KeyName,
            unit: Option<Unit>,
            help: metrics::SharedString,
        ) {
            self.keep("histogram", &name, unit, &help);
        }
        fn register_counter(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Counter {
            metrics::Counter::noop()
        }
        fn register_gauge(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Gauge {
            metrics::Gauge::noop()
        }
        fn register_histogram(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Histogram {
            metrics::Histogram::noop()
        }
    }

    #[test]
    fn every_metric_of_the_catalogue_is_described_with_its_kind_and_unit() {
        let described = Described::default();
        describe(&described);
        let described = described.0.into_inner().unwrap();
        assert_eq!(described.len(), catalogue::all().count());
        for (metric, (kind, name, unit, help)) in catalogue::all().zip(described) {
            assert_eq!((metric.name, metric.kind.as_str()), (name.as_str(), kind));
            assert_eq!(metric.unit == MetricUnit::Seconds, unit == Some(Unit::Seconds), "{name}");
            assert!(help.starts_with(metric.help) && help.ends_with(metric.act_when), "{name}: {help}");
        }
    }

    #[test]
    fn a_metric_is_rendered_with_its_help_text() {
        let (recorder, metrics) = Metrics::recorder(&[]).expect("no buckets");
        let known = catalogue::all().find(|metric| metric.kind == MetricKind::Gauge).expect("a gauge");
        metrics::with_local_recorder(&recorder, || metrics::gauge!(known.name).set(1.0));
        let help = format!("# HELP {} {}\n", known.name, known.help_text());
        assert!(metrics.render().contains(&help), "{help}{}", metrics.render());
    }

    #[test]
    fn bad_buckets_are_refused_by_name() {
        for bounds in [[].as_slice(), &[1.0, 1.0], &[2.0, 1.0], &[1.0, f64::INFINITY], &[f64::NAN]] {
            let refused = Metrics::recorder(&[("x_seconds", bounds)]).expect_err("bad buckets");
            assert!(refused.to_string().contains("x_seconds"), "{refused}");
        }
    }

    #[test]
    fn installing_twice_returns_the_same_metrics_and_other_buckets_are_refused() {
        let first = Metrics::install(&[("x_seconds", &[1.0])]).expect("the first");
        let second = Metrics::install(&[("x_seconds", &[1.0])]).expect("the same again");
        metrics::counter!("installed_total").increment(1);
        assert_eq!(value(&first.render(), "installed_total"), Some(1.0));
        assert_eq!(value(&second.render(), "installed_total"), Some(1.0));
        let refused = Metrics::install(&[("x_seconds", &[2.0])]).expect_err("other buckets");
        assert!(matches!(refused, MetricsError::Taken));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn memory_cpu_and_files_of_the_process_are_reported() {
        let (_, metrics) = Metrics::recorder(&[]).expect("no buckets");
        let before = value(&metrics.render(), "process_open_fds").expect("open files");
        let held: Vec<_> = (0..50).map(|_| std::fs::File::open("/dev/null").expect("a file")).collect();
        let text = metrics.render();
        let open = value(&text, "process_open_fds").expect("open files");
        // Other tests open and close files at the same time, hence the slack.
        assert!(open >= before + 25.0, "{before} then {open} with {} more", held.len());
        assert!(value(&text, "process_resident_memory_bytes").expect("memory") > 500_000.0, "{text}");
        assert!(value(&text, "process_cpu_seconds_total").is_some(), "{text}");
        assert!(value(&text, "process_max_fds").expect("the limit") >= open, "{text}");
        assert!(text.contains("# TYPE process_cpu_seconds_total counter\n"), "{text}");
    }
}
