//! What is asked about suppressions: which addresses, of which list, and whether the caller may.

use std::borrow::Cow;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use posthaste_model::{Address, Channel, SenderId};
use posthaste_store::Scope;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::intake::settings::Rules;
use crate::intake::{Given, normalise};
use crate::problem::{Code, Problem, Violation};
use crate::state::AppState;

/// Addresses of one request at most.
const MOST_ADDRESSES: usize = 500;
/// Addresses that are checked where they were read.
const MOST_SMALL: usize = 100;
/// Wrong places told of one request at most.
const MOST_TOLD: usize = 100;

/// Addresses of a channel, and whose list is meant.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AddressesBody {
    /// The channel.
    #[schema(example = "email")]
    channel: String,
    /// 1 to 500 addresses, written as in an order: they are read by the same rules.
    #[schema(value_type = Vec<String>, min_items = 1, max_items = 500, example = json!(["ann@example.org"]))]
    addresses: Vec<Written>,
    /// The list of this sender. Without it the channel's, which holds for all senders; for a key without `admin` that of the
    /// sender it is bound to.
    sender_id: Option<String>,
}

/// An address as it stands in the body.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(i64),
    Text(String),
}

/// Which list, and which addresses.
pub(super) struct Asked {
    pub(super) channel: Channel,
    /// The sender whose list is meant; `None`: the channel's.
    pub(super) sender: Option<SenderId>,
    /// In the order of the body.
    pub(super) addresses: Vec<Address>,
}

/// A caller that may change one list at least. As the first argument of a handler it refuses others before the body is read.
pub(super) struct Changer(pub(super) Caller);

/// A caller that may look into one list at least.
pub(super) struct Looker(pub(super) Caller);

/// Lets keys with `admin` or the scope of the request pass.
fn admit(caller: &Caller, scope: Scope) -> Result<(), Problem> {
    if caller.has(scope) || caller.has(Scope::Admin) {
        return Ok(());
    }
    Err(Problem::new(Code::ScopeMissing, format!("the key lacks the scopes {} and admin", scope.word())))
}

impl<S: Sync> FromRequestParts<S> for Changer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        admit(&caller, Scope::Enqueue).map(|()| Self(caller))
    }
}

impl<S: Sync> FromRequestParts<S> for Looker {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        admit(&caller, Scope::Read).map(|()| Self(caller))
    }
}

/// Reads the name of a channel.
pub(super) fn channel(name: &str) -> Option<Channel> {
    name.parse().ok()
}

fn invalid(errors: Vec<Violation>) -> Problem {
    Problem::new(Code::InvalidBody, "a field of the body is wrong").with_errors(errors)
}

impl AddressesBody {
    /// Which list is meant, if the caller may have it. An admin has all; others have those of the senders they act for.
    fn sender(&self, caller: &Caller) -> Result<Option<SenderId>, Problem> {
        let sender = self.sender_id.as_deref().map(str::parse::<SenderId>).transpose();
        let sender = sender
            .map_err(|error| invalid(vec![Violation::at("/sender_id", "invalid_id", error.to_string())]))?;
        if caller.has(Scope::Admin) {
            return Ok(sender);
        }
        match (sender, &caller.sender) {
            (Some(sender), _) if caller.acts_for(sender.as_str()) => Ok(Some(sender)),
            (Some(_), _) => Err(Problem::new(Code::SenderNotAllowed, "the key is bound to another sender")),
            (None, Some(bound)) => Ok(Some(bound.clone())),
            (None, None) => {
                let detail = "the list of a whole channel is for keys with the scope admin; name a sender_id";
                Err(Problem::new(Code::ScopeMissing, detail))
            }
        }
    }

    /// Reads all of it, or says what is wrong with each address; nothing of it is repeated. `known`: only channels that orders
    /// may name.
    pub(super) async fn read(self, caller: Caller, state: &AppState, known: bool) -> Result<Asked, Problem> {
        let (rules, small) = (state.rules.clone(), self.addresses.len() <= MOST_SMALL);
        let share = caller.share.clone();
        state.aside.run(&share, small, move || self.check(&caller, &rules, known)).await
    }

    fn check(self, caller: &Caller, rules: &Rules, known: bool) -> Result<Asked, Problem> {
        let sender = self.sender(caller)?;
        let named = channel(&self.channel).filter(|name| !known || rules.channels.contains(name));
        let Some(channel) = named else {
            let rule = if known { "one of the channels of the settings" } else { "the name of a channel" };
            return Err(invalid(vec![Violation::at("/channel", "unknown_value", rule)]));
        };
        if !(1..=MOST_ADDRESSES).contains(&self.addresses.len()) {
            let rule = format!("1 to {MOST_ADDRESSES} addresses");
            return Err(invalid(vec![Violation::at("/addresses", "out_of_range", rule)]));
        }
        // Looking up or lifting reads what was stored, under whatever settings.
        let phones = rules.phones.clone();
        let phones = if known { phones.anywhere() } else { phones.lenient() };
        let (mut addresses, mut wrong) = (Vec::with_capacity(self.addresses.len()), Vec::new());
        for (at, written) in self.addresses.into_iter().enumerate() {
            let given = match written {
                Written::Number(number) => Given::Number(number),
                Written::Text(text) => Given::Text(Cow::Owned(text)),
            };
            match normalise(&channel, &given, &phones) {
                Ok(address) => addresses.push(address),
                Err((code, rule)) if wrong.len() < MOST_TOLD => {
                    wrong.push(Violation::at(format!("/addresses/{at}"), code.word(), rule));
                }
                Err(_) => {}
            }
        }
        if wrong.is_empty() { Ok(Asked { channel, sender, addresses }) } else { Err(invalid(wrong)) }
    }
}
