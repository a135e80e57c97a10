//! A plain page to list and read messages. No script, and nothing from elsewhere: the policy in its headers forbids it
//! also to what a message brings along.

use std::fmt::Write as _;

use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::Outbox;
use super::api::{find, moment, page};
use super::message;
use super::problem::Problem;
use super::query::Wanted;
use crate::faults::MAGIC_NAMES;
use crate::record::{Attempt, Protocol};

const USUAL: usize = 100;

/// Scripts, frames of others, forms to others, images from elsewhere: nothing of it.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; \
                      base-uri 'none'; frame-ancestors 'none'";

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;\
    color:#1b1b1b;background:#fff}table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3rem .8rem \
    .3rem 0;border-bottom:1px solid #ddd;vertical-align:top}pre{white-space:pre-wrap;overflow-wrap:anywhere;\
    background:#f5f5f5;padding:1rem}iframe{width:100%;height:30rem;border:1px solid #ccc;background:#fff}\
    a{color:#0b57d0}.quiet{color:#595959}input,button,select{font:inherit;padding:.2rem .5rem}\
    @media(prefers-color-scheme:dark){body{color:#eee;background:#161616}pre{background:#222}th,td{border-color:#444}\
    a{color:#8ab4f8}.quiet{color:#aaa}}";

/// `GET /`: newest first.
pub(super) async fn list(State(outbox): State<Outbox>, wanted: Wanted) -> Response {
    let (found, next) = page(&outbox, &wanted, USUAL);
    let totals = outbox.record.counts().totals;
    let mut body = format!(
        "<h1>Outbox</h1><p>{} messages taken, {} refused, {} cut, {} left. Nothing leaves this sandbox.</p>",
        totals.messages, totals.refused, totals.cut, totals.left
    );
    let to = query_text(&wanted);
    let checked = if wanted.all { " checked" } else { "" };
    let _ = write!(
        body,
        "<form><label>To <input name=to value=\"{}\" placeholder=\"*@example.org\"></label> \
         <label><input type=checkbox name=all value=true{checked}> also what was not taken</label> \
         <button>Show</button></form>",
        escape(&to)
    );
    if found.is_empty() {
        body.push_str("<p>There is nothing here yet.</p>");
    } else {
        body.push_str("<table><thead><tr><th>Time<th>To<th>Subject<th>How it ended</thead><tbody>");
        for attempt in &found {
            row(&mut body, attempt);
        }
        body.push_str("</tbody></table>");
    }
    if let Some(next) = next {
        let all = if wanted.all { "&amp;all=true" } else { "" };
        let to = if to.is_empty() { String::new() } else { format!("&amp;to={}", percent(&to)) };
        let _ = write!(body, "<p><a href=\"/?cursor={next}{all}{to}\">Older</a></p>");
    }
    body.push_str(
        "<details><summary>Recipients that fail on request</summary><p>As <code>name@example.org</code>, \
         <code>ann+name@example.org</code> or <code>ann@name.test</code>; with <code>-once</code> behind the name the \
         first time only.</p><table>",
    );
    for magic in MAGIC_NAMES {
        let _ = write!(body, "<tr><td><code>{}</code><td>{}", escape(magic.name), escape(magic.does));
    }
    body.push_str("</table></details>");
    html("Outbox", &body)
}

/// `GET /view/{id}`.
pub(super) async fn view(State(outbox): State<Outbox>, Path(id): Path<String>) -> Result<Response, Problem> {
    let attempt = find(&outbox, &id)?;
    let taken = message::take_apart(&attempt.message());
    let subject = taken.headers.iter().find(|header| header.name.eq_ignore_ascii_case("subject"));
    let subject = subject.map_or("No subject", |header| header.value.as_str());
    let mut body = format!(
        "<p><a href=\"/\">Outbox</a></p><h1>{}</h1><p class=quiet>{} · {} · {} bytes · <a href=\"/outbox/{}/raw\">raw\
         </a> · <a href=\"/outbox/{}\">JSON</a></p><table>",
        escape(subject),
        moment(attempt.at),
        ending(&attempt),
        attempt.size,
        attempt.id,
        attempt.id
    );
    let _ = write!(body, "<tr><th>Envelope sender<td>{}", escape(attempt.sender.expose()));
    for to in &attempt.recipients {
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
        // Sandboxed without any right, and under the policy of this page: it can neither run nor load anything.
        let _ = write!(
            body,
            "<h2>HTML</h2><iframe sandbox title=\"HTML part\" srcdoc=\"{}\"></iframe>",
            escape(page)
        );
    }
    let Protocol::Smtp(facts) = &attempt.protocol;
    let _ = write!(
        body,
        "<h2>Conversation</h2><p class=quiet>Connection {} from {}, {}</p><pre>{}</pre>",
        attempt.connection,
        attempt.peer,
        if facts.tls { "encrypted" } else { "not encrypted" },
        escape(attempt.dialogue.expose())
    );
    Ok(html(subject, &body))
}

fn row(body: &mut String, attempt: &Attempt) {
    let subject = message::subject(attempt).unwrap_or_else(|| "No subject".to_owned());
    let first = attempt.recipients.first().map_or("", |to| to.address.expose());
    let more = match attempt.recipients.len() {
        0 | 1 => String::new(),
        n => format!(" and {} more", n - 1),
    };
    let _ = write!(
        body,
        "<tr><td>{}<td>{}{more}<td><a href=\"/view/{}\">{}</a><td>{}",
        moment(attempt.at),
        escape(first),
        attempt.id,
        escape(&subject),
        ending(attempt)
    );
}

fn ending(attempt: &Attempt) -> String {
    let outcome = attempt.outcome;
    let code = outcome.code.map(|code| format!(" {code}")).unwrap_or_default();
    format!("{}{code} at {}", outcome.ending.as_str(), outcome.stage.as_str())
}

fn query_text(wanted: &Wanted) -> String {
    wanted.to.as_ref().map(|to| to.as_str().to_owned()).unwrap_or_default()
}

fn html(title: &str, body: &str) -> Response {
    let page = format!(
        "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport \
         content=\"width=device-width\"><title>{}</title><style>{STYLE}</style></head><body>{body}</body></html>",
        escape(title)
    );
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, page).into_response()
}

fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // No control character has a meaning in a page, and some confuse readers of it.
            c if c.is_control() && !matches!(c, '\n' | '\t') => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

fn percent(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~@*".contains(&byte) {
            safe.push(char::from(byte));
        } else {
            let _ = write!(safe, "%{byte:02X}");
        }
    }
    safe
}
