//! Commands of an operator: first keys, settings, health checks, `doctor`.

use posthaste_rig::PrivateServer;
use serde_json::{Value, json};

use crate::cli::User;
use crate::script::{Script, json_of, of, problem};

#[tokio::test(flavor = "multi_thread")]
async fn the_first_key_is_created_directly_in_the_store() {
    let server = PrivateServer::start().expect("a server");
    let user = User::fresh();
    user.file("queue.toml", format!("[redis]\nurl = \"{}\"\n", server.url()));
    let create = ["key", "create", "--name", "first", "--direct", "--config", "queue.toml"];
    let made = user.run(&[&create[..], &["--scope", "admin,any_sender", "--expires", "+90d"]].concat()).await;
    assert_eq!(made.code, 0, "{made:?}");
    assert!(made.out.starts_with("ph_") && made.out.trim_end().len() == 3 + 12 + 1 + 43, "{made:?}");
    assert!(!made.err.contains(made.out.trim_end()), "the secret is shown once: {made:?}");
    let unbound = user.run(&[&create[..], &["--scope", "write"]].concat()).await;
    assert_eq!(unbound.code, 3, "{unbound:?}");
    assert!(unbound.err.contains("bound to a sender"), "{unbound:?}");
    let typed = [
        "key",
        "create",
        "--name",
        "n",
        "--scope",
        "admin",
        "--direct",
        "--redis",
        "redis://:word@127.0.0.1",
    ];
    assert_eq!(user.run(&typed).await.code, 2);
    for channel in ["email", "sms", "telegram", "vk", "webhook"] {
        let typed = user.run(&["courier", channel, "--redis", "redis://:canary-word@127.0.0.1:1"]).await;
        assert_eq!(typed.code, 78, "{typed:?}");
        assert!(typed.err.contains("--redis") && typed.err.contains("PASSWORD_FILE"), "{typed:?}");
        assert!(!typed.err.contains("canary-word"), "{typed:?}");
    }
    let away =
        ["key", "create", "--name", "n", "--scope", "admin", "--direct", "--redis", "redis://127.0.0.1:1"];
    let away = user.run(&away).await;
    assert_eq!(away.code, 7, "{away:?}");
}

#[tokio::test]
async fn settings_are_shown_with_their_origin_checked_and_explained() {
    let user = User::of("http://127.0.0.1:9");
    let shown = user.run(&["config", "show", "--origin", "-o", "csv"]).await;
    assert_eq!(shown.code, 0, "{shown:?}");
    assert!(
        shown.out.contains("client.server,http://127.0.0.1:9,environment variable POSTHASTE_CLIENT__SERVER")
    );
    assert!(shown.out.contains("client.token,***,"), "{shown:?}");

    let queue = user.file("queue.toml", "[http]\naddress = \"127.0.0.1:0\"\n").display().to_string();
    let good = user.run(&["config", "check", "queue", "--config", &queue]).await;
    assert_eq!(good.code, 0, "{good:?}");
    for (part, text, word) in [
        ("queue", "[http]\nadress = \"127.0.0.1:0\"\n", "http.adress"),
        ("queue", "[trackers]\npause = \"soon\"\n", "trackers.pause"),
        ("email", "[smtp]\nrelay = \"smtp://h\"\n", "smtp.relay"),
        ("email", "[smtp]\nidle_for = 5\n", "smtp.idle_for"),
        ("email", "[bounces]\nlissen = \"h\"\n", "bounces.lissen"),
        ("sms", "[twilio]\nlookup_after = 5\n", "twilio.lookup_after"),
        ("sms", "[courier]\nleese = \"5s\"\n", "courier.leese"),
        ("telegram", "[telegram]\ntoken = \"x\"\n", "telegram.token"),
        ("vk", "[vk]\nrequests_per_second = \"much\"\n", "vk.requests_per_second"),
        ("webhook", "[webhook]\nports = [70000]\n", "webhook.ports"),
        ("sandbox", "[sandbox.vk]\nper_secnd = 1\n", "per_secnd"),
    ] {
        let file = user.file("bad.toml", text).display().to_string();
        let bad = user.run(&["config", "check", part, "--config", &file]).await;
        assert_eq!(bad.code, 2, "{bad:?}");
        assert!(bad.err.contains(word) && bad.err.contains("bad.toml"), "{bad:?}");
    }

    for part in ["client", "queue", "email", "sms", "telegram", "vk", "webhook", "sandbox"] {
        let example = user.run(&["config", "example", part]).await;
        let file = user.file("example.toml", &example.out).display().to_string();
        if part != "client" {
            let checked = user.run(&["config", "check", part, "--config", &file]).await;
            assert_eq!(checked.code, 0, "{part}: {checked:?}");
        }
    }
    // One file for several processes: none shows the secrets of another.
    let secret = "[twilio]\nauth_token = \"canary-word\"\n[sandbox.twilio]\nauth_token = \"canary-word\"\n";
    let file = user.file("secret.toml", secret).display().to_string();
    for (part, key) in [("sms", "twilio.auth_token"), ("sandbox", "sandbox.twilio.auth_token")] {
        let shown = user.run(&["config", "show", part, "--origin", "-o", "csv", "--config", &file]).await;
        assert!(shown.out.contains(&format!("\n{key},***,")), "{shown:?}");
        assert!(shown.out.contains("secret.toml") && !shown.out.contains("canary-word"), "{shown:?}");
    }
}

#[tokio::test]
async fn the_healthcheck_exits_with_0_or_1() {
    let (script, server) = Script::start().await;
    let user = User::fresh();
    script.on("GET /livez", of(200, "text/plain", "ok".to_owned()));
    script.on("GET /readyz", of(503, "text/plain", "store away".to_owned()));
    assert_eq!(user.run(&["healthcheck", &server, "--live"]).await.code, 0);
    let unready = user.run(&["healthcheck", &server]).await;
    assert_eq!(unready.code, 1, "{unready:?}");
    assert_eq!(user.run(&["healthcheck", "http://127.0.0.1:1"]).await.code, 1);
}

#[tokio::test]
async fn the_doctor_names_problems_and_fixes() {
    let (script, server) = Script::start().await;
    script.on("GET /v1/couriers", problem(401, "unauthorized", json!([])));
    script.on("GET /v1/couriers", json_of(200, json!({"items": []})));
    let user = User::of(&server);
    let ill = user.run(&["doctor", "-o", "json"]).await;
    assert_eq!(ill.code, 4, "{ill:?}");
    let findings: Value = serde_json::from_str(&ill.out).expect("JSON");
    let queue = findings
        .as_array()
        .expect("a list")
        .iter()
        .find(|finding| finding["what"] == "queue")
        .expect("found");
    assert_eq!(queue["level"], "bad");
    assert!(queue["remedy"].as_str().is_some_and(|remedy| remedy.contains("--token-file")), "{queue}");
    let well = user.run(&["doctor"]).await;
    assert_eq!(well.code, 0, "{well:?}");
    assert!(
        well.out.contains("no courier has ever run") && well.out.contains("posthaste courier email"),
        "{well:?}"
    );
    let away = User::of("http://127.0.0.1:1").run(&["doctor"]).await;
    assert_eq!(away.code, 7, "{away:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_checks_the_store() {
    let (script, server) = Script::start().await;
    script.on("GET /v1/couriers", json_of(200, json!({"items": []})));
    let redis = PrivateServer::builder().line("maxmemory-policy allkeys-lru").start().expect("a server");
    let user = User::of(&server);
    let ill = user.run(&["doctor", "--redis", &redis.url()]).await;
    assert_eq!(ill.code, 3, "{ill:?}");
    assert!(ill.out.contains("maxmemory-policy"), "{ill:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_reports_a_past_rollback_and_writes_nothing() {
    let (script, server) = Script::start().await;
    script.on("GET /v1/couriers", json_of(200, json!({"items": []})));
    let redis = PrivateServer::builder().events("").max_memory(4 << 30).start().expect("a server");
    let settings = posthaste_store::Settings { url: redis.url().into(), ..Default::default() };
    let user = User::of(&server).with("POSTHASTE_REDIS__DURABILITY", "replicated");
    let events = || redis.command(&["CONFIG", "GET", "notify-keyspace-events"]).expect("a reply");
    let written = || redis.info("persistence").expect("a reply")["rdb_changes_since_last_save"].clone();
    let look = async || {
        let before = (written(), events());
        let reported = user.run(&["doctor", "--redis", &redis.url()]).await;
        assert_eq!((written(), events()), before, "the doctor wrote: {reported:?}");
        reported
    };
    let empty = look().await;
    assert!(empty.code == 0 && empty.out.contains("The first process of the installation"), "{empty:?}");
    assert_eq!(redis.command(&["DBSIZE"]).expect("a reply").int(), Some(0));

    let (store, _) =
        posthaste_store::Store::connect(settings, posthaste_store::Role::Tool).await.expect("a store");
    let well = look().await;
    assert!(well.code == 0 && !well.out.contains("went back"), "{well:?}");
    for run in
        ["r1 4 1000000 1763676000000 1200", "r2 1000004 9000000 1763676060000 2300", "r3 9000001 9900000 9"]
    {
        redis.command(&["RPUSH", "runs:{0}", run]).expect("a reply");
    }
    let reported = look().await;
    assert_eq!(reported.code, 0, "{reported:?}");
    let line = "went back by about 3 s at 2025-11-20T22:01:00Z (its server failed over or restarted); nothing \
                confirmed was lost";
    assert!(reported.out.contains(line) && reported.out.contains("once before"), "{reported:?}");
    store.disconnect().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_names_the_server_its_state_and_the_fix() {
    let (script, server) = Script::start().await;
    script.on("GET /v1/couriers", json_of(200, json!({"items": []})));
    let redis = PrivateServer::builder().tcp().max_memory(4 << 30).start().expect("a server");
    let (url, address) = (redis.tcp_url().expect("a URL"), redis.tcp_addr().expect("an address").to_string());
    let user = User::of(&server);
    let set = |name: &str, value: &str| {
        let reply = redis.command(&["CONFIG", "SET", name, value]).expect("an answer");
        assert!(reply.error().is_none(), "{reply:?}");
    };
    let well = user.run(&["doctor", "--redis", &url]).await;
    assert!(
        well.code == 0 && well.out.contains(&format!("{address} responds and accepts writes")),
        "{well:?}"
    );

    let says = async |words: &[&str]| {
        let ill = user.run(&["doctor", "--redis", &url]).await;
        assert_eq!(ill.code, 7, "{ill:?}");
        let whole = ill.out.split_whitespace().collect::<Vec<_>>().join(" ");
        for word in words.iter().chain([&address.as_str()]) {
            assert!(whole.contains(word), "{word}: {ill:?}");
        }
        assert!(!whole.contains("Start Redis"), "it runs: {ill:?}");
    };
    set("save", "3600 1");
    let dump = redis.dir().join("dump.rdb");
    std::fs::create_dir_all(dump.join("in the way")).expect("a folder");
    redis.command(&["BGSAVE"]).expect("an answer");
    posthaste_rig::eventually("the save failed", || {
        match redis.info("persistence").map_err(|error| error.to_string())?.get("rdb_last_bgsave_status") {
            Some(status) if status == "err" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    says(&["cannot write to its disk", "MISCONF", "its last RDB save failed", "Free space on the disk"])
        .await;
    set("save", "");
    set("maxmemory", "1");
    says(&["has no memory left", "used, maxmemory 1 bytes", "Raise maxmemory"]).await;
    set("maxmemory", "4gb");
    set("min-replicas-to-write", "1");
    says(&["has too few replicas", "0 good replicas", "lower min-replicas-to-write"]).await;
    set("min-replicas-to-write", "0");
    redis.command(&["REPLICAOF", "127.0.0.1", "1"]).expect("an answer");
    says(&[
        "is a read-only replica",
        "its primary is 127.0.0.1:1, link down",
        "Point redis.url at the primary",
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_says_why_there_is_no_connection() {
    let (script, server) = Script::start().await;
    script.on("GET /v1/couriers", json_of(200, json!({"items": []})));
    let user = User::of(&server);
    let redis = PrivateServer::builder().tcp().password("canary7361").start().expect("a server");
    let address = redis.tcp_addr().expect("an address");
    let web = server.strip_prefix("http://").expect("an address");
    for (url, code, words) in [
        (
            "redis://127.0.0.1:1".to_owned(),
            7,
            ["127.0.0.1:1", "connection refused", "Start Redis or Valkey there"],
        ),
        (
            "redis://no-such-host.invalid".to_owned(),
            7,
            ["no-such-host.invalid", "unknown host name", "redis.url"],
        ),
        (format!("redis://{address}"), 2, ["NOAUTH", "redis.password", "ACL"]),
        (format!("redis://{web}"), 2, ["does not speak the Redis protocol", "port", "rediss://"]),
    ] {
        let ill = user.run(&["doctor", "--redis", &url]).await;
        assert_eq!(ill.code, code, "{ill:?}");
        for word in words {
            assert!(ill.out.contains(word), "{word}: {ill:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_checks_a_relay_and_the_credentials() {
    let (script, server) = Script::start().await;
    script.on("GET /v1/couriers", json_of(200, json!({"items": []})));
    let mut settings = posthaste_sandbox::Settings::default();
    settings.smtp.auth.required = true;
    settings.smtp.auth.users = [("courier".to_owned(), "right".into())].into();
    let sandbox = posthaste_sandbox::Sandbox::start(settings).await.expect("a relay");
    let user = User::of(&server);
    let check = async |relay: String, password: &str| {
        let text = format!(
            "[smtp]\nrelays = [\"smtp+plain://{relay}\"]\nusername = \"courier\"\npassword = \"{password}\"\n"
        );
        let file = user.file("email.toml", text).display().to_string();
        user.run(&["doctor", "--email", &file]).await
    };
    let well = check(sandbox.smtp().to_string(), "right").await;
    assert!(well.code == 0 && well.out.contains("accepts the credentials"), "{well:?}");
    let ill = check(sandbox.smtp().to_string(), "canary-word").await;
    assert!(ill.code == 7 && ill.out.contains("535"), "{ill:?}");
    assert!(!ill.out.contains("canary-word") && !ill.err.contains("canary-word"), "{ill:?}");
    let away = check("127.0.0.1:1".into(), "right").await;
    assert!(away.code == 7 && away.out.contains("127.0.0.1:1"), "{away:?}");
    assert!(sandbox.messages().is_empty(), "nothing is sent");
}

#[tokio::test]
async fn shells_get_their_completions() {
    let user = User::fresh();
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let written = user.run(&["completion", shell]).await;
        assert!(written.code == 0 && written.out.contains("deliveries"), "{shell}");
        // The file of a courier is optional.
        let may_be_left_out = |line: &str| line.contains("--vk=[") && line.contains("]::FILE:");
        assert!(shell != "zsh" || written.out.lines().any(may_be_left_out), "{shell}");
    }
}

#[tokio::test]
async fn a_key_file_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;

    let user = User::of("http://127.0.0.1:1");
    let everybody = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(user.path("key"), everybody).expect("changed");
    let refused = user.run(&["order", "list"]).await;
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.err.contains("client.token"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_outbox_of_every_channel_is_listed_and_shown() {
    let sandbox =
        posthaste_sandbox::Sandbox::start(posthaste_sandbox::Settings::default()).await.expect("a sandbox");
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let form = |text: &str| [("text", text.to_owned()), ("chat_id", "7".to_owned())];
    let bot = format!("{}/bot42:canary-token/sendMessage", sandbox.telegram().url());
    http.post(bot).form(&form("By a bot")).send().await.expect("an answer");
    let code = "return [API.messages.send({\"peer_ids\":\"7,8,9,999000901\",\"message\":\"By VK\",\"random_id\":1})];";
    let execute = format!("{}/method/execute", sandbox.vk().url());
    let program = [("code", code), ("v", "5.199"), ("access_token", "canary-token")];
    http.post(execute).form(&program).send().await.expect("an answer");
    let gateway = format!("{}/v1/messages", sandbox.gateway().url());
    let sms = json!({"to": "+79990000001", "text": "By SMS"});
    http.post(gateway).bearer_auth("canary-token").json(&sms).send().await.expect("an answer");

    let user = User::fresh();
    let place = format!("http://{}", sandbox.http());
    let list = user.run(&["outbox", "list", "--outbox", &place, "-o", "table"]).await;
    for shown in ["telegram", "By a bot", "vk", "7, 8 and 2 more", "3 of 4", "sms", "+79990000001"] {
        assert!(list.out.contains(shown), "{shown}: {list:?}");
    }
    let one = user.run(&["outbox", "list", "--outbox", &place, "--channel", "sms", "-o", "ndjson"]).await;
    assert_eq!(one.out.lines().count(), 1, "{one:?}");
    let shown = user.run(&["outbox", "show", "2", "--outbox", &place]).await;
    assert!(shown.out.contains("999000901 (901)") && shown.out.contains("By VK"), "{shown:?}");
    let raw = user.run(&["outbox", "show", "2", "--raw", "--outbox", &place]).await;
    assert!(raw.out.contains("peer_ids") && !raw.out.contains("canary"), "{raw:?}");
}
