//! The transport contract, the runtime that drives it, and the suite every channel must pass.
