//! Requests about suppressions: which addresses, on which list, and whether the caller may access it.

use std::borrow::Cow;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use posthaste_model::{Address, Channel, SenderId};
use posthaste_store::KeyScope;
use serde::Deserialize;
use utoipa::ToSchema;

use super::state::SuppressionsState;

use crate::auth::Caller;
use crate::intake::settings::Rules;
use crate::intake::{Given, normalise};
use crate::problem::{Code, Problem, Violation};

/// Maximum addresses in one request.
const MOST_ADDRESSES: usize = 500;
/// Up to this many addresses are checked where they were read.
const MOST_SMALL: usize = 100;
/// Maximum invalid places reported for one request.
const MAX_REPORTED: usize = 100;

/// Addresses of a channel, and the list to use.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AddressesBody {
    /// The channel.
    #[schema(example = "email")]
    channel: String,
    /// 1 to 500 addresses, written as in an order: the same rules apply.
    #[schema(value_type = Vec<String>, min_items = 1, max_items = 500, example = json!(["ann@example.org"]))]
    addresses: Vec<Written>,
    /// Use the list of this sender. Without it, the channel's list, which applies to all senders; for a key without
    /// `admin`, the list of the sender it is bound to.
    sender_id: Option<String>,
}

/// An address as written in the body.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(i64),
    Text(String),
}

/// The list and the addresses.
pub(super) struct SuppressionRequest {
    pub(super) channel: Channel,
    /// The sender whose list is used; `None`: the channel's list.
    pub(super) sender: Option<SenderId>,
    /// In the order of the body.
    pub(super) addresses: Vec<Address>,
}

/// A caller that may change at least one list. As the first argument of a handler it refuses others before the body
/// is read.
pub(super) struct Changer(pub(super) Caller);

/// A caller that may read at least one list. As the first argument of a handler it refuses others before the body is read.
pub(super) struct Looker(pub(super) Caller);

/// Admits keys with `admin` or with the scope of the request.
fn admit(caller: &Caller, scope: KeyScope) -> Result<(), Problem> {
    if caller.has(scope) || caller.has(KeyScope::Admin) {
        return Ok(());
    }
    Err(Problem::new(Code::InsufficientScope, format!("the key needs the scope {} or admin", scope.word())))
}

impl<S: Sync> FromRequestParts<S> for Changer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        admit(&caller, KeyScope::Write).map(|()| Self(caller))
    }
}

impl<S: Sync> FromRequestParts<S> for Looker {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        admit(&caller, KeyScope::Read).map(|()| Self(caller))
    }
}

/// Parses the name of a channel.
pub(super) fn channel(name: &str) -> Option<Channel> {
    name.parse().ok()
}

fn invalid(errors: Vec<Violation>) -> Problem {
    Problem::new(Code::ValidationFailed, "a field of the body is invalid").with_errors(errors)
}

impl AddressesBody {
    /// The list to use, if the caller may access it. An admin may access all lists; others only those of the senders
    /// they act for.
    fn sender(&self, caller: &Caller) -> Result<Option<SenderId>, Problem> {
        let sender = self.sender_id.as_deref().map(str::parse::<SenderId>).transpose();
        let sender = sender
            .map_err(|error| invalid(vec![Violation::at("/sender_id", "invalid_id", error.to_string())]))?;
        if caller.has(KeyScope::Admin) {
            return Ok(sender);
        }
        match (sender, &caller.sender) {
            (Some(sender), _) if caller.acts_for(sender.as_str()) => Ok(Some(sender)),
            (Some(_), _) => Err(Problem::new(Code::SenderNotAllowed, "the key is bound to another sender")),
            (None, Some(bound)) => Ok(Some(bound.clone())),
            (None, None) => {
                let detail = "the list of a whole channel needs the scope admin; set sender_id for the list of a sender";
                Err(Problem::new(Code::InsufficientScope, detail))
            }
        }
    }

    /// Parses the whole request, or names what is wrong with each address without repeating it. `known`: only
    /// channels that orders may use.
    pub(super) async fn read(
        self,
        caller: Caller,
        state: &SuppressionsState,
        known: bool,
    ) -> Result<SuppressionRequest, Problem> {
        let (rules, small) = (state.rules.clone(), self.addresses.len() <= MOST_SMALL);
        let share = caller.share.clone();
        state.offload.run(&share, small, move || self.check(&caller, &rules, known)).await
    }

    fn check(self, caller: &Caller, rules: &Rules, known: bool) -> Result<SuppressionRequest, Problem> {
        let sender = self.sender(caller)?;
        let named = channel(&self.channel).filter(|name| !known || rules.channels.contains(name));
        let Some(channel) = named else {
            let rule = if known { "must be one of orders.channels" } else { "must be the name of a channel" };
            return Err(invalid(vec![Violation::at("/channel", "unknown_value", rule)]));
        };
        if !(1..=MOST_ADDRESSES).contains(&self.addresses.len()) {
            let rule = format!("must be 1 to {MOST_ADDRESSES} addresses");
            return Err(invalid(vec![Violation::at("/addresses", "out_of_range", rule)]));
        }
        // Looking up and deleting must find what was stored under any settings.
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
                Err((code, rule)) if wrong.len() < MAX_REPORTED => {
                    wrong.push(Violation::at(format!("/addresses/{at}"), code.word(), rule));
                }
                Err(_) => {}
            }
        }
        if wrong.is_empty() {
            Ok(SuppressionRequest { channel, sender, addresses })
        } else {
            Err(invalid(wrong))
        }
    }
}
