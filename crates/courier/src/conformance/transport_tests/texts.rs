//! Texts at the limits, and texts that break careless code.

use posthaste_model::Text;

use super::calls::word;
use super::{Suite, order};
use crate::conformance::bench::{Behaviour, TextFate};
use crate::conformance::report::ConformanceFailure;
use crate::transport::{Envelope, Outcome};

/// Texts every channel must survive; it may accept or reject them.
const ANY: [(&str, &str); 5] = [
    ("one letter", "a"),
    ("many scripts", "Здравствуйте, 你好, مرحبا, e\u{301}, 👩‍👩‍👧‍👦, \u{200b}, \u{feff}"),
    ("lines of a protocol", "first\r\n.\r\nQUIT\r\n\r\n--boundary--\r\n.."),
    ("marks of markup", "<b>&amp;</i> *_`[x](y)~ {{z}} %s %n $1 \\ \" ' \0 \u{1b}[31m"),
    ("a long one", ""),
];
const LONG: usize = 20_000;

impl Suite<'_> {
    pub(super) async fn carries_texts(&mut self) -> Result<(), ConformanceFailure> {
        self.must(Behaviour::Accept).await?;
        for (what, text) in ANY {
            let check = format!("a text: {what}");
            let (mut batch, _) = self.batch(1);
            let text = if text.is_empty() { "long text ".repeat(LONG / 10) } else { text.to_owned() };
            self.with_text(&mut batch, &text);
            let ended = self.post(&check, &batch, self.soon()).await?;
            order::answered(&check, &ended)?;
            for outcome in &ended.outcomes {
                if !matches!(outcome, Outcome::Sent | Outcome::Delivered | Outcome::Failed(_)) {
                    let what =
                        format!("the outcome was {}, expected accepted or rejected", word(Some(outcome)));
                    return Err(ConformanceFailure::broken(&check, what));
                }
            }
            self.report.passed(check);
        }
        for case in self.bench.texts() {
            let check = format!("a text: {}", case.what);
            let (mut batch, deliveries) = self.batch(1);
            for delivery in &deliveries {
                // The text comes from the bench, so it contains no mark.
                self.ledger.knows(delivery, "");
            }
            for envelope in &mut batch {
                envelope.content = case.content.clone().into();
            }
            let ended = self.post(&check, &batch, self.soon()).await?;
            order::answered(&check, &ended)?;
            for outcome in &ended.outcomes {
                let (right, wanted) = match case.fate {
                    TextFate::Taken => {
                        (matches!(outcome, Outcome::Sent | Outcome::Delivered), "accepted or delivered")
                    }
                    TextFate::Rejected => (matches!(outcome, Outcome::Failed(_)), "rejected"),
                };
                if !right {
                    let what = format!("the outcome was {}, expected {wanted}", word(Some(outcome)));
                    return Err(ConformanceFailure::broken(&check, what));
                }
            }
            self.report.passed(check);
        }
        self.is_usable("after the texts").await
    }

    fn with_text(&self, batch: &mut [Envelope], text: &str) {
        let channel = self.transport.channel();
        for envelope in batch {
            let mut content = (*envelope.content).clone();
            let marked = format!("{} {text}", content.text_for(&channel).expose());
            content.texts.clear();
            content.html = Text::default();
            content.text = Text::new(marked);
            envelope.content = content.into();
        }
    }
}
