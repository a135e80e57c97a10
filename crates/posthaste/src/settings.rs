//! The command line's own settings: which server, which key. Flags take precedence over environment variables, those over
//! the profile's file, and that over `client.toml`. If none of them names a server, a running `posthaste dev` is used.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use posthaste_model::channels;
use posthaste_ops::config::{HumanDuration, Loaded, Sources};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use crate::failure::{Failure, Kind, Result};

/// The documented defaults, as `posthaste config example client` prints them.
pub(crate) const DEFAULTS: &str = include_str!("../client.toml");

/// The server's address if nothing sets it.
const SERVER: &str = "http://127.0.0.1:8080";

/// Prefix of this program's environment variables; those of the other processes are ignored.
const OURS: &str = "POSTHASTE_CLIENT__";

/// The variable that names the profile. The profile can't be set in a file.
pub(crate) const PROFILE: &str = "POSTHASTE_CLIENT__PROFILE";

/// Values of the flags.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flags {
    /// `--server`.
    pub(crate) server: Option<String>,
    /// `--token-file`.
    pub(crate) token_file: Option<PathBuf>,
    /// `--timeout`.
    pub(crate) timeout: Option<String>,
    /// `--profile`, or its environment variable.
    pub(crate) profile: Option<String>,
}

/// The settings file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Its one section.
    pub(crate) client: Client,
}

/// The section `client`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Client {
    server: String,
    token: SecretString,
    /// The sender if `--sender` is not given; may be empty.
    pub(crate) sender: String,
    outbox: String,
    /// How long to wait for one response.
    pub(crate) timeout: HumanDuration,
}

/// Where settings files are.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// Folder of `client.toml` and of the profiles.
    pub(crate) config: PathBuf,
    /// The file a running `posthaste dev` writes.
    pub(crate) dev: PathBuf,
}

impl Places {
    /// According to the XDG base directories.
    pub(crate) fn of_user() -> Self {
        let folder = |variable, below_home: &str| {
            std::env::var_os(variable)
                .filter(|dir| Path::new(dir).is_absolute())
                .map(PathBuf::from)
                .or_else(|| std::env::home_dir().map(|home| home.join(below_home)))
                .unwrap_or_else(|| PathBuf::from("."))
        };
        Self {
            config: folder("XDG_CONFIG_HOME", ".config").join("posthaste"),
            dev: folder("XDG_STATE_HOME", ".local/state").join("posthaste/dev.toml"),
        }
    }

    fn profile(&self, name: &str) -> Result<PathBuf> {
        let is_word =
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
        let file = self.config.join(format!("{name}.toml"));
        match is_word && file.is_file() {
            true => Ok(file),
            false => Err(Failure::usage(format!("profile not found: {}", file.display())).remedy(
                "A profile is a settings file next to client.toml. Example: posthaste config example client",
            )),
        }
    }
}

/// Reads the settings.
///
/// # Errors
/// Usage: a setting is wrong, or the profile does not exist.
pub(crate) fn load(
    flags: &Flags,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    places: &Places,
) -> Result<Loaded<Settings>> {
    let ours = |name: &OsString| name.to_str().is_some_and(|name| name.starts_with(OURS) && name != PROFILE);
    let variables: Vec<_> = variables.into_iter().filter(|(name, _)| ours(name)).collect();
    let mut files: Vec<PathBuf> = Vec::new();
    files.extend(Some(places.config.join("client.toml")).filter(|file| file.is_file()));
    if let Some(profile) = &flags.profile {
        files.push(places.profile(profile)?);
    }
    let loaded = sources(flags, &variables, &files).load::<Settings>()?;
    if loaded.settings.client.server.is_empty() && places.dev.is_file() {
        files.push(places.dev.clone());
        return Ok(sources(flags, &variables, &files).load()?);
    }
    Ok(loaded)
}

fn sources(flags: &Flags, variables: &[(OsString, OsString)], files: &[PathBuf]) -> Sources {
    let token_file = flags.token_file.as_ref().map(|path| path.display());
    let sources = files.iter().fold(Sources::new(DEFAULTS), |sources, file| sources.file(file));
    sources
        .elsewhere(channels::sections())
        .secrets(&["client.token"])
        .environment(variables.iter().cloned())
        .flag("--server", "client.server", flags.server.as_ref())
        .flag("--token-file", "client.token_file", token_file)
        .flag("--timeout", "client.timeout", flags.timeout.as_ref())
}

impl Client {
    /// The server's address.
    ///
    /// # Errors
    /// Usage: it is not an HTTP address.
    pub(crate) fn server(&self) -> Result<Url> {
        let text = if self.server.is_empty() { SERVER } else { &self.server };
        web_address(text, "--server http://127.0.0.1:8080")
    }

    /// The address of the sandbox's outbox.
    ///
    /// # Errors
    /// Unreachable: no address is set. Usage: it is not an HTTP address.
    pub(crate) fn outbox(&self) -> Result<Url> {
        if self.outbox.is_empty() {
            return Err(Failure::new(Kind::Unreachable, "the address of the outbox is not set")
                .remedy("Start `posthaste dev`, or name the address: --outbox http://127.0.0.1:8025"));
        }
        web_address(&self.outbox, "--outbox http://127.0.0.1:8025")
    }

    /// The API key, if there is one.
    pub(crate) fn token(&self) -> Option<&str> {
        Some(self.token.expose_secret().trim()).filter(|token| !token.is_empty())
    }
}

/// Parses an HTTP address. One that contains a password is rejected, because it would be visible in process lists.
pub(crate) fn web_address(text: &str, example: &str) -> Result<Url> {
    let url: Option<Url> = text.parse().ok().filter(|url: &Url| matches!(url.scheme(), "http" | "https"));
    match url {
        Some(url) if url.username().is_empty() && url.password().is_none() => Ok(url),
        Some(_) => Err(Failure::usage("the address contains a user name or password")
            .remedy("Remove them. Pass an API key in a file: --token-file FILE")),
        None => {
            Err(Failure::usage("not a valid http:// or https:// address")
                .remedy(format!("Example: {example}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;

    use super::*;

    fn places(files: &[(&str, &str)]) -> (tempfile::TempDir, Places) {
        let dir = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            let mut open = std::fs::OpenOptions::new();
            let mut file =
                open.write(true).create_new(true).mode(0o600).open(dir.path().join(name)).expect("a file");
            file.write_all(text.as_bytes()).expect("a file");
        }
        let places = Places { config: dir.path().to_owned(), dev: dir.path().join("dev.toml") };
        (dir, places)
    }

    fn server(flags: &Flags, variables: &[(&str, &str)], places: &Places) -> String {
        let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
        let client = load(flags, variables, places).expect("settings").settings.client;
        format!("{} {}", client.server().expect("an address"), client.token().unwrap_or("-"))
    }

    #[test]
    fn flags_override_environment_profile_file_and_dev_in_this_order() {
        let (_dir, places) = places(&[
            ("client.toml", "[client]\nserver = \"http://file\"\ntoken = \"f\"\n"),
            ("work.toml", "[client]\nserver = \"http://work\"\n"),
            ("dev.toml", "[client]\nserver = \"http://dev\"\ntoken = \"d\"\n"),
        ]);
        let mut flags = Flags::default();
        assert_eq!(server(&flags, &[], &places), "http://file/ f");
        flags.profile = Some("work".to_owned());
        assert_eq!(server(&flags, &[], &places), "http://work/ f");
        let variables = [("POSTHASTE_CLIENT__SERVER", "http://env"), ("POSTHASTE_REDIS__URL", "redis://h")];
        assert_eq!(server(&flags, &variables, &places), "http://env/ f");
        flags.server = Some("https://flag".to_owned());
        assert_eq!(server(&flags, &variables, &places), "https://flag/ f");
    }

    #[test]
    fn a_running_dev_is_used_if_no_server_is_set() {
        let dev = "[client]\nserver = \"http://dev\"\ntoken = \"d\"\n";
        let (_dir, with_dev) = places(&[("dev.toml", dev)]);
        assert_eq!(server(&Flags::default(), &[], &with_dev), "http://dev/ d");
        let (_dir, without) = places(&[]);
        assert_eq!(server(&Flags::default(), &[], &without), "http://127.0.0.1:8080/ -");
    }

    #[test]
    fn errors_name_the_wrong_setting() {
        let (_dir, places) = places(&[("client.toml", "[client]\nservre = \"http://h\"\n")]);
        let refused = load(&Flags::default(), [], &places).expect_err("an unknown key").lines().join(" ");
        assert!(refused.contains("client.servre") && refused.contains("client.toml"), "{refused}");
        let flags = Flags { profile: Some("../x".to_owned()), ..Flags::default() };
        assert_eq!(load(&flags, [], &places).expect_err("no profile").kind(), Kind::Usage);
        assert!(web_address("redis://h", "x").is_err());
        assert!(web_address("http://u:p@h", "x").is_err());
    }
}
