//! The program itself: it starts, checks its account, stops on request, and rejects unusable settings.

use posthaste_rig::{PrivateServer, ProgramUnderTest, program};

use super::bench::{CANARY, FROM};
use super::provider::{ACCOUNT, Provider, refusal};

const PROGRAM: ProgramUnderTest = ProgramUnderTest::new(env!("CARGO_BIN_EXE_posthaste-courier-sms"));

#[tokio::test(flavor = "multi_thread")]
async fn it_works_until_it_is_asked_to_stop() {
    let (redis, provider) = (PrivateServer::builder().start().expect("a server"), Provider::start().await);
    let folder = tempfile::tempdir().expect("a folder");
    let ready = folder.path().join("ready.json");
    let token = program::secret_file(folder.path(), "token", &format!("{CANARY}\n"));
    let (url, api, ready_file) = (redis.url(), provider.url(), ready.display().to_string());
    let args = ["--redis", &url, "--api-url", &api, "--admin", "127.0.0.1:0", "--ready-file", &ready_file];
    // Variables of another process do no harm.
    let variables = [
        ("POSTHASTE_TWILIO__AUTH_TOKEN_FILE", token.to_str().expect("a name")),
        ("POSTHASTE_TWILIO__ACCOUNT_SID", ACCOUNT),
        ("POSTHASTE_TWILIO__FROM", FROM),
        ("POSTHASTE_TELEGRAM__TOKENS", "x"),
    ];
    let courier = PROGRAM.start(&args, &variables);
    program::wait_ready(&ready);
    courier.wait_line("the provider check", |line| line.contains("provider check passed")).expect("a check");
    program::stop(&courier, &[CANARY]);
    assert_eq!(provider.log()[0].path, format!("/2010-04-01/Accounts/{ACCOUNT}.json"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_credential_is_reported_at_the_start() {
    let (redis, provider) = (PrivateServer::builder().start().expect("a server"), Provider::start().await);
    provider.answer(|_| refusal(401, 20003));
    let (url, api) = (redis.url(), provider.url());
    let args = ["--redis", &url, "--api-url", &api, "--admin", "127.0.0.1:0"];
    let variables = [
        ("POSTHASTE_TWILIO__AUTH_TOKEN", CANARY),
        ("POSTHASTE_TWILIO__ACCOUNT_SID", ACCOUNT),
        ("POSTHASTE_TWILIO__FROM", FROM),
    ];
    let courier = PROGRAM.start(&args, &variables);
    courier.wait_line("a warning", |line| line.contains("rejected the credentials")).expect("a warning");
    program::stop(&courier, &[CANARY]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_nobody_can_ask_is_not_reported_as_good() {
    let (redis, provider) = (PrivateServer::builder().start().expect("a server"), Provider::start().await);
    let (url, send) = (redis.url(), format!("{}/send", provider.url()));
    let variables = [
        ("POSTHASTE_SMS__PROVIDER", "gateway"),
        ("POSTHASTE_GATEWAY__URL", &send),
        ("POSTHASTE_GATEWAY__BODY", "to={to}&text={text}"),
    ];
    let courier = PROGRAM.start(&["--redis", &url, "--admin", "127.0.0.1:0"], &variables);
    courier.wait_line("the provider check", |line| line.contains("cannot check whether")).expect("a check");
    let said = program::stop(&courier, &[]);
    assert!(!said.contains("provider check passed"), "{said}");
    assert_eq!(provider.log().len(), 0);
}

#[test]
fn settings_that_make_no_sense_end_the_start_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let table = folder.path().join("response_rules.toml");
    std::fs::write(&table, "[[rule]]\nmeans = \"perhaps\"\n").expect("a file");
    let valid = [
        ("POSTHASTE_TWILIO__AUTH_TOKEN", CANARY),
        ("POSTHASTE_TWILIO__ACCOUNT_SID", ACCOUNT),
        ("POSTHASTE_TWILIO__FROM", FROM),
    ];
    for case in [
        ("POSTHASTE_TWILIO__AUTH_TOKEN", "", "twilio.auth_token"),
        ("POSTHASTE_TWILIO__ACCOUNT_SID", "AC1", "twilio.account_sid"),
        ("POSTHASTE_TWILIO__API_URL", "http://api.twilio.com", "twilio.api_url"),
        ("POSTHASTE_TWILIO__FORM", "x", "twilio.form"),
        ("POSTHASTE_SMS__PROVIDER", "pigeon", "sms.provider"),
        ("POSTHASTE_SMS__PROVIDER", "gateway", "gateway.url"),
        ("POSTHASTE_SMS__ON_UNKNOWN", "forget", "sms.on_unknown"),
        ("POSTHASTE_SMS__LISTEN", "127.0.0.1:0", "sms.public_url"),
        ("POSTHASTE_SMS__RESPONSE_RULES_FILE", table.to_str().expect("a name"), "sms.response_rules_file"),
        ("POSTHASTE_COURIER__MAX_HOLD", "60", "courier.max_hold"),
    ] {
        let said = PROGRAM.refuses(&valid, case, &[CANARY]);
        assert_eq!(said.contains("line 2"), case.2 == "sms.response_rules_file", "{said}");
    }
}
