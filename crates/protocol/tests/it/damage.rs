//! The ways in which a record can be damaged, or be of a later version.

use crate::db::Db;
use crate::order::Order;

/// What a damage does to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No version can read it; the reason it is parked for.
    Bad(&'static str),
    /// A later version.
    Newer,
}

/// Where the damage shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Where {
    /// In the head: to every script.
    Head,
    /// In counters and outcomes: to scripts that touch deliveries.
    Deliveries,
    /// In the pieces of text and recipients: to the courier that sends.
    Text,
}

/// One way in which a record is damaged.
pub(crate) struct Damage {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) at: Where,
    /// Only for orders with this layout.
    pub(crate) big: Option<bool>,
    pub(crate) spoil: fn(&Db, &Order),
}

fn history(db: &Db, order: &Order) -> String {
    db.keys.history(&order.order_id)
}

fn set(db: &Db, order: &Order, field: &str, value: &[u8]) {
    db.raw(&[b"HSET", history(db, order).as_bytes(), field.as_bytes(), value]);
}

pub(crate) fn head(db: &Db, order: &Order, change: impl Fn(&mut Vec<u8>)) {
    let reply = db.raw(&["HGET", &history(db, order), "h"]);
    let mut head = reply.bytes().expect("a head").to_vec();
    change(&mut head);
    set(db, order, "h", &head);
}

/// The only piece of a small order: length, content, deliveries.
pub(crate) fn piece(db: &Db, order: &Order, change: impl Fn(&mut Vec<u8>)) {
    let reply = db.raw(&["HGET", &history(db, order), "b0"]);
    let mut piece = reply.bytes().expect("a piece").to_vec();
    change(&mut piece);
    set(db, order, "b0", &piece);
}

/// Outcomes of one delivery, written directly: counts, then the delivery.
fn outcomes(db: &Db, order: &Order, value: &[u8]) {
    if order.big {
        db.raw(&[b"SET", db.keys.outcome(&order.order_id, &order.channels[0].0, 0).as_bytes(), value]);
    } else {
        set(db, order, "o", value);
    }
}

fn delivery(counts: [u8; 6], first: u8) -> Vec<u8> {
    [counts.as_slice(), &[first], &[0; 11]].concat()
}

pub(crate) const DAMAGES: &[Damage] = &[
    Damage {
        name: "history of another type",
        kind: Kind::Bad("type"),
        at: Where::Head,
        big: None,
        spoil: |db, order| {
            db.raw(&["DEL", &history(db, order)]);
            db.raw(&["SADD", &history(db, order), "x"]);
        },
    },
    Damage {
        name: "head rubbish",
        kind: Kind::Bad("head"),
        at: Where::Head,
        big: None,
        spoil: |db, order| set(db, order, "h", b"\x01rubbish"),
    },
    Damage {
        name: "head empty",
        kind: Kind::Bad("head"),
        at: Where::Head,
        big: None,
        spoil: |db, order| set(db, order, "h", b""),
    },
    Damage {
        name: "head truncated",
        kind: Kind::Bad("head"),
        at: Where::Head,
        big: None,
        spoil: |db, order| head(db, order, |head| head.truncate(38)),
    },
    Damage {
        name: "no such layout",
        kind: Kind::Bad("head"),
        at: Where::Head,
        big: None,
        spoil: |db, order| head(db, order, |head| head[1] = b'x'),
    },
    Damage {
        name: "version 0",
        kind: Kind::Bad("head"),
        at: Where::Head,
        big: None,
        spoil: |db, order| head(db, order, |head| head[0] = 0),
    },
    Damage {
        name: "head of a later version",
        kind: Kind::Newer,
        at: Where::Head,
        big: None,
        spoil: |db, order| head(db, order, |head| head[0] = 2),
    },
    Damage {
        name: "no counters",
        kind: Kind::Bad("counters"),
        at: Where::Deliveries,
        big: Some(true),
        spoil: |db, order| drop(db.raw(&["HDEL", &history(db, order), "c:email"])),
    },
    Damage {
        name: "counters cut short",
        kind: Kind::Bad("counters"),
        at: Where::Deliveries,
        big: Some(true),
        spoil: |db, order| set(db, order, "c:email", &[0; 43]),
    },
    Damage {
        name: "open deliveries rubbish",
        kind: Kind::Bad("counters"),
        at: Where::Deliveries,
        big: Some(true),
        spoil: |db, order| set(db, order, "l", b"many"),
    },
    Damage {
        name: "outcomes cut short",
        kind: Kind::Bad("outcomes"),
        at: Where::Deliveries,
        big: None,
        spoil: |db, order| outcomes(db, order, &[0; 17]),
    },
    Damage {
        name: "outcomes of another type",
        kind: Kind::Bad("outcomes"),
        at: Where::Deliveries,
        big: Some(true),
        spoil: |db, order| {
            let key = db.keys.outcome(&order.order_id, &order.channels[0].0, 0);
            db.raw(&["DEL", &key]);
            db.raw(&["SADD", &key, "x"]);
        },
    },
    Damage {
        name: "a delivery of version 0",
        kind: Kind::Bad("outcomes"),
        at: Where::Deliveries,
        big: None,
        spoil: |db, order| outcomes(db, order, &delivery([0, 1, 0, 0, 0, 0], 0)),
    },
    Damage {
        name: "a delivery in no state",
        kind: Kind::Bad("outcomes"),
        at: Where::Deliveries,
        big: None,
        spoil: |db, order| outcomes(db, order, &delivery([0, 1, 0, 0, 0, 0], 16 + 13)),
    },
    Damage {
        name: "more open deliveries than there are",
        kind: Kind::Bad("outcomes"),
        at: Where::Deliveries,
        big: None,
        spoil: |db, order| outcomes(db, order, &delivery([0, 1, 0, 1, 0, 1], 16)),
    },
    Damage {
        name: "fewer open deliveries than there are",
        kind: Kind::Bad("outcomes"),
        at: Where::Deliveries,
        big: None,
        spoil: |db, order| outcomes(db, order, &delivery([0; 6], 16)),
    },
    Damage {
        name: "fewer deliveries on their way than there are",
        kind: Kind::Bad("outcomes"),
        at: Where::Deliveries,
        big: None,
        spoil: |db, order| outcomes(db, order, &delivery([0, 1, 0, 0, 0, 0], 17)),
    },
    Damage {
        name: "a delivery of a later version",
        kind: Kind::Newer,
        at: Where::Deliveries,
        big: None,
        spoil: |db, order| outcomes(db, order, &delivery([0, 1, 0, 0, 0, 0], 32)),
    },
    Damage {
        name: "text rubbish",
        kind: Kind::Bad("content"),
        at: Where::Text,
        big: Some(false),
        spoil: |db, order| set(db, order, "b0", b"\xff\xff\xff\xff\xff\xff"),
    },
    Damage {
        name: "text missing",
        kind: Kind::Bad("content"),
        at: Where::Text,
        big: Some(false),
        spoil: |db, order| drop(db.raw(&["HDEL", &history(db, order), "b0"])),
    },
    Damage {
        name: "a piece that is none",
        kind: Kind::Bad("content"),
        at: Where::Text,
        big: Some(false),
        spoil: |db, order| set(db, order, "bx", b"1"),
    },
    Damage {
        name: "a hole between pieces",
        kind: Kind::Bad("content"),
        at: Where::Text,
        big: Some(false),
        spoil: |db, order| set(db, order, "b2", b"1"),
    },
    Damage {
        name: "text cut short",
        kind: Kind::Bad("content"),
        at: Where::Text,
        big: Some(false),
        spoil: |db, order| piece(db, order, |piece| piece.truncate(4)),
    },
    Damage {
        name: "recipients cut short",
        kind: Kind::Bad("content"),
        at: Where::Text,
        big: Some(false),
        spoil: |db, order| piece(db, order, |piece| piece.truncate(piece.len() - 1)),
    },
    Damage {
        name: "content of version 0",
        kind: Kind::Bad("content"),
        at: Where::Text,
        big: Some(false),
        spoil: |db, order| piece(db, order, |piece| piece[1] = 0),
    },
    Damage {
        name: "content of a later version",
        kind: Kind::Newer,
        at: Where::Text,
        big: Some(false),
        spoil: |db, order| piece(db, order, |piece| piece[1] = 2),
    },
    Damage {
        name: "a field of a later version",
        kind: Kind::Newer,
        at: Where::Text,
        big: Some(false),
        spoil: |db, order| piece(db, order, |piece| piece[2] = 12),
    },
    Damage {
        name: "recipients of a later version",
        kind: Kind::Newer,
        at: Where::Text,
        big: Some(false),
        spoil: |db, order| {
            piece(db, order, |piece| {
                let at = 1 + usize::from(piece[0]);
                piece[at] = 2;
            })
        },
    },
];
