//! Settings of acceptance, and the rules built from them once they are checked.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use posthaste_model::{Channel, TextLimit, channels};
use posthaste_ops::config::{ByteSize, HumanDuration};
use posthaste_store::QuotaLimits;
use serde::Deserialize;

use super::address::PhoneRules;
pub use super::address::Strictness;
use super::order::OnInvalid;
use super::quiet_hours::QuietHours;

/// Maximum recipients in one JSON body, whatever the settings say: the whole body is in memory at once.
pub(crate) const MOST_RECIPIENTS: usize = 10_000;
/// Maximum recipients in one upload, whatever the settings say.
pub(crate) const MOST_UPLOADED: u32 = 2_000_000;

/// What orders may contain: the section `[orders]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderSettings {
    /// Maximum recipients in one JSON body, 1 to 10,000.
    pub max_recipients: usize,
    /// Maximum recipients in one NDJSON upload, 1 to 2,000,000.
    pub max_uploaded_recipients: u32,
    /// Maximum orders in one batch, 1 to 10,000.
    pub max_batch: usize,
    /// Maximum characters in a text.
    pub max_text_characters: usize,
    /// Maximum characters in an HTML part.
    pub max_html_characters: usize,
    /// Maximum characters of an SMS, as in the settings of its courier.
    pub max_sms_characters: usize,
    /// Maximum parts of a message on Telegram, as in the settings of its courier.
    pub max_telegram_parts: usize,
    /// Maximum size of an e-mail, as in the settings of its courier.
    pub max_email_size: ByteSize,
    /// How long after its due time an order expires if it has no `expires_at`.
    pub lifetime: HumanDuration,
    /// The longest such time an order may set.
    pub max_lifetime: HumanDuration,
    /// How far ahead an order may be scheduled.
    pub max_ahead: HumanDuration,
    /// Region (two capital letters) of phone numbers written without a country code; empty: such numbers are refused.
    pub phone_region: String,
    /// Countries (two capital letters) whose numbers may receive messages; `*` alone: all. Empty: that of
    /// `phone_region`, or none.
    pub phone_countries: Vec<String>,
    /// How strictly phone numbers are checked.
    pub phone_strictness: Strictness,
    /// What happens to an order with invalid recipients if it does not say: rejected, or accepted without them.
    pub on_invalid: OnInvalid,
    /// Channels an order may use.
    pub channels: Vec<Channel>,
}

impl OrderSettings {
    /// The countries whose numbers may receive messages, in words; `None`: none.
    #[must_use]
    pub fn sms_countries(&self) -> Option<String> {
        match self.phone_countries.as_slice() {
            [] => Some(self.phone_region.clone()).filter(|region| !region.is_empty()),
            [all] if all == "*" => Some("all countries".to_owned()),
            named => Some(named.join(", ")),
        }
    }
}

/// When orders are held back: the section `[quiet_hours]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuietHoursSettings {
    /// Whether orders are moved at all.
    pub enabled: bool,
    /// IANA name of the time zone.
    pub zone: String,
    /// When they begin, as `HH:MM`.
    pub from: Time,
    /// When they end, as `HH:MM`; if before `from`, on the next day.
    pub to: Time,
    /// Moved orders are spread over this time, so that they are not all sent at once.
    pub jitter: HumanDuration,
    /// Whether urgent orders ignore quiet hours.
    pub urgent_exempt: bool,
}

/// Orders per day for each role: the section `[daily_limits]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DailyLimitSettings {
    /// IANA name of the time zone in which a day begins.
    pub zone: String,
    /// Orders per day for each role; 0: no limit.
    pub roles: BTreeMap<String, u32>,
}

/// Limits on SMS: the section `[sms_limits]`; 0: no limit.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmsLimitSettings {
    /// Segments per day across all keys.
    pub segments_a_day: u64,
    /// Messages per hour for one API key.
    pub messages_an_hour: u64,
    /// Messages per hour, across all keys, to numbers that differ only in their last four digits.
    pub to_prefix_an_hour: u64,
}

impl SmsLimitSettings {
    /// What the store checks; `None`: no limit.
    pub(super) fn limits(&self) -> Option<QuotaLimits> {
        let &Self { segments_a_day, messages_an_hour, to_prefix_an_hour } = self;
        let any = segments_a_day + messages_an_hour + to_prefix_an_hour > 0;
        any.then_some(QuotaLimits { segments_a_day, messages_an_hour, to_prefix_an_hour })
    }
}

impl fmt::Display for SmsLimitSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let any = |most: u64| if most == 0 { "any number of".to_owned() } else { most.to_string() };
        let (day, hour, prefix) =
            (any(self.segments_a_day), any(self.messages_an_hour), any(self.to_prefix_an_hour));
        write!(
            f,
            "{day} segments per day, {hour} messages per hour for each key, {prefix} per hour to each number prefix"
        )
    }
}

/// An invalid setting, by its key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {why}")]
pub struct SettingError {
    /// The key, as in the settings file.
    pub key: &'static str,
    /// The reason; contains no secret.
    pub why: String,
}

/// The rules for accepting orders: checked settings.
#[derive(Debug, Clone)]
pub struct Rules {
    pub(crate) max_recipients: usize,
    pub(crate) max_uploaded: u32,
    pub(crate) max_batch: usize,
    pub(crate) max_text_characters: usize,
    pub(crate) max_html_characters: usize,
    max_sms_characters: usize,
    max_telegram_parts: usize,
    max_email_bytes: usize,
    pub(crate) lifetime: Duration,
    pub(crate) max_lifetime: Duration,
    pub(crate) max_ahead: Duration,
    pub(crate) phones: PhoneRules,
    pub(crate) on_invalid: OnInvalid,
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
        within("orders.max_text_characters", orders.max_text_characters, 1_000_000)?;
        within("orders.max_html_characters", orders.max_html_characters, 4_000_000)?;
        within("orders.max_sms_characters", orders.max_sms_characters, 20_000)?;
        within("orders.max_telegram_parts", orders.max_telegram_parts, 64)?;
        within("orders.max_email_size", orders.max_email_size.bytes(), 1 << 30)?;
        let year = Duration::from_secs(10 * 366 * 86_400);
        within("orders.lifetime", orders.lifetime.get(), orders.max_lifetime.get())?;
        within("orders.max_lifetime", orders.max_lifetime.get(), year)?;
        within("orders.max_ahead", orders.max_ahead.get(), year)?;
        if orders.channels.is_empty() {
            return Err(SettingError {
                key: "orders.channels",
                why: "must list at least one channel".to_owned(),
            });
        }
        let phones = PhoneRules::new(&orders.phone_region, orders.phone_strictness)
            .ok_or(SettingError { key: "orders.phone_region", why: "unknown region".to_owned() })?;
        let phones = phones.to(&orders.phone_countries).ok_or(SettingError {
            key: "orders.phone_countries",
            why:
                "must be countries as two capital letters, such as [\"RU\", \"KZ\"], or [\"*\"] alone for all"
                    .to_owned(),
        })?;
        let quiet_zone = zone("quiet_hours.zone", &quiet.zone)?;
        let hours =
            QuietHours::new(quiet_zone, (quiet.from, quiet.to), quiet.jitter.get(), quiet.urgent_exempt)
                .map_err(|why| SettingError { key: "quiet_hours", why: why.to_owned() })?;
        if let Some(role) = daily.roles.keys().find(|role| !is_role(role)) {
            let why = format!("{role:?}: a role must be 1 to 64 characters of A-Z a-z 0-9 _ -");
            return Err(SettingError { key: "daily_limits.roles", why });
        }
        Ok(Self {
            max_recipients: orders.max_recipients,
            max_uploaded: orders.max_uploaded_recipients,
            max_batch: orders.max_batch,
            max_text_characters: orders.max_text_characters,
            max_html_characters: orders.max_html_characters,
            max_sms_characters: orders.max_sms_characters,
            max_telegram_parts: orders.max_telegram_parts,
            max_email_bytes: usize::try_from(orders.max_email_size.bytes()).unwrap_or(usize::MAX),
            lifetime: orders.lifetime.get(),
            max_lifetime: orders.max_lifetime.get(),
            max_ahead: orders.max_ahead.get(),
            phones,
            on_invalid: orders.on_invalid,
            channels: orders.channels.clone(),
            quiet: quiet.enabled.then_some(hours),
            day_zone: zone("daily_limits.zone", &daily.zone)?,
            roles: daily.roles.clone(),
        })
    }

    /// How long messages of this channel may be: the kind of limit is the channel's, the number that of the settings.
    pub(crate) fn text_limit(&self, channel: &Channel) -> TextLimit {
        let limit = channels::find(channel.as_str()).map_or(TextLimit::None, |found| found.text_limit);
        match limit {
            TextLimit::Text(_) => limit.of(self.max_sms_characters),
            TextLimit::Parts(_) => limit.of(self.max_telegram_parts),
            TextLimit::EmailBytes(_) => limit.of(self.max_email_bytes),
            TextLimit::None | TextLimit::TextAndSubject(_) => limit,
        }
    }
}

/// Whether this is a valid role name: the same grammar as ids.
pub(crate) fn is_role(text: &str) -> bool {
    text.parse::<posthaste_model::SenderId>().is_ok()
}

fn zone(key: &'static str, name: &str) -> Result<TimeZone, SettingError> {
    TimeZone::get(name).map_err(|_| SettingError { key, why: format!("{name:?} is not an IANA time zone") })
}

fn within<T: PartialOrd + Default + std::fmt::Debug>(
    key: &'static str,
    value: T,
    most: T,
) -> Result<(), SettingError> {
    if value > T::default() && value <= most {
        return Ok(());
    }
    Err(SettingError { key, why: format!("must be more than zero and at most {most:?}") })
}
