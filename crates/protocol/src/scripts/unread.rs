//! Names of what is parked because it can't be read.

use posthaste_model::{Channel, Member, Suffix};

use crate::value::{Fields, Malformed};

/// What is parked: a parcel of a channel, or an order whose head can't be read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ParkedName {
    /// A parcel.
    Parcel {
        /// Of which channel.
        channel: Channel,
        /// Which one.
        member: Member,
    },
    /// An order.
    Order(Suffix),
}

impl ParkedName {
    /// Reads a name as it stands in `parked_why:{p}`; `None` when it is neither.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        if let Ok(suffix) = text.parse() {
            return Some(Self::Order(suffix));
        }
        let (channel, member) = text.split_once(':')?;
        Some(Self::Parcel { channel: channel.parse().ok()?, member: member.parse().ok()? })
    }

    /// The name as it stands in `parked_why:{p}`.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Parcel { channel, member } => format!("{channel}:{member}"),
            Self::Order(suffix) => suffix.to_string(),
        }
    }

    /// The order it is, or belongs to.
    #[must_use]
    pub fn suffix(&self) -> &Suffix {
        match self {
            Self::Parcel { member, .. } => &member.suffix,
            Self::Order(suffix) => suffix,
        }
    }
}

/// The texts of a list that are names of some kind; others are passed over: anybody may have put them into an index.
pub(crate) fn names<T: std::str::FromStr>(
    fields: &mut Fields,
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
