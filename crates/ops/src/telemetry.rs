//! Logging: one line per event on standard error, for people or for machines.
//!
//! Events of libraries that use the `log` facade are included. Lines are coloured only if standard error is a terminal and
//! `NO_COLOR` is not set.

use std::io::{self, IsTerminal};
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use tracing::Subscriber;
use tracing_subscriber::filter::{EnvFilter, LevelFilter, ParseError};
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// The documented defaults: the section `log`.
pub const DEFAULTS: &str = include_str!("telemetry.toml");

/// The section `log` of a process's settings.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The format of a line.
    pub format: LogFormat,
    /// Which events are logged: a level, or levels per module, for example `info,posthaste_store=debug`.
    pub filter: String,
}

/// The format of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text for people.
    Human,
    /// One flat JSON object per line: `timestamp`, `level`, `target`, the event's own fields, the `span` it is in.
    Json,
}

/// Why logging can't be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TelemetryError {
    /// The filter is invalid.
    #[error(
        "log.filter: {filter:?} is not a log filter; write a level, or levels per module such as \"info,fred=warn\""
    )]
    Filter {
        /// The value given.
        filter: String,
        /// What is wrong with it.
        #[source]
        source: ParseError,
    },
    /// Another part of the process has installed its own subscriber or logger.
    #[error("another log subscriber is already installed")]
    Taken(#[source] TryInitError),
}

/// Sends the events of the whole process to standard error. A second call changes nothing and is not an error.
///
/// # Errors
/// The filter is invalid, or another subscriber is installed.
pub fn install(settings: &Settings) -> Result<(), TelemetryError> {
    static INSTALLED: Mutex<bool> = Mutex::new(false);
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let subscriber = subscriber(settings, io::stderr, colours)?;
    if !*installed {
        subscriber.try_init().map_err(TelemetryError::Taken)?;
        *installed = true;
    }
    Ok(())
}

/// The subscriber that [`install`] installs, with a writer of the caller's choice.
///
/// # Errors
/// The filter is invalid.
pub fn subscriber<W>(
    settings: &Settings,
    writer: W,
    colours: bool,
) -> Result<impl Subscriber + Send + Sync + 'static, TelemetryError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder()
        .parse(with_quiet_libraries(&settings.filter))
        .map_err(|source| TelemetryError::Filter { filter: settings.filter.clone(), source })?;
    let lines = fmt::layer().with_writer(writer).with_ansi(colours);
    let lines = match settings.format {
        LogFormat::Human => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    };
    Ok(tracing_subscriber::registry().with(filter).with(lines))
}

/// Libraries that log a line for each of their attempts, which our own lines already report. Their lines are shown
/// from the level debug on, or if the filter names them.
const QUIET: &[&str] = &["fred"];

fn with_quiet_libraries(filter: &str) -> String {
    let parts = || filter.split(',').map(str::trim).filter(|part| !part.is_empty());
    let levels = parts().filter_map(|part| part.parse::<LevelFilter>().ok());
    if levels.max().is_some_and(|level| level >= LevelFilter::DEBUG) {
        return filter.to_owned();
    }
    let named = |library: &str| {
        parts().any(|part| part.split(['=', ':', '[']).next().is_some_and(|target| target == library))
    };
    let quiet = QUIET.iter().filter(|library| !named(library)).map(|library| format!("{library}=off"));
    parts().map(str::to_owned).chain(quiet).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use super::*;

    /// Keeps the lines so that the test can read them.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines(format: LogFormat, filter: &str, colours: bool, events: impl FnOnce()) -> String {
        let kept = Kept::default();
        let settings = Settings { format, filter: filter.to_owned() };
        let writer = kept.clone();
        let subscriber = subscriber(&settings, move || writer.clone(), colours).expect("a good filter");
        tracing::subscriber::with_default(subscriber, events);
        let bytes = kept.0.lock().expect("the lines").clone();
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn json_lines_are_flat_objects() {
        let text = lines(LogFormat::Json, "info", false, || {
            let _span = tracing::info_span!("claim", channel = "sms").entered();
            tracing::info!(rows = 3, "claimed");
        });
        let line: serde_json::Value = serde_json::from_str(text.trim_end()).expect("one JSON line");
        assert_eq!(line["message"], "claimed");
        assert_eq!(line["rows"], 3);
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["span"]["channel"], "sms");
        assert!(line["timestamp"].is_string());
        assert!(line.get("fields").is_none(), "{line}");
    }

    #[test]
    fn human_lines_have_colours_only_on_request() {
        let event = || tracing::warn!(rows = 3, "claimed");
        assert!(lines(LogFormat::Human, "info", true, event).contains('\u{1b}'));
        let plain = lines(LogFormat::Human, "info", false, event);
        assert!(!plain.contains('\u{1b}'), "{plain}");
        assert!(plain.contains("WARN") && plain.ends_with("claimed rows=3\n"), "{plain}");
    }

    #[test]
    fn the_filter_chooses_the_events() {
        let text = lines(LogFormat::Human, "warn,loud=debug", false, || {
            tracing::info!("quiet");
            tracing::debug!(target: "loud", "heard");
        });
        assert!(text.contains("heard") && !text.contains("quiet"), "{text}");
    }

    #[test]
    fn the_client_library_is_logged_only_on_request() {
        let reported = |filter| {
            lines(LogFormat::Human, filter, false, || {
                tracing::warn!(target: "fred::router", "reconnecting");
                tracing::warn!("ours");
            })
        };
        for (filter, received) in [
            ("info", false),
            ("warn,posthaste_store=debug", false),
            ("debug", true),
            ("trace", true),
            ("info,fred=warn", true),
            ("info,fred::router=warn", true),
        ] {
            let text = reported(filter);
            assert_eq!(text.contains("reconnecting"), received, "{filter}: {text}");
            assert!(text.contains("ours"), "{filter}: {text}");
        }
    }

    #[test]
    fn an_invalid_filter_is_refused() {
        let settings = Settings { format: LogFormat::Human, filter: "info,=x=".to_owned() };
        let refused = subscriber(&settings, io::sink, false).err().expect("no filter");
        assert!(refused.to_string().contains("\"info,=x=\""), "{refused}");
    }
}
