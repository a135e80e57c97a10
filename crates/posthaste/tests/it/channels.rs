//! One message over all four channels, e-mail, SMS, Telegram and VK, end to end with fake providers.

use posthaste_rig::eventually;
use posthaste_sandbox::{Sandbox, Settings};
use serde_json::{Value, json};

use crate::cli::{BINARY, Ended, User};
use crate::dev::{stop, up};
use crate::script::{Script, json_of};

const PEOPLE: &str = "id,name,email,phone,telegram,vk\n\
    1,Anna,anna@example.org,+12025550123,1001,2001\n\
    2,Boris,boris@refuse.test,+15007730003,403001,999000901\n\
    3,Clara,,+15007901001,,\n";

fn json(ended: &Ended) -> Vec<Value> {
    ended.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Waits until the deliveries of a channel are in these states, in the order of the file.
fn rows(user: &User, id: &str, channel: &str, states: &[&str]) -> Vec<Value> {
    eventually("the deliveries are reported", || {
        let args = ["order", "deliveries", id, "--channel", channel, "-o", "ndjson"];
        let output = std::process::Command::new(BINARY).args(args).envs(user.env()).output();
        let text = String::from_utf8(output.map_err(|error| error.to_string())?.stdout).expect("UTF-8");
        let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let found: Vec<_> = rows.iter().filter_map(|row| row["status"].as_str()).collect();
        if found == states { Ok(rows) } else { Err(format!("{channel}: {found:?}")) }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn one_message_over_four_channels_with_their_outcomes() {
    let user = User::fresh();
    let dev = up(&user, &[]);
    user.file("people.csv", PEOPLE);
    let send = ["send", "--to", "people.csv", "--subject", "News", "--text", "Привет, all four", "--watch"];
    let sent = user.run(&send).await;
    assert_eq!(sent.code, 5, "Boris can't be reached: {sent:?}");
    let end = json(&sent).pop().expect("events");
    let id = end["order"]["id"].as_str().expect("an id").to_owned();
    assert_eq!(
        end["order"]["delivery_receipts"],
        json!({"email": false, "sms": true, "telegram": false, "vk": false}),
        "{end}"
    );
    let said = [("email", 2), ("sms", 3), ("telegram", 2), ("vk", 2)];
    for (channel, accepted) in said {
        assert_eq!(end["order"]["channel_counts"][channel]["total"], accepted, "{channel}: {end}");
    }

    // What the fake Twilio reports later in signed callbacks.
    let sms = rows(&user, &id, "sms", &["delivered", "failed", "sent"]);
    assert_eq!(
        (&sms[1]["reason"], &sms[1]["provider_code"]),
        (&"undelivered".into(), &30_003.into()),
        "{sms:?}"
    );
    for channel in ["email", "telegram", "vk"] {
        let rows = rows(&user, &id, channel, &["sent", "failed"]);
        assert!(rows[1]["reason"].is_string() && rows[1]["provider_code"].is_u64(), "{rows:?}");
    }

    let shown = user.run(&["order", "show", &id]).await;
    assert!(shown.out.contains("Sent on email, telegram, vk:"), "{shown:?}");
    assert!(
        shown.out.contains("Sent on sms: the provider accepted the message and will report"),
        "{shown:?}"
    );
    let listed = user.run(&["order", "deliveries", &id]).await;
    assert!(listed.err.contains("there are no receipts"), "{listed:?}");
    let couriers = json(&user.run(&["courier", "list", "-o", "ndjson"]).await);
    let reported: Vec<_> =
        couriers.iter().map(|one| (one["channel"].as_str(), one["delivery_receipts"].as_bool())).collect();
    let expected = [("email", false), ("sms", true), ("telegram", false), ("vk", false), ("webhook", false)];
    assert_eq!(reported, expected.map(|(channel, receipts)| (Some(channel), Some(receipts))));

    let outbox = json(&user.run(&["outbox", "list", "-o", "ndjson"]).await);
    for (channel, to) in
        [("email", "anna@example.org"), ("sms", "+12025550123"), ("telegram", "1001"), ("vk", "2001")]
    {
        let is_it = |message: &&Value| {
            let recipients = message["recipients"].as_array().expect("a list");
            message["channel"] == channel && recipients.iter().any(|recipient| recipient["address"] == to)
        };
        let message = outbox.iter().find(is_it).unwrap_or_else(|| panic!("{channel}: {outbox:?}"));
        let shown = user.run(&["outbox", "show", &message["id"].to_string()]).await;
        assert!(shown.out.contains("Привет, all four"), "{channel}: {shown:?}");
    }
    stop(&dev);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_posted_to_the_urls_of_a_file() {
    let user = User::fresh();
    let dev = up(&user, &[]);
    // The guide names the address of the fake receiver.
    let guide = dev.output().expect("its output");
    let place =
        guide.split("webhook ").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("an address");
    let url = |path: &str| format!("http://{place}/{path}");
    let people = format!("id,webhook\n1,{}\n2,{}\n3,{}\n", url("anna?a=1"), url("gone"), url("refuse"));
    user.file("hooks.csv", &people);
    let sent =
        user.run(&["send", "--to", "hooks.csv", "--subject", "News", "--text", "Привет", "--watch"]).await;
    assert_eq!(sent.code, 5, "two can't be reached: {sent:?}");
    let end = json(&sent).pop().expect("events");
    let id = end["order"]["id"].as_str().expect("an id").to_owned();
    let rows = rows(&user, &id, "webhook", &["sent", "failed", "failed"]);
    assert_eq!(rows[1]["reason"], "blocked", "{rows:?}");

    let outbox = json(&user.run(&["outbox", "list", "--channel", "webhook", "-o", "ndjson"]).await);
    assert_eq!(outbox[0]["recipients"][0]["address"], url("anna?a=1"), "{outbox:?}");
    let shown = user.run(&["outbox", "show", &outbox[0]["id"].to_string()]).await;
    assert!(shown.out.contains("News") && shown.out.contains("Привет"), "{shown:?}");

    // Nothing but the fake receiver may be called.
    let other = user.run(&["send", "--webhook", "http://127.0.0.1:1/x", "--text", "x", "--watch"]).await;
    assert_eq!(other.code, 5, "{other:?}");
    let checked = user.file("hooks.toml", "[webhook]\nhosts = [\"*.example.org\"]\n").display().to_string();
    let checked = user.run(&["doctor", "--webhook", &checked, "-o", "ndjson"]).await;
    assert!(checked.out.contains("Every recipient has a server of their own"), "{checked:?}");
    stop(&dev);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_reports_a_wrong_token_of_each_provider() {
    const RIGHT: &str = "1000000001:right-right-right-right-right-right";
    const SMS_RIGHT: &str = "right0right0right0right";
    const WRONG: &str = "1000000001:canary-canary-canary-canary-canary";

    let (script, server) = Script::start().await;
    script.on("GET /v1/couriers", json_of(200, json!({"items": []})));
    let user = User::of(&server);
    let mut settings = Settings::default();
    settings.telegram.tokens = vec![RIGHT.into()];
    settings.vk.tokens = vec!["right".into()];
    settings.twilio.auth_token = SMS_RIGHT.into();
    let sandbox = Sandbox::start(settings).await.expect("fake providers");
    let telegram = |token: &str| {
        format!("[telegram]\ntokens = \"{token}\"\napi_url = \"{}\"\n", sandbox.telegram().url())
    };
    let vk = |token: &str| format!("[vk]\ntoken = \"{token}\"\napi_url = \"{}\"\n", sandbox.vk().url());
    let sms = |token: &str| {
        format!(
            "[twilio]\napi_url = \"{}\"\naccount_sid = \"AC00000000000000000000000000000001\"\n\
             auth_token = \"{token}\"\nfrom = \"+15005550006\"\n",
            sandbox.twilio().url()
        )
    };
    let check = async |channel: &str, text: String| {
        let file = user.file("courier.toml", text).display().to_string();
        let ended = user.run(&["doctor", &format!("--{channel}"), &file, "-o", "json"]).await;
        let findings: Vec<Value> = serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("{ended:?}"));
        assert!(!format!("{ended:?}").contains("canary"), "{ended:?}");
        let finding = findings.into_iter().find(|finding| finding["what"] == channel).expect("a finding");
        (ended.code, finding)
    };
    for (channel, right, wrong, words) in [
        ("telegram", telegram(RIGHT), telegram(WRONG), "token"),
        ("vk", vk("right"), vk("canary"), "token"),
        ("sms", sms(SMS_RIGHT), sms("canary0canary0canary0"), "rejected the credentials"),
    ] {
        let (code, well) = check(channel, right).await;
        assert_eq!((code, &well["level"]), (0, &json!("good")), "{well}");
        let (code, ill) = check(channel, wrong).await;
        assert_eq!((code, &ill["level"]), (7, &json!("bad")), "{ill}");
        assert!(ill["found"].as_str().is_some_and(|found| found.contains(words)), "{ill}");
        let (code, missing) = check(channel, String::new()).await;
        assert_eq!((code, &missing["level"]), (3, &json!("bad")), "{missing}");
    }
    // A gateway without a way to check it is neither good nor bad.
    let gateway = "[sms]\nprovider = \"gateway\"\n[gateway]\nurl = \"https://gateway.example.org/send\"\n\
                   body = \"to={to}&text={text}\"\n";
    let (code, unreported) = check("sms", gateway.to_owned()).await;
    assert_eq!((code, &unreported["level"]), (0, &json!("note")), "{unreported}");
    assert!(unreported["found"].as_str().is_some_and(|found| found.contains("can't tell")), "{unreported}");
    assert!(
        unreported["remedy"].as_str().is_some_and(|remedy| remedy.contains("gateway.check_url")),
        "{unreported}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_checks_a_courier_configured_by_its_environment() {
    const RIGHT: &str = "1000000001:right-right-right-right-right-right";

    let (script, server) = Script::start().await;
    script.on("GET /v1/couriers", json_of(200, json!({"items": []})));
    let mut settings = Settings::default();
    settings.telegram.tokens = vec![RIGHT.into()];
    settings.vk.tokens = vec!["right".into()];
    let sandbox = Sandbox::start(settings).await.expect("fake providers");
    let levels = async |user: &User, args: &[&str]| {
        let ended = user.run(&[&["doctor", "-o", "json"], args].concat()).await;
        let findings: Vec<Value> = serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("{ended:?}"));
        let of = |what: &str| {
            findings.iter().find(|finding| finding["what"] == what).map(|finding| finding["level"].clone())
        };
        (ended.code, of("telegram"), of("vk"))
    };
    let user = || {
        User::of(&server)
            .with("POSTHASTE_TELEGRAM__API_URL", &sandbox.telegram().url())
            .with("POSTHASTE_VK__API_URL", &sandbox.vk().url())
    };
    let (good, bad) = (Some(json!("good")), Some(json!("bad")));
    let well = user().with("POSTHASTE_TELEGRAM__TOKENS", RIGHT).with("POSTHASTE_VK__TOKEN", "right");
    assert_eq!(levels(&well, &["--telegram", "--vk"]).await, (0, good.clone(), good.clone()));
    assert_eq!(levels(&well, &["--vk"]).await, (0, None, good.clone()), "telegram was not requested");
    let wrong = user().with("POSTHASTE_VK__TOKEN", "wrong");
    assert_eq!(levels(&wrong, &["--vk"]).await, (7, None, bad.clone()));
    assert_eq!(levels(&user(), &["--telegram"]).await, (3, bad.clone(), None), "no token at all");
    // The file named by POSTHASTE_CONFIG is used, and one given as an argument takes precedence.
    let file = well.file("vk.toml", "[vk]\ntoken = \"right\"\n").display().to_string();
    let found = user().with("POSTHASTE_CONFIG", &file);
    assert_eq!(levels(&found, &["--vk"]).await, (0, None, good));
    let other = well.file("other.toml", "[vk]\ntoken = \"wrong\"\n").display().to_string();
    assert_eq!(levels(&found, &["--vk", &other]).await, (7, None, bad));
}
