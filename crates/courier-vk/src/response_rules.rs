//! What an error of the API means, by its code and by what it concerns. The rules are data, embedded from `response_rules.toml` and
//! documented there.

use std::time::Duration;

use posthaste_courier::response_rules::{
    Classification, ProviderResponse, ResponseRules, RulesTable, TableWord,
};
use posthaste_model::Reason;

/// What an error concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// One peer, in the result of a call.
    Peer,
    /// A call that went to one peer only.
    One,
    /// A call that went to several peers.
    Many,
    /// The whole request.
    Request,
}

impl About {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Peer, Self::One, Self::Many, Self::Request];
}

impl TableWord for About {
    const WORDS: &'static [(&'static str, Self)] =
        &[("peer", Self::Peer), ("one", Self::One), ("many", Self::Many), ("request", Self::Request)];
}

/// An action of this channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VkAction {
    /// Send again in two halves.
    Split,
    /// Send again one by one.
    Apart,
    /// Check the token.
    Look,
}

impl TableWord for VkAction {
    const WORDS: &'static [(&'static str, Self)] =
        &[("split", Self::Split), ("apart", Self::Apart), ("look", Self::Look)];
}

/// The rules for errors of the API, and for answers that are not from the API.
pub type VkRules = ResponseRules<VkAction, About>;

/// What they say about one.
pub type VkClassification<'a> = Classification<'a, VkAction>;

/// The embedded table.
pub const TABLE: RulesTable<About> = RulesTable {
    name: "the embedded table of VK answers",
    text: include_str!("response_rules.toml"),
    keys: &["at", "status", "form", "cause", "shrink"],
    reason: |answer| {
        let code = answer.code.as_ref().and_then(|code| code.parse::<u16>().ok());
        code.and_then(Reason::of_provider).unwrap_or(Reason::InvalidProviderResponse)
    },
};

/// An error of the API.
#[must_use]
pub fn api_error(code: u32, about: About) -> ProviderResponse<'static, About> {
    let code = Some(code.to_string().into());
    ProviderResponse { at: Some(about), code, ..ProviderResponse::default() }
}

/// An answer that is not from the API.
#[must_use]
pub fn other_answer(status: u16, retry_after: Option<Duration>) -> ProviderResponse<'static, About> {
    ProviderResponse { status: Some(status), wait: retry_after, ..ProviderResponse::default() }
}

#[cfg(test)]
#[path = "response_rules_tests.rs"]
mod tests;
