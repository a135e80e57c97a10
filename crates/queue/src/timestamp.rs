//! Times in the API: RFC 3339, written in UTC with milliseconds.

use jiff::Timestamp;
use posthaste_model::UnixMs;
use serde::{Serialize, Serializer};
use utoipa::openapi::{RefOr, Schema, schema};
use utoipa::{PartialSchema, ToSchema};

/// A time as responses show it: `2026-11-20T06:00:00.000Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiTime(pub UnixMs);

impl ApiTime {
    /// Parses RFC 3339 with an offset.
    ///
    /// # Errors
    /// The rule, if the text is not such a time, or before 1970.
    pub fn read(text: &str) -> Result<Self, &'static str> {
        let rule = "must be an RFC 3339 time with an offset, such as 2026-11-20T09:00:00+03:00";
        let at: jiff::Timestamp =
            if text.len() <= 64 { text.parse().map_err(|_| rule)? } else { return Err(rule) };
        u64::try_from(at.as_millisecond()).map(|ms| Self(UnixMs(ms))).map_err(|_| rule)
    }
}

impl std::fmt::Display for ApiTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = i64::try_from(self.0.0).unwrap_or(i64::MAX);
        // Beyond the calendar's range: use its last moment.
        let at = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX);
        write!(f, "{at:.3}")
    }
}

impl Serialize for ApiTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl PartialSchema for ApiTime {
    fn schema() -> RefOr<Schema> {
        schema::ObjectBuilder::new()
            .schema_type(schema::Type::String)
            .format(Some(schema::SchemaFormat::KnownFormat(schema::KnownFormat::DateTime)))
            .examples([serde_json::json!("2026-11-20T06:00:00.000Z")])
            .into()
    }
}

impl ToSchema for ApiTime {
    fn name() -> std::borrow::Cow<'static, str> {
        "Moment".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_utc_and_read_with_any_offset() {
        let moment = ApiTime::read("2026-11-20T09:00:00+03:00").unwrap();
        assert_eq!(moment.to_string(), "2026-11-20T06:00:00.000Z");
        for bad in ["", "2026-11-20", "2026-11-20T09:00:00", "1969-01-01T00:00:00Z", "now", "1e400"] {
            assert!(ApiTime::read(bad).is_err(), "{bad}");
        }
    }
}
