//! A fault: when it strikes and what it does.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use posthaste_model::Channel;
use serde::{Deserialize, Serialize};

use super::answer::RefusalAnswer;
use crate::record::AttemptStage;

/// Longest time span in a fault.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// A rule: on this channel, for these addresses, at this stage, do this.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Its id, unique among the faults; generated if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The channel; all channels if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<Channel>,
    /// Recipients it applies to, where `*` matches any characters. If left out: all, and stages without a recipient.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<AddressPattern>,
    /// Senders it applies to, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<AddressPattern>,
    /// When it strikes.
    pub stage: AttemptStage,
    /// What it does.
    pub action: Action,
    /// How often it strikes before it is used up; no limit if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<NonZeroU64>,
    /// How often it strikes each recipient.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times_each: Option<NonZeroU32>,
    /// Strikes only every n-th time it matches: 10 makes a tenth of the traffic fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<NonZeroU64>,
}

/// What a fault does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Action {
    /// Refuses.
    Refuse(RefusalAnswer),
    /// Answers 450 until the same sender retries from the same host for the same recipient after `wait`.
    Greylist {
        /// How long the first refusal lasts.
        #[serde(with = "posthaste_ops::config::duration")]
        wait: Duration,
    },
    /// Lets `limit` pass in each `per` and refuses the rest with `answer`.
    Throttle {
        /// How many pass.
        limit: NonZeroU32,
        /// In which period.
        #[serde(with = "posthaste_ops::config::duration")]
        per: Duration,
        /// The answer to the rest, usually 451 or 421.
        answer: RefusalAnswer,
    },
    /// Waits, then continues normally.
    Slow {
        /// How long.
        #[serde(with = "posthaste_ops::config::duration")]
        by: Duration,
    },
    /// Stops sending and reading, and keeps the connection open.
    Hang,
    /// Closes the connection normally.
    Drop,
    /// Resets the connection.
    Reset,
    /// Answers with one reply line that never ends: this many bytes of 8-bit noise, then closes the connection.
    Babble {
        /// How many bytes, at most 16 MiB.
        bytes: u32,
    },
}

/// A pattern for whole addresses, where `*` matches any characters. Ignores case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AddressPattern(String);

/// An invalid fault, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidFault(pub(crate) &'static str);

impl AddressPattern {
    /// A pattern from its text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The original text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is longer than any address.
    pub(crate) fn is_long(&self) -> bool {
        self.0.len() > 512
    }

    /// Whether `address` matches. Takes time in proportion to the product of both lengths at most.
    #[must_use]
    pub fn fits(&self, address: &str) -> bool {
        let (pattern, text) = (self.0.as_bytes(), address.as_bytes());
        let (mut p, mut t) = (0, 0);
        let mut star: Option<(usize, usize)> = None;
        while t < text.len() {
            match pattern.get(p) {
                Some(b'*') => {
                    star = Some((p, t));
                    p += 1;
                }
                Some(byte) if byte.eq_ignore_ascii_case(&text[t]) => {
                    p += 1;
                    t += 1;
                }
                // Let the last star match one more byte.
                _ => match star {
                    Some((at, taken)) => {
                        star = Some((at, taken + 1));
                        p = at + 1;
                        t = taken + 1;
                    }
                    None => return false,
                },
            }
        }
        pattern[p..].iter().all(|byte| *byte == b'*')
    }
}

impl Fault {
    /// A fault for everyone at this stage.
    #[must_use]
    pub fn new(stage: AttemptStage, action: Action) -> Self {
        Self {
            id: None,
            channel: None,
            recipient: None,
            sender: None,
            stage,
            action,
            times: None,
            times_each: None,
            every: None,
        }
    }

    /// The same, only for recipients that match the pattern.
    #[must_use]
    pub fn to(mut self, recipient: &str) -> Self {
        self.recipient = Some(AddressPattern::new(recipient));
        self
    }

    /// The same, but it strikes only this often.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = NonZeroU64::new(times);
        self
    }

    /// The same, but it strikes each recipient only this often.
    #[must_use]
    pub fn times_each(mut self, times: u32) -> Self {
        self.times_each = NonZeroU32::new(times);
        self
    }

    /// Checks that the fault is valid.
    ///
    /// # Errors
    /// A code out of range, a recipient given for a stage that has none, too many bytes, or a text or time span too
    /// long.
    pub fn check(&self) -> Result<(), InvalidFault> {
        if self.stage == AttemptStage::Call {
            return Err(InvalidFault(
                "the stage call is for HTTP providers; set their faults at /providers/{name}/faults",
            ));
        }
        if self.recipient.is_some() && self.stage < AttemptStage::Rcpt {
            return Err(InvalidFault("recipient needs the stage rcpt or a later one"));
        }
        if self.sender.is_some() && self.stage < AttemptStage::Mail {
            return Err(InvalidFault("sender needs the stage mail or a later one"));
        }
        let texts = [&self.recipient, &self.sender].into_iter().flatten().map(|pattern| pattern.0.len());
        if texts.chain(self.id.iter().map(String::len)).any(|length| length > 512) {
            return Err(InvalidFault("text must be at most 512 bytes"));
        }
        let span = match &self.action {
            Action::Greylist { wait } => *wait,
            Action::Throttle { per, .. } => *per,
            Action::Slow { by } => *by,
            _ => Duration::ZERO,
        };
        if span > LONGEST {
            return Err(InvalidFault("a wait or period must be at most one day"));
        }
        match &self.action {
            Action::Refuse(answer) | Action::Throttle { answer, .. } => {
                if !(400..600).contains(&answer.code) {
                    return Err(InvalidFault("the code of a refusal must be from 400 to 599"));
                }
                if answer.text.len() > 400 {
                    return Err(InvalidFault("the text of an answer must be at most 400 bytes"));
                }
                if self.stage == AttemptStage::Body {
                    return Err(InvalidFault("the stage body has no answer; use the stage dot"));
                }
            }
            Action::Greylist { .. }
                if self.stage < AttemptStage::Rcpt || self.stage == AttemptStage::Body =>
            {
                return Err(InvalidFault("greylist works only at the stages rcpt, data and dot"));
            }
            Action::Babble { bytes } if *bytes > 16 * 1024 * 1024 => {
                return Err(InvalidFault("babble must be at most 16 MiB"));
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_whole_addresses() {
        let fits = |pattern: &str, address: &str| AddressPattern::new(pattern).fits(address);
        assert!(fits("a@b.test", "A@B.TEST"));
        assert!(!fits("a@b.test", "aa@b.test"));
        assert!(fits("*@b.test", "who@b.test"));
        assert!(fits("*", ""));
        assert!(fits("a*b*c", "a-b-b-c"));
        assert!(!fits("a*b*c", "a-c-b"));
        assert!(!fits("", "a"));
        assert!(!fits(&"*a".repeat(50), &"b".repeat(10_000)));
    }

    #[test]
    fn faults_are_read_from_json_and_refused_with_a_reason() {
        let read = |text: &str| serde_json::from_str::<Fault>(text);
        let fault = read(
            r#"{"recipient":"*@b.test","stage":"rcpt","action":{"refuse":{"code":550,"text":"5.1.1 gone"}},"times":2}"#,
        );
        let expected = Fault::new(AttemptStage::Rcpt, Action::Refuse(RefusalAnswer::new(550, "5.1.1 gone")));
        assert_eq!(fault.unwrap(), expected.to("*@b.test").times(2));
        assert_eq!(
            read(r#"{"stage":"dot","action":"drop"}"#).unwrap(),
            Fault::new(AttemptStage::Dot, Action::Drop)
        );
        read(r#"{"stage":"dot","action":{"slow":{"by":"2s"}},"colour":1}"#).unwrap_err();
        read(r#"{"stage":"dinner","action":"drop"}"#).unwrap_err();
        read(r#"{"stage":"dot","action":"drop","times":0}"#).unwrap_err();
        Fault::new(AttemptStage::Rcpt, Action::Refuse(RefusalAnswer::of(250))).check().unwrap_err();
        Fault::new(AttemptStage::Mail, Action::Drop).to("a@b.test").check().unwrap_err();
        Fault::new(AttemptStage::Body, Action::Refuse(RefusalAnswer::of(550))).check().unwrap_err();
        Fault::new(AttemptStage::Dot, Action::Slow { by: Duration::MAX }).check().unwrap_err();
        Fault::new(AttemptStage::Dot, Action::Refuse(RefusalAnswer::of(550))).check().unwrap();
    }
}
