//! The fake providers over HTTP: their addresses, their faults, and whether they are up.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use posthaste_model::{Clock, SystemClock};
use posthaste_ops::config::HumanDuration;
use serde::{Deserialize, Serialize};

use super::Outbox;
use super::problem::Problem;
use crate::fake_provider::{Control, Magic, MessageFault, MessageFaultView};
use crate::telegram::{Crowd, Does};
use crate::twilio::{Inside, Replied};
use crate::{gateway, telegram, twilio, vk, webhook};

/// All of them.
#[derive(Debug, Clone)]
pub(crate) struct Providers {
    pub(super) all: Arc<[Place]>,
    twilio: Arc<Inside>,
    telegram: Crowd,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) name: &'static str,
    /// Display name.
    pub(super) title: &'static str,
    pub(super) address: SocketAddr,
    pub(super) magic: &'static [Magic],
    control: Arc<dyn Control>,
}

impl Providers {
    pub(crate) fn new(
        telegram: &telegram::TelegramServer,
        vk: &vk::VkServer,
        twilio: &twilio::TwilioServer,
        gateway: &gateway::GatewayServer,
        webhook: &webhook::WebhookServer,
    ) -> Self {
        let place = |name, title, address, magic, control| Place { name, title, address, magic, control };
        let all = [
            place("telegram", "Telegram", telegram.address(), telegram::MAGIC_CHATS, telegram.control()),
            place("vk", "VK", vk.address(), vk::MAGIC_PEERS, vk.control()),
            place("twilio", "Twilio (SMS)", twilio.address(), twilio::MAGIC_NUMBERS, twilio.control()),
            place("gateway", "Gateway (SMS)", gateway.address(), gateway::MAGIC_NUMBERS, gateway.control()),
            place("webhook", "Webhook", webhook.address(), webhook::MAGIC_PATHS, webhook.control()),
        ];
        Self { all: Arc::new(all), twilio: twilio.inside(), telegram: telegram.people() }
    }
}

/// A fake provider, as shown.
#[derive(Debug, Serialize)]
pub(super) struct View {
    name: &'static str,
    url: String,
    /// Whether its port refuses connections.
    down: bool,
    reply_after_ms: u64,
    /// How many requests were received.
    seen: u64,
    faults: Vec<MessageFaultView>,
    magic: &'static [Magic],
}

/// What can be changed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    down: Option<bool>,
    reply_after: Option<HumanDuration>,
}

/// A reply from a person.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reply {
    /// The person's number.
    from: String,
    text: String,
}

/// An action of a person in their chat with a bot.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Done {
    /// The bot; by default the one that made the latest request.
    bot: Option<u64>,
    /// The person's id.
    person: i64,
    does: Does,
}

/// The result.
#[derive(Debug, Serialize)]
pub(super) struct SentUpdate {
    bot: u64,
    update_id: i64,
}

/// Longest delay of answers.
const MOST_WAIT: Duration = Duration::from_secs(600);

impl Place {
    fn view(&self) -> View {
        View {
            name: self.name,
            url: format!("http://{}", self.address),
            down: !self.control.is_open(),
            reply_after_ms: u64::try_from(self.control.reply_after().as_millis()).unwrap_or(u64::MAX),
            seen: self.control.seen(),
            faults: self.control.list_faults(),
            magic: self.magic,
        }
    }
}

impl Outbox {
    fn place(&self, name: &str) -> Result<&Place, Problem> {
        let found = self.providers.all.iter().find(|place| place.name == name);
        found.ok_or_else(|| {
            Problem::not_found("unknown provider; use telegram, vk, twilio, gateway or webhook")
        })
    }
}

type Body<T> = Result<Json<T>, JsonRejection>;

fn read<T>(body: Body<T>) -> Result<T, Problem> {
    body.map(|Json(value)| value)
        .map_err(|rejection| Problem::with_status(rejection.status(), rejection.body_text()))
}

/// `GET /providers`.
pub(super) async fn list(State(outbox): State<Outbox>) -> Json<Vec<View>> {
    Json(outbox.providers.all.iter().map(Place::view).collect())
}

/// `GET /providers/{name}`.
pub(super) async fn one(
    State(outbox): State<Outbox>,
    Path(name): Path<String>,
) -> Result<Json<View>, Problem> {
    Ok(Json(outbox.place(&name)?.view()))
}

/// `PATCH /providers/{name}`: `{"down":true}`, `{"reply_after":"200ms"}`.
pub(super) async fn change(
    State(outbox): State<Outbox>,
    Path(name): Path<String>,
    body: Body<Change>,
) -> Result<Json<View>, Problem> {
    let (place, change) = (outbox.place(&name)?, read(body)?);
    let reply_after = change.reply_after.map(HumanDuration::get);
    if reply_after.is_some_and(|wait| wait > MOST_WAIT) {
        return Err(Problem::invalid("reply_after must be at most 10 minutes"));
    }
    if let Some(wait) = reply_after {
        place.control.set_reply_after(wait);
    }
    if let Some(down) = change.down {
        place.control.want_open(!down);
    }
    Ok(Json(place.view()))
}

/// `GET /providers/{name}/faults`.
pub(super) async fn faults(
    State(outbox): State<Outbox>,
    Path(name): Path<String>,
) -> Result<Json<Vec<MessageFaultView>>, Problem> {
    Ok(Json(outbox.place(&name)?.control.list_faults()))
}

/// `PUT /providers/{name}/faults`: replaces all faults.
pub(super) async fn replace(
    State(outbox): State<Outbox>,
    Path(name): Path<String>,
    body: Body<Vec<MessageFault>>,
) -> Result<Json<Vec<MessageFaultView>>, Problem> {
    let (place, faults) = (outbox.place(&name)?, read(body)?);
    place.control.replace_faults(faults).map_err(|error| Problem::invalid(error.to_string()))?;
    Ok(Json(place.control.list_faults()))
}

/// `POST /providers/{name}/faults`: adds one.
pub(super) async fn add(
    State(outbox): State<Outbox>,
    Path(name): Path<String>,
    body: Body<MessageFault>,
) -> Result<Json<Vec<MessageFaultView>>, Problem> {
    let (place, fault) = (outbox.place(&name)?, read(body)?);
    place.control.add_fault(fault).map_err(|error| Problem::invalid(error.to_string()))?;
    Ok(Json(place.control.list_faults()))
}

/// `DELETE /providers/{name}/faults`.
pub(super) async fn clear(
    State(outbox): State<Outbox>,
    Path(name): Path<String>,
) -> Result<Json<Vec<MessageFaultView>>, Problem> {
    let place = outbox.place(&name)?;
    place.control.replace_faults(Vec::new()).map_err(|error| Problem::invalid(error.to_string()))?;
    Ok(Json(Vec::new()))
}

/// `DELETE /providers/{name}/faults/{id}`.
pub(super) async fn remove(
    State(outbox): State<Outbox>,
    Path((name, id)): Path<(String, String)>,
) -> Result<Json<Vec<MessageFaultView>>, Problem> {
    let place = outbox.place(&name)?;
    match place.control.remove_fault(&id) {
        true => Ok(Json(place.control.list_faults())),
        false => Err(Problem::not_found("no fault has this id")),
    }
}

/// `POST /providers/twilio/replies`: `{"from":"+15005550100","text":"STOP"}`. Answers once the webhook has been
/// called.
pub(super) async fn reply(State(outbox): State<Outbox>, body: Body<Reply>) -> Result<Json<Replied>, Problem> {
    let Reply { from, text } = read(body)?;
    if text.chars().count() > 1_600 {
        return Err(Problem::invalid("text must be at most 1,600 characters"));
    }
    let replied = outbox.providers.twilio.reply(&from, &text).await;
    replied.map(Json).ok_or_else(|| Problem::invalid("from must be a phone number such as +15005550100"))
}

/// `POST /providers/telegram/people`: `{"person":1001,"does":"block"}`, `"unblock"`, or `{"write":"/start"}`.
pub(super) async fn does(
    State(outbox): State<Outbox>,
    body: Body<Done>,
) -> Result<Json<SentUpdate>, Problem> {
    let Done { bot, person, does } = read(body)?;
    if !(1..1 << 52).contains(&person) {
        return Err(Problem::invalid("person must be the id of a person, such as 1001"));
    }
    if matches!(&does, Does::Write(text) if text.is_empty() || text.chars().count() > 4_096) {
        return Err(Problem::invalid("the message must have 1 to 4,096 characters"));
    }
    let reported = outbox.providers.telegram.does(bot, person, &does, SystemClock.now());
    let reported = reported.map(|(bot, update_id)| Json(SentUpdate { bot, update_id }));
    reported.ok_or_else(|| Problem::invalid("bot is missing, and no bot has made a request yet"))
}
