//! The couriers of `posthaste dev`, one per channel, each configured to send to its fake provider in the sandbox.

use posthaste_courier::CourierProgram;
use toml::{Table, Value};

use super::ports::{CourierPorts, Ports};
use crate::failure::{Failure, Result};

/// A courier and its settings.
pub(super) struct Courier {
    /// Its program.
    pub(super) program: &'static CourierProgram,
    /// Sections of its settings, in addition to those of every process.
    pub(super) sections: Table,
    /// Sections of its fake provider, below `[sandbox]`.
    pub(super) sandbox: Table,
}

/// All couriers. `secret` is a word that a courier and its fake provider both know: the SMS courier rejects callbacks that are
/// not signed with it.
///
/// # Errors
/// The settings that a courier has for `dev` are not valid TOML.
pub(super) fn all(ports: &Ports, secret: &str) -> Result<Vec<Courier>> {
    ports.couriers.iter().map(|ports| courier(ports, secret)).collect()
}

fn courier(ports: &CourierPorts, secret: &str) -> Result<Courier> {
    let program = ports.program;
    let text = program.dev_settings.replace("{secret}", secret);
    let text = ports.listen.iter().fold(text, |text, listen| text.replace("{listen}", &listen.to_string()));
    let mut sections: Table = ports.with_provider(&text).parse().map_err(|error: toml::de::Error| {
        let name = program.channel.name;
        Failure::error(format!("the {name} courier's settings for dev are not valid TOML")).because(error)
    })?;
    let sandbox = match sections.remove("sandbox") {
        Some(Value::Table(sandbox)) => sandbox,
        _ => Table::new(),
    };
    Ok(Courier { program, sections, sandbox })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use posthaste_courier::process::Args;

    use super::super::ports::ProviderPorts;
    use super::*;

    #[test]
    fn every_courier_reads_its_settings_and_has_a_fake_provider() {
        let ports = Ports::choose(0, 0, &ProviderPorts::free()).expect("ports");
        let dir = tempfile::tempdir().expect("a folder");
        for courier in all(&ports, "word").expect("settings") {
            let Courier { program, sections, sandbox } = courier;
            let file = dir.path().join(program.channel.name);
            let text = sections.to_string();
            assert!(!text.contains(['{', '}']), "{text}");
            std::fs::write(&file, text).expect("written");
            // A file with a secret that others can read is refused.
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("restricted");
            let args = Args { config: Some(file), ..Args::default() };
            assert!((program.origins)(&args).is_ok(), "{program:?}");
            assert_eq!(sandbox.keys().collect::<Vec<_>>(), [program.channel.fake_provider]);
        }
    }
}
