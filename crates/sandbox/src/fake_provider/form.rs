//! What requests carry: forms, queries and credentials.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};

use super::wire::Whole;

/// Further parameters of a request are ignored.
const MOST_PARAMETERS: usize = 1_000;

/// Parameters in order of arrival: of the query, then of a form.
#[derive(Debug, Default)]
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    /// The parameters of a request. A body that is not a form has none.
    pub(crate) fn of(whole: &Whole) -> Self {
        let query = whole.path.split_once('?').map_or("", |(_, query)| query);
        let is_form = whole.content_type.starts_with("application/x-www-form-urlencoded");
        let body: &[u8] = if is_form { &whole.body } else { b"" };
        let pairs = url::form_urlencoded::parse(query.as_bytes()).chain(url::form_urlencoded::parse(body));
        let owned = |(name, value): (Cow<'_, str>, Cow<'_, str>)| (name.into_owned(), value.into_owned());
        Self(pairs.take(MOST_PARAMETERS).map(owned).collect())
    }

    /// The first non-empty value of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// The token of an `Authorization: Bearer` header.
pub(crate) fn bearer(whole: &Whole) -> Option<&str> {
    scheme(whole, "bearer")
}

/// Name and password of an `Authorization: Basic` header.
pub(crate) fn basic(whole: &Whole) -> Option<(String, String)> {
    let decoded = STANDARD.decode(scheme(whole, "basic")?).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    text.split_once(':').map(|(name, word)| (name.to_owned(), word.to_owned()))
}

fn scheme<'a>(whole: &'a Whole, name: &str) -> Option<&'a str> {
    let (scheme, rest) = whole.authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case(name).then(|| rest.trim())
}

/// Whether a token is among the known ones; if none are configured, any is.
pub(crate) fn is_known(known: &[SecretString], token: &str) -> bool {
    known.is_empty() || known.iter().any(|known| known.expose_secret() == token)
}
