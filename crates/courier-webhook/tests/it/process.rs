//! The program itself: it starts, stops when asked, and refuses invalid settings.

use posthaste_rig::{Child, PrivateServer, Sig, eventually};

const PROGRAM: &str = env!("CARGO_BIN_EXE_posthaste-courier-webhook");

fn start(args: &[&str], variables: &[(&str, &str)]) -> Child {
    Child::spawn(PROGRAM, args, variables.iter().copied()).expect("the program")
}

#[tokio::test(flavor = "multi_thread")]
async fn it_works_until_it_is_asked_to_stop() {
    let redis = PrivateServer::builder().start().expect("a server");
    let folder = tempfile::tempdir().expect("a folder");
    let (url, ready) = (redis.url(), folder.path().join("ready.json"));
    let ready_file = ready.display().to_string();
    let args = ["--redis", &url, "--admin", "127.0.0.1:0", "--ready-file", &ready_file];
    // Variables of another process are ignored.
    let variables = [("POSTHASTE_WEBHOOK__HOSTS", "*.example.org"), ("POSTHASTE_SMTP__RELAYS", "smtp://x")];
    let courier = start(&args, &variables);
    eventually("the ready file", || std::fs::read_to_string(&ready));
    courier.signal(Sig::Term).expect("a signal");
    assert_eq!(courier.wait_exit().expect("an end").code(), Some(0), "{}", courier.tail(20));
}

#[test]
fn it_does_not_start_until_the_settings_name_a_host() {
    for (variable, value, key) in [
        ("POSTHASTE_WEBHOOK__HOSTS", "", "webhook.hosts"),
        ("POSTHASTE_WEBHOOK__HOSTS", "https://example.org", "webhook.hosts"),
        ("POSTHASTE_WEBHOOK__PRIVATE_HOSTS", "hooks.internal", "webhook.private_hosts"),
        ("POSTHASTE_WEBHOOK__HOST", "example.org", "webhook.host"),
    ] {
        let courier = start(&["--admin", "127.0.0.1:0"], &[(variable, value)]);
        let code = courier.wait_exit().expect("an end").code();
        let said = courier.output().expect("its output");
        assert_eq!(code, Some(78), "{variable}={value}: {said}");
        assert!(said.contains(&format!("posthaste-courier-webhook: {key}: ")), "{variable}={value}: {said}");
    }
}
