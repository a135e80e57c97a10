//! The binary a user meets first.

fn main() {}
