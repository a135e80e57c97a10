//! Groups envelopes: one call of messages.send per order and token, to up to 100 peers.

use std::collections::HashMap;
use std::sync::Arc;

use posthaste_courier::{Envelope, Outcome};
use posthaste_model::text_limit::VK_CHARACTERS;
use posthaste_model::{Channel, Content, OrderId, Reason};

use crate::peer::Peer;

/// Maximum peers per call, by VK's schema.
pub(crate) const MOST_PEERS: usize = 100;

/// The peers of a call, each with the indexes of its envelopes in the batch.
pub(crate) type Peers = Vec<(Peer, Vec<usize>)>;

/// One call of messages.send. Has no `Debug`, because it holds addresses and a text.
#[derive(Clone)]
pub(crate) struct Call {
    /// The order.
    pub(crate) order: OrderId,
    /// The token by which VK recognises a repeat.
    pub(crate) random_id: u32,
    /// The text.
    pub(crate) message: Arc<str>,
    /// The recipients.
    pub(crate) peers: Peers,
    /// Whether it repeats an attempt of unknown outcome.
    pub(crate) repeat: bool,
}

impl Call {
    /// The same call for each peer alone.
    pub(crate) fn apart(self) -> impl Iterator<Item = Self> {
        let Self { order, random_id, message, peers, repeat } = self;
        peers.into_iter().map(move |peer| Self {
            order: order.clone(),
            random_id,
            message: Arc::clone(&message),
            peers: vec![peer],
            repeat,
        })
    }
}

/// The text as it is sent, with the subject above it unless the text is for this channel only. `None`: VK would not accept it.
pub(crate) fn message(content: &Content, channel: &Channel, with_subject: bool) -> Option<Arc<str>> {
    let whole = match with_subject {
        true => content.text_below_subject(channel),
        false => content.text_for(channel).expose().into(),
    };
    let fits = !whole.trim().is_empty() && whole.chars().count() <= VK_CHARACTERS;
    fits.then(|| whole.into())
}

/// A call that has room left: its index, and the position of each peer in it.
type Open = (usize, HashMap<Peer, usize>);

/// The calls of a batch in the order of their first envelopes, and the outcomes of envelopes that can't be sent.
pub(crate) fn group(
    batch: &[Envelope],
    channel: &Channel,
    with_subject: bool,
) -> (Vec<Call>, Vec<Option<Outcome>>) {
    let mut calls: Vec<Call> = Vec::new();
    let mut outcomes = vec![None; batch.len()];
    let mut messages: HashMap<&OrderId, Option<Arc<str>>> = HashMap::new();
    let mut open: HashMap<(&OrderId, u32), Open> = HashMap::new();
    for (delivery, envelope) in batch.iter().enumerate() {
        let order_id = &envelope.order_id;
        let said =
            messages.entry(order_id).or_insert_with(|| message(&envelope.content, channel, with_subject));
        let Some(said) = said else {
            outcomes[delivery] = Some(Outcome::Failed(Reason::Rejected.into()));
            continue;
        };
        let Some(peer) = Peer::read(&envelope.to.address) else {
            outcomes[delivery] = Some(Outcome::Failed(Reason::InvalidAddress.into()));
            continue;
        };
        // Without a token, VK is asked not to detect repeats.
        let random_id = envelope.token.unwrap_or(0);
        let (at, places) = open.entry((order_id, random_id)).or_insert((usize::MAX, HashMap::new()));
        if let Some(place) = places.get(&peer) {
            // Name the peer once: VK would drop a second copy of the message.
            calls[*at].peers[*place].1.push(delivery);
            continue;
        }
        if calls.get(*at).is_none_or(|call| call.peers.len() >= MOST_PEERS) {
            (*at, *places) = (calls.len(), HashMap::new());
            calls.push(Call {
                order: order_id.clone(),
                random_id,
                message: Arc::clone(said),
                peers: Vec::new(),
                repeat: false,
            });
        }
        calls[*at].repeat |= envelope.repeat;
        places.insert(peer, calls[*at].peers.len());
        calls[*at].peers.push((peer, vec![delivery]));
    }
    (calls, outcomes)
}

#[cfg(test)]
#[path = "calls_tests.rs"]
mod tests;
