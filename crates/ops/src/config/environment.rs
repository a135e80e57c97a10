//! Settings from environment variables: `POSTHASTE_SECTION__KEY` is the setting `section.key`.
//!
//! Variables are passed in, so tests can supply their own. Values stay text; the type of the setting decides how the text is
//! parsed (a password of digits stays a password).

use std::ffi::OsString;

use figment::util::nest;
use figment::value::{Dict, Value};

use super::error::ConfigError;
use super::layer::Layer;
use super::origin::Origin;

/// The prefix of every variable of the project.
pub(super) const PREFIX: &str = "POSTHASTE_";
const SEPARATOR: &str = "__";
/// Maximum parts of a name. Nested tables are parsed and dropped recursively.
const MOST_PARTS: usize = 8;

/// The variable that sets a dotted key.
pub(super) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', SEPARATOR).to_ascii_uppercase())
}

/// One layer per variable with our prefix. An empty variable counts as not set, because compose files pass `${NAME:-}` for
/// variables that are not set.
pub(super) fn layers(
    variables: Vec<(OsString, OsString)>,
    reserved: &[&str],
) -> Result<Vec<Layer>, ConfigError> {
    let mut layers = Vec::new();
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
        if reserved.contains(&name) || value.is_empty() {
            continue;
        }
        let refuse = |why: &str| ConfigError::Variable { name: name.to_owned(), why: why.to_owned() };
        let value = value.into_string().map_err(|_| refuse("its value is not UTF-8"))?;
        let rest = &name[PREFIX.len()..];
        if !rest.contains(SEPARATOR) {
            if is_service_link(rest, &value) {
                continue;
            }
            return Err(refuse(
                "not a setting; write settings as POSTHASTE_SECTION__KEY, with two underscores",
            ));
        }
        let parts: Vec<String> = rest.split(SEPARATOR).map(str::to_ascii_lowercase).collect();
        if parts.len() > MOST_PARTS {
            // Do not repeat a name of 100 kB.
            return Err(ConfigError::Variable {
                name: name.chars().take(40).chain(['…']).collect(),
                why: format!("its name has {} parts; at most {MOST_PARTS} are allowed", parts.len()),
            });
        }
        if parts.iter().any(|part| part.is_empty() || part.contains('.')) {
            return Err(refuse("a part of its name is empty or contains a dot"));
        }
        layers.push(Layer {
            origin: Origin::Environment(name.to_owned()),
            dict: leaf(&parts.join("."), value),
        });
    }
    // The system decides the order of the environment; sorting makes messages and precedence repeatable.
    layers.sort_by_key(|layer| layer.origin.to_string());
    Ok(layers)
}

/// A table with a single text at a dotted key.
pub(super) fn leaf(key: &str, value: String) -> Dict {
    nest(key, Value::from(value)).into_dict().unwrap_or_default()
}

/// Kubernetes sets `<NAME>_SERVICE_HOST`, `<NAME>_PORT_80_TCP` and the like in every pod of the namespace for a service called
/// `posthaste…`; these must not prevent a start.
fn is_service_link(rest: &str, value: &str) -> bool {
    let is_address = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    let names_protocol = ["_TCP", "_UDP", "_SCTP"].iter().any(|protocol| rest.contains(protocol));
    let is = |ending: &str| rest == ending || rest.ends_with(&format!("_{ending}"));
    is("SERVICE_HOST")
        || is("SERVICE_PORT")
        || rest.contains("SERVICE_PORT_")
        || (is("PORT") && is_address)
        || ((rest.starts_with("PORT_") || rest.contains("_PORT_")) && names_protocol)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Vec<String>, String> {
        let given = variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
        match layers(given, &["POSTHASTE_CONFIG"]) {
            Ok(layers) => Ok(layers.into_iter().map(|layer| layer.origin.to_string()).collect()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn only_our_own_set_variables_are_settings() {
        let found = read(&[
            ("HOME", "/root"),
            ("POSTHASTE_CONFIG", "/etc/posthaste.toml"),
            ("POSTHASTE_REDIS__URL", "redis://h"),
            ("POSTHASTE_LOG__FILTER", ""),
        ]);
        assert_eq!(found, Ok(vec!["environment variable POSTHASTE_REDIS__URL".to_owned()]));
    }

    #[test]
    fn service_links_of_kubernetes_are_ignored() {
        let found = read(&[
            ("POSTHASTE_SERVICE_HOST", "10.0.0.7"),
            ("POSTHASTE_QUEUE_SERVICE_PORT", "80"),
            ("POSTHASTE_QUEUE_SERVICE_PORT_HTTP", "80"),
            ("POSTHASTE_PORT", "tcp://10.0.0.7:80"),
            ("POSTHASTE_QUEUE_PORT_80_TCP_ADDR", "10.0.0.7"),
        ]);
        assert_eq!(found, Ok(vec![]));
    }

    #[test]
    fn a_name_with_one_underscore_is_refused() {
        let refused = read(&[("POSTHASTE_REDIS_URL", "redis://h")]).expect_err("a typo must not pass");
        assert!(refused.contains("POSTHASTE_REDIS_URL") && refused.contains("SECTION__KEY"), "{refused}");
        assert!(read(&[("POSTHASTE_PORT", "8080")]).is_err());
        assert!(read(&[("POSTHASTE___X", "1")]).is_err());
    }

    #[test]
    fn names_of_too_many_parts_are_refused_before_they_become_tables() {
        for parts in [2 * MOST_PARTS, 40_000] {
            let refused = read(&[(&format!("POSTHASTE_A{}", "__A".repeat(parts - 1)), "1")]);
            let reported = refused.expect_err("too many parts");
            assert!(reported.contains(&format!("has {parts} parts")) && reported.len() < 200, "{reported}");
        }
        let fits = format!("POSTHASTE_A{}", "__A".repeat(MOST_PARTS - 1));
        assert_eq!(read(&[(&fits, "1")]).map(|layers| layers.len()), Ok(1));
    }
}
