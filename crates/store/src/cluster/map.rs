//! Merges the views that several servers have of their cluster.

use std::collections::{BTreeMap, BTreeSet};

use super::listing::{Listed, NodeAddress};
use crate::slot::SLOTS;

/// The view of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct View(pub(crate) Vec<Listed>);

/// Which server holds which slots, by all views.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Map {
    /// Servers to connect to: those that hold slots, and those that may get some.
    pub(crate) primaries: BTreeSet<NodeAddress>,
    /// Those of them that most primaries consider down.
    pub(crate) failed: BTreeSet<NodeAddress>,
    /// The preferred host name of each.
    pub(crate) hostnames: BTreeMap<NodeAddress, String>,
    /// All other servers, and whose replicas they are.
    pub(crate) replicas: BTreeMap<NodeAddress, Option<NodeAddress>>,
    /// The owner of each slot, as an index into `primaries`. Compact, because there are 16,384 slots and a refresh
    /// every second.
    pub(crate) owners: Vec<Option<u16>>,
    /// Slots that are being moved.
    pub(crate) moving: BTreeSet<u16>,
}

/// The best knowledge about one server.
struct Known<'a> {
    listed: &'a Listed,
    failed: bool,
}

impl Map {
    /// Merges views. When two servers claim a slot, the one with the higher epoch has it. A server's view of itself
    /// is the best, except that it does not know when the others have given it up. The order of views and lines does
    /// not matter.
    pub(crate) fn of(views: &[View]) -> Self {
        let mut known: BTreeMap<&str, Known<'_>> = BTreeMap::new();
        let mut owners: Vec<Option<(u64, &str)>> = vec![None; usize::from(SLOTS)];
        let mut map = Self::default();
        for listed in views.iter().flat_map(|view| &view.0) {
            let best = known.entry(&listed.id).or_insert(Known { listed, failed: false });
            best.failed |= listed.failed;
            if rank(listed) > rank(best.listed) {
                best.listed = listed;
            }
            map.moving.extend(&listed.moving);
            for slot in listed.slots.iter().flat_map(|(first, last)| *first..=*last) {
                let claim = (listed.epoch, listed.id.as_str());
                if let Some(owner) = owners.get_mut(usize::from(slot))
                    && owner.is_none_or(|other| claim > other)
                {
                    *owner = Some(claim);
                }
            }
        }
        let holders: BTreeSet<&str> = owners.iter().flatten().map(|(_, id)| *id).collect();
        for (id, Known { listed, failed }) in &known {
            let address = listed.address.clone();
            if listed.nowhere || address.port == 0 {
                continue;
            }
            let holds = holders.contains(id);
            if !listed.primary && !holds {
                let of = listed.replica_of.as_deref().and_then(|id| known.get(id));
                map.replicas.insert(address, of.map(|known| known.listed.address.clone()));
                continue;
            }
            if *failed && !holds {
                continue;
            }
            if let Some(name) = &listed.hostname {
                map.hostnames.insert(address.clone(), name.clone());
            }
            if *failed {
                map.failed.insert(address.clone());
            }
            map.primaries.insert(address);
        }
        let place_of = |id: &str| {
            let address = &known.get(id)?.listed.address;
            u16::try_from(map.primaries.iter().position(|primary| primary == address)?).ok()
        };
        let places: BTreeMap<&str, Option<u16>> = holders.iter().map(|id| (*id, place_of(id))).collect();
        // Neighbouring slots mostly have the same owner.
        let mut last: (&str, Option<u16>) = ("", None);
        let owned = owners.iter().map(|owner| {
            let (_, id) = (*owner)?;
            if last.0 != id {
                last = (id, places.get(id).copied().flatten());
            }
            last.1
        });
        map.owners = owned.collect();
        map
    }

    /// The server that holds a slot.
    pub(crate) fn owner(&self, slot: u16) -> Option<&NodeAddress> {
        self.primaries.iter().nth(usize::from((*self.owners.get(usize::from(slot))?)?))
    }
}

/// How much a line counts against others about the same server. The last fields only make the result independent of
/// the order.
fn rank(listed: &Listed) -> impl Ord + '_ {
    let Listed { epoch, myself, primary, nowhere, address, hostname, .. } = listed;
    (*epoch, *myself, *primary, !*nowhere, address, hostname)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::listing::read;
    use super::*;

    fn address(text: &str) -> NodeAddress {
        text.parse().unwrap()
    }

    fn view(requested: &str, lines: &[&str]) -> View {
        View(read(&lines.join("\n"), &address(requested)).unwrap())
    }

    const A: &str = "a 10.0.0.1:7000@17000 master - 0 0 1 connected 0-5460";
    const B: &str = "b 10.0.0.2:7000@17000 master - 0 0 2 connected 5461-10922";
    const C: &str = "c 10.0.0.3:7000@17000 master - 0 0 3 connected 10923-16383";
    const C_FAILED: &str = "c 10.0.0.3:7000@17000 master,fail - 0 0 3 disconnected 10923-16383";
    const D: &str = "d 10.0.0.4:7000@17000 slave c 0 0 3 connected";
    const D_PROMOTED: &str = "d 10.0.0.4:7000@17000 master - 0 0 7 connected 10923-16383";

    #[test]
    fn a_failed_primary_keeps_its_slots_until_another_has_them() {
        let map =
            Map::of(&[view("10.0.0.1:7000", &[A, B, C_FAILED, D]), view("10.0.0.2:7000", &[A, B, C, D])]);
        assert_eq!(map.owner(16_383), Some(&address("10.0.0.3:7000")));
        assert_eq!(map.failed, BTreeSet::from([address("10.0.0.3:7000")]));
        assert_eq!(
            map.replicas,
            BTreeMap::from([(address("10.0.0.4:7000"), Some(address("10.0.0.3:7000")))])
        );
        let map = Map::of(&[
            view("10.0.0.1:7000", &[A, B, C_FAILED, D_PROMOTED]),
            view("10.0.0.3:7000", &[A, B, C, D]),
        ]);
        assert_eq!(map.owner(16_383), Some(&address("10.0.0.4:7000")));
        // It holds no slots any more, and nobody can reach it.
        assert!(!map.primaries.contains(&address("10.0.0.3:7000")) && map.failed.is_empty());
    }

    #[test]
    fn a_primary_without_slots_is_known_and_a_slot_without_primary_has_no_owner() {
        let new = "e 10.0.0.5:7000@17000 master - 0 0 0 connected";
        let map = Map::of(&[view("10.0.0.1:7000", &[A, B, D, new])]);
        assert!(map.primaries.contains(&address("10.0.0.5:7000")));
        assert_eq!(map.owner(16_383), None);
        assert_eq!(Map::of(&[]).owner(0), None);
    }

    #[test]
    fn marks_of_all_servers_count_and_names_are_kept() {
        let from = "a :7000@17000,db-a myself,master - 0 0 1 connected 0-5460 [93->-b]";
        let to = "b :7000@17000,db-b myself,master - 0 0 2 connected 5461-10922 [94-<-a]";
        let map = Map::of(&[view("10.0.0.1:7000", &[from, B, C]), view("10.0.0.2:7000", &[A, to, C])]);
        assert_eq!(map.moving, BTreeSet::from([93, 94]));
        assert_eq!(map.hostnames.get(&address("10.0.0.1:7000")).map(String::as_str), Some("db-a"));
        assert_eq!(map.primaries.len(), 3);
    }

    fn line() -> impl Strategy<Value = String> {
        let host = prop_oneof![
            "10\\.0\\.0\\.[1-4]",
            Just("fd00::1".to_owned()),
            Just(String::new()),
            "db-[a-c]\\.example"
        ];
        let flags = prop_oneof![
            Just("master"),
            Just("myself,master"),
            Just("slave"),
            Just("master,fail"),
            Just("master,fail?"),
            Just("master,noaddr"),
        ];
        let slots = prop::collection::vec((0..SLOTS, 0u16..3000), 0..3);
        ("[a-e]", host, 7000u16..7003, flags, 0u64..5, slots, prop::option::of((0..SLOTS, any::<bool>())))
            .prop_map(|(id, host, port, flags, epoch, slots, mark)| {
                let slots = slots.iter().map(|(first, n)| format!(" {first}-{}", (first + n).min(SLOTS - 1)));
                let mark = mark.map(|(slot, away)| format!(" [{slot}-{}-x]", if away { '>' } else { '<' }));
                let slots: String = slots.chain(mark).collect();
                format!("{id} {host}:{port}@1{port} {flags} - 0 0 {epoch} connected{slots}")
            })
    }

    proptest! {
        /// Whatever the servers report, in whatever order, the map is the same, and consistent in itself.
        #[test]
        fn the_order_of_lines_and_views_does_not_matter(
            lines in prop::collection::vec(line(), 0..8),
            other in prop::collection::vec(line(), 0..4),
            turn in 0usize..8,
        ) {
            let text = |lines: &[String]| View(read(&lines.join("\n"), &address("10.0.0.9:7009")).unwrap());
            let map = Map::of(&[text(&lines), text(&other)]);
            let mut turned = lines.clone();
            turned.rotate_left(turn.min(lines.len()));
            // Not printed when they differ: there are 16,384 slots.
            prop_assert!(map == Map::of(&[text(&other), text(&turned)]));
            turned.reverse();
            prop_assert!(map == Map::of(&[text(&turned), text(&other)]));
            prop_assert!(map.owners.iter().flatten().all(|owner| usize::from(*owner) < map.primaries.len()));
            prop_assert!(map.failed.is_subset(&map.primaries));
            prop_assert!(map.primaries.iter().all(|address| !address.host.is_empty() && address.port > 0));
        }
    }
}
