//! Settings of acceptance, and the rules they become once they are checked.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use posthaste_model::Channel;
use posthaste_ops::config::HumanDuration;
use serde::Deserialize;

use super::address::PhoneRules;
pub use super::address::Strictness;
use super::order::Invalid;
use super::quiet::QuietHours;

/// Recipients of one JSON body at most, whatever the settings say: all of it is in memory at once.
pub(crate) const MOST_RECIPIENTS: usize = 10_000;
/// Recipients of one upload at most, whatever the settings say.
pub(crate) const MOST_UPLOADED: u32 = 2_000_000;

/// What orders may be: the section `[orders]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderSettings {
    /// Recipients of one JSON body at most, 1 to 10,000.
    pub max_recipients: usize,
    /// Recipients of one NDJSON upload at most, 1 to 2,000,000.
    pub max_uploaded_recipients: u32,
    /// Orders of one batch at most, 1 to 10,000.
    pub max_batch: usize,
    /// Characters of a text at most.
    pub max_text: usize,
    /// Characters of an HTML part at most.
    pub max_html: usize,
    /// How long after its due time an order ends when it names no `not_after`.
    pub span: HumanDuration,
    /// The longest such time an order may name.
    pub max_span: HumanDuration,
    /// How far ahead an order may be due.
    pub max_ahead: HumanDuration,
    /// Region (two capital letters) of phone numbers written without a country; empty: such numbers are refused.
    pub phone_region: String,
    /// Countries (two capital letters) whose numbers get messages; `*` alone: all. Empty: that of `phone_region`, or none.
    pub phone_countries: Vec<String>,
    /// How sure a phone number must be.
    pub phone_strictness: Strictness,
    /// What an order with bad recipients becomes when it does not say: refused, or accepted without them.
    pub invalid: Invalid,
    /// Channels an order may name.
    pub channels: Vec<Channel>,
}

impl OrderSettings {
    /// The countries whose numbers get messages, in words; `None`: no country's.
    #[must_use]
    pub fn sms_countries(&self) -> Option<String> {
        match self.phone_countries.as_slice() {
            [] => Some(self.phone_region.clone()).filter(|region| !region.is_empty()),
            [all] if all == "*" => Some("all countries".to_owned()),
            named => Some(named.join(", ")),
        }
    }
}

/// When nobody is to be disturbed: the section `[quiet_hours]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuietHoursSettings {
    /// Whether orders are moved at all.
    pub enabled: bool,
    /// IANA name of the time zone.
    pub zone: String,
    /// When they begin, as `HH:MM`.
    pub from: Time,
    /// When they end, as `HH:MM`; before `from`: on the next day.
    pub to: Time,
    /// Moved orders are spread over this time, so that they do not all come at once.
    pub jitter: HumanDuration,
    /// Whether urgent orders go out all the same.
    pub urgent_exempt: bool,
}

/// How many orders a day a role may give: the section `[daily_limits]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DailyLimitSettings {
    /// IANA name of the time zone in which a day begins.
    pub zone: String,
    /// Orders a day of each role there is; 0: without limit.
    pub roles: BTreeMap<String, u32>,
}

/// A setting that can't be used, by its key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {why}")]
pub struct SettingError {
    /// The key, as it stands in the settings file.
    pub key: &'static str,
    /// Why; holds no secret.
    pub why: String,
}

/// The rules by which orders are accepted: settings that have been checked.
#[derive(Debug, Clone)]
pub struct Rules {
    pub(crate) max_recipients: usize,
    pub(crate) max_uploaded: u32,
    pub(crate) max_batch: usize,
    pub(crate) max_text: usize,
    pub(crate) max_html: usize,
    pub(crate) span: Duration,
    pub(crate) max_span: Duration,
    pub(crate) max_ahead: Duration,
    pub(crate) phones: PhoneRules,
    pub(crate) invalid: Invalid,
    pub(crate) channels: Vec<Channel>,
    pub(crate) quiet: Option<QuietHours>,
    pub(crate) day_zone: TimeZone,
    pub(crate) roles: BTreeMap<String, u32>,
}

impl Rules {
    /// Checks the three sections.
    ///
    /// # Errors
    /// A [`SettingError`] that names the key.
    pub fn new(
        orders: &OrderSettings,
        quiet: &QuietHoursSettings,
        daily: &DailyLimitSettings,
    ) -> Result<Self, SettingError> {
        within("orders.max_recipients", orders.max_recipients, MOST_RECIPIENTS)?;
        within("orders.max_batch", orders.max_batch, MOST_RECIPIENTS)?;
        within("orders.max_uploaded_recipients", orders.max_uploaded_recipients, MOST_UPLOADED)?;
        within("orders.max_text", orders.max_text, 1_000_000)?;
        within("orders.max_html", orders.max_html, 4_000_000)?;
        let year = Duration::from_secs(10 * 366 * 86_400);
        within("orders.span", orders.span.get(), orders.max_span.get())?;
        within("orders.max_span", orders.max_span.get(), year)?;
        within("orders.max_ahead", orders.max_ahead.get(), year)?;
        if orders.channels.is_empty() {
            return Err(SettingError { key: "orders.channels", why: "name one at least".to_owned() });
        }
        let phones = PhoneRules::new(&orders.phone_region, orders.phone_strictness)
            .ok_or(SettingError { key: "orders.phone_region", why: "no such region".to_owned() })?;
        let phones = phones.to(&orders.phone_countries).ok_or(SettingError {
            key: "orders.phone_countries",
            why: "countries by two capital letters, as [\"RU\", \"KZ\"], or [\"*\"] alone for all".to_owned(),
        })?;
        let quiet_zone = zone("quiet_hours.zone", &quiet.zone)?;
        let hours =
            QuietHours::new(quiet_zone, (quiet.from, quiet.to), quiet.jitter.get(), quiet.urgent_exempt)
                .map_err(|why| SettingError { key: "quiet_hours", why: why.to_owned() })?;
        if let Some(role) = daily.roles.keys().find(|role| !is_role(role)) {
            let why = format!("{role:?}: 1 to 64 of A-Z a-z 0-9 _ -");
            return Err(SettingError { key: "daily_limits.roles", why });
        }
        Ok(Self {
            max_recipients: orders.max_recipients,
            max_uploaded: orders.max_uploaded_recipients,
            max_batch: orders.max_batch,
            max_text: orders.max_text,
            max_html: orders.max_html,
            span: orders.span.get(),
            max_span: orders.max_span.get(),
            max_ahead: orders.max_ahead.get(),
            phones,
            invalid: orders.invalid,
            channels: orders.channels.clone(),
            quiet: quiet.enabled.then_some(hours),
            day_zone: zone("daily_limits.zone", &daily.zone)?,
            roles: daily.roles.clone(),
        })
    }
}

/// Whether this is the name of a role: the same grammar as ids.
pub(crate) fn is_role(text: &str) -> bool {
    text.parse::<posthaste_model::SenderId>().is_ok()
}

fn zone(key: &'static str, name: &str) -> Result<TimeZone, SettingError> {
    TimeZone::get(name).map_err(|_| SettingError { key, why: format!("{name:?} is no IANA time zone") })
}

fn within<T: PartialOrd + Default + std::fmt::Debug>(
    key: &'static str,
    value: T,
    most: T,
) -> Result<(), SettingError> {
    if value > T::default() && value <= most {
        return Ok(());
    }
    Err(SettingError { key, why: format!("more than zero and at most {most:?}") })
}
