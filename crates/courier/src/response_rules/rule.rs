//! A rule of a table: which responses it matches, and whether it makes sense.

use posthaste_model::Reason;
use posthaste_ops::config::HumanDuration;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::action::{ResponseAction, find_word};
use super::pattern::{self, Pattern, fits_code, fits_enhanced, is_enhanced};
use super::response::{ProviderResponse, TableWord};

/// Whether a response must have a code of the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Form {
    Coded,
    Other,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, bound = "S: TableWord, P: TableWord")]
pub(super) struct Rule<S, P> {
    #[serde(default, deserialize_with = "read_places")]
    at: Vec<P>,
    #[serde(default)]
    status: Vec<Pattern>,
    form: Option<Form>,
    #[serde(default)]
    code: Vec<String>,
    #[serde(default)]
    enhanced: Vec<String>,
    #[serde(default)]
    says: Vec<String>,
    pub(super) means: ResponseAction<S>,
    pub(super) after: Option<HumanDuration>,
    pub(super) spread: Option<HumanDuration>,
    pub(super) strikes: Option<u8>,
    #[serde(default, deserialize_with = "pattern::read_reason")]
    pub(super) reason: Option<Reason>,
    #[serde(default)]
    pub(super) cause: String,
    #[serde(default)]
    pub(super) source: String,
    #[serde(default)]
    pub(super) alarm: bool,
    #[serde(default)]
    pub(super) policy: bool,
    #[serde(default)]
    pub(super) content: bool,
    #[serde(default)]
    pub(super) elsewhere: bool,
    #[serde(default)]
    pub(super) shrink: bool,
}

fn read_places<'de, P: TableWord, D: Deserializer<'de>>(from: D) -> Result<Vec<P>, D::Error> {
    let words = Vec::<String>::deserialize(from)?;
    words.iter().map(|word| find_word(word, P::WORDS).map_err(D::Error::custom)).collect()
}

impl<S: TableWord, P: TableWord> Rule<S, P> {
    /// Prepares the rule for matching.
    pub(super) fn compile(mut self) -> Self {
        for word in &mut self.says {
            *word = word.to_lowercase();
        }
        self
    }

    /// What is wrong with the rule. With `needs_cause`, a stop must have a cause.
    pub(super) fn contradiction(&self, needs_cause: bool) -> Option<&'static str> {
        let stops = self.means == ResponseAction::Stop;
        let is_empty = |list: &[String]| list.iter().any(String::is_empty);
        match (self.means, self.strikes) {
            (ResponseAction::Strike, None) => Some("\"strike\" requires strikes, at least 2"),
            (_, Some(0 | 1)) => Some("strikes must be at least 2"),
            (ResponseAction::Suppress, Some(_)) => Some("\"suppress\" must not have strikes"),
            _ if self.policy && self.means != ResponseAction::Reject => Some("policy is for \"reject\" only"),
            _ if self.elsewhere && !self.means.is_final() => {
                Some("elsewhere is for \"reject\", \"strike\" and \"suppress\" only")
            }
            _ if self.spread.is_some() && self.after.is_none() => Some("spread requires after"),
            _ if !stops && !self.cause.is_empty() => Some("cause is for \"stop\" only"),
            _ if stops && needs_cause && self.cause.is_empty() => {
                Some("\"stop\" requires cause: what the operator has to fix")
            }
            _ if !self.enhanced.iter().all(|entry| is_enhanced(entry)) => {
                Some("an entry of enhanced is not a code such as 5.1.1 or 5.7.*, nor \"none\"")
            }
            _ if is_empty(&self.code) || is_empty(&self.says) => {
                Some("an entry of code or says is empty: write a text, or remove it")
            }
            _ => None,
        }
    }

    /// Whether the rule matches a response; `text` is the response's in lower case.
    pub(super) fn matches<'t>(
        &self,
        response: &ProviderResponse<'_, P>,
        text: &impl Fn() -> &'t str,
    ) -> bool {
        let one_of =
            |list: &[String], fits: &dyn Fn(&str) -> bool| list.is_empty() || list.iter().any(|it| fits(it));
        (self.at.is_empty() || response.at.is_some_and(|at| self.at.contains(&at)))
            && match response.status {
                Some(status) => pattern::fits(&self.status, u32::from(status)),
                None => self.status.is_empty(),
            }
            && self.form.is_none_or(|form| (form == Form::Coded) == response.code.is_some())
            && one_of(&self.code, &|wanted| {
                response.code.as_deref().is_some_and(|code| fits_code(wanted, code))
            })
            && one_of(&self.enhanced, &|wanted| fits_enhanced(wanted, response.enhanced))
            && one_of(&self.says, &|word| text().contains(word))
    }

    /// Whether the rule names this code.
    pub(super) fn names(&self, code: &str) -> bool {
        self.code.iter().any(|wanted| fits_code(wanted, code))
    }
}
