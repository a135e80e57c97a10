//! The id of an order as an argument.

use std::str::FromStr;

use posthaste_model::ids::OrderId;

/// The id of an order, checked before it becomes part of a path.
#[derive(Debug, Clone)]
pub(crate) struct OrderIdArg(String);

impl OrderIdArg {
    /// The id as text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for OrderIdArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Ids in the form of the legacy API are accepted too.
        let order_id = match text.strip_prefix("history:") {
            Some(order_id) => order_id.parse(),
            None => OrderId::from_wire_id(text),
        };
        order_id.map(|order_id| Self(order_id.wire_id())).map_err(|error| error.to_string())
    }
}
