//! The only crate that talks to Redis or Valkey.
