//! STARTTLS, TLS from the first byte, AUTH, and untrusted relays.

use std::fs;
use std::sync::Arc;

use posthaste_courier::{Outcome, Transport};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;

use crate::house::{envelope, send, transport};
use crate::server::{Kind, Plan, Server, Step};

/// A certificate for localhost: an acceptor, and a file with the certificate to trust.
fn certificate() -> (TlsAcceptor, TempDir, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a configuration");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ca.pem");
    fs::write(&file, made.cert.pem()).expect("a file");
    let name = file.display().to_string();
    (TlsAcceptor::from(Arc::new(config)), folder, name)
}

#[tokio::test]
async fn messages_go_under_tls_of_both_kinds_with_auth() {
    for implicit in [false, true] {
        for pipelining in [false, true] {
            let (tls, _folder, ca) = certificate();
            let credentials = Some(("user", "secret"));
            let server =
                Server::start(Kind { pipelining, credentials, tls: Some(tls), implicit, ..Kind::default() })
                    .await;
            let set = [("smtp.ca_file", ca.as_str()), ("smtp.username", "user"), ("smtp.password", "secret")];
            let transport = transport(&[server.url()], &set);
            assert_eq!(transport.check().await, Ok(()));
            for _ in 0..2 {
                assert_eq!(send(&transport, &envelope("a@mail.example")).await, Outcome::Sent);
            }
            assert_eq!(server.taken().len(), 2);
            let wrong =
                [("smtp.ca_file", ca.as_str()), ("smtp.username", "user"), ("smtp.password", "wrong")];
            let refused = crate::house::transport(&[server.url()], &wrong);
            let outcome = send(&refused, &envelope("a@mail.example")).await;
            assert!(
                matches!(&outcome, Outcome::Stop(why) if why.contains("535 5.7.8 to AUTH")),
                "{outcome:?}"
            );
            let why = refused.check().await.expect_err("a bad credential");
            assert!(!why.contains("wrong") && !why.contains("user"), "{why}");
        }
    }
}

#[tokio::test]
async fn nothing_is_said_to_a_relay_that_can_not_be_trusted() {
    for implicit in [false, true] {
        let ((tls, _folder, _), (_, _other, ca)) = (certificate(), certificate());
        let server = Server::start(Kind { tls: Some(tls), implicit, ..Kind::default() }).await;
        let set = [("smtp.ca_file", ca.as_str()), ("smtp.username", "user"), ("smtp.password", "secret")];
        let transport = transport(&[server.url()], &set);
        let outcome = send(&transport, &envelope("a@mail.example")).await;
        assert!(matches!(outcome, Outcome::NotSent { .. }), "{outcome:?}");
        let why = transport.check().await.expect_err("an untrusted certificate");
        assert!(why.contains("certificate"), "{why}");
        let said = server.verbs();
        assert!(!said.iter().any(|verb| verb == "AUTH" || verb == "MAIL"), "{said:?}");
    }
}

#[tokio::test]
async fn a_relay_without_starttls_gets_nothing() {
    let (tls, _folder, ca) = certificate();
    let server = Server::start(Kind { tls: Some(tls), ..Kind::default() }).await;
    let set = [("smtp.ca_file", ca.as_str()), ("smtp.username", "user"), ("smtp.password", "secret")];
    let transport = transport(&[server.url()], &set);
    for plan in [
        // An attacker removed the offer.
        Plan::says(Step::Ehlo, "250-localhost\r\n250-AUTH PLAIN\r\n250 8BITMIME"),
        Plan::says(Step::StartTls, "454 4.7.0 not now"),
        Plan::says(Step::StartTls, "501 what"),
    ] {
        server.plan(plan.clone());
        let outcome = send(&transport, &envelope("a@mail.example")).await;
        assert!(matches!(outcome, Outcome::NotSent { .. } | Outcome::Stop(_)), "{plan:?}: {outcome:?}");
    }
    let said = server.verbs();
    assert!(!said.iter().any(|verb| verb == "AUTH" || verb == "MAIL"), "{said:?}");
}

/// Plain text after the reply to STARTTLS must not be read as replies under TLS (RFC 3207).
#[tokio::test]
async fn answers_that_came_before_tls_end_the_connection() {
    let refuses = "550 5.1.1 no such user";
    for (injected, says) in [
        // A rejected message would be reported as sent.
        ("250-localhost\r\n250 SIZE 1\r\n250 ok\r\n250 ok\r\n354 go\r\n250 2.0.0 taken", refuses),
        // A valid address would be suppressed.
        ("250-localhost\r\n250 SIZE 1\r\n250 ok\r\n550 5.1.1 no such user", "250 2.1.5 ok"),
        // An attacker would decide what the relay offers.
        ("250-localhost\r\n250 AUTH PLAIN", "250 2.1.5 ok"),
        ("2", "250 2.1.5 ok"),
    ] {
        for pipelining in [false, true] {
            let (tls, _folder, ca) = certificate();
            let server = Server::start(Kind { tls: Some(tls), pipelining, ..Kind::default() }).await;
            let mut plan = Plan::says(Step::StartTls, &format!("220 2.0.0 go\r\n{injected}"));
            plan.acts.extend(Plan::says(Step::Rcpt, says).acts);
            server.plan(plan);
            let set = [("smtp.ca_file", ca.as_str()), ("smtp.username", "user"), ("smtp.password", "secret")];
            let transport = transport(&[server.url()], &set);
            let outcome = send(&transport, &envelope("a@mail.example")).await;
            assert!(matches!(outcome, Outcome::NotSent { .. }), "{injected:?}: {outcome:?}");
            let why = transport.check().await.expect_err("injected answers");
            assert!(why.contains("RFC 3207") && !why.contains("SIZE"), "{why}");
            let said = server.verbs();
            assert!(said.iter().all(|verb| verb == "EHLO" || verb == "STARTTLS"), "{said:?}");
        }
    }
}
