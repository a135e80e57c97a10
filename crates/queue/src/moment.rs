//! Moments on the wire: RFC 3339, told in UTC with milliseconds.

use jiff::Timestamp;
use posthaste_model::UnixMs;
use serde::{Serialize, Serializer};
use utoipa::openapi::{RefOr, Schema, schema};
use utoipa::{PartialSchema, ToSchema};

/// A moment as answers tell it: `2026-11-20T06:00:00.000Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(pub UnixMs);

impl Moment {
    /// Reads RFC 3339 with an offset.
    ///
    /// # Errors
    /// The rule, when it is none, or before 1970.
    pub fn read(text: &str) -> Result<Self, &'static str> {
        let rule = "an RFC 3339 time with an offset, as 2026-11-20T09:00:00+03:00";
        let at: Timestamp =
            if text.len() <= 64 { text.parse().map_err(|_| rule)? } else { return Err(rule) };
        u64::try_from(at.as_millisecond()).map(|ms| Self(UnixMs(ms))).map_err(|_| rule)
    }
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = i64::try_from(self.0.0).unwrap_or(i64::MAX);
        // Beyond what a calendar holds: the last moment it does hold.
        let at = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX);
        write!(f, "{at:.3}")
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl PartialSchema for Moment {
    fn schema() -> RefOr<Schema> {
        schema::ObjectBuilder::new()
            .schema_type(schema::Type::String)
            .format(Some(schema::SchemaFormat::KnownFormat(schema::KnownFormat::DateTime)))
            .examples([serde_json::json!("2026-11-20T06:00:00.000Z")])
            .into()
    }
}

impl ToSchema for Moment {
    fn name() -> std::borrow::Cow<'static, str> {
        "Moment".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_told_in_utc_and_read_with_any_offset() {
        let moment = Moment::read("2026-11-20T09:00:00+03:00").unwrap();
        assert_eq!(moment.to_string(), "2026-11-20T06:00:00.000Z");
        for bad in ["", "2026-11-20", "2026-11-20T09:00:00", "1969-01-01T00:00:00Z", "now", "1e400"] {
            assert!(Moment::read(bad).is_err(), "{bad}");
        }
    }
}
