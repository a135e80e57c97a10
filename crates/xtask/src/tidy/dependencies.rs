//! Which of our crates may use which. The table follows the design; ARCHITECTURE.md explains it.

use serde_json::Value;

use super::Finding;

const PREFIX: &str = "posthaste-";

/// Which of our crates a crate may use in its normal and build dependencies.
#[derive(Clone, Copy)]
enum May {
    Use(&'static [&'static str]),
    UseAll,
}

const CHANNEL: May = May::Use(&["model", "courier", "ops"]);

/// Crates, without the name prefix.
const TABLE: &[(&str, May)] = &[
    ("catalogue", May::Use(&[])),
    ("model", May::Use(&[])),
    ("protocol", May::Use(&["model"])),
    ("store", May::Use(&["catalogue", "model", "protocol"])),
    ("ops", May::Use(&["catalogue"])),
    ("courier", May::Use(&["model", "store", "ops"])),
    ("courier-email", CHANNEL),
    ("courier-sms", CHANNEL),
    ("courier-telegram", CHANNEL),
    ("courier-vk", CHANNEL),
    ("courier-webhook", CHANNEL),
    ("queue", May::Use(&["model", "store", "ops"])),
    ("client", May::Use(&["model"])),
    ("people-file", May::Use(&["model"])),
    ("sandbox", May::Use(&["model", "ops"])),
    ("rig", May::Use(&[])),
    ("simulator", May::Use(&["model", "protocol"])),
    ("posthaste", May::UseAll),
    ("bench", May::UseAll),
    ("xtask", May::UseAll),
    ("tests", May::UseAll),
];

/// Tests of every crate may also use these.
const IN_TESTS: &[&str] = &["rig", "model"];

/// Libraries that only one crate may use directly, so that they can be replaced in one place.
const BEHIND: &[(&str, &str)] = &[("fred", "store"), ("mlua", "simulator"), ("stateright", "simulator")];

/// Reads the output of `cargo metadata --no-deps`.
pub(super) fn check(metadata: &Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in list(metadata, "packages") {
        let name = text(package, "name");
        let me = short(name);
        let Some((_, may)) = TABLE.iter().find(|(known, _)| *known == me) else {
            findings
                .push(Finding::new(name, "is not in the table of crates: add it with the crates it may use"));
            continue;
        };
        for dependency in list(package, "dependencies") {
            let (on, tests) = (text(dependency, "name"), dependency["kind"] == "dev");
            if let Some((library, keeper)) =
                BEHIND.iter().find(|(library, keeper)| *library == on && *keeper != me)
            {
                findings.push(Finding::new(name, format!("uses {library}: only {PREFIX}{keeper} may")));
            }
            let allowed = match may {
                May::UseAll => true,
                May::Use(list) => list.contains(&short(on)) || (tests && IN_TESTS.contains(&short(on))),
            };
            if is_ours(dependency) && !allowed {
                let place = if tests { "its tests use" } else { "uses" };
                findings.push(Finding::new(name, format!("{place} {on}, which the table of crates forbids")));
            }
        }
    }
    findings
}

fn is_ours(dependency: &Value) -> bool {
    !dependency["path"].is_null()
}

fn short(name: &str) -> &str {
    name.strip_prefix(PREFIX).unwrap_or(name)
}

fn list<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value[field].as_array().into_iter().flatten()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn package(name: &str, dependencies: &[(&str, Option<&str>)]) -> Value {
        let dependencies: Vec<Value> = dependencies
            .iter()
            .map(|(name, kind)| {
                let path = name.starts_with("posthaste").then_some("/somewhere");
                json!({ "name": name, "kind": kind, "path": path })
            })
            .collect();
        json!({ "name": name, "dependencies": dependencies })
    }

    fn findings(name: &str, dependencies: &[(&str, Option<&str>)]) -> Vec<String> {
        let metadata = json!({ "packages": [package(name, dependencies)] });
        check(&metadata).into_iter().map(|finding| format!("{} {}", finding.place, finding.text)).collect()
    }

    #[test]
    fn the_table_holds() {
        let fine =
            [("posthaste-model", None), ("fred", None), ("posthaste-rig", Some("dev")), ("tokio", None)];
        assert_eq!(findings("posthaste-store", &fine), [""; 0]);
        assert_eq!(findings("posthaste", &[("posthaste-queue", None), ("posthaste-rig", None)]), [""; 0]);
    }

    #[test]
    fn a_channel_must_not_see_the_store() {
        let found = findings("posthaste-courier-email", &[("posthaste-store", None)]);
        let expected = "posthaste-courier-email uses posthaste-store, which the table of crates forbids";
        assert_eq!(found, [expected]);
    }

    #[test]
    fn tests_may_use_the_rig_and_nothing_else_more() {
        assert_eq!(findings("posthaste-ops", &[("posthaste-rig", None)]).len(), 1);
        assert_eq!(findings("posthaste-ops", &[("posthaste-rig", Some("dev"))]).len(), 0);
        assert_eq!(findings("posthaste-ops", &[("posthaste-store", Some("dev"))]).len(), 1);
    }

    #[test]
    fn a_new_crate_must_be_put_into_the_table() {
        assert_eq!(findings("posthaste-misc", &[]).len(), 1);
    }

    #[test]
    fn libraries_stay_behind_their_crates() {
        assert_eq!(
            findings("posthaste-queue", &[("fred", None)]),
            ["posthaste-queue uses fred: only posthaste-store may"]
        );
        assert_eq!(findings("posthaste-store", &[("mlua", Some("dev"))]).len(), 1);
    }
}
