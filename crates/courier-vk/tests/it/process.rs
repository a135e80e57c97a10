//! The program itself: it starts, checks its token, receives callbacks, stops when asked, and refuses invalid settings.

use posthaste_rig::{PrivateServer, ProgramUnderTest, program};

use super::bench::TOKEN;
use super::provider::{Provider, refusal};

const PROGRAM: ProgramUnderTest = ProgramUnderTest::new(env!("CARGO_BIN_EXE_posthaste-courier-vk"));

#[tokio::test(flavor = "multi_thread")]
async fn it_works_until_it_is_asked_to_stop() {
    let (redis, provider) = (PrivateServer::builder().start().expect("a server"), Provider::start().await);
    let folder = tempfile::tempdir().expect("a folder");
    let ready = folder.path().join("ready.json");
    let token = program::secret_file(folder.path(), "token", &format!("{TOKEN}\n"));
    let (url, api, ready_file) = (redis.url(), provider.url(), ready.display().to_string());
    let args = ["--redis", &url, "--api-url", &api, "--admin", "127.0.0.1:0", "--ready-file", &ready_file];
    // Variables of another process are ignored.
    let variables = [
        ("POSTHASTE_VK__TOKEN_FILE", token.to_str().expect("a name")),
        ("POSTHASTE_VK__LISTEN", "127.0.0.1:0"),
        ("POSTHASTE_VK__PATH", "/vk/CANARYcanary0123"),
        ("POSTHASTE_VK__CONFIRMATION", "a1b2c3"),
        ("POSTHASTE_VK__SECRET", "CANARYcanary0123"),
        ("POSTHASTE_VK__GROUP_ID", "42"),
        ("POSTHASTE_SMTP__RELAYS", "smtp://x"),
    ];
    let courier = PROGRAM.start(&args, &variables);
    program::wait_ready(&ready);
    courier.wait_line("the provider check", |line| line.contains("provider check passed")).expect("a check");
    courier.wait_line("the endpoint", |line| line.contains("listening for VK callbacks")).expect("a line");
    program::stop(&courier, &["CANARY"]);
    let requested: Vec<String> = provider.log().into_iter().map(|request| request.method).collect();
    assert_eq!(requested, ["groups.getTokenPermissions"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_is_reported_at_the_start() {
    let (redis, provider) = (PrivateServer::builder().start().expect("a server"), Provider::start().await);
    provider.answer(|_| refusal(5, TOKEN));
    let (url, api) = (redis.url(), provider.url());
    let args = ["--redis", &url, "--api-url", &api, "--admin", "127.0.0.1:0"];
    let courier = PROGRAM.start(&args, &[("POSTHASTE_VK__TOKEN", TOKEN)]);
    courier.wait_line("a warning", |line| line.contains("refuses vk.token (error 5)")).expect("a warning");
    program::stop(&courier, &["CANARY"]);
}

#[test]
fn invalid_settings_end_the_start_and_are_named() {
    let broken = format!("{TOKEN}/../x");
    for case in [
        ("POSTHASTE_VK__TOKEN", "", "vk.token"),
        ("POSTHASTE_VK__TOKEN", broken.as_str(), "vk.token"),
        ("POSTHASTE_VK__API_URL", "http://api.vk.com", "vk.api_url"),
        ("POSTHASTE_VK__REQUESTS_PER_SECOND", "0", "vk.requests_per_second"),
        ("POSTHASTE_VK__RAET", "1", "vk.raet"),
        ("POSTHASTE_VK__ON_UNKNOWN", "retry", "vk.on_unknown"),
        ("POSTHASTE_VK__LISTEN", "127.0.0.1:0", "vk.path"),
    ] {
        PROGRAM.refuses(&[("POSTHASTE_VK__TOKEN", TOKEN)], case, &["CANARY"]);
    }
}
