//! AUTH PLAIN and AUTH LOGIN (RFC 4954, RFC 4616).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};

use super::session::{Session, Stop};
use super::wire::Line;
use crate::record::{AttemptOutcome, AttemptStage, Ending};
use crate::settings::Extension;

/// What a client claims to be.
struct Claim {
    user: String,
    password: SecretString,
}

impl Session<'_> {
    pub(super) async fn auth(&mut self, mechanism: &str, initial: Option<&str>) -> Result<(), Stop> {
        let settings = &self.server.settings.auth;
        if !self.has(Extension::Auth) {
            return self.answer(502, "5.5.1 Command not implemented");
        }
        if self.user.is_some() || self.transaction.is_some() || !self.extended {
            return self.answer(503, "5.5.1 Bad sequence of commands");
        }
        if settings.only_over_tls && !self.wire.is_tls() {
            return self.refuse_early(
                AttemptStage::Auth,
                538,
                "5.7.11 Encryption required for this authentication",
            );
        }
        if let Some(answer) = self.meet(AttemptStage::Auth, &[]).await? {
            return self.refuse_early(AttemptStage::Auth, answer.code, answer.text());
        }
        let claim = if mechanism.eq_ignore_ascii_case("PLAIN") {
            self.plain(initial).await?
        } else if mechanism.eq_ignore_ascii_case("LOGIN") {
            self.login(initial).await?
        } else {
            return self.answer(504, "5.5.4 Mechanism not known");
        };
        let Some(claim) = claim else {
            return self.bad(501, "5.5.2 Authentication given up or not base64");
        };
        let users = &settings.users;
        let known = users.get(&claim.user).map(SecretString::expose_secret);
        if users.is_empty() || known == Some(claim.password.expose_secret()) {
            self.user = Some(claim.user);
            return self.answer(235, "2.7.0 Authenticated");
        }
        self.refuse_early(AttemptStage::Auth, 535, "5.7.8 Authentication credentials invalid")
    }

    async fn plain(&mut self, initial: Option<&str>) -> Result<Option<Claim>, Stop> {
        let given = match initial {
            Some(given) => Some(decode(given.as_bytes())),
            None => self.ask("").await?,
        };
        let Some(Some(given)) = given else { return Ok(None) };
        let mut parts = given.split('\0');
        let claim = match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(_), Some(user), Some(password), None) if !user.is_empty() => {
                Some(Claim { user: user.to_owned(), password: password.into() })
            }
            _ => None,
        };
        Ok(claim)
    }

    async fn login(&mut self, initial: Option<&str>) -> Result<Option<Claim>, Stop> {
        let user = match initial {
            Some(given) => Some(decode(given.as_bytes())),
            None => self.ask("VXNlcm5hbWU6").await?,
        };
        let Some(Some(user)) = user.filter(|user| user.as_ref().is_some_and(|user| !user.is_empty())) else {
            return Ok(None);
        };
        let Some(Some(password)) = self.ask("UGFzc3dvcmQ6").await? else { return Ok(None) };
        Ok(Some(Claim { user, password: password.into() }))
    }

    /// Requests a line of base64. `None`: the client gave up; `Some(None)`: it is not base64 of a text.
    async fn ask(&mut self, challenge: &str) -> Result<Option<Option<String>>, Stop> {
        self.answer(334, challenge)?;
        let line = self.wire.line().await?;
        self.dialogue.add('C', "***");
        Ok(match line {
            Line::TooLong => None,
            Line::Whole { text, .. } if text.as_ref() == b"*" => None,
            Line::Whole { text, .. } => Some(decode(&text)),
        })
    }

    /// Refuses before any message was named, which still counts as an attempt.
    pub(super) fn refuse_early(&mut self, stage: AttemptStage, code: u16, text: &str) -> Result<(), Stop> {
        let answered = self.answer(code, text);
        self.conclude_early(AttemptOutcome::new(Ending::Refused, stage, Some(code)));
        answered
    }
}

fn decode(text: &[u8]) -> Option<String> {
    // A lone `=` stands for an empty response.
    if text == b"=" {
        return Some(String::new());
    }
    String::from_utf8(STANDARD.decode(text).ok()?).ok()
}
