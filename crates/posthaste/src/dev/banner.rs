//! What `posthaste dev` prints when everything is running.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use console::style;

use super::dev_dir::DevDir;
use super::ports::Ports;
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
    [
        format!("\n  {}   dev mode: nothing leaves this computer\n\n", bold(&format!("posthaste {version}"))),
        line("API", format!("http://{}/v1   key in {}", ports.api, place.key().display())),
        line("Outbox", format!("http://{}   all \"sent\" messages", ports.outbox)),
        line("Sandbox", format!("e-mail {}   SMS http://{}", ports.smtp, ports.twilio)),
        line("", format!("Telegram http://{}   VK http://{}", ports.telegram, ports.vk)),
        line("Redis", server.to_owned()),
        line("Folder", format!("{dir}   ({kept}), logs in {dir}/logs")),
        "\n".to_owned(),
        line("Try", format!("{myself} send --email anna@example.org --sms +12025550123 --telegram 1001 \\")),
        line("", "     --vk 2001 --text \"Hello\" --watch".to_owned()),
        line("", format!("{myself} send --to people.csv --subject \"News\" --text \"Hello\" --watch")),
        line("", format!("{myself} outbox list")),
        line(
            "Fail",
            "refuse@example.org, SMS +15007730003, Telegram 403001, VK 999000901 always fail;".to_owned(),
        ),
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
