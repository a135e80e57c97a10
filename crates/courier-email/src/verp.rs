//! Return paths that name an attempt (VERP): the address to which a relay returns a message identifies the attempt,
//! and it can't be forged.
//!
//! The variable part is base32 in lower case, because some relays convert addresses to lower case and a local part
//! has at most 64 octets. Before encoding it holds:
//!
//! | bytes | what |
//! | --- | --- |
//! | 1 | length of the sender id; 0: the order is stored under a short name in the feedback sink |
//! | 1 | the attempt |
//! | 1 to 3 | the delivery, LEB128 |
//! | 1 to 5 | the parcel, LEB128 |
//! | 8 + 3 for every 4 letters, or 10 | the order's nanoseconds and its sender id, 6 bits per letter; or the short name |
//! | 7 | the HMAC tag of all this |
//!
//! After `bounces+` there is room for a sender id of 16 letters, or 20 in the first 128 parcels of an order. Orders
//! of longer ones get a short name: the beginning of a hash of the order id, so that every process derives the same.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use data_encoding::BASE32_NOPAD_NOCASE;
use integer_encoding::VarInt as _;
use lettre::Address;
use posthaste_courier::AttemptId;
use posthaste_model::{OrderId, SenderId};
use sha2::{Digest, Sha256};

use crate::hmac_tag::HmacTags;
use crate::mailbox;
use crate::settings::BadSetting;

const KEY: &str = "bounces.address";
/// RFC 5321 4.5.3.1.1.
const MOST_LOCAL: usize = 64;
/// 56 bits: at 10,000 guesses a second a forgery takes 100,000 years.
const SEAL: usize = 7;
const NAME: usize = 10;
/// Maximum size of an attempt whose order has a short name.
const MOST_SHORT: usize = 1 + 1 + 3 + 5 + NAME + SEAL;

/// The pattern of return paths.
#[derive(Debug)]
pub(crate) struct ReturnPaths {
    /// The text before the variable part.
    before: String,
    /// The text after it, in lower case, with the domain.
    after: String,
    /// Maximum number of octets of the variable part.
    room: usize,
    seals: HmacTags,
}

/// What a return path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AttemptInPath {
    /// An attempt.
    Attempt(AttemptId),
    /// An attempt of an order that is stored under this name in the feedback sink.
    Short { name: String, parcel: u32, delivery: u16, attempt: u8 },
}

/// A return path, and the short name under which its order must be stored, if any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReturnPath {
    pub(crate) address: Address,
    pub(crate) name: Option<String>,
}

impl ReturnPaths {
    /// Return paths of a pattern such as `bounces+{}@example.org`.
    pub(crate) fn new(pattern: &str, seals: HmacTags) -> Result<Self, BadSetting> {
        let form =
            || BadSetting::new(KEY, "expected an address with {} before its @, as in bounces+{}@example.org");
        let (local, domain) = pattern.split_once('@').ok_or_else(form)?;
        let (before, behind) = local.split_once("{}").ok_or_else(form)?;
        if behind.contains("{}") || pattern.matches(['{', '}']).count() != 2 {
            return Err(form());
        }
        let room = MOST_LOCAL.saturating_sub(before.len() + behind.len());
        if room < BASE32_NOPAD_NOCASE.encode_len(MOST_SHORT) {
            let most = MOST_LOCAL - BASE32_NOPAD_NOCASE.encode_len(MOST_SHORT);
            return Err(BadSetting::new(
                KEY,
                format!("must have at most {most} characters before the @, apart from the {{}}"),
            ));
        }
        let domain = mailbox::ascii_domain(domain).map_err(|_| {
            BadSetting::new(KEY, "expected a domain after the @, as in bounces+{}@example.org")
        })?;
        mailbox::address(&format!("{before}a{behind}@{domain}")).map_err(|_| form())?;
        let after = format!("{}@{domain}", behind.to_ascii_lowercase());
        Ok(Self { before: before.to_ascii_lowercase(), after, room, seals })
    }

    /// The return path of an attempt.
    pub(crate) fn of(&self, id: &AttemptId) -> Option<ReturnPath> {
        let whole = whole(id).map(|bytes| self.written(bytes)).filter(|text| text.len() <= self.room);
        let (text, name) = match whole {
            Some(text) => (text, None),
            None => {
                let hash = hash(&id.order_id);
                let mut bytes = numbers(0, id);
                bytes.extend(hash);
                (self.written(bytes), Some(name(&hash)))
            }
        };
        let address = format!("{}{text}{}", self.before, self.after).parse().ok()?;
        Some(ReturnPath { address, name })
    }

    fn written(&self, mut bytes: Vec<u8>) -> String {
        let seal = self.seals.seal(&bytes);
        bytes.extend(&seal[..SEAL]);
        BASE32_NOPAD_NOCASE.encode(&bytes).to_ascii_lowercase()
    }

    /// What an address names, if it was made here.
    pub(crate) fn read(&self, address: &str) -> Option<AttemptInPath> {
        let address = address.to_ascii_lowercase();
        let text = address.strip_prefix(&self.before)?.strip_suffix(&self.after)?;
        if text.len() > self.room {
            return None;
        }
        let bytes = BASE32_NOPAD_NOCASE.decode(text.as_bytes()).ok()?;
        let (bytes, seal) = bytes.split_at_checked(bytes.len().checked_sub(SEAL)?)?;
        if self.seals.fits(bytes, seal) { read(bytes) } else { None }
    }
}

/// Whether this is the short name of this order.
pub(crate) fn is_named(order: &OrderId, by: &str) -> bool {
    name(&hash(order)) == by
}

fn hash(order: &OrderId) -> [u8; NAME] {
    let digest = Sha256::digest(format!("posthaste return path\n{order}"));
    let mut short = [0; NAME];
    short.copy_from_slice(&digest[..NAME]);
    short
}

fn name(hash: &[u8]) -> String {
    format!("mail-{}", BASE32_NOPAD_NOCASE.encode(hash).to_ascii_lowercase())
}

fn numbers(sender: u8, id: &AttemptId) -> Vec<u8> {
    let mut bytes = vec![sender, id.attempt];
    bytes.extend(id.delivery.encode_var_vec());
    bytes.extend(id.parcel.encode_var_vec());
    bytes
}

/// An attempt with its order; `None` if the order id is not the canonical form of its number.
fn whole(id: &AttemptId) -> Option<Vec<u8>> {
    let sender = id.order_id.sender();
    let ns: u64 = id.order_id.as_str().get(sender.len() + 1..)?.parse().ok()?;
    let mut bytes = numbers(u8::try_from(sender.len()).ok()?, id);
    bytes.extend(ns.to_be_bytes());
    // The alphabet of sender ids is that of URL-safe base64.
    let filled = format!("{sender}{}", "A".repeat(sender.len().next_multiple_of(4) - sender.len()));
    bytes.extend(URL_SAFE_NO_PAD.decode(filled).ok()?);
    let usual = OrderId::new(&sender.parse().ok()?, ns) == id.order_id;
    usual.then_some(bytes)
}

fn read(bytes: &[u8]) -> Option<AttemptInPath> {
    let ([sender, attempt], rest) = bytes.split_first_chunk()?;
    let (sender, attempt) = (usize::from(*sender), *attempt);
    let (delivery, length) = u16::decode_var(rest)?;
    let rest = rest.get(length..)?;
    let (parcel, length) = u32::decode_var(rest)?;
    let rest = rest.get(length..)?;
    if sender == 0 {
        return Some(AttemptInPath::Short { name: name(rest), parcel, delivery, attempt });
    }
    let (ns, letters) = rest.split_first_chunk::<8>()?;
    let letters = URL_SAFE_NO_PAD.encode(letters);
    let sender: SenderId = letters.get(..sender)?.parse().ok()?;
    let order_id = OrderId::new(&sender, u64::from_be_bytes(*ns));
    Some(AttemptInPath::Attempt(AttemptId { order_id, parcel, delivery, attempt }))
}

#[cfg(test)]
#[path = "verp_tests.rs"]
mod tests;
