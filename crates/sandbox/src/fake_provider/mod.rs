//! What all fake providers over HTTP share: a server that receives whole requests and records each with all its bytes
//! before it answers, including those that break off. It can hang, reset, cut, wait, or be down. A [`Provider`]
//! decides what is checked and answered.

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

pub use self::faults::{
    Callbacks, InvalidMessageFault, MOST_FAULTS, MessageAction, MessageFault, MessageFaultView,
};
pub use self::journal::{JournalEntry, RequestFate};
pub use self::magic::Magic;
pub use self::provider::Provider;
pub use self::server::{FakeServer, FakeServerError};
pub use self::settings::Bounds;

pub(crate) use self::answer::Answer;
pub(crate) use self::form::{Form, basic, bearer, is_known};
pub(crate) use self::provider::{Ask, Back, How, Poll, ProviderAnswer, Reply, SeenMessage};
pub(crate) use self::server::{Control, Opening};
pub(crate) use self::settings::{Common, any_port};
pub(crate) use self::window::Window;
pub(crate) use self::wire::Whole;

/// A client for tests: a new connection for each, without loading certificates.
#[cfg(test)]
pub(crate) fn client() -> reqwest::Client {
    let builder = reqwest::Client::builder().no_proxy().tls_built_in_root_certs(false);
    builder.build().expect("a client for plain HTTP")
}
