//! What all stand-ins that speak HTTP share: a server that takes whole requests, writes each down with all its bytes before it
//! answers, also what came of one that breaks off, and can hang, reset, cut, wait, or be down. What a provider checks and answers
//! is a [`Provider`].

mod answer;
mod faults;
mod form;
mod journal;
mod magic;
mod provider;
mod serve;
mod server;
mod settings;
mod window;
mod wire;

pub use self::faults::{Action, Callbacks, Fault, FaultView, Invalid, MOST_FAULTS};
pub use self::journal::{Fate, Request};
pub use self::magic::Magic;
pub use self::provider::Provider;
pub use self::server::{Server, StartError};
pub use self::settings::Bounds;

pub(crate) use self::answer::Answer;
pub(crate) use self::form::{Form, basic, bearer, is_known};
pub(crate) use self::provider::{Ask, Back, How, Message, Poll, Reply, Verdict};
pub(crate) use self::server::{Control, Opening};
pub(crate) use self::settings::{Common, any_port};
pub(crate) use self::window::Window;
pub(crate) use self::wire::Whole;

/// A client for tests: a new connection each, and no certificates to be read.
#[cfg(test)]
pub(crate) fn client() -> reqwest::Client {
    let builder = reqwest::Client::builder().no_proxy().tls_built_in_root_certs(false);
    builder.build().expect("a client for plain HTTP")
}
