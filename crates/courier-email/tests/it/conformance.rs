//! The suite every channel must pass.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use posthaste_courier::Transport;
use posthaste_courier::conformance::{
    self, Behaviour, Bench, Shown, TakenMessage, TextCase, TextFate, Toward, sample,
};
use posthaste_model::{Address, Content, Delivery, Text};
use posthaste_rig::{Fsync, PrivateServer};
use tokio::time::Instant;

use crate::house::transport;
use crate::server::{Act, Kind, Plan, Server, Step};

struct SmtpBench {
    server: Server,
}

#[async_trait]
impl Bench for SmtpBench {
    async fn transport(&self) -> Arc<dyn Transport> {
        let set = [("smtp.username", "user"), ("smtp.password", "secret"), ("smtp.max_connections", "16")];
        Arc::new(transport(&[self.server.url()], &set))
    }

    async fn behave(&self, behaviour: Behaviour, toward: Toward<'_>) -> Shown {
        let plan = match behaviour {
            Behaviour::Accept | Behaviour::Unreachable => Plan::default(),
            Behaviour::Refuse => Plan::says(Step::Text, "554 5.7.1 refused"),
            Behaviour::RefuseForNow => Plan::says(Step::Rcpt, "451 4.3.0 not now"),
            Behaviour::Throttle(wait) => {
                let reply = format!("450 4.7.1 too fast, try again in {} seconds", wait.as_secs());
                Plan::says(Step::Rcpt, &reply)
            }
            Behaviour::SuppressAddress => Plan::says(Step::Rcpt, "550 5.1.1 no such user"),
            Behaviour::Hang => Plan::at(Step::Text, Act::Hang),
            Behaviour::ResetAfterRequest => Plan::at(Step::Text, Act::Close),
            Behaviour::AcceptThenLoseAnswer => Plan::at(Step::Text, Act::TakeAndClose),
            Behaviour::BadCredential => {
                let mut plan = Plan::says(Step::Auth, "535 5.7.8 bad credential");
                plan.acts.insert(Step::Mail, Act::Say("530 5.7.0 authentication required".to_owned()));
                plan
            }
            Behaviour::Garbage => Plan::says(Step::Text, "what is this"),
        };
        self.server.plan(Plan { only: toward.only(), ..plan });
        let away = behaviour == Behaviour::Unreachable;
        self.server.state.away.store(away, Ordering::SeqCst);
        if away {
            self.server.cut().await;
        }
        Shown::Yes
    }

    async fn taken(&self) -> Vec<TakenMessage> {
        let taken = self.server.taken().into_iter().map(|mail| {
            let message = mail.read();
            TakenMessage {
                identity: message.message_id().map(str::to_owned),
                text: message.body_text(0).map(Text::new),
                ..TakenMessage::new(Address::new(mail.to.concat()))
            }
        });
        taken.collect()
    }

    async fn arrivals(&self) -> Vec<Instant> {
        self.server.state.arrivals.lock().unwrap().clone()
    }

    fn delivery(&self, n: u32) -> Delivery {
        Delivery { name: format!("Имя {n}"), ..sample::delivery(n, format!("n{n}@mail.example")) }
    }

    fn texts(&self) -> Vec<TextCase> {
        let html = |html: &str, text: &str| Content {
            text: Text::new(text),
            html: Text::new(html),
            subject: Text::new("Тема"),
            ..Content::default()
        };
        let long = Text::new("ж".repeat(12 << 20));
        let broken = Text::new("x\r\nBcc: v@mail.example");
        vec![
            TextCase { what: "two parts", content: html("<p>x</p>", "x"), fate: TextFate::Taken },
            TextCase { what: "HTML alone", content: html("<p>x</p>", ""), fate: TextFate::Taken },
            TextCase {
                what: "larger than may be",
                content: Content { text: long, ..Content::default() },
                fate: TextFate::Rejected,
            },
            TextCase {
                what: "a subject with a line end",
                content: Content { subject: broken, text: Text::new("x"), ..Content::default() },
                fate: TextFate::Rejected,
            },
        ]
    }

    fn patience(&self) -> Duration {
        posthaste_rig::patience()
    }
}

async fn passes(pipelining: bool) {
    let kind = Kind { pipelining, credentials: Some(("user", "secret")), ..Kind::default() };
    let bench = SmtpBench { server: Server::start(kind).await };
    let redis = PrivateServer::builder().fsync(Fsync::Off).max_memory(4 << 30).start().unwrap();
    let report = conformance::run(&bench, &redis.url()).await.unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(report.not_shown, []);
}

#[tokio::test]
async fn the_channel_passes_the_suite() {
    passes(false).await;
}

#[tokio::test]
async fn the_channel_passes_the_suite_with_commands_in_groups() {
    passes(true).await;
}
