//! The program as a process.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use posthaste_rig::{Child, Sig, eventually};
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_posthaste-sandbox");

fn program() -> Command {
    let mut command = Command::new(PROGRAM);
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

fn arguments(folder: &Path) -> Vec<OsString> {
    let flags = ["--smtp", "--smtps", "--http", "--telegram", "--vk", "--twilio", "--gateway", "--webhook"];
    let any = flags.into_iter().flat_map(|flag| [flag, "127.0.0.1:0"]);
    let mut arguments: Vec<OsString> = any.map(OsString::from).collect();
    for (flag, file) in [("--ready-file", "ready.json"), ("--record", "attempts.ndjson")] {
        arguments.extend([flag.into(), folder.join(file).into()]);
    }
    arguments
}

#[test]
fn reports_its_addresses_and_stops_on_a_signal() {
    let folder = tempfile::tempdir().unwrap();
    let child = Child::spawn(PROGRAM, arguments(folder.path()), [("RUST_BACKTRACE", "1")]).unwrap();
    let ready: Value = eventually("the ready file", || {
        let text = std::fs::read(folder.path().join("ready.json")).map_err(|error| error.to_string())?;
        serde_json::from_slice(&text).map_err(|error| error.to_string())
    });
    let smtp: std::net::SocketAddr = ready["smtp"].as_str().unwrap().parse().unwrap();
    assert!(ready["http"].as_str().unwrap().starts_with("http://127.0.0.1:"));
    assert!(ready["certificate"].as_str().unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
    std::net::TcpStream::connect(smtp).unwrap();
    for name in ["telegram", "vk", "twilio", "gateway", "webhook"] {
        let place = ready[name].as_str().unwrap().strip_prefix("http://").unwrap();
        std::net::TcpStream::connect(place).unwrap();
    }
    assert!(folder.path().join("attempts.ndjson").exists());

    // A second one on the same port reports that and exits.
    let second = program().args(["--smtp", &smtp.to_string()]).output().unwrap();
    assert_eq!(second.status.code(), Some(69));
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(said.contains(&format!("cannot listen on {smtp}")), "{said}");

    child.signal(Sig::Term).unwrap();
    assert_eq!(child.wait_exit().unwrap().code(), Some(0));
    let said = child.output().unwrap();
    assert!(said.contains("sandbox open") && said.contains("sandbox closing"), "{said}");
}

#[test]
fn wrong_settings_are_named_before_anything_opens() {
    let wrong = program().env("POSTHASTE_SANDBOX__SMTP__COLOUR", "red").output().unwrap();
    let said = String::from_utf8(wrong.stderr).unwrap();
    assert_eq!(wrong.status.code(), Some(78), "{said}");
    assert!(said.contains("colour") && said.contains("environment"), "{said}");
    assert_eq!(program().arg("--colour").output().unwrap().status.code(), Some(78));
}
