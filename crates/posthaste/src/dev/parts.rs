//! The processes of `posthaste dev` and their settings.

use std::ffi::OsString;
use std::path::PathBuf;

use posthaste_model::CHANNELS;
use posthaste_store::Settings as StoreSettings;
use secrecy::SecretString;
use toml::{Table, Value};

use super::args::Args;
use super::couriers;
use super::dev_dir::DevDir;
use super::ports::Ports;
use super::server;
use super::supervisor::{ProcessSpec, Ready};
use crate::failure::{Failure, Result};

/// All processes.
pub(super) struct Parts {
    /// The private Redis; `None` if another server is used.
    pub(super) server: Option<ProcessSpec>,
    /// The sandbox.
    pub(super) sandbox: ProcessSpec,
    /// The queue.
    pub(super) queue: ProcessSpec,
    /// A courier for each channel.
    pub(super) couriers: Vec<ProcessSpec>,
    /// How to reach Redis, for creating the key.
    pub(super) store: StoreSettings,
}

/// Writes the settings of all processes into the folder.
///
/// # Errors
/// There is no server program, the address contains a password, or a file cannot be written.
pub(super) fn all(args: &Args, place: &DevDir, ports: &Ports) -> Result<Parts> {
    let (server, redis) = match &args.redis {
        Some(url) => (None, given(url)?),
        None => {
            let found = server::find()?;
            let config = server::configure(place)?;
            let part = ProcessSpec {
                name: "redis",
                program: found.program,
                args: vec![config.into()],
                ready: Ready::Ping(place.socket().to_owned()),
                log: place.log("redis"),
                remedy: "",
                stop_order: 2,
            };
            (Some(part), Redis { url: format!("redis+unix://{}", place.socket().display()), password: None })
        }
    };
    let own = std::env::current_exe()?;
    let process =
        |name: &'static str, words: &[&str], settings: Table, remedy, stop_order| -> Result<ProcessSpec> {
            let (config, ready) =
                (place.run(&format!("{name}.toml")), place.run(&format!("{name}.ready.json")));
            place.write(&config, &settings.to_string())?;
            let mut arguments: Vec<OsString> = words.iter().map(OsString::from).collect();
            arguments.extend(["--config".into(), config.into(), "--ready-file".into(), ready.clone().into()]);
            Ok(ProcessSpec {
                name,
                program: own.clone(),
                args: arguments,
                ready: Ready::File(ready),
                log: place.log(name),
                remedy,
                stop_order,
            })
        };
    let taken = "Another program took the port meanwhile. Run `posthaste dev` again, or with other ports (see --help).";
    let word = format!("{:032x}", rand::random::<u128>());
    let couriers = couriers::all(ports, &word)?;
    let sandbox = sandbox(ports, place, couriers.iter().map(|courier| courier.sandbox.clone()));
    let courier = |courier: couriers::Courier| {
        let mut settings = table(shared(&redis));
        settings.extend(courier.sections);
        let (name, channel) = (courier.program.short_name(), courier.program.channel.name);
        process(name, &["courier", channel], settings, taken, 0)
    };
    Ok(Parts {
        server,
        sandbox: process("sandbox", &["sandbox"], sandbox, taken, 1)?,
        queue: process("queue", &["queue"], queue(ports, &redis), taken, 0)?,
        couriers: couriers.into_iter().map(courier).collect::<Result<_>>()?,
        store: redis.settings(),
    })
}

/// The address of Redis.
struct Redis {
    url: String,
    password: Option<String>,
}

impl Redis {
    fn section(&self) -> Value {
        let mut section = Table::from_iter([("url".to_owned(), Value::from(self.url.as_str()))]);
        section
            .extend(self.password.as_ref().map(|word| ("password".to_owned(), Value::from(word.as_str()))));
        section.into()
    }

    fn settings(&self) -> StoreSettings {
        StoreSettings {
            url: SecretString::from(self.url.as_str()),
            password: self.password.as_deref().map(SecretString::from),
            ..StoreSettings::default()
        }
    }
}

/// A server that is already running. Its password is not an argument: other users of this computer could read it.
fn given(url: &str) -> Result<Redis> {
    let url = crate::store::checked(url)?;
    let from_file = std::env::var_os("POSTHASTE_REDIS__PASSWORD_FILE").map(PathBuf::from);
    let password = match from_file {
        Some(file) => {
            let read = std::fs::read_to_string(&file);
            let text = read
                .map_err(|error| Failure::usage(format!("cannot read {}", file.display())).because(error))?;
            Some(text.trim_end_matches(['\r', '\n']).to_owned())
        }
        None => std::env::var("POSTHASTE_REDIS__PASSWORD").ok(),
    };
    Ok(Redis { url, password })
}

/// A section of settings.
pub(super) fn section(pairs: &[(&str, Value)]) -> Value {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect::<Table>().into()
}

fn table(sections: Vec<(&str, Value)>) -> Table {
    sections.into_iter().map(|(name, section)| (name.to_owned(), section)).collect()
}

fn shared(redis: &Redis) -> Vec<(&'static str, Value)> {
    vec![
        ("redis", redis.section()),
        ("admin", section(&[("address", "127.0.0.1:0".into())])),
        ("stop", section(&[("drain_for", "5s".into()), ("hand_back_for", "2s".into())])),
    ]
}

fn queue(ports: &Ports, redis: &Redis) -> Table {
    let mut sections = shared(redis);
    sections.push(("http", section(&[("address", ports.api.to_string().into()), ("linger", "1s".into())])));
    // Messages to the sandbox cost nothing.
    let all: Value = vec!["*"].into();
    let channels: Value = CHANNELS.iter().map(|channel| channel.name).collect::<Vec<_>>().into();
    sections.push(("orders", section(&[("phone_countries", all), ("channels", channels)])));
    let limits = ["segments_a_day", "messages_an_hour", "to_prefix_an_hour"];
    sections.push(("sms_limits", section(&limits.map(|limit| (limit, 0.into())))));
    table(sections)
}

fn sandbox(ports: &Ports, place: &DevDir, providers: impl Iterator<Item = Table>) -> Table {
    let mut sections = table(vec![("outbox", section(&[("listen", ports.outbox.to_string().into())]))]);
    sections.extend(providers.flatten());
    if place.is_kept {
        let file = place.dir().join("outbox.ndjson").display().to_string();
        sections.insert("record".to_owned(), section(&[("file", file.into())]));
    }
    table(vec![("sandbox", sections.into())])
}
