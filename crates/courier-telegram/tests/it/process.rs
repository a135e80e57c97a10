//! The program itself: it starts, checks its tokens, stops when asked, and refuses invalid settings.

use posthaste_rig::{PrivateServer, ProgramUnderTest, program};

use super::bench::{CANARY, token};
use super::provider::{Provider, refusal};

const PROGRAM: ProgramUnderTest = ProgramUnderTest::new(env!("CARGO_BIN_EXE_posthaste-courier-telegram"));

#[tokio::test(flavor = "multi_thread")]
async fn it_works_until_it_is_asked_to_stop() {
    let (redis, provider) = (PrivateServer::builder().start().expect("a server"), Provider::start().await);
    let folder = tempfile::tempdir().expect("a folder");
    let ready = folder.path().join("ready.json");
    let both = format!("{}\n{}\n", token(42), token(43));
    let tokens = program::secret_file(folder.path(), "tokens", &both);
    let (url, api, ready_file) = (redis.url(), provider.url(), ready.display().to_string());
    let args = ["--redis", &url, "--api-url", &api, "--admin", "127.0.0.1:0", "--ready-file", &ready_file];
    // Variables of another process are ignored.
    let variables = [
        ("POSTHASTE_TELEGRAM__TOKENS_FILE", tokens.to_str().expect("a name")),
        ("POSTHASTE_SMTP__RELAYS", "smtp://x"),
    ];
    let courier = PROGRAM.start(&args, &variables);
    program::wait_ready(&ready);
    courier.wait_line("the provider check", |line| line.contains("provider check passed")).expect("a check");
    program::stop(&courier, &[CANARY]);
    let bots: Vec<String> = provider.log().into_iter().map(|request| request.token).collect();
    assert_eq!(bots, [token(42), token(43)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_is_reported_at_the_start() {
    let (redis, provider) = (PrivateServer::builder().start().expect("a server"), Provider::start().await);
    provider.answer(|_| refusal(401, "Unauthorized"));
    let (url, api, token) = (redis.url(), provider.url(), token(42));
    let args = ["--redis", &url, "--api-url", &api, "--admin", "127.0.0.1:0"];
    let courier = PROGRAM.start(&args, &[("POSTHASTE_TELEGRAM__TOKENS", &token)]);
    courier.wait_line("a warning", |line| line.contains("refuses the token of bot 42")).expect("a warning");
    program::stop(&courier, &[CANARY]);
}

#[test]
fn invalid_settings_end_the_start_and_are_named() {
    let (good, broken) = (token(42), format!("42:{CANARY}/../x"));
    for case in [
        ("POSTHASTE_TELEGRAM__TOKENS", "", "telegram.tokens"),
        ("POSTHASTE_TELEGRAM__TOKENS", broken.as_str(), "telegram.tokens"),
        ("POSTHASTE_TELEGRAM__API_URL", "http://api.telegram.org", "telegram.api_url"),
        ("POSTHASTE_TELEGRAM__MESSAGES_PER_SECOND", "100", "telegram.messages_per_second"),
        ("POSTHASTE_TELEGRAM__RAET", "1", "telegram.raet"),
        ("POSTHASTE_TELEGRAM__ON_UNKNOWN", "forget", "telegram.on_unknown"),
        ("POSTHASTE_COURIER__MAX_HOLD", "60", "courier.max_hold"),
    ] {
        PROGRAM.refuses(&[("POSTHASTE_TELEGRAM__TOKENS", good.as_str())], case, &[CANARY]);
    }
}
