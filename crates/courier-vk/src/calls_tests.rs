//! Grouping of envelopes.

use posthaste_courier::conformance::sample;
use posthaste_model::Text;

use super::*;

fn envelope(order: u64, token: u32, peer: &str, text: &str) -> Envelope {
    let order_id = OrderId::new(&"u1".parse().unwrap(), 1_700_000_000_000_000_000 + order);
    Envelope { order_id, token: Some(token), ..sample::envelope(peer, text) }
}

fn vk() -> Channel {
    "vk".parse().unwrap()
}

fn deliveries(call: &Call) -> impl Iterator<Item = usize> {
    call.peers.iter().flat_map(|(_, deliveries)| deliveries.iter().copied())
}

#[test]
fn an_order_and_a_token_make_a_call_of_at_most_100_peers() {
    let mut batch: Vec<Envelope> = (1..=250).map(|n| envelope(1, 7, &n.to_string(), "x")).collect();
    batch.push(envelope(1, 8, "1", "x"));
    batch.push(envelope(2, 7, "1", "y"));
    let (calls, outcomes) = group(&batch, &vk(), true);
    let sizes: Vec<(u32, usize)> = calls.iter().map(|call| (call.random_id, call.peers.len())).collect();
    assert_eq!(sizes, [(7, 100), (7, 100), (7, 50), (8, 1), (7, 1)]);
    assert!(outcomes.iter().all(Option::is_none));
    let mut deliveries: Vec<usize> = calls.iter().flat_map(deliveries).collect();
    deliveries.sort_unstable();
    assert_eq!(deliveries, (0..252).collect::<Vec<_>>());
}

#[test]
fn the_same_peer_under_one_token_is_named_once() {
    let batch = [envelope(1, 7, "5", "x"), envelope(1, 7, "6", "x"), envelope(1, 7, "5", "x")];
    let (calls, _) = group(&batch, &vk(), true);
    assert_eq!(calls.len(), 1);
    assert_eq!(
        calls[0].peers.iter().map(|(_, deliveries)| deliveries.clone()).collect::<Vec<_>>(),
        [vec![0, 2], vec![1]]
    );
    let alone: Vec<Vec<usize>> = calls[0].clone().apart().map(|call| deliveries(&call).collect()).collect();
    assert_eq!(alone, [vec![0, 2], vec![1]]);
}

#[test]
fn an_envelope_that_can_not_be_sent_disturbs_no_other() {
    let long = "😀".repeat(VK_CHARACTERS);
    let batch = [
        envelope(1, 1, "5", &long),
        envelope(2, 2, "5", &format!("{long}x")),
        envelope(3, 3, "5", " \n "),
        envelope(4, 4, "nobody", "x"),
        envelope(4, 4, "6", "x"),
    ];
    let (calls, outcomes) = group(&batch, &vk(), true);
    assert_eq!(
        calls.iter().map(|call| deliveries(call).collect()).collect::<Vec<Vec<_>>>(),
        [vec![0], vec![4]]
    );
    let rejected = |reason: Reason| Some(Outcome::Failed(reason.into()));
    assert_eq!(
        outcomes,
        [
            None,
            rejected(Reason::Rejected),
            rejected(Reason::Rejected),
            rejected(Reason::InvalidAddress),
            None
        ]
    );
}

#[test]
fn the_subject_goes_above_the_common_text_only() {
    let mut content =
        Content { subject: Text::new(" Сбор "), text: Text::new("at nine"), ..Content::default() };
    let said = |content: &Content, subject| message(content, &vk(), subject).unwrap().to_string();
    assert_eq!(said(&content, true), "Сбор\n\nat nine");
    assert_eq!(said(&content, false), "at nine");
    content.texts.insert(vk(), Text::new("own"));
    assert_eq!(said(&content, true), "own");
}
