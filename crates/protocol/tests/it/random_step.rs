//! What a random walk may do next.

use proptest::prelude::*;

/// One step. The numbers select among existing orders, parcels and couriers.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    Accept {
        big: bool,
        deliveries: u32,
        sms: bool,
        urgent: bool,
        due: u64,
        policy: u8,
    },
    StageOnly,
    Unstage,
    Claim {
        courier: usize,
        limit: u32,
        begin: u32,
    },
    Again {
        courier: usize,
    },
    Begin {
        courier: usize,
        parcel: usize,
        deliveries: Vec<u16>,
        tokens: bool,
        off: u8,
    },
    Settle {
        courier: usize,
        parcel: usize,
        deliveries: Vec<u16>,
        outcome: usize,
        off: u8,
        leave: bool,
        wait: u32,
    },
    Renew {
        courier: usize,
        parcel: usize,
    },
    Release {
        courier: usize,
        parcel: usize,
    },
    Sweep {
        courier: usize,
        blame: bool,
    },
    Resolve {
        courier: usize,
        order: usize,
        deliveries: Vec<u16>,
        decision: u8,
    },
    Receipt {
        courier: usize,
        order: usize,
        delivery: u16,
        off: u8,
        word: u8,
    },
    Cancel {
        order: usize,
    },
    Move {
        order: usize,
        due: u64,
    },
    Ring,
    Close {
        courier: usize,
        which: u8,
    },
    Audit {
        courier: usize,
        order: usize,
    },
    ClaimUnresolved {
        courier: usize,
    },
    ScanOrders,
    Retire,
    Key {
        n: u32,
        what: u8,
    },
    Suppress {
        n: u32,
        what: u8,
    },
    Later {
        ms: u64,
    },
    LateCopy {
        of: usize,
    },
}

/// Any step.
pub(crate) fn any_act() -> impl Strategy<Value = Act> {
    let deliveries =
        || prop::collection::btree_set(0_u16..4, 1..4).prop_map(|set| set.into_iter().collect::<Vec<_>>());
    let (who, which) = (|| 0_usize..3, || 0_usize..8);
    let off = || prop_oneof![8 => Just(0_u8), 1 => Just(1), 1 => Just(255)];
    prop_oneof![
        6 => (any::<bool>(), prop_oneof![4 => 1_u32..4, 1 => Just(502)], any::<bool>(), any::<bool>(),
              prop_oneof![3 => Just(0), 1 => Just(5_000), 1 => Just(60_000)], 0_u8..3)
            .prop_map(|(big, deliveries, sms, urgent, due, policy)| Act::Accept { big, deliveries, sms, urgent, due, policy }),
        1 => Just(Act::StageOnly),
        1 => Just(Act::Unstage),
        8 => (who(), 1_u32..6, 0_u32..3).prop_map(|(courier, limit, begin)| Act::Claim { courier, limit, begin }),
        1 => who().prop_map(|courier| Act::Again { courier }),
        10 => (who(), which(), deliveries(), any::<bool>(), off())
            .prop_map(|(courier, parcel, deliveries, tokens, off)| Act::Begin { courier, parcel, deliveries, tokens, off }),
        14 => (who(), which(), deliveries(), 0_usize..8, off(), any::<bool>(), 0_u32..3_000)
            .prop_map(|(courier, parcel, deliveries, outcome, off, leave, wait)|
                Act::Settle { courier, parcel, deliveries, outcome, off, leave, wait }),
        1 => (who(), which()).prop_map(|(courier, parcel)| Act::Renew { courier, parcel }),
        2 => (who(), which()).prop_map(|(courier, parcel)| Act::Release { courier, parcel }),
        4 => (who(), any::<bool>()).prop_map(|(courier, blame)| Act::Sweep { courier, blame }),
        4 => (who(), which(), deliveries(), 0_u8..6)
            .prop_map(|(courier, order, deliveries, decision)| Act::Resolve { courier, order, deliveries, decision }),
        3 => (who(), which(), 0_u16..4, off(), 0_u8..3)
            .prop_map(|(courier, order, delivery, off, word)| Act::Receipt { courier, order, delivery, off, word }),
        1 => which().prop_map(|order| Act::Cancel { order }),
        1 => (which(), 0_u64..30_000).prop_map(|(order, due)| Act::Move { order, due }),
        1 => Just(Act::Ring),
        2 => (who(), 0_u8..3).prop_map(|(courier, which)| Act::Close { courier, which }),
        1 => (who(), which()).prop_map(|(courier, order)| Act::Audit { courier, order }),
        1 => who().prop_map(|courier| Act::ClaimUnresolved { courier }),
        1 => Just(Act::ScanOrders),
        1 => Just(Act::Retire),
        2 => (0_u32..4, 0_u8..3).prop_map(|(n, what)| Act::Key { n, what }),
        2 => (0_u32..4, 0_u8..5).prop_map(|(n, what)| Act::Suppress { n, what }),
        4 => prop_oneof![4 => Just(1_000), 4 => Just(11_000), 1 => Just(90_000), 1 => Just(260_000_000)]
            .prop_map(|ms| Act::Later { ms }),
        6 => any::<usize>().prop_map(|of| Act::LateCopy { of }),
    ]
}
