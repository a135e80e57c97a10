//! Steps of the engine as signals: a test can wait for one, or end the process exactly there. Free when unused.

/// A step of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Point {
    /// A claim is about to be made.
    BeforeClaim,
    /// A claim returned parcels; nothing of them is begun, except deliveries begun by the claim itself.
    AfterClaim,
    /// Deliveries are begun; nothing of them has left.
    AfterBegin,
    /// Reports were settled.
    AfterSettle,
    /// A parcel that can't be read is about to be parked.
    BeforePark,
}

/// Is notified of every step.
pub trait Probe: Send + Sync + 'static {
    /// The engine has reached this step.
    fn reached(&self, point: Point);
}

impl Probe for () {
    fn reached(&self, _: Point) {}
}
