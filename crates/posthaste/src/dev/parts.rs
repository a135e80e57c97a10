//! The processes of `posthaste dev` and the settings each one gets.

use std::ffi::OsString;
use std::path::PathBuf;

use posthaste_store::Settings as StoreSettings;
use secrecy::SecretString;
use toml::{Table, Value};

use super::Args;
use super::crew::{Part, Ready};
use super::place::Place;
use super::ports::Ports;
use super::server;
use crate::failure::{Failure, Result};

/// All processes.
pub(super) struct Parts {
    /// The private server; none when another one is used.
    pub(super) server: Option<Part>,
    /// What takes the messages.
    pub(super) sandbox: Part,
    /// The queue.
    pub(super) queue: Part,
    /// The e-mail courier.
    pub(super) courier: Part,
    /// How to reach the server, for the key.
    pub(super) store: StoreSettings,
}

/// Writes the settings of all processes into the folder.
///
/// # Errors
/// There is no server to start; an address holds a password; a file cannot be written.
pub(super) fn all(args: &Args, place: &Place, ports: &Ports) -> Result<Parts> {
    let (server, redis) = match &args.redis {
        Some(url) => (None, given(url)?),
        None => {
            let found = server::find()?;
            let config = server::configure(place)?;
            let part = Part {
                name: "redis",
                program: found.program,
                args: vec![config.into()],
                ready: Ready::Ping(place.socket().to_owned()),
                log: place.log("redis"),
                mend: "",
                stop_order: 2,
            };
            (Some(part), Redis { url: format!("redis+unix://{}", place.socket().display()), password: None })
        }
    };
    let own = std::env::current_exe()?;
    let process = |name: &'static str, words: &[&str], settings: Table, mend, stop_order| -> Result<Part> {
        let (config, ready) = (place.run(&format!("{name}.toml")), place.run(&format!("{name}.ready.json")));
        place.write(&config, &settings.to_string())?;
        let mut arguments: Vec<OsString> = words.iter().map(OsString::from).collect();
        arguments.extend(["--config".into(), config.into(), "--ready-file".into(), ready.clone().into()]);
        Ok(Part {
            name,
            program: own.clone(),
            args: arguments,
            ready: Ready::File(ready),
            log: place.log(name),
            mend,
            stop_order,
        })
    };
    let taken = "A port was taken meanwhile; start `posthaste dev` again, or with other ports (see --help).";
    Ok(Parts {
        server,
        sandbox: sandbox(own.clone(), ports, place, taken),
        queue: process("queue", &["queue"], queue(ports, &redis), taken, 0)?,
        courier: process("courier-email", &["courier", "email"], courier(ports, &redis), "", 0)?,
        store: redis.settings(),
    })
}

/// Where the server is.
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

/// A server that runs already. Its password is no argument: everybody on the computer could read it.
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

fn section(pairs: &[(&str, Value)]) -> Value {
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
    table(sections)
}

fn courier(ports: &Ports, redis: &Redis) -> Table {
    let mut sections = shared(redis);
    // A sandbox that hangs on purpose is to show within seconds, not within the minutes SMTP grants.
    let relay = format!("smtp+plain://{}", ports.smtp);
    sections.push((
        "smtp",
        section(&[
            ("relays", vec![relay].into()),
            ("connect_within", "5s".into()),
            ("reply_within", "5s".into()),
            ("text_within", "5s".into()),
            ("final_reply_within", "10s".into()),
            ("send_within", "30s".into()),
        ]),
    ));
    sections.push(("email", section(&[("from", "Posthaste dev <dev@posthaste.test>".into())])));
    table(sections)
}

fn sandbox(program: PathBuf, ports: &Ports, place: &Place, mend: &'static str) -> Part {
    let ready = place.run("sandbox.ready.json");
    let mut args: Vec<OsString> = vec!["sandbox".into()];
    let mut flag = |name: &str, value: OsString| args.extend([name.into(), value]);
    flag("--smtp", ports.smtp.to_string().into());
    flag("--smtps", "127.0.0.1:0".into());
    flag("--http", ports.outbox.to_string().into());
    flag("--ready-file", ready.clone().into());
    if place.is_kept {
        flag("--record", place.dir().join("outbox.ndjson").into());
    }
    let log = place.log("sandbox");
    Part { name: "sandbox", program, args, ready: Ready::File(ready), log, mend, stop_order: 1 }
}
