//! Names of parked records.

use posthaste_model::{Channel, OrderId, ParcelId};

use crate::reply_value::{Malformed, ReplyFields};

/// A parked record: a parcel of a channel, or an order whose head can't be read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ParkedName {
    /// A parcel.
    Parcel {
        /// The channel.
        channel: Channel,
        /// The parcel.
        parcel_id: ParcelId,
    },
    /// An order.
    Order(OrderId),
}

impl ParkedName {
    /// Reads a name as stored in `parked_why:{p}`; `None` when it is neither.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        if let Ok(order_id) = text.parse() {
            return Some(Self::Order(order_id));
        }
        let (channel, parcel_id) = text.split_once(':')?;
        Some(Self::Parcel { channel: channel.parse().ok()?, parcel_id: parcel_id.parse().ok()? })
    }

    /// The name as stored in `parked_why:{p}`.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Parcel { channel, parcel_id } => format!("{channel}:{parcel_id}"),
            Self::Order(order_id) => order_id.to_string(),
        }
    }

    /// The order itself, or the parcel's order.
    #[must_use]
    pub fn order_id(&self) -> &OrderId {
        match self {
            Self::Parcel { parcel_id, .. } => &parcel_id.order_id,
            Self::Order(order_id) => order_id,
        }
    }
}

/// Parses the names in a list and skips other entries, because an index may contain foreign ones.
pub(crate) fn names<T: std::str::FromStr>(
    fields: &mut ReplyFields,
    what: &'static str,
) -> Result<Vec<T>, Malformed> {
    let items = fields.array(what)?.into_iter();
    Ok(items.filter_map(|item| item.text(what).ok()?.parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for text in ["sms:u1:5:0", "u1:5"] {
            assert_eq!(ParkedName::read(text).map(|name| name.text()).as_deref(), Some(text));
        }
        for text in ["", "u1", "Sms:u1:5:0", "sms:u1:x:0", "sms:u1:5:-1"] {
            assert_eq!(ParkedName::read(text), None, "{text}");
        }
    }
}
