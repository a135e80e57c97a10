//! What Twilio checks in a new message, in its order.

use super::magic;
use super::settings::Settings;
use crate::fake_provider::Form;

/// Most characters of a body.
const MOST_CHARACTERS: usize = 1_600;

/// A valid message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct New {
    pub(super) to: String,
    pub(super) from: Option<String>,
    pub(super) service: Option<String>,
    pub(super) body: String,
    pub(super) callback: Option<String>,
}

/// Reads it, or returns the error code.
pub(super) fn read(form: &Form, settings: &Settings, magic: bool) -> Result<New, u16> {
    let to = form.get("To").ok_or(21_604_u16)?;
    let (from, service) = (form.get("From"), form.get("MessagingServiceSid"));
    if from.is_none() && service.is_none() {
        return Err(21_603);
    }
    let has_content = form.get("MediaUrl").or_else(|| form.get("ContentSid")).is_some();
    let body = form.get("Body");
    if body.is_none() && !has_content {
        return Err(21_602);
    }
    if !is_number(to) {
        return Err(21_211);
    }
    if let Some(from) = from {
        if !(is_number(from) || is_short_or_name(from)) {
            return Err(21_212);
        }
        if let Some(code) = magic::sender(from).filter(|_| magic) {
            return Err(code);
        }
        if !settings.senders.is_empty() && !settings.senders.iter().any(|sender| sender == from) {
            return Err(21_606);
        }
        if from == to {
            return Err(21_266);
        }
    }
    if service.is_some_and(|sid| !is_sid(sid, "MG")) {
        return Err(21_603);
    }
    if body.is_some_and(|body| body.chars().count() > MOST_CHARACTERS) {
        return Err(21_617);
    }
    let callback = form.get("StatusCallback");
    let is_url = |text: &str| url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    if callback.is_some_and(|url| !is_url(url)) {
        return Err(21_609);
    }
    let own = |text: Option<&str>| text.map(str::to_owned);
    Ok(New {
        to: to.to_owned(),
        from: own(from),
        service: own(service),
        body: body.unwrap_or_default().to_owned(),
        callback: own(callback),
    })
}

/// E.164.
pub(super) fn is_number(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (6..=15).contains(&digits.len())
            && !digits.starts_with('0')
            && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// A short code of 3 to 6 digits, or a name of up to 11 letters, digits and spaces with a letter.
fn is_short_or_name(text: &str) -> bool {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" -+_&".contains(&byte));
    (digits && (3..=6).contains(&text.len()))
        || (!digits && plain && text.len() <= 11 && !text.starts_with('+'))
}

/// Two letters and 32 hexadecimal digits.
pub(super) fn is_sid(text: &str, kind: &str) -> bool {
    text.strip_prefix(kind)
        .is_some_and(|hex| hex.len() == 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// The order of a StatusCallback: a part of its path, or a value of its query, that is an order id and three numbers.
pub(super) fn order(callback: &str) -> Option<String> {
    let url = url::Url::parse(callback).ok()?;
    let path = url.path_segments()?.map(str::to_owned);
    let query = url.query_pairs().map(|(_, value)| value.into_owned());
    path.chain(query).find_map(|text| {
        let mut parts = text.rsplitn(4, '.');
        let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let numbers = parts.by_ref().take(3).filter(|part| number(part)).count();
        let order = parts.next().filter(|_| numbers == 3)?;
        let (sender, ns) = order.split_once('.')?;
        let is_sender = !sender.is_empty()
            && sender.len() <= 64
            && sender.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        (is_sender && number(ns)).then(|| order.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_found_in_callbacks() {
        for url in [
            "http://127.0.0.1/sms/status/gym.1790000000000000000.0.3.1",
            "http://127.0.0.1/status?attempt=gym.1790000000000000000.0.3.1",
        ] {
            assert_eq!(order(url).as_deref(), Some("gym.1790000000000000000"), "{url}");
        }
        for url in [
            "http://127.0.0.1/gym.17.0.3",
            "http://127.0.0.1/1.2.3.4",
            "http://127.0.0.1/..1.2.3",
            "nonsense",
        ] {
            assert_eq!(order(url), None, "{url}");
        }
    }
}
