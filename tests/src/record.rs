//! The records of the test transports: the provider's side of the truth.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Identifies a delivery.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeliveryName {
    /// The order.
    pub order_id: String,
    /// The channel.
    pub channel: String,
    /// Parcel of the order and channel.
    pub parcel: u32,
    /// Delivery of the parcel.
    pub delivery: u16,
}

/// One line of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// Attempt of the delivery.
    pub attempt: u8,
    /// Microseconds since 1970, by the machine's clock.
    pub at_us: u64,
    /// Number of the courier in its scene.
    pub courier: u64,
}

/// All lines, by delivery; sightings of a delivery by time.
#[derive(Debug, Default)]
pub struct Record {
    /// Envelopes about to leave.
    pub leaving: BTreeMap<DeliveryName, Vec<Sighting>>,
    /// Envelopes the provider took.
    pub taken: BTreeMap<DeliveryName, Vec<Sighting>>,
}

impl Record {
    /// Reads every record file in a folder; files are named by the number of their courier. A line cut short by a kill
    /// is left out.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let mut record = Self::default();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let courier = entry.file_name().to_string_lossy().parse()?;
            for line in std::fs::read_to_string(entry.path())?.lines() {
                record.add(courier, line);
            }
        }
        for sightings in record.leaving.values_mut().chain(record.taken.values_mut()) {
            sightings.sort_by_key(|sighting| sighting.at_us);
        }
        Ok(record)
    }

    fn add(&mut self, courier: u64, line: &str) -> Option<()> {
        let mut words = line.split(' ');
        let what = words.next()?;
        let (order_id, channel) = (words.next()?.to_owned(), words.next()?.to_owned());
        let (parcel, delivery) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let attempt = words.next()?.parse().ok()?;
        let at_us = words.next()?.parse().ok()?;
        // The last word marks a complete line.
        words.next().filter(|word| *word == ".")?;
        let deliveries = if what == "leaving" { &mut self.leaving } else { &mut self.taken };
        let name = DeliveryName { order_id, channel, parcel, delivery };
        deliveries.entry(name).or_default().push(Sighting { attempt, at_us, courier });
        Some(())
    }

    /// How often the provider took this delivery.
    #[must_use]
    pub fn times_taken(&self, delivery: &DeliveryName) -> usize {
        self.taken.get(delivery).map_or(0, Vec::len)
    }

    /// Deliveries the provider took, each counted once.
    #[must_use]
    pub fn deliveries_taken(&self) -> usize {
        self.taken.len()
    }

    /// Numbers of the couriers that sent something.
    #[must_use]
    pub fn senders(&self) -> BTreeSet<u64> {
        self.leaving.values().flatten().map(|sighting| sighting.courier).collect()
    }
}
