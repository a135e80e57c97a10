//! What acceptance makes of an order, without a store: for the test that holds couriers to it.

use std::ffi::OsString;
use std::sync::Arc;

use posthaste_model::{Channel, Content, Delivery};
use posthaste_store::KeyScope;

use super::json;
use super::order::OrderBody;
use super::orders::check;
use super::settings::Rules;
use crate::auth::Caller;
use crate::problem::Problem;
use crate::settings::Args;

/// An order that acceptance takes.
#[derive(Debug)]
pub struct AcceptableOrder {
    /// What couriers are given to send.
    pub content: Content,
    /// To whom.
    pub deliveries: Vec<(Channel, Delivery)>,
    /// The channels whose deliveries the response warns about.
    pub warned: Vec<Channel>,
}

/// Takes or refuses orders as the service does.
#[derive(Debug)]
pub struct Judge(Arc<Rules>);

impl Judge {
    /// A judge with these settings, as in the environment.
    ///
    /// # Panics
    /// On invalid settings.
    #[must_use]
    pub fn new(environment: &[(&str, &str)]) -> Self {
        let environment =
            environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let settings = Args::default().load(environment).expect("settings").settings;
        let rules = Rules::new(&settings.orders, &settings.quiet_hours, &settings.daily_limits);
        Self(Arc::new(rules.expect("rules")))
    }

    /// What acceptance makes of this JSON body.
    ///
    /// # Errors
    /// The problem it answers.
    pub fn judge(&self, body: &[u8]) -> Result<AcceptableOrder, Problem> {
        let caller = Caller::sample(KeyScope::ALL.into_iter().collect());
        let parsed: OrderBody<'_> = json::object(body)?;
        let (draft, sorted, deliveries) = check(parsed, &caller, None, &self.0)?;
        let warned = sorted.tally.too_long.into_iter().map(|found| found.channel).collect();
        Ok(AcceptableOrder { content: draft.content, deliveries, warned })
    }
}
