//! TLS, STARTTLS and AUTH.

use std::sync::Arc;

use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use posthaste_sandbox::{
    Action, AttemptStage, Fault, Protocol, RefusalAnswer, Sandbox, Settings, SmtpFacts, Tolerance,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::client::{Client, attempts, start};

fn facts(sandbox: &Sandbox) -> SmtpFacts {
    match &sandbox.messages().pop().unwrap().protocol {
        Protocol::Smtp(facts) => facts.clone(),
        _ => panic!("another protocol"),
    }
}

fn message() -> Message {
    let from = "from@client.test".parse().unwrap();
    let builder = Message::builder().from(from).to("ann@example.org".parse().unwrap()).subject("Hello");
    builder.body("Hello\n.\nend".to_owned()).unwrap()
}

fn connector(sandbox: &Sandbox) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(sandbox.certificate_pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

#[tokio::test]
async fn a_usual_client_sends_with_starttls_and_with_tls_and_authenticates() {
    let mut settings = Settings::default();
    settings.smtp.auth.required = true;
    settings.smtp.auth.only_over_tls = true;
    settings.smtp.auth.users.insert("courier".into(), "s3cret".into());
    let sandbox = Sandbox::start(settings).await.unwrap();
    let trust = || {
        let authority = Certificate::from_pem(sandbox.certificate_pem().as_bytes()).unwrap();
        TlsParameters::builder("localhost".into()).add_root_certificate(authority).build_rustls().unwrap()
    };
    for mechanism in [Mechanism::Plain, Mechanism::Login] {
        for (port, tls) in
            [(sandbox.smtp().port(), Tls::Required(trust())), (sandbox.smtps().port(), Tls::Wrapper(trust()))]
        {
            let transport = |password: &str| {
                AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous("127.0.0.1")
                    .port(port)
                    .tls(tls.clone())
                    .credentials(Credentials::new("courier".into(), password.into()))
                    .authentication(vec![mechanism])
                    .build()
            };
            transport("s3cret").send(message()).await.unwrap();
            let facts = facts(&sandbox);
            assert_eq!((facts.tls, facts.user.as_deref()), (true, Some("courier")));
            let refused = transport("wrong").send(message()).await.unwrap_err();
            assert_eq!(refused.status().map(|code| code.to_string()).as_deref(), Some("535"));
        }
    }
    let message = sandbox.messages().remove(0);
    let text = String::from_utf8(message.message().into_owned()).unwrap();
    assert!(text.contains("\r\n\r\nHello\r\n.\r\nend\r\n"), "{text:?}");
    assert!(!message.dialogue.expose().contains("czNjcmV0"), "{}", message.dialogue.expose());
}

#[tokio::test]
async fn clear_text_after_starttls_is_discarded() {
    let sandbox = start().await;
    let mut client = Client::ready(&sandbox).await;
    client.send("STARTTLS\r\nMAIL FROM:<injected@client.test>\r\n").await;
    assert_eq!(client.reply().await.0, 220);
    let stream = client.0.into_inner();
    let name = ServerName::try_from("localhost").unwrap();
    let encrypted = connector(&sandbox).connect(name, stream).await.unwrap();
    let mut client = Client::over(encrypted);
    client.expect("RCPT TO:<ann@example.org>", 503).await;
    client.expect("MAIL FROM:<a@b.test>", 503).await;
    let said = client.expect("EHLO client.test", 250).await;
    assert!(!said.contains("STARTTLS") && said.contains("AUTH"), "{said}");
    client.message("ann@example.org").await;
    assert_eq!(client.reply().await.0, 250);
    assert!(facts(&sandbox).tls);
}

#[tokio::test]
async fn a_strict_server_ends_it_when_something_follows_starttls() {
    let mut settings = Settings::default();
    settings.smtp.tolerance = Tolerance::Strict;
    let sandbox = Sandbox::start(settings).await.unwrap();
    let mut client = Client::ready(&sandbox).await;
    client.send("STARTTLS\r\nNOOP\r\n").await;
    assert_eq!(client.reply().await.0, 503);
    client.ending().await.unwrap();
}

#[tokio::test]
async fn the_certificate_is_for_its_names_alone() {
    let sandbox = start().await;
    for (name, fits) in [("sandbox.test", true), ("127.0.0.1", true), ("mail.example.org", false)] {
        let stream = TcpStream::connect(sandbox.smtps()).await.unwrap();
        let connected = connector(&sandbox).connect(ServerName::try_from(name).unwrap(), stream).await;
        assert_eq!(connected.is_ok(), fits, "{name}");
    }
}

#[tokio::test]
async fn failed_authentication_is_refused_and_recorded_without_the_password() {
    let mut settings = Settings::default();
    settings.smtp.auth.required = true;
    settings.smtp.auth.users.insert("courier".into(), "s3cret".into());
    let sandbox = Sandbox::start(settings).await.unwrap();
    let mut client = Client::ready(&sandbox).await;
    client.expect("MAIL FROM:<a@b.test>", 530).await;
    client.expect("AUTH CRAM-MD5", 504).await;
    client.expect("AUTH PLAIN *", 501).await;
    client.expect("AUTH PLAIN", 334).await;
    client.expect("*", 501).await;
    client.expect("AUTH LOGIN", 334).await;
    client.expect("Y291cmllcg==", 334).await;
    client.expect("Y2FuYXJ5", 535).await;
    client.expect("AUTH PLAIN AGNvdXJpZXIAczNjcmV0", 235).await;
    client.expect("AUTH PLAIN AGNvdXJpZXIAczNjcmV0", 503).await;
    client.message("ann@example.org").await;
    assert_eq!(client.reply().await.0, 250);
    let attempts = attempts(&sandbox, 3).await;
    let stages: Vec<_> =
        attempts.iter().map(|attempt| (attempt.outcome.stage, attempt.outcome.code)).collect();
    assert_eq!(
        stages,
        [(AttemptStage::Mail, Some(530)), (AttemptStage::Auth, Some(535)), (AttemptStage::Dot, Some(250))]
    );
    for attempt in attempts {
        let dialogue = attempt.dialogue.expose();
        assert!(!dialogue.contains("Y2FuYXJ5") && !dialogue.contains("czNjcmV0"), "{dialogue}");
    }
}

#[tokio::test]
async fn a_fault_can_break_starttls() {
    let sandbox = start().await;
    sandbox.add_fault(Fault::new(AttemptStage::Starttls, Action::Refuse(RefusalAnswer::of(454)))).unwrap();
    Client::ready(&sandbox).await.expect("STARTTLS", 454).await;
    sandbox.set_faults(vec![Fault::new(AttemptStage::Starttls, Action::Reset)]).unwrap();
    let mut client = Client::ready(&sandbox).await;
    client.send("STARTTLS\r\n").await;
    client.ending().await.unwrap_err();
}

#[tokio::test]
async fn noise_instead_of_a_handshake_harms_nobody() {
    let sandbox = start().await;
    let mut client = Client::over(TcpStream::connect(sandbox.smtps()).await.unwrap());
    client.send("EHLO client.test\r\n".repeat(100)).await;
    let _ = client.ending().await;
    let stream = TcpStream::connect(sandbox.smtps()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = Client::over(connector(&sandbox).connect(name, stream).await.unwrap());
    assert_eq!(client.reply().await.0, 220);
}
