//! The deliveries of a parcel as bytes, and the blob of an inline order: content and deliveries in pieces of at most
//! 64 bytes, so that the server keeps the history in its compact encoding.

use posthaste_model::{Address, Content, Delivery};

use super::content::{decode_content, encode_content, put_bytes, put_varint, take_text, take_varint};
use crate::reply_value::Malformed;

const VERSION: u8 = 1;
/// Maximum size in bytes of the blob of an inline order.
pub const INLINE_BYTES: usize = 2048;
const PIECE: usize = 64;

/// Packs deliveries.
#[must_use]
pub fn encode_parcel(deliveries: &[Delivery]) -> Vec<u8> {
    let mut out = vec![VERSION];
    for delivery in deliveries {
        put_varint(&mut out, delivery.index as usize);
        put_bytes(&mut out, delivery.recipient.as_bytes());
        put_bytes(&mut out, delivery.name.as_bytes());
        put_bytes(&mut out, delivery.address.expose().as_bytes());
    }
    out
}

/// Reads packed deliveries.
///
/// # Errors
/// When the bytes are not a parcel of this version.
pub fn decode_parcel(bytes: &[u8]) -> Result<Vec<Delivery>, Malformed> {
    if bytes.first().is_some_and(|version| *version > VERSION) {
        return Err(Malformed::newer("parcel"));
    }
    read_parcel(bytes).ok_or(Malformed::new("parcel"))
}

fn read_parcel(bytes: &[u8]) -> Option<Vec<Delivery>> {
    let (version, mut rest) = bytes.split_first()?;
    if *version != VERSION {
        return None;
    }
    let mut deliveries = Vec::new();
    while !rest.is_empty() {
        let index = u32::try_from(take_varint(&mut rest)?).ok()?;
        let recipient = take_text(&mut rest)?;
        let name = take_text(&mut rest)?;
        let address = Address::new(take_text(&mut rest)?);
        deliveries.push(Delivery { index, recipient, name, address });
    }
    Some(deliveries)
}

/// Content and deliveries of an inline order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inline {
    /// What it says.
    pub content: Content,
    /// Who gets it.
    pub deliveries: Vec<Delivery>,
}

impl Inline {
    /// The fields `b0`, `b1`, … of the history; `None` when the order is too big to be inline.
    #[must_use]
    pub fn encode(content: &Content, deliveries: &[Delivery]) -> Option<Vec<(String, Vec<u8>)>> {
        let mut blob = Vec::new();
        put_bytes(&mut blob, &encode_content(content));
        blob.extend(encode_parcel(deliveries));
        if blob.len() > INLINE_BYTES {
            return None;
        }
        Some(blob.chunks(PIECE).enumerate().map(|(i, piece)| (format!("b{i}"), piece.to_vec())).collect())
    }

    /// Reads the blob joined from all pieces in order.
    ///
    /// # Errors
    /// When content or deliveries can't be read.
    pub fn decode(blob: &[u8]) -> Result<Self, Malformed> {
        let mut rest = blob;
        let length = take_varint(&mut rest).ok_or(Malformed::new("inline order"))?;
        let (content, deliveries) = rest.split_at_checked(length).ok_or(Malformed::new("inline order"))?;
        Ok(Self { content: decode_content(content)?, deliveries: decode_parcel(deliveries)? })
    }
}

#[cfg(test)]
mod tests {
    use posthaste_model::Text;
    use proptest::prelude::*;

    use super::*;

    fn delivery() -> impl Strategy<Value = Delivery> {
        (any::<u32>(), ".{0,20}", ".{0,20}", ".{1,40}").prop_map(|(index, recipient, name, address)| {
            Delivery { index, recipient, name, address: Address::new(address) }
        })
    }

    proptest! {
        #[test]
        fn what_is_packed_is_read_back(text in ".{0,200}", subject in ".{0,50}", deliveries in prop::collection::vec(delivery(), 1..20)) {
            let mut content = Content { text: Text::new(text), subject: Text::new(subject), ..Content::default() };
            content.texts.insert("sms".parse().unwrap(), Text::new("short"));
            if let Some(pieces) = Inline::encode(&content, &deliveries) {
                prop_assert!(pieces.iter().all(|(_, piece)| piece.len() <= 64));
                let blob: Vec<u8> = pieces.into_iter().flat_map(|(_, piece)| piece).collect();
                prop_assert_eq!(Inline::decode(&blob).unwrap(), Inline { content, deliveries: deliveries.clone() });
            }
            prop_assert_eq!(decode_parcel(&encode_parcel(&deliveries)).unwrap(), deliveries);
        }

        #[test]
        fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let read = [decode_parcel(&bytes).is_ok(), Inline::decode(&bytes).is_ok(), decode_content(&bytes).is_ok()];
            prop_assert!(bytes.first() == Some(&1) || !read[0]);
        }
    }
}
