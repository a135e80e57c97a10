//! A plain page that lists messages. No scripts, and nothing loaded from elsewhere: the policy in its headers forbids
//! it, also for the content of a message.

use std::fmt::Write as _;

use axum::extract::State;
use axum::response::Response;
use posthaste_model::{CHANNELS, ChannelDescriptor, channels};

use super::Outbox;
use super::api::page;
use super::message;
use super::query::Wanted;
use super::style::{escape, html, percent};
use crate::faults::MAGIC_NAMES;
use crate::record::{Attempt, AttemptRecipient, Ending, Protocol, RecordCounts};

const USUAL: usize = 100;

/// Display name of a channel.
pub(super) fn channel(name: &str) -> String {
    channels::find(name).map_or_else(|| name.to_owned(), ChannelDescriptor::title)
}

/// `GET /`: newest first.
pub(super) async fn list(State(outbox): State<Outbox>, wanted: Wanted) -> Response {
    let (found, next) = page(&outbox, &wanted, USUAL);
    let counts = outbox.record.counts();
    let totals = counts.totals;
    let mut body = format!(
        "<h1>Outbox</h1><p>{} messages accepted, {} refused, {} cut, {} left. Nothing leaves this sandbox.</p>",
        totals.messages, totals.refused, totals.cut, totals.left
    );
    tabs(&mut body, &wanted, &counts);
    form(&mut body, &wanted);
    if found.is_empty() {
        body.push_str("<p>No messages yet.</p>");
    } else {
        body.push_str(
            "<table class=rows><thead><tr><th>Time<th>Channel<th>To<th>Message<th>Result</thead><tbody>",
        );
        for attempt in &found {
            row(&mut body, attempt);
        }
        body.push_str("</tbody></table>");
    }
    if let Some(next) = next {
        let _ = write!(
            body,
            "<p><a href=\"/?cursor={next}{}\">Older</a></p>",
            filter(&wanted, wanted.channel.as_deref())
        );
    }
    magic(&mut body, &outbox);
    html("Outbox", &body)
}

fn tabs(body: &mut String, wanted: &Wanted, counts: &RecordCounts) {
    let is = |name: Option<&str>| if wanted.channel.as_deref() == name { " aria-current=page" } else { "" };
    let _ = write!(body, "<nav><a href=\"/?{}\"{}>All</a>", filter(wanted, None), is(None));
    for name in CHANNELS.iter().map(|channel| channel.name) {
        let messages = counts.channels.get(name).map_or(0, |totals| totals.messages);
        let _ = write!(
            body,
            "<a href=\"/?{}\"{}>{} <span class=quiet>{messages}</span></a>",
            filter(wanted, Some(name)),
            is(Some(name)),
            channel(name)
        );
    }
    body.push_str("</nav>");
}

/// The filter as it stands in a query, with this channel.
fn filter(wanted: &Wanted, channel: Option<&str>) -> String {
    let mut query = String::new();
    let mut add = |name: &str, value: &str| {
        let _ = write!(query, "&amp;{name}={}", percent(value));
    };
    if let Some(channel) = channel {
        add("channel", channel);
    }
    if wanted.all {
        add("all", "true");
    }
    if let Some(to) = &wanted.to {
        add("to", to.as_str());
    }
    query
}

fn form(body: &mut String, wanted: &Wanted) {
    let to = wanted.to.as_ref().map(|to| to.as_str()).unwrap_or_default();
    let checked = if wanted.all { " checked" } else { "" };
    body.push_str("<form>");
    if let Some(channel) = &wanted.channel {
        let _ = write!(body, "<input type=hidden name=channel value=\"{}\">", escape(channel));
    }
    let _ = write!(
        body,
        "<label>To <input name=to value=\"{}\" placeholder=\"*@example.org\"></label> \
         <label><input type=checkbox name=all value=true{checked}> also messages not accepted</label> \
         <button>Show</button></form>",
        escape(to)
    );
}

fn row(body: &mut String, attempt: &Attempt) {
    let text = message::snippet(attempt);
    let text = text.as_deref().unwrap_or(match attempt.protocol {
        Protocol::Smtp(_) => "No subject",
        Protocol::Http(_) => "No text",
    });
    let first = attempt.recipients.first().map_or("", |to| to.address.expose());
    let more = match attempt.recipients.len() {
        0 | 1 => String::new(),
        n => format!(" and {} more", n - 1),
    };
    let _ = write!(
        body,
        "<tr><td class=fit>{}<td class=fit>{}<td class=to>{}{more}<td><a href=\"/view/{}\">{}</a><td>{}",
        clock(attempt.at),
        escape(&channel(attempt.channel.as_str())),
        escape(first),
        attempt.id,
        escape(text),
        became(attempt)
    );
}

/// A time for display: to the second, in UTC.
pub(super) fn clock(at: posthaste_model::UnixMs) -> String {
    let at = i64::try_from(at.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map(|at| at.strftime("%Y-%m-%d %H:%M:%S").to_string()).unwrap_or_default()
}

/// The result of an attempt, as HTML: its ending, for how many recipients, and the last later status.
pub(super) fn became(attempt: &Attempt) -> String {
    let outcome = attempt.outcome;
    let class = match outcome.ending {
        Ending::Accepted => "good",
        Ending::Taken => "quiet",
        Ending::Refused | Ending::Cut | Ending::Left => "bad",
    };
    let code = outcome.code.map(|code| format!(" {code}")).unwrap_or_default();
    let mut text = format!("<span class={class}>{}{code}</span>", outcome.ending.as_str());
    match &attempt.protocol {
        Protocol::Smtp(_) => {
            let _ = write!(text, " at {}", outcome.stage.as_str());
        }
        Protocol::Http(facts) => {
            let count = |wanted: fn(&AttemptRecipient) -> bool| {
                attempt.recipients.iter().filter(|to| wanted(to)).count()
            };
            let (taken, new) = (count(AttemptRecipient::is_taken), count(AttemptRecipient::is_new));
            if attempt.recipients.len() > 1 {
                let _ = write!(text, ", {taken} of {}", attempt.recipients.len());
            }
            if new < taken {
                let _ = write!(text, ", {} repeats dropped", taken - new);
            }
            if let Some(later) = facts.statuses.last() {
                let code = later.code.map(|code| format!(" {code}")).unwrap_or_default();
                let class = if later.code.is_some() { "bad" } else { "good" };
                let _ = write!(text, ", <span class={class}>{}{code}</span>", escape(&later.status));
            }
        }
    }
    text
}

fn magic(body: &mut String, outbox: &Outbox) {
    body.push_str(
        "<h2>Recipients that fail on request</h2><details><summary>E-mail</summary><p>As <code>name@example.org</code>, \
         <code>ann+name@example.org</code> or <code>ann@name.test</code>; with <code>-once</code> behind the name the \
         first time only.</p><table>",
    );
    for magic in MAGIC_NAMES {
        let _ =
            write!(body, "<tr><td class=fit><code>{}</code><td>{}", escape(magic.name), escape(magic.does));
    }
    body.push_str("</table></details>");
    for place in outbox.providers.all.iter() {
        let _ = write!(
            body,
            "<details><summary>{}</summary><p>It listens on <code>http://{}</code>. Faults can be set too: \
             <code>POST /providers/{}/faults</code>, and <code>PATCH /providers/{}</code> with \
             <code>{{\"down\":true}}</code> or <code>{{\"reply_after\":\"200ms\"}}</code>.</p>",
            place.title, place.address, place.name, place.name
        );
        if place.name == "telegram" {
            body.push_str(
                "<p>A person blocks the bot with <code>POST /providers/telegram/people</code> and \
                 <code>{\"person\":1001,\"does\":\"block\"}</code>; <code>\"unblock\"</code> and \
                 <code>{\"write\":\"/start\"}</code> are known too.</p>",
            );
        }
        if place.name == "twilio" {
            body.push_str(
                "<p>A person replies with <code>POST /providers/twilio/replies</code> and \
                 <code>{\"from\":\"+15005550100\",\"text\":\"STOP\"}</code>.</p>",
            );
        }
        body.push_str("<table>");
        for magic in place.magic {
            let _ = write!(
                body,
                "<tr><td class=fit><code>{}</code><td>{}",
                escape(magic.name),
                escape(magic.does)
            );
        }
        body.push_str("</table></details>");
    }
}
