//! Decides whether a response accepts the message, and reads the code if it does not.

use posthaste_courier::http_request::HttpResponse;
use posthaste_courier::response_rules::{self, Pattern};
use serde_json::Value;

use crate::response_rules::is_code;
use crate::settings::{BadSetting, GatewaySettings as Section};

/// The criteria from the settings.
pub(super) struct ResponseParser {
    status: Vec<Pattern>,
    pointer: String,
    value: String,
    text: String,
    code_pointer: String,
    code_after: String,
}

/// The result of reading a response.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// The message was accepted.
    Taken,
    /// It was not accepted; the code, if any.
    Refused(Option<String>),
}

impl ResponseParser {
    pub(super) fn read(settings: &Section) -> Result<Self, BadSetting> {
        let bad = |key, why: &str| BadSetting::new(key, why);
        let patterns = settings.accepted_status.iter().map(|text| Pattern::try_from(text.clone()));
        let status: Vec<Pattern> = patterns
            .collect::<Result<_, _>>()
            .map_err(|why| BadSetting::new("gateway.accepted_status", why.to_string()))?;
        if status.is_empty() {
            return Err(bad("gateway.accepted_status", "must name at least one status, such as 2xx"));
        }
        for (key, pointer) in [
            ("gateway.accepted_pointer", &settings.accepted_pointer),
            ("gateway.code_pointer", &settings.code_pointer),
        ] {
            if !pointer.is_empty() && !pointer.starts_with('/') {
                return Err(bad(key, "must begin with a slash, as in /id"));
            }
        }
        if settings.accepted_pointer.is_empty() && !settings.accepted_value.is_empty() {
            return Err(bad("gateway.accepted_pointer", "is missing, but gateway.accepted_value is set"));
        }
        Ok(Self {
            status,
            pointer: settings.accepted_pointer.clone(),
            value: settings.accepted_value.clone(),
            text: settings.accepted_text.clone(),
            code_pointer: settings.code_pointer.clone(),
            code_after: settings.code_after.clone(),
        })
    }

    fn read_json(answer: &HttpResponse) -> Option<Value> {
        serde_json::from_slice(&answer.body).ok()
    }

    /// The code of a rejection.
    pub(super) fn code(&self, answer: &HttpResponse) -> Option<String> {
        if !self.code_pointer.is_empty()
            && let Some(code) = Self::read_json(answer).and_then(|json| at(&json, &self.code_pointer))
            && is_code(&code)
        {
            return Some(code);
        }
        if self.code_after.is_empty() {
            return None;
        }
        let text = str::from_utf8(&answer.body).ok()?;
        let (_, rest) = text.split_once(self.code_after.as_str())?;
        let word: String =
            rest.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        is_code(&word).then_some(word)
    }

    pub(super) fn judge(&self, answer: &HttpResponse) -> Read {
        let code = self.code(answer);
        let text = || str::from_utf8(&answer.body).is_ok_and(|text| text.contains(self.text.as_str()));
        let value = || {
            let found = Self::read_json(answer).and_then(|json| at(&json, &self.pointer));
            found.is_some_and(|found| self.value.is_empty() || found == self.value)
        };
        let taken = code.is_none()
            && response_rules::fits(&self.status, u32::from(answer.status))
            && (self.text.is_empty() || text())
            && (self.pointer.is_empty() || value());
        if taken { Read::Taken } else { Read::Refused(code) }
    }
}

/// The value at a pointer as text; `None` if it is missing or null.
fn at(json: &Value, pointer: &str) -> Option<String> {
    match json.pointer(pointer)? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(changes: &[(&str, &str)]) -> ResponseParser {
        ResponseParser::read(&crate::fuzz::settings(changes).gateway).unwrap()
    }

    fn answer(status: u16, body: &str) -> HttpResponse {
        HttpResponse { status, retry_after: None, body: body.as_bytes().to_vec() }
    }

    fn refused(code: &str) -> Read {
        Read::Refused(Some(code.to_owned()))
    }

    /// The JSON parser stops at 128 levels: deeper responses have no meaning, and do no harm.
    #[test]
    fn answers_within_answers_say_nothing() {
        let judge = judge(&[("gateway.accepted_pointer", "/id"), ("gateway.code_pointer", "/error_code")]);
        for levels in [2 * 128, 1_000_000] {
            let body = format!("{{\"id\":1,\"a\":{}1{}}}", "[".repeat(levels), "]".repeat(levels));
            assert_eq!(judge.judge(&answer(200, &body)), Read::Refused(None), "{levels}");
        }
    }

    #[test]
    fn json_is_looked_into() {
        let judge = judge(&[("gateway.accepted_pointer", "/id"), ("gateway.code_pointer", "/error_code")]);
        for (body, wanted) in [
            (r#"{"id":1,"cnt":1}"#, Read::Taken),
            (r#"{"id":"a","cnt":1}"#, Read::Taken),
            (r#"{"error":"no money","error_code":3}"#, refused("3")),
            (r#"{"id":1,"error_code":"E7"}"#, refused("E7")),
            (r#"{"id":null}"#, Read::Refused(None)),
            ("{}", Read::Refused(None)),
            ("OK", Read::Refused(None)),
            ("", Read::Refused(None)),
        ] {
            assert_eq!(judge.judge(&answer(200, body)), wanted, "{body}");
        }
        assert_eq!(judge.judge(&answer(500, r#"{"id":1}"#)), Read::Refused(None));
    }

    #[test]
    fn a_code_of_nothing_is_no_refusal() {
        let json = judge(&[("gateway.accepted_pointer", "/id"), ("gateway.code_pointer", "/error_code")]);
        for code in ["0", "\"0\"", "\"\"", "null"] {
            let body = format!(r#"{{"id":7,"error_code":{code}}}"#);
            assert_eq!(json.judge(&answer(200, &body)), Read::Taken, "{body}");
            let body = format!(r#"{{"error_code":{code}}}"#);
            assert_eq!(json.judge(&answer(200, &body)), Read::Refused(None), "{body}");
        }
        for code in ["10", "\"00\"", "\"E0\"", "-1"] {
            let body = format!(r#"{{"id":7,"error_code":{code}}}"#);
            assert_eq!(json.judge(&answer(200, &body)), refused(code.trim_matches('"')), "{body}");
        }
        let form = judge(&[("gateway.accepted_text", "id="), ("gateway.code_after", "error_code=")]);
        for body in ["error_code=0&id=7", "id=7&error_code=0", "id=7&error_code=", "error_code=&id=7"] {
            assert_eq!(form.judge(&answer(200, body)), Read::Taken, "{body}");
        }
        assert_eq!(form.judge(&answer(200, "id=7&error_code=01")), refused("01"));
        // An empty value at one place does not hide the code at another.
        let both = judge(&[("gateway.code_pointer", "/error_code"), ("gateway.code_after", "reason:")]);
        assert_eq!(both.judge(&answer(200, r#"{"error_code":0,"text":"reason:E7"}"#)), refused("E7"));
    }

    #[test]
    fn values_and_texts_are_compared() {
        let judge = judge(&[
            ("gateway.accepted_pointer", "/items/0/status"),
            ("gateway.accepted_value", "ok"),
            ("gateway.accepted_status", "200,202"),
        ]);
        assert_eq!(judge.judge(&answer(202, r#"{"items":[{"status":"ok"}]}"#)), Read::Taken);
        assert_eq!(judge.judge(&answer(202, r#"{"items":[{"status":"no"}]}"#)), Read::Refused(None));
        assert_eq!(judge.judge(&answer(201, r#"{"items":[{"status":"ok"}]}"#)), Read::Refused(None));
    }

    #[test]
    fn plain_texts_are_searched() {
        let judge = judge(&[("gateway.accepted_text", "OK - "), ("gateway.code_after", "ERROR =")]);
        assert_eq!(judge.judge(&answer(200, "OK - 1 SMS, ID - 1234")), Read::Taken);
        assert_eq!(judge.judge(&answer(200, "ERROR = 2 (authorise error)")), refused("2"));
        assert_eq!(judge.judge(&answer(200, "ERROR =")), Read::Refused(None));
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        for (key, value) in [
            ("gateway.accepted_status", "2yy"),
            ("gateway.accepted_pointer", "id"),
            ("gateway.code_pointer", "error.code"),
            ("gateway.accepted_value", "ok"),
        ] {
            let refused =
                ResponseParser::read(&crate::fuzz::settings(&[(key, value)]).gateway).err().unwrap();
            let key = if key == "gateway.accepted_value" { "gateway.accepted_pointer" } else { key };
            assert_eq!(refused.key, key);
        }
    }
}
