//! Who may have a conversation at once: so many in all, and so many of one peer, that none of them can take the places of the
//! others. When there is no place, whoever has said nothing for a while makes room.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// How often one that waits looks whether somebody has become silent.
const LOOK: Duration = Duration::from_millis(100);

/// The places of a server.
#[derive(Debug)]
pub(crate) struct Places {
    all: usize,
    per_peer: usize,
    /// Whoever has said nothing for so long makes room for others.
    silent: Duration,
    taken: Mutex<Vec<Arc<Seat>>>,
    freed: Notify,
}

#[derive(Debug)]
struct Seat {
    peer: IpAddr,
    /// Since when it waits for a command.
    waits_since: Mutex<Option<Instant>>,
    leave: CancellationToken,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    seat: Arc<Seat>,
    places: Arc<Places>,
}

/// There are as many conversations of this peer as it may have, and each of them is in use.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooMany;

impl Places {
    pub(crate) fn new(all: usize, per_peer: usize, silent: Duration) -> Self {
        Self { all, per_peer, silent, taken: Mutex::default(), freed: Notify::new() }
    }

    /// How many there are.
    pub(crate) fn all(&self) -> usize {
        self.all
    }

    /// A place for a peer. Waits until there is one, unless the peer has too many itself.
    pub(crate) async fn take(self: &Arc<Self>, peer: IpAddr) -> Result<Place, TooMany> {
        let peer = network(peer);
        loop {
            let freed = self.freed.notified();
            if let Some(place) = self.try_take(peer)? {
                return Ok(place);
            }
            // Either somebody goes, or somebody has been silent for long enough now.
            let _ = timeout(LOOK.min(self.silent), freed).await;
        }
    }

    fn try_take(self: &Arc<Self>, peer: IpAddr) -> Result<Option<Place>, TooMany> {
        let mut taken = self.taken();
        let of_peer = taken.iter().filter(|seat| seat.peer == peer).count();
        if of_peer >= self.per_peer {
            self.make_room(&mut taken, |seat| seat.peer == peer).ok_or(TooMany)?;
        } else if taken.len() >= self.all && self.make_room(&mut taken, |_| true).is_none() {
            return Ok(None);
        }
        let seat = Arc::new(Seat { peer, waits_since: Mutex::new(None), leave: CancellationToken::new() });
        taken.push(Arc::clone(&seat));
        Ok(Some(Place { seat, places: Arc::clone(self) }))
    }

    /// Sends away the one of these that has been silent the longest, if it has been so for long enough.
    fn make_room(&self, taken: &mut Vec<Arc<Seat>>, of: impl Fn(&Seat) -> bool) -> Option<()> {
        let silent = taken.iter().enumerate().filter(|(_, seat)| of(seat));
        let silent = silent.filter_map(|(at, seat)| Some((seat.waits_since()?, at)));
        let (_, at) = silent.min().filter(|(since, _)| since.elapsed() >= self.silent)?;
        taken.swap_remove(at).leave.cancel();
        Some(())
    }

    fn taken(&self) -> MutexGuard<'_, Vec<Arc<Seat>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    fn waits_since(&self) -> Option<Instant> {
        *self.waits_since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Says that it waits for a command, or that it does not.
    pub(crate) fn waits(&self, waits: bool) {
        let since = waits.then(Instant::now);
        *self.seat.waits_since.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    /// What is cancelled when the place is given to another one.
    pub(crate) fn lost(&self) -> CancellationToken {
        self.seat.leave.clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken().retain(|seat| !Arc::ptr_eq(seat, &self.seat));
        self.places.freed.notify_one();
    }
}

/// What counts as one peer: an address, of IPv6 a network of 64 bits, which is what one customer has at least.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENT: Duration = Duration::from_secs(2);

    fn peer(number: u8) -> IpAddr {
        [192, 0, 2, number].into()
    }

    fn places(all: usize, per_peer: usize) -> Arc<Places> {
        Arc::new(Places::new(all, per_peer, SILENT))
    }

    #[tokio::test(start_paused = true)]
    async fn one_peer_leaves_places_to_others() {
        let places = places(4, 2);
        let [one, two] = [places.take(peer(1)).await.expect("one"), places.take(peer(1)).await.expect("two")];
        assert_eq!(places.take(peer(1)).await.expect_err("too many"), TooMany);
        let other = places.take(peer(2)).await.expect("a place of another");
        drop(one);
        let third = places.take(peer(1)).await.expect("the one that was left");
        // Of the silent ones it is its own that makes room, however long others were silent.
        other.waits(true);
        tokio::time::advance(SILENT).await;
        two.waits(true);
        assert_eq!(places.take(peer(1)).await.expect_err("not for long enough"), TooMany);
        tokio::time::advance(SILENT).await;
        let fourth = places.take(peer(1)).await.expect("the place of the silent one");
        assert!(two.lost().is_cancelled() && !other.lost().is_cancelled() && !third.lost().is_cancelled());
        // Whoever lost its place frees none when it goes.
        drop(two);
        assert_eq!(places.take(peer(1)).await.expect_err("two are there"), TooMany);
        drop((third, fourth));
        assert_eq!(places.taken().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_are_taken_the_longest_silent_makes_room_and_nobody_who_is_at_work() {
        let places = places(3, 3);
        let mut held = Vec::new();
        for number in 1..=3 {
            held.push(places.take(peer(number)).await.expect("a place"));
        }
        held[1].waits(true);
        tokio::time::advance(Duration::from_millis(100)).await;
        held[0].waits(true);
        let begun = Instant::now();
        let next = places.take(peer(4)).await.expect("a place");
        assert!(begun.elapsed() <= SILENT + LOOK, "{:?}", begun.elapsed());
        let lost: Vec<bool> = held.iter().map(|place| place.lost().is_cancelled()).collect();
        assert_eq!(lost, [false, true, false]);
        // It speaks again in time, and the next one waits until somebody goes.
        held[0].waits(false);
        let waiting = tokio::spawn({
            let places = Arc::clone(&places);
            async move { places.take(peer(5)).await }
        });
        tokio::time::sleep(100 * SILENT).await;
        assert!(!waiting.is_finished());
        drop(next);
        waiting.await.expect("no panic").expect("a place");
    }

    #[test]
    fn a_peer_is_an_address_or_a_network_of_64_bits() {
        let same = |one: &str, two: &str| {
            network(one.parse().expect("an address")) == network(two.parse().expect("an address"))
        };
        assert!(same("2001:db8:1:2::1", "2001:db8:1:2:ffff::9") && same("::ffff:192.0.2.1", "192.0.2.1"));
        assert!(!same("2001:db8:1:2::1", "2001:db8:1:3::1") && !same("192.0.2.1", "192.0.2.2"));
    }
}
