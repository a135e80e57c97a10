//! Which envelopes go together: one call of messages.send for an order and a token, to up to 100 peers.

use std::collections::HashMap;
use std::sync::Arc;

use posthaste_courier::{Envelope, Outcome};
use posthaste_model::{Channel, Content, Reason, Suffix};

use crate::peer::Peer;

/// Peers of one call at most, by VK's schema.
pub(crate) const MOST_PEERS: usize = 100;
/// Characters of a text at most.
pub(crate) const LONGEST: usize = 4096;

/// Peers of a call, and which envelopes of the batch are each one's.
pub(crate) type Peers = Vec<(Peer, Vec<usize>)>;

/// One call of messages.send. Not printable: it holds addresses and a text.
#[derive(Clone)]
pub(crate) struct Call {
    /// Of which order.
    pub(crate) order: Suffix,
    /// The token, by which VK knows a repeat.
    pub(crate) random_id: u32,
    /// What it says.
    pub(crate) message: Arc<str>,
    /// To whom.
    pub(crate) peers: Peers,
    /// Whether it repeats an attempt of unknown outcome.
    pub(crate) repeat: bool,
}

impl Call {
    /// The same to each peer alone.
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

/// A text as it is sent: the subject stands above it, unless it is for this channel alone. `None`: VK would not take it.
pub(crate) fn message(content: &Content, channel: &Channel, with_subject: bool) -> Option<Arc<str>> {
    let (text, subject) = (content.text_for(channel).expose(), content.subject.expose().trim());
    let whole = if !with_subject || subject.is_empty() || content.texts.contains_key(channel) {
        text.to_owned()
    } else {
        format!("{subject}\n\n{text}")
    };
    let fits = !whole.trim().is_empty() && whole.chars().count() <= LONGEST;
    fits.then(|| whole.into())
}

/// A call that has room yet: which one, and where in it each peer is.
type Open = (usize, HashMap<Peer, usize>);

/// The calls of a batch in the order of their first envelopes, and the outcomes of what can't be sent.
pub(crate) fn group(
    batch: &[Envelope],
    channel: &Channel,
    with_subject: bool,
) -> (Vec<Call>, Vec<Option<Outcome>>) {
    let mut calls: Vec<Call> = Vec::new();
    let mut outcomes = vec![None; batch.len()];
    let mut messages: HashMap<&Suffix, Option<Arc<str>>> = HashMap::new();
    let mut open: HashMap<(&Suffix, u32), Open> = HashMap::new();
    for (row, envelope) in batch.iter().enumerate() {
        let suffix = &envelope.suffix;
        let said =
            messages.entry(suffix).or_insert_with(|| message(&envelope.content, channel, with_subject));
        let Some(said) = said else {
            outcomes[row] = Some(Outcome::Rejected(Reason::Rejected));
            continue;
        };
        let Some(peer) = Peer::read(&envelope.to.address) else {
            outcomes[row] = Some(Outcome::Rejected(Reason::BadAddress));
            continue;
        };
        // Without a token VK is told to look for no repeats.
        let random_id = envelope.token.unwrap_or(0);
        let (at, places) = open.entry((suffix, random_id)).or_insert((usize::MAX, HashMap::new()));
        if let Some(place) = places.get(&peer) {
            // The same message to the same peer is one: VK would drop the second.
            calls[*at].peers[*place].1.push(row);
            continue;
        }
        if calls.get(*at).is_none_or(|call| call.peers.len() >= MOST_PEERS) {
            (*at, *places) = (calls.len(), HashMap::new());
            calls.push(Call {
                order: suffix.clone(),
                random_id,
                message: Arc::clone(said),
                peers: Vec::new(),
                repeat: false,
            });
        }
        calls[*at].repeat |= envelope.repeat;
        places.insert(peer, calls[*at].peers.len());
        calls[*at].peers.push((peer, vec![row]));
    }
    (calls, outcomes)
}

#[cfg(test)]
#[path = "calls_tests.rs"]
mod tests;
