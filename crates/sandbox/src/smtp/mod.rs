//! An SMTP server that behaves, and misbehaves on request.

mod auth;
mod body;
mod command;
mod data;
mod envelope;
mod listen;
mod session;
mod transaction;
mod wire;

pub(crate) use self::body::undotted;
pub(crate) use self::listen::{Server, serve};
