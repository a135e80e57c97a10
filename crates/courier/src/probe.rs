//! Steps of the engine as signals: a test waits for one, or ends the process exactly there. Costs nothing when nobody listens.

/// A step of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Point {
    /// A claim is about to be asked for.
    BeforeClaim,
    /// A claim brought parcels; nothing of them is begun, unless it was with the claim.
    AfterClaim,
    /// Rows are begun; nothing of them has left.
    AfterBegin,
    /// Reports were settled.
    AfterSettle,
    /// A parcel that can't be read is about to be parked.
    BeforePark,
}

/// Is told of every step.
pub trait Probe: Send + Sync + 'static {
    /// The engine has come to this step.
    fn reached(&self, point: Point);
}

impl Probe for () {
    fn reached(&self, _: Point) {}
}
