//! The page of one message.

use std::fmt::Write as _;

use axum::extract::{Path, State};
use axum::response::Response;

use super::Outbox;
use super::api::{find, moment};
use super::message;
use super::page::{became, channel, clock};
use super::problem::Problem;
use super::style::{escape, html};
use crate::record::{Attempt, AttemptRecipient, HttpFacts, Protocol, SmtpFacts};

/// `GET /view/{id}`.
pub(super) async fn view(State(outbox): State<Outbox>, Path(id): Path<String>) -> Result<Response, Problem> {
    let attempt = find(&outbox, &id)?;
    let id = attempt.id;
    let title = match &attempt.protocol {
        Protocol::Smtp(_) => message::subject(&attempt).unwrap_or_else(|| "No subject".to_owned()),
        Protocol::Http(_) => format!("{} {id}", channel(attempt.channel.as_str())),
    };
    let mut body = format!(
        "<p><a href=\"/\">Outbox</a></p><h1>{}</h1><p class=quiet>{} · {} · {} bytes · <a href=\"/outbox/{id}/raw\">raw\
         </a> · <a href=\"/outbox/{id}\">JSON</a></p>",
        escape(&title),
        clock(attempt.at),
        became(&attempt),
        attempt.size,
    );
    match &attempt.protocol {
        Protocol::Smtp(facts) => mail(&mut body, &attempt, facts),
        Protocol::Http(facts) => short(&mut body, &attempt, facts),
    }
    Ok(html(&title, &body))
}

fn mail(body: &mut String, attempt: &Attempt, facts: &SmtpFacts) {
    let taken = message::taken(attempt);
    let _ = write!(body, "<table><tr><th>Envelope sender<td>{}", escape(attempt.sender.expose()));
    for to in attempt.recipients.iter() {
        let _ = write!(
            body,
            "<tr><th>Envelope recipient<td>{} <span class=quiet>{}</span>",
            escape(to.address.expose()),
            to.code
        );
    }
    for header in &taken.headers {
        let _ = write!(body, "<tr><th>{}<td>{}", escape(&header.name), escape(&header.value));
    }
    body.push_str("</table>");
    if let Some(text) = &taken.text {
        let _ = write!(body, "<h2>Text</h2><pre>{}</pre>", escape(text));
    }
    if let Some(page) = &taken.html {
        // Sandboxed without any permission, and under the policy of this page: it can neither run nor load anything.
        let _ = write!(
            body,
            "<h2>HTML</h2><iframe sandbox title=\"HTML part\" srcdoc=\"{}\"></iframe>",
            escape(page)
        );
    }
    conversation(body, attempt, if facts.tls { ", encrypted" } else { ", not encrypted" });
}

fn short(body: &mut String, attempt: &Attempt, facts: &HttpFacts) {
    let _ = write!(body, "<div class=bubble>{}</div>", escape(facts.text.expose()));
    let _ = write!(body, "<h2>Request</h2><table><tr><th>Provider<td>{}", escape(facts.provider));
    let _ = write!(body, "<tr><th>Method<td>{}", escape(&facts.method));
    if !attempt.sender.expose().is_empty() {
        let _ = write!(body, "<tr><th>From<td>{}", escape(attempt.sender.expose()));
    }
    if let Some(order) = &attempt.order {
        let _ = write!(body, "<tr><th>Order<td>{}", escape(order));
    }
    body.push_str("</table><h2>Recipients</h2><table><thead><tr><th>To<th>Result<th>Id</thead><tbody>");
    for to in attempt.recipients.iter() {
        let _ = write!(
            body,
            "<tr><td>{}<td>{}<td class=quiet>{}",
            escape(to.address.expose()),
            said(to),
            escape(to.id.as_deref().unwrap_or_default())
        );
    }
    body.push_str("</tbody></table>");
    if !facts.statuses.is_empty() {
        body.push_str("<h2>Statuses</h2><table><thead><tr><th>Time<th>Status<th>Callback</thead><tbody>");
        for later in &facts.statuses {
            let code = later.code.map(|code| format!(" {code}")).unwrap_or_default();
            let _ = write!(
                body,
                "<tr><td class=fit>{}<td>{}{code}<td>{}",
                moment(posthaste_model::UnixMs(later.at)),
                escape(&later.status),
                later.callback.replace('_', " ")
            );
        }
        body.push_str("</tbody></table>");
    }
    conversation(body, attempt, "");
}

fn conversation(body: &mut String, attempt: &Attempt, how: &str) {
    let _ = write!(
        body,
        "<h2>Conversation</h2><p class=quiet>Connection {} from {}{how}</p><pre>{}</pre>",
        attempt.connection,
        attempt.peer,
        escape(attempt.dialogue.expose())
    );
}

/// The meaning of a recipient's code.
fn said(to: &AttemptRecipient) -> String {
    match to.code {
        0 => "<span class=bad>no answer</span>".to_owned(),
        _ if !to.is_taken() => format!("<span class=bad>error {}</span>", to.code),
        _ if to.is_new() => "<span class=good>accepted</span>".to_owned(),
        _ => "repeat dropped".to_owned(),
    }
}
