//! `posthaste dev` end to end: Redis, queue, couriers, sandbox.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;

use posthaste_rig::{Child, PrivateServer, Sig, eventually};
use serde_json::Value;

use crate::cli::{BINARY, User};

pub(crate) const FREE: [&str; 6] = ["--port", "0", "--outbox-port", "0", "--smtp-port", "0"];

/// A server, the queue, the sandbox, and a courier for each channel.
const ALL: usize = 8;

/// Starts `dev` and waits for the banner, which says how to stop it.
pub(crate) fn up(user: &User, more: &[&str]) -> Child {
    let child = user.start(&[&["dev"][..], &FREE, more].concat());
    child.wait_line("the guide", |line| line.contains("Ctrl-C")).expect("up");
    child
}

pub(crate) fn stop(child: &Child) {
    child.signal(Sig::Int).expect("signalled");
    let status = child.wait_exit().expect("ended");
    assert_eq!(status.code(), Some(0), "{}", child.tail(20));
}

/// Its child processes, by name.
fn children(parent: &Child) -> BTreeMap<String, u32> {
    let all = std::fs::read_dir("/proc").expect("/proc").flatten();
    let ids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let children = ids.filter(|id| parent_of(*id) == Some(parent.id()));
    children.filter_map(|id| Some((name_of(id)?, id))).collect()
}

fn parent_of(id: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// `queue`, `courier-email`, `sandbox`, or the program's own name; none for one that has ended.
fn name_of(id: u32) -> Option<String> {
    let line = std::fs::read(format!("/proc/{id}/cmdline")).ok()?;
    let words: Vec<String> = line
        .split(|b| *b == 0 || *b == b' ')
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect();
    let program = Path::new(words.first()?).file_name()?.to_str()?.to_owned();
    match program.as_str() {
        "posthaste" if words.get(1).is_some_and(|word| word == "courier") => Some(words.get(1..3)?.join("-")),
        "posthaste" => words.get(1).cloned(),
        "" => None,
        other => Some(other.to_owned()),
    }
}

fn wait_gone(ids: &BTreeMap<String, u32>) {
    eventually("all processes have ended", || {
        let left: Vec<_> = ids.iter().filter(|(_, id)| name_of(**id).is_some()).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
}

fn wait_children(parent: &Child, count: usize) -> BTreeMap<String, u32> {
    eventually("all processes are running", || {
        let children = children(parent);
        if children.len() == count && !children.contains_key("as-child") {
            Ok(children)
        } else {
            Err(format!("{children:?}"))
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_people_from_a_file_watched_listed_and_retried() {
    let user = User::fresh();
    let dev = up(&user, &[]);
    let mut people = "ФИО;Почта\r\n".to_owned();
    for n in 0..10_000 {
        let address = match n {
            // Rejected permanently, rejected for now, no address, not a mailbox.
            17 | 5_017 => format!("p{n}+refuse-554-dot@example.org"),
            300..310 => format!("p{n}@greylist-once.test"),
            4_000 => String::new(),
            4_001 => "no mailbox".to_owned(),
            _ => format!("p{n}@example.org"),
        };
        people += &format!("Имя {n};{address}\r\n");
    }
    let (bytes, _, _) = encoding_rs::WINDOWS_1251.encode(&people);
    user.file("people.csv", &bytes);
    let send = ["send", "--to", "people.csv", "--subject", "News", "--text", "Hello"];

    let refused = user.run(&send).await;
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(refused.err.contains("line 4002: no address"), "{refused:?}");
    assert_eq!(
        user.run(&["order", "list", "-o", "csv"]).await.out.lines().count(),
        1,
        "nothing was accepted"
    );

    let sent = user.run(&[&send[..], &["--on-invalid", "skip", "--watch"]].concat()).await;
    assert_eq!(sent.code, 5, "{}", sent.err);
    assert!(sent.err.contains("line 4003: \"Почта\""), "{}", sent.err);
    assert!(sent.err.contains("10000 rows of the file: 9998 sent, 0 merged, 2 left out"), "{}", sent.err);
    let end: Value = serde_json::from_str(sent.out.lines().last().expect("events")).expect("JSON");
    let (order, counts) = (&end["order"], &end["order"]["counts"]);
    assert_eq!(end["event"], "end");
    assert_eq!((counts["total"].as_u64(), counts["sent"].as_u64()), (Some(9_998), Some(9_996)), "{counts}");
    let id = order["id"].as_str().expect("an id");

    let failed = user.run(&["order", "deliveries", id, "--failed", "-o", "ndjson"]).await;
    let rows: Vec<Value> = failed.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let ids: Vec<&str> = rows.iter().filter_map(|row| row["recipient_id"].as_str()).collect();
    assert_eq!(ids, ["line-19", "line-5019"], "{failed:?}");
    assert!(rows.iter().all(|row| row["reason"].is_string()), "{failed:?}");
    let export = user.run(&["order", "export", id]).await;
    assert_eq!(export.out.lines().count(), 9_999);

    let retried = user.run(&["order", "retry", id, "--recipient", "line-19", "--watch"]).await;
    assert_eq!(retried.code, 5, "{retried:?}");
    let end: Value = serde_json::from_str(retried.out.lines().last().expect("events")).expect("JSON");
    assert_eq!(
        (&end["order"]["retry_of"], &end["order"]["counts"]["total"]),
        (&Value::from(id), &Value::from(1))
    );

    let mailbox = ["--channel", "email", "p18@example.org"];
    let suppression =
        async |verb: &str| user.run(&[&["suppression", verb, "--yes"], &mailbox[..]].concat()).await;
    assert_eq!(suppression("add").await.out.trim_end(), "1 added to the email list, 0 were already on it");
    assert!(suppression("lookup").await.out.contains("added by an operator"));
    let listed = user.run(&["suppression", "list", "--channel", "email", "-o", "csv"]).await;
    assert!(listed.out.contains(",channel,true,manual,,operator,"), "{listed:?}");
    assert!(suppression("delete").await.out.starts_with("1 deleted"));

    let healthy = user.run(&["doctor"]).await;
    assert_eq!(healthy.code, 0, "{healthy:?}");
    assert!(user.run(&["courier", "list"]).await.out.contains("yes"));

    let children = wait_children(&dev, ALL);
    stop(&dev);
    wait_gone(&children);
    assert!(!user.path("state/posthaste/dev.toml").exists());
    let after = user.run(&["order", "list", "--server", "http://127.0.0.1:1"]).await;
    assert_eq!(after.code, 7, "{after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_keeps_all_data_and_is_for_one_dev_at_a_time() {
    let user = User::fresh();
    let data = user.path("data").display().to_string();
    let kept = ["--data", data.as_str()];
    let dev = up(&user, &kept);
    let sent = user.run(&["send", "--email", "a@example.org", "--text", "Hello", "--watch"]).await;
    assert_eq!(sent.code, 0, "{sent:?}");
    let key = std::fs::read(user.path("data/dev.key")).expect("a key");
    let second = user.run(&[&["dev"][..], &FREE, &kept].concat()).await;
    assert_eq!(second.code, 3, "{second:?}");
    assert!(second.err.contains("another `posthaste dev`"), "{second:?}");
    stop(&dev);
    let again = up(&user, &kept);
    assert_eq!(std::fs::read(user.path("data/dev.key")).expect("a key"), key);
    let list = user.run(&["order", "list", "-o", "csv"]).await;
    assert_eq!(list.out.lines().count(), 2, "{list:?}");
    stop(&again);
}

#[tokio::test(flavor = "multi_thread")]
async fn sent_messages_are_in_the_outbox() {
    let user = User::fresh();
    let server = PrivateServer::start().expect("a server");
    let dev = up(&user, &["--redis", &server.url()]);
    assert_eq!(wait_children(&dev, ALL - 1).len(), ALL - 1, "no server of its own");
    let to = ["send", "--email", "anna@example.org", "--email", "bo@example.org", "--subject", "Привет"];
    let sender = ["--from", "news@example.org", "--reply-to", "office@club.example"];
    let text = ["--text", "First line\nSecond line", "--watch"];
    let sent = user.run(&[&to[..], &sender[..], &text[..]].concat()).await;
    assert_eq!(sent.code, 0, "{sent:?}");
    let list = user.run(&["outbox", "list", "--to", "anna@example.org", "-o", "ndjson"]).await;
    assert_eq!(list.out.lines().count(), 1, "{list:?}");
    let message: Value = serde_json::from_str(&list.out).expect("JSON");
    let id = message["id"].to_string();
    let shown = user.run(&["outbox", "show", &id]).await;
    for part in [
        "From     news@example.org",
        "Reply-To office@club.example",
        "Subject  Привет",
        "To       anna@example.org",
        "\nFirst line\nSecond line\n",
    ] {
        assert!(shown.out.contains(part), "{part}: {shown:?}");
    }
    assert!(user.run(&["outbox", "show", &id, "--raw"]).await.out.contains("Message-ID: <"));
    assert_eq!(user.run(&["outbox", "show", "999"]).await.code, 6);
    stop(&dev);
}

/// The processes to kill.
const OTHERS: [&str; 8] = [
    "courier-email",
    "courier-sms",
    "courier-telegram",
    "courier-vk",
    "courier-webhook",
    "sandbox",
    "queue",
    "redis-server",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_is_restarted_and_reported() {
    let user = User::fresh();
    let dev = up(&user, &[]);
    let first = wait_children(&dev, ALL);
    for name in OTHERS {
        kill(first[name]);
        let said = if name == "redis-server" { "redis ended (signal 9)" } else { name };
        dev.wait_line("that it ended", |line| line.contains(said) && line.contains("restarting"))
            .expect("told");
    }
    eventually("all processes have been replaced", || {
        let now = children(&dev);
        let others = OTHERS.iter().all(|name| now.get(*name).is_some_and(|id| *id != first[*name]));
        if now.len() == ALL && others { Ok(()) } else { Err(format!("{now:?}")) }
    });
    eventually("the queue answers", || {
        let listed = std::process::Command::new(BINARY).args(["courier", "list"]).envs(user.env()).output();
        if listed.is_ok_and(|listed| listed.status.success()) { Ok(()) } else { Err("not yet") }
    });
    let to = ["--email", "a@example.org", "--sms", "+12025550123", "--telegram", "1001", "--vk", "2001"];
    let sent = user.run(&[&["send", "--text", "Hello", "--watch"][..], &to].concat()).await;
    assert_eq!(sent.code, 0, "{sent:?}");
    stop(&dev);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_child_outlives_a_killed_parent() {
    let user = User::fresh();
    let data = user.path("data").display().to_string();
    let dev = up(&user, &["--data", &data]);
    let children = wait_children(&dev, ALL);
    dev.kill9().expect("killed");
    wait_gone(&children);
}

#[tokio::test]
async fn a_port_in_use_and_a_missing_server_are_reported_with_the_fix() {
    let user = User::fresh();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let ended = user.run(&["dev", "--port", &port, "--outbox-port", "0", "--smtp-port", "0"]).await;
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.err.contains(&format!("port {port}")) && ended.err.contains("--port 0"), "{ended:?}");

    let mut bare = tokio::process::Command::new(BINARY);
    let ended = bare.arg("dev").args(FREE).envs(user.env()).env("PATH", user.path("nowhere")).output();
    let ended = ended.await.expect("run");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(7), "{said}");
    assert!(said.contains("apt-get install redis-server") && said.contains("--redis"), "{said}");

    let ended = user.run(&[&["dev"][..], &FREE, &["--redis", "redis://127.0.0.1:1"]].concat()).await;
    assert_eq!(ended.code, 7, "{ended:?}");
    assert!(ended.err.contains("cannot be used") && ended.err.contains("connection refused"), "{ended:?}");

    let ended = user.run(&[&["dev"][..], &FREE, &["--redis", "redis://:word@127.0.0.1"]].concat()).await;
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.err.contains("PASSWORD_FILE"), "{ended:?}");
}

fn kill(id: u32) {
    let pid = i32::try_from(id).ok().and_then(rustix::process::Pid::from_raw).expect("an id");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
}
