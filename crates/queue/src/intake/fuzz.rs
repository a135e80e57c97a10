//! Arbitrary bytes as bodies and addresses, parsed and checked as far as possible without a store.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use axum::body::{Body, Bytes};
use futures::{FutureExt, stream};
use posthaste_model::{Channel, UnixMs};
use posthaste_store::KeyScope;

use super::address::{Given, PhoneRules, Strictness, normalise};
use super::lines::Lines;
use super::order::{OrderBody, RecipientBody};
use super::settings::Rules;
use super::{json, orders, validation_error};
use crate::auth::Caller;
use crate::middleware::strict;
use crate::problem::Problem;
use crate::settings::Args;

/// The rules of the default settings.
static RULES: LazyLock<Arc<Rules>> = LazyLock::new(|| {
    let settings = Args::default().load([]).expect("the defaults").settings;
    Arc::new(Rules::new(&settings.orders, &settings.quiet_hours, &settings.daily_limits).expect("rules"))
});

fn caller() -> Caller {
    Caller::sample(KeyScope::ALL.into_iter().collect())
}

/// A refusal is a client error, and its size is bounded whatever was refused.
fn is_sound(problem: &Problem) {
    let (status, reported) = (problem.code().status(), problem.document().to_string());
    assert!(status.is_client_error(), "{status}");
    assert!(reported.len() < 64 * 1024, "the response has {} bytes", reported.len());
}

/// A JSON body: an order with its recipients, checked as far as possible without a store.
pub fn order_body(data: &[u8]) {
    if let Err(problem) = order(data) {
        is_sound(&problem);
    }
    // The strict parser for all other bodies: whatever it accepts is valid JSON.
    match strict::object::<serde_json::Value>(data) {
        Ok(read) => assert_eq!(serde_json::from_slice::<serde_json::Value>(data).ok(), Some(read)),
        Err(problem) => is_sound(&problem),
    }
}

fn order(data: &[u8]) -> Result<(), Problem> {
    let body: OrderBody<'_> = json::object(data)?;
    let (draft, ..) = orders::check(body, &caller(), None, &RULES)?;
    let order_id = "u1:7".parse().expect("an order");
    draft.times(&order_id, UnixMs(1_795_000_000_000), &RULES).map_err(validation_error::refused)?;
    Ok(())
}

/// An upload: lines, split into chunks of any size. The first byte is the chunk size.
pub fn order_lines(data: &[u8]) {
    let Some((size, body)) = data.split_first() else { return };
    let whole = lines(body, body.len().max(1));
    assert_eq!(whole, lines(body, usize::from(*size).max(1)), "chunks change what is read");
}

/// Number and bytes of each line, and how the body ended; each line is parsed as a recipient.
fn lines(body: &[u8], piece: usize) -> (Vec<(u64, Vec<u8>)>, Option<&'static str>) {
    let pieces: Vec<_> =
        body.chunks(piece).map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece))).collect();
    let mut lines = Lines::new(Body::from_stream(stream::iter(pieces)), 4_096);
    let mut read = Vec::new();
    loop {
        match lines.next().now_or_never().expect("all of it is there") {
            Ok(Some(line)) => {
                if let Err(unread) = json::part::<RecipientBody<'_>>(line.bytes) {
                    is_sound(&unread.into());
                }
                read.push((line.number, line.bytes.to_vec()));
            }
            Ok(None) => return (read, None),
            Err(problem) => {
                is_sound(&problem);
                return (read, Some(problem.code().word()));
            }
        }
    }
}

/// An address of each channel: a normalised address does not change when normalised again.
pub fn addresses(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for strictness in [Strictness::Possible, Strictness::Valid] {
        let phones = |region| PhoneRules::new(region, strictness).expect("a region");
        for channel in ["email", "sms", "telegram", "vk", "webhook", "pager"] {
            let channel: Channel = channel.parse().expect("a channel");
            let read = |text, region| normalise(&channel, &Given::Text(Cow::Borrowed(text)), &phones(region));
            let Ok(address) = read(text, "RU") else { continue };
            assert!(!address.expose().chars().any(char::is_control));
            assert_eq!(read(address.expose(), ""), Ok(address.clone()));
        }
    }
}
