//! Magic addresses: the name of a recipient says what happens to it, so no setup is needed.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::answer::RefusalAnswer;
use super::fault::{Action, Fault};
use crate::record::AttemptStage;

/// Settings of magic addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct MagicSettings {
    /// Whether they are active.
    pub enabled: bool,
    /// How long `greylist` refuses.
    #[serde(with = "posthaste_ops::config::duration")]
    pub greylist_for: Duration,
    /// How many recipients `throttle` and `throttle-421` let pass in a second.
    pub throttle_per_second: NonZeroU32,
    /// How long `slow` waits after the final dot.
    #[serde(with = "posthaste_ops::config::duration")]
    pub slow_by: Duration,
}

impl Default for MagicSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            greylist_for: Duration::from_secs(5),
            throttle_per_second: NonZeroU32::MIN.saturating_add(4),
            slow_by: Duration::from_secs(2),
        }
    }
}

/// A magic name and what it does, for documentation and the page.
#[derive(Debug, Clone, Copy, Serialize)]
#[non_exhaustive]
pub struct MagicName {
    /// The name.
    pub name: &'static str,
    /// What happens.
    pub does: &'static str,
}

const fn name(name: &'static str, does: &'static str) -> MagicName {
    MagicName { name, does }
}

/// All magic names. Each works as local part (`hang@example.org`), as tag (`ann+hang@example.org`) and as domain
/// (`ann@hang.test`, `ann@mail.hang.test`); if they disagree, this order decides: `slow@hang.test` is slow. All
/// except `greylist` and `throttle` also work with the suffix `-once`, which strikes each recipient only the first
/// time.
pub const MAGIC_NAMES: &[MagicName] = &[
    name("refuse", "550 5.1.1 to RCPT: no such mailbox"),
    name(
        "refuse-CODE",
        "any code from 400 to 599 to RCPT; with the suffix -data or -dot to DATA or after the final dot",
    ),
    name("blocked", "550 5.7.1 to RCPT: refused by policy"),
    name("full", "452 4.2.2 to RCPT: mailbox full"),
    name("spam", "554 5.7.1 after the final dot"),
    name("greylist", "450 4.7.1 to RCPT until retried after a wait"),
    name("throttle", "451 4.7.1 to RCPT above a number per second"),
    name("throttle-421", "421 4.7.28 to RCPT above a number per second, and the connection closes"),
    name("slow", "waits after the final dot, then accepts the message"),
    name(
        "hang",
        "accepts the message and never answers; with the suffix -rcpt, -data or -body it hangs there",
    ),
    name("reset", "accepts the message and resets; with the suffix -rcpt, -data or -body it resets there"),
    name("drop-before-dot", "closes the connection after 354; the message is not accepted"),
    name("drop-after-dot", "accepts the message and closes the connection without an answer"),
    name("babble", "answers RCPT with a line of a million bytes that does not end"),
];

/// The fault an address stands for, if it is magic.
pub(super) fn fault_of(address: &str, settings: &MagicSettings) -> Option<Fault> {
    let (local, domain) = address.rsplit_once('@').unwrap_or((address, ""));
    let tag = local.rsplit_once('+').map(|(_, tag)| tag);
    let domain =
        strip_ascii_ending(domain, ".test").map(|rest| rest.rsplit_once('.').map_or(rest, |(_, d)| d));
    [Some(local), tag, domain].into_iter().flatten().find_map(|name| by_name(name, settings))
}

fn strip_ascii_ending<'a>(text: &'a str, ending: &str) -> Option<&'a str> {
    let at = text.len().checked_sub(ending.len())?;
    let (front, back) = (text.get(..at)?, text.get(at..)?);
    back.eq_ignore_ascii_case(ending).then_some(front)
}

fn by_name(name: &str, settings: &MagicSettings) -> Option<Fault> {
    if name.len() > 32 {
        return None;
    }
    let name = name.to_ascii_lowercase();
    let (plain, once) = match name.strip_suffix("-once") {
        Some(plain) => (plain, true),
        None => (name.as_str(), false),
    };
    let fault = plain_fault(plain, settings)?;
    let fault = if once { fault.times_each(1) } else { fault };
    // The name is the id under which the state of a rule is kept.
    Some(Fault { id: Some(name), ..fault })
}

fn plain_fault(name: &str, settings: &MagicSettings) -> Option<Fault> {
    let refuse = |stage, code, text| Some(Fault::new(stage, Action::Refuse(RefusalAnswer::new(code, text))));
    let throttle = |answer| {
        let (limit, per) = (settings.throttle_per_second, Duration::from_secs(1));
        Some(Fault::new(AttemptStage::Rcpt, Action::Throttle { limit, per, answer }))
    };
    match name {
        "refuse" => refuse(AttemptStage::Rcpt, 550, "5.1.1 No such mailbox"),
        "blocked" => refuse(AttemptStage::Rcpt, 550, "5.7.1 Refused by policy"),
        "full" => refuse(AttemptStage::Rcpt, 452, "4.2.2 Mailbox full"),
        "spam" => refuse(AttemptStage::Dot, 554, "5.7.1 Message refused as spam"),
        "greylist" => Some(Fault::new(AttemptStage::Rcpt, Action::Greylist { wait: settings.greylist_for })),
        "throttle" => throttle(RefusalAnswer::new(451, "4.7.1 Too many messages, slow down")),
        "throttle-421" => throttle(RefusalAnswer::new(421, "4.7.28 Rate limited, closing the connection")),
        "slow" => Some(Fault::new(AttemptStage::Dot, Action::Slow { by: settings.slow_by })),
        "babble" => Some(Fault::new(AttemptStage::Rcpt, Action::Babble { bytes: 1_000_000 })),
        "hang" => Some(Fault::new(AttemptStage::Dot, Action::Hang)),
        "reset" => Some(Fault::new(AttemptStage::Dot, Action::Reset)),
        "drop-before-dot" => Some(Fault::new(AttemptStage::Body, Action::Drop)),
        "drop-after-dot" => Some(Fault::new(AttemptStage::Dot, Action::Drop)),
        _ => with_stage(name),
    }
}

/// `refuse-452`, `refuse-554-dot`, `hang-data`, `reset-body`, …
fn with_stage(name: &str) -> Option<Fault> {
    let (verb, rest) = name.split_once('-')?;
    let stage = |name: &str| match name {
        "rcpt" => Some(AttemptStage::Rcpt),
        "data" => Some(AttemptStage::Data),
        "body" => Some(AttemptStage::Body),
        "dot" => Some(AttemptStage::Dot),
        _ => None,
    };
    match verb {
        "refuse" => {
            let (code, at) = match rest.split_once('-') {
                Some((code, at)) => (code, stage(at).filter(|at| *at != AttemptStage::Body)?),
                None => (rest, AttemptStage::Rcpt),
            };
            let code = code.parse().ok().filter(|code| (400..600).contains(code))?;
            Some(Fault::new(at, Action::Refuse(RefusalAnswer::of(code))))
        }
        "hang" => Some(Fault::new(stage(rest)?, Action::Hang)),
        "reset" => Some(Fault::new(stage(rest)?, Action::Reset)),
        "drop" => Some(Fault::new(stage(rest)?, Action::Drop)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(address: &str) -> Option<(AttemptStage, Action, bool)> {
        let fault = fault_of(address, &MagicSettings::default())?;
        fault.check().unwrap();
        Some((fault.stage, fault.action, fault.times_each.is_some()))
    }

    #[test]
    fn a_name_works_as_local_part_tag_and_domain() {
        let expected = Some((AttemptStage::Dot, Action::Hang, false));
        for address in
            ["hang@example.org", "HANG@x", "ann+hang@example.org", "ann@hang.test", "a@mx.Hang.TEST"]
        {
            assert_eq!(of(address), expected, "{address}");
        }
        for address in
            ["ann@example.org", "hanger@example.org", "ann@hang.example", "hang.test", "é@ü.test", ""]
        {
            assert_eq!(of(address), None, "{address}");
        }
    }

    #[test]
    fn the_local_part_comes_before_the_tag_and_the_tag_before_the_domain() {
        for (address, alone) in [
            ("reset@hang.test", "reset@example.org"),
            ("ann+reset@hang.test", "reset@example.org"),
            ("slow+reset@hang.test", "reset@example.org"),
            ("ann+bob@hang.test", "hang@example.org"),
        ] {
            assert_eq!(of(address), of(alone), "{address}");
        }
    }

    #[test]
    fn every_listed_name_does_something() {
        for magic in MAGIC_NAMES {
            let name = magic.name.replace("CODE", "451");
            assert!(of(&format!("{name}@example.org")).is_some(), "{name}");
        }
    }

    #[test]
    fn codes_stages_and_once() {
        let refuse = |code| Action::Refuse(RefusalAnswer::of(code));
        assert_eq!(of("refuse-452@x.org"), Some((AttemptStage::Rcpt, refuse(452), false)));
        assert_eq!(of("refuse-554-dot@x.org"), Some((AttemptStage::Dot, refuse(554), false)));
        assert_eq!(of("refuse-250@x.org"), None);
        assert_eq!(of("refuse-554-body@x.org"), None);
        assert_eq!(of("reset-data-once@x.org"), Some((AttemptStage::Data, Action::Reset, true)));
        assert_eq!(of("drop-after-dot-once@x.org"), Some((AttemptStage::Dot, Action::Drop, true)));
    }
}
