//! MAIL and RCPT.

use super::command::Path;
use super::session::{Session, Stop};
use super::transaction::Transaction;
use crate::record::AttemptStage;
use crate::settings::Extension;

impl Session<'_> {
    pub(super) async fn mail(&mut self, path: &Path<'_>) -> Result<(), Stop> {
        let settings = &self.server.settings;
        if !self.said_hello() {
            return self.bad(503, "5.5.1 Say EHLO first");
        }
        if self.transaction.is_some() {
            return self.bad(503, "5.5.1 One message at a time");
        }
        let most = settings.messages_per_connection;
        if most > 0 && self.messages >= most {
            return self.refuse_early(AttemptStage::Mail, 421, "4.7.0 Enough messages on this connection");
        }
        if settings.auth.required && self.user.is_none() {
            return self.refuse_early(AttemptStage::Mail, 530, "5.7.0 Authentication required");
        }
        let mut transaction = Transaction::begin(self.server.clock.now(), path.address, path.parameters);
        let refusal = self.parameters(path, &mut transaction);
        self.transaction = Some(transaction);
        if let Some((code, text)) = refusal {
            return self.refuse_early(AttemptStage::Mail, code, text);
        }
        if let Some(answer) = self.meet(AttemptStage::Mail, &[]).await? {
            return self.refuse_early(AttemptStage::Mail, answer.code, answer.text());
        }
        self.answer(250, "2.1.0 Ok")
    }

    /// Parses the parameters of MAIL; returns the refusal if they are not valid.
    fn parameters(&self, path: &Path<'_>, transaction: &mut Transaction) -> Option<(u16, &'static str)> {
        for parameter in path.parameters.split_ascii_whitespace() {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let is = |wanted: &str, extension| name.eq_ignore_ascii_case(wanted) && self.has(extension);
            if is("SIZE", Extension::Size) {
                match value.parse::<u64>() {
                    Err(_) => return Some((501, "5.5.4 SIZE is not a number")),
                    Ok(size)
                        if usize::try_from(size)
                            .is_ok_and(|s| s <= self.server.settings.max_message_bytes) => {}
                    Ok(_) => return Some((552, "5.3.4 The message is too large")),
                }
            } else if is("BODY", Extension::EightBitMime) {
                if value.eq_ignore_ascii_case("8BITMIME") {
                    transaction.eight_bit = true;
                } else if !value.eq_ignore_ascii_case("7BIT") {
                    return Some((501, "5.5.4 BODY is 7BIT or 8BITMIME"));
                }
            } else if is("SMTPUTF8", Extension::SmtpUtf8) && value.is_empty() {
                transaction.utf8 = true;
            } else if !is("AUTH", Extension::Auth) {
                return Some((555, "5.5.4 Parameter not known"));
            }
        }
        (!path.address.is_ascii() && !transaction.utf8).then_some((553, "5.6.7 The address needs SMTPUTF8"))
    }

    pub(super) async fn rcpt(&mut self, path: &Path<'_>) -> Result<(), Stop> {
        let Some(transaction) = &self.transaction else {
            return self.bad(503, "5.5.1 Say MAIL first");
        };
        let refusal = if path.address.is_empty() {
            Some((501, "5.1.3 No recipient"))
        } else if !path.parameters.is_empty() {
            Some((555, "5.5.4 Parameter not known"))
        } else if !path.address.is_ascii() && !transaction.utf8 {
            Some((553, "5.6.7 The address needs SMTPUTF8"))
        } else if transaction.taken.len() >= self.server.settings.max_recipients {
            Some((452, "4.5.3 Too many recipients"))
        } else {
            None
        };
        if let Some((code, text)) = refusal {
            return self.recipient(path.address, code, text);
        }
        match self.meet(AttemptStage::Rcpt, &[path.address]).await {
            Ok(None) => self.recipient(path.address, 250, "2.1.5 Ok"),
            Ok(Some(answer)) => self.recipient(path.address, answer.code, answer.text()),
            Err(stop) => {
                if let Some(transaction) = &mut self.transaction {
                    transaction.answered(path.address, 0);
                }
                Err(stop)
            }
        }
    }

    fn recipient(&mut self, address: &str, code: u16, text: &str) -> Result<(), Stop> {
        if let Some(transaction) = &mut self.transaction {
            transaction.answered(address, code);
        }
        self.answer(code, text)
    }
}
