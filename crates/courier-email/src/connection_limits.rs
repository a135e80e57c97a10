//! Limits concurrent connections in total and per peer, so that no peer can use up the connections of the others. If
//! the limit is reached, a connection that has been idle for a while is closed to make room.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// How often a waiting connection checks whether another one has become idle.
const LOOK: Duration = Duration::from_millis(100);

/// The connection permits of a server.
#[derive(Debug)]
pub(crate) struct ConnectionLimits {
    all: usize,
    per_peer: usize,
    /// A connection idle for this long makes room for others.
    silent: Duration,
    taken: Mutex<Vec<Arc<Seat>>>,
    freed: Notify,
}

#[derive(Debug)]
struct Seat {
    peer: IpAddr,
    /// Since when it has been waiting for a command.
    waits_since: Mutex<Option<Instant>>,
    leave: CancellationToken,
}

/// A permit for one connection, until it is dropped.
#[derive(Debug)]
pub(crate) struct ConnectionPermit {
    seat: Arc<Seat>,
    places: Arc<ConnectionLimits>,
}

/// The peer has reached its limit, and none of its connections is idle.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooMany;

impl ConnectionLimits {
    pub(crate) fn new(all: usize, per_peer: usize, silent: Duration) -> Self {
        Self { all, per_peer, silent, taken: Mutex::default(), freed: Notify::new() }
    }

    /// The limit of connections in total.
    pub(crate) fn all(&self) -> usize {
        self.all
    }

    /// A permit for a peer. Waits until there is one, unless the peer has reached its own limit.
    pub(crate) async fn take(self: &Arc<Self>, peer: IpAddr) -> Result<ConnectionPermit, TooMany> {
        let peer = network(peer);
        loop {
            let freed = self.freed.notified();
            if let Some(place) = self.try_take(peer)? {
                return Ok(place);
            }
            // Either a connection ends, or one has now been idle for long enough.
            let _ = timeout(LOOK.min(self.silent), freed).await;
        }
    }

    fn try_take(self: &Arc<Self>, peer: IpAddr) -> Result<Option<ConnectionPermit>, TooMany> {
        let mut taken = self.taken();
        let of_peer = taken.iter().filter(|seat| seat.peer == peer).count();
        if of_peer >= self.per_peer {
            self.make_room(&mut taken, |seat| seat.peer == peer).ok_or(TooMany)?;
        } else if taken.len() >= self.all && self.make_room(&mut taken, |_| true).is_none() {
            return Ok(None);
        }
        let seat = Arc::new(Seat { peer, waits_since: Mutex::new(None), leave: CancellationToken::new() });
        taken.push(Arc::clone(&seat));
        Ok(Some(ConnectionPermit { seat, places: Arc::clone(self) }))
    }

    /// Closes the longest idle one of these connections, if it has been idle for long enough.
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

impl ConnectionPermit {
    /// Records whether the connection is waiting for a command.
    pub(crate) fn waits(&self, waits: bool) {
        let since = waits.then(Instant::now);
        *self.seat.waits_since.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    /// Cancelled when the permit is given to another connection.
    pub(crate) fn lost(&self) -> CancellationToken {
        self.seat.leave.clone()
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.places.taken().retain(|seat| !Arc::ptr_eq(seat, &self.seat));
        self.places.freed.notify_one();
    }
}

/// What counts as one peer: an IPv4 address or an IPv6 /64 network, the least that one customer gets.
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

    fn places(all: usize, per_peer: usize) -> Arc<ConnectionLimits> {
        Arc::new(ConnectionLimits::new(all, per_peer, SILENT))
    }

    #[tokio::test(start_paused = true)]
    async fn one_peer_leaves_places_to_others() {
        let places = places(4, 2);
        let [one, two] = [places.take(peer(1)).await.expect("one"), places.take(peer(1)).await.expect("two")];
        assert_eq!(places.take(peer(1)).await.expect_err("too many"), TooMany);
        let other = places.take(peer(2)).await.expect("a place of another");
        drop(one);
        let third = places.take(peer(1)).await.expect("the one that was left");
        // Only an idle connection of the same peer makes room, however long others have been idle.
        other.waits(true);
        tokio::time::advance(SILENT).await;
        two.waits(true);
        assert_eq!(places.take(peer(1)).await.expect_err("not for long enough"), TooMany);
        tokio::time::advance(SILENT).await;
        let fourth = places.take(peer(1)).await.expect("the place of the silent one");
        assert!(two.lost().is_cancelled() && !other.lost().is_cancelled() && !third.lost().is_cancelled());
        // A connection that has lost its permit frees none when it ends.
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
        // It becomes active again in time, so the next one waits until a connection ends.
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
