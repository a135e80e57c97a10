//! Parameters of paths and queries. Errors name them and never repeat their values.

use std::ops::RangeInclusive;
use std::str::FromStr;

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use posthaste_model::OrderId;
use serde::de::DeserializeOwned;

use crate::intake::is_field_name;
use crate::problem::{Code, Problem};

/// The order id of a path: `u17.1763618400000000000`, or `history:u17:1763618400000000000` as the legacy API wrote it.
#[derive(Debug, Clone)]
pub(crate) struct OrderIdPath(pub OrderId);

impl FromStr for OrderIdPath {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let read = match text.strip_prefix("history:") {
            Some(order_id) => order_id.parse(),
            None => OrderId::from_wire_id(text),
        };
        read.map(Self)
            .map_err(|_| Problem::parameter("id", "invalid_id", "must be <sender id>.<nanoseconds>"))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for OrderIdPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(id) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| Problem::parameter("id", "invalid_id", "must be <sender id>.<nanoseconds>"))?;
        id.parse()
    }
}

/// The parameters of a query: a type whose fields are all `Option<String>` and which denies unknown ones.
#[derive(Debug, Clone)]
pub(crate) struct Parameters<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let read = Query::<T>::try_from_uri(&parts.uri);
        read.map(|Query(read)| Self(read)).map_err(|error| unread(&error.body_text()))
    }
}

/// The problem for a query that serde can't read. A name from outside is repeated only if it looks like one.
fn unread(cause: &str) -> Problem {
    let named = |what: &str| {
        let name = cause.split_once(what)?.1.split('`').next()?;
        is_field_name(name).then_some(name)
    };
    if let Some(name) = named("unknown field `") {
        return Problem::parameter(
            name,
            "unknown_parameter",
            "unknown parameter; see /docs for those there are",
        );
    }
    if let Some(name) = named("duplicate field `") {
        return Problem::parameter(name, "duplicate_parameter", "must be given once");
    }
    Problem::new(Code::InvalidParameter, "the query has an unknown parameter, or one parameter twice")
}

/// `true` or `false` in a query; `false` if left out.
///
/// # Errors
/// 422.
pub(crate) fn flag(name: &str, given: Option<&str>) -> Result<bool, Problem> {
    match given {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Problem::parameter(name, "invalid", "must be true or false")),
    }
}

/// A whole number of a query, within bounds; `default` if left out.
///
/// # Errors
/// 422, with the bounds.
pub(crate) fn number(
    name: &str,
    given: Option<&str>,
    bounds: RangeInclusive<u64>,
    default: u64,
) -> Result<u64, Problem> {
    let Some(text) = given else { return Ok(default) };
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(number) if plain && bounds.contains(&number) => Ok(number),
        _ => {
            let rule = format!("must be a whole number from {} to {}", bounds.start(), bounds.end());
            Err(Problem::parameter(name, "out_of_range", rule))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_an_order_are_read() {
        for text in ["u-1.17", "history:u-1:17"] {
            assert_eq!(text.parse::<OrderIdPath>().unwrap().0.as_str(), "u-1:17");
        }
        for text in ["", "u1", "u1.x", "{0}.1", "u 1.1", "history:u1.1", "__proto__", "due:{0}:urgent"] {
            assert_eq!(text.parse::<OrderIdPath>().expect_err(text).code(), Code::InvalidParameter);
        }
    }

    #[tokio::test]
    async fn unknown_and_repeated_parameters_are_named() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Query {
            #[serde(rename = "limit")]
            _limit: Option<String>,
        }
        for (query, pointer) in [
            ("limt=5", Some("/limt")),
            ("limit=5&state=sent", Some("/state")),
            ("limit=5&limit=6", Some("/limit")),
            ("a%40b.example=1", None),
            ("%2B79991234567=1", None),
        ] {
            let uri = format!("/v1/orders?{query}");
            let (mut parts, ()) = axum::http::Request::get(uri).body(()).unwrap().into_parts();
            let problem = Parameters::<Query>::from_request_parts(&mut parts, &()).await.expect_err(query);
            assert_eq!(problem.code(), Code::InvalidParameter, "{query}");
            let pointers: Vec<_> =
                problem.errors().iter().filter_map(|error| error.pointer.as_deref()).collect();
            assert_eq!(pointers, pointer.into_iter().collect::<Vec<_>>(), "{query}");
        }
    }

    #[test]
    fn numbers_outside_the_bounds_are_refused() {
        assert_eq!(number("limit", None, 1..=200, 50).unwrap(), 50);
        assert_eq!(number("limit", Some("200"), 1..=200, 50).unwrap(), 200);
        for text in ["-1", "0", "1000000000", "", "+1", "1.0", "99999999999999999999999"] {
            assert!(number("limit", Some(text), 1..=200, 50).is_err(), "{text}");
        }
    }
}
