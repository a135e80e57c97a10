//! The program itself: it starts, stops when asked, and refuses invalid settings.

use posthaste_rig::{PrivateServer, ProgramUnderTest, program};

const PROGRAM: ProgramUnderTest = ProgramUnderTest::new(env!("CARGO_BIN_EXE_posthaste-courier-webhook"));

#[tokio::test(flavor = "multi_thread")]
async fn it_works_until_it_is_asked_to_stop() {
    let redis = PrivateServer::builder().start().expect("a server");
    let folder = tempfile::tempdir().expect("a folder");
    let (url, ready) = (redis.url(), folder.path().join("ready.json"));
    let ready_file = ready.display().to_string();
    let args = ["--redis", &url, "--admin", "127.0.0.1:0", "--ready-file", &ready_file];
    // Variables of another process are ignored.
    let variables = [("POSTHASTE_WEBHOOK__HOSTS", "*.example.org"), ("POSTHASTE_SMTP__RELAYS", "smtp://x")];
    let courier = PROGRAM.start(&args, &variables);
    program::wait_ready(&ready);
    program::stop(&courier, &[]);
}

#[test]
fn it_does_not_start_until_the_settings_name_a_host() {
    for case in [
        ("POSTHASTE_WEBHOOK__HOSTS", "", "webhook.hosts"),
        ("POSTHASTE_WEBHOOK__HOSTS", "https://example.org", "webhook.hosts"),
        ("POSTHASTE_WEBHOOK__PRIVATE_HOSTS", "hooks.internal", "webhook.private_hosts"),
        ("POSTHASTE_WEBHOOK__HOST", "example.org", "webhook.host"),
    ] {
        PROGRAM.refuses(&[], case, &[]);
    }
}
