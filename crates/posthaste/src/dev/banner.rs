//! What `posthaste dev` prints when everything is running.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use console::style;

use super::dev_dir::DevDir;
use super::ports::{CourierPorts, Ports};
use crate::failure::Result;

/// Prints the addresses, commands to try, and how to stop.
///
/// # Errors
/// Standard output cannot be written.
pub(super) fn show(place: &DevDir, ports: &Ports, own_server: bool) -> Result<()> {
    let text = text(place, ports, own_server, &myself());
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

fn text(place: &DevDir, ports: &Ports, given_server: bool, myself: &str) -> String {
    let dir = place.dir().display();
    let bold = |text: &str| style(text.to_owned()).bold().to_string();
    let version = env!("CARGO_PKG_VERSION");
    let kept = if place.is_kept { "kept" } else { "deleted on exit; use --data DIR to keep it" };
    let server = if given_server { "the server you named" } else { "private, on a socket in the folder" };
    let line = |title: &str, text: String| format!("  {} {text}\n", bold(&format!("{title:<8}")));
    // Two in a line.
    let lines = |title: &str, parts: &[String]| -> String {
        let titles = std::iter::once(title).chain(std::iter::repeat(""));
        titles.zip(parts.chunks(2)).map(|(title, parts)| line(title, parts.join("   "))).collect()
    };
    let each = |text: fn(&CourierPorts) -> String| ports.couriers.iter().map(text).collect::<Vec<_>>();
    let providers = each(|ports| format!("{} {}", ports.program.channel.noun, ports.provider));
    let options = each(|ports| {
        let channel = ports.program.channel;
        format!("--{} {}", channel.name, ports.with_provider(channel.example))
    });
    let failing = each(|ports| {
        let channel = ports.program.channel;
        format!("{} {}", channel.noun, ports.with_provider(channel.failing))
    });
    [
        format!("\n  {}   dev mode: nothing leaves this computer\n\n", bold(&format!("posthaste {version}"))),
        line("API", format!("http://{}/v1   key in {}", ports.api, place.key().display())),
        line("Outbox", format!("http://{}   all \"sent\" messages", ports.outbox)),
        lines("Sandbox", &providers),
        line("Redis", server.to_owned()),
        line("Folder", format!("{dir}   ({kept}), logs in {dir}/logs")),
        "\n".to_owned(),
        line("Try", format!("{myself} send {} --text \"Hello\" --watch", options.join(" "))),
        line("", format!("{myself} send --to people.csv --subject \"News\" --text \"Hello\" --watch")),
        line("", format!("{myself} outbox list")),
        line("Fail", format!("{} always fail;", failing.join(", "))),
        line("", "the outbox page lists all test addresses".to_owned()),
        line("Stop", "Ctrl-C\n".to_owned()),
    ]
    .concat()
}

/// How to call this program: its name if the PATH finds it, else its path, relative if it is below the current directory.
fn myself() -> String {
    let Ok(own) = std::env::current_exe() else { return "posthaste".to_owned() };
    let on_path = std::env::var_os("PATH").is_some_and(|path| {
        let mut found = std::env::split_paths(&path).map(|dir| dir.join("posthaste"));
        found.find(|file| file.is_file()).is_some_and(|file| same(&file, &own))
    });
    if on_path {
        return "posthaste".to_owned();
    }
    let here = std::env::current_dir().unwrap_or_default();
    own.strip_prefix(&here).map_or(own.clone(), |below| PathBuf::from(".").join(below)).display().to_string()
}

fn same(one: &Path, other: &Path) -> bool {
    match (std::fs::canonicalize(one), std::fs::canonicalize(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}
