//! Tokens of bots. A token is part of every URL of the Bot API, so it lives here and in the requests, and nowhere else.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

use crate::settings::BadSetting;

/// Bots of one channel at most.
const MOST: usize = 64;
const KEY: &str = "telegram.tokens";

/// A token. Formats as the bot's public number.
#[derive(Clone)]
pub(crate) struct Token {
    bot: u64,
    secret: SecretString,
}

impl Token {
    /// The bot's own number, which anybody may know.
    pub(crate) fn bot(&self) -> u64 {
        self.bot
    }

    /// The token, for URLs of requests only.
    pub(crate) fn expose(&self) -> &str {
        self.secret.expose_secret()
    }

    fn parse(text: &str) -> Option<Self> {
        let (bot, secret) = text.split_once(':')?;
        let digits = (1..=16).contains(&bot.len()) && bot.bytes().all(|byte| byte.is_ascii_digit());
        let letters = (20..=128).contains(&secret.len())
            && secret.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        let bot = bot.parse().ok()?;
        (digits && letters).then(|| Self { bot, secret: text.into() })
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:***", self.bot)
    }
}

/// All tokens of the setting, in their order. What is wrong is told by place, never by value.
pub(crate) fn read(tokens: &SecretString) -> Result<Vec<Token>, BadSetting> {
    let mut read: Vec<Token> = Vec::new();
    for (at, text) in tokens.expose_secret().split_whitespace().enumerate() {
        let Some(token) = Token::parse(text) else {
            let why = format!("token {} is not one: it must look like 123456789:AAbbCC…", at + 1);
            return Err(BadSetting::new(KEY, why));
        };
        if read.iter().any(|other| other.bot == token.bot) {
            return Err(BadSetting::new(
                KEY,
                format!("bot {} has two tokens: leave the old one out", token.bot),
            ));
        }
        read.push(token);
    }
    match read.len() {
        0 => Err(BadSetting::new(
            KEY,
            "is missing: @BotFather gives one; name its file in telegram.tokens_file",
        )),
        n if n > MOST => Err(BadSetting::new(KEY, format!("{n} tokens are too many: {MOST} at most"))),
        _ => Ok(read),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "AAbbCCddEEffGGhhIIjjKKllMMnnOOpp-_9";

    #[test]
    fn tokens_are_read_and_print_masked() {
        let read = read(&format!(" 12:{SECRET}\n34:{SECRET}\t").into()).unwrap();
        assert_eq!(read.iter().map(Token::bot).collect::<Vec<_>>(), [12, 34]);
        assert_eq!(read[0].expose(), format!("12:{SECRET}"));
        assert_eq!(format!("{read:?}"), "[12:***, 34:***]");
    }

    #[test]
    fn what_is_no_token_is_refused_without_being_shown() {
        for text in [
            "".to_owned(),
            SECRET.to_owned(),
            format!("x:{SECRET}"),
            format!("12:{SECRET}/../sendMessage"),
            format!("12:{SECRET}?x"),
            "12:short-secret".to_owned(),
            format!("12:{SECRET} 12:{SECRET}x"),
            format!(":{SECRET}"),
            format!("99999999999999999999:{SECRET}"),
        ] {
            let refused = read(&text.clone().into()).unwrap_err().to_string();
            assert!(!refused.contains(&SECRET[..8]) && !refused.contains("short-secret"), "{refused}");
        }
    }
}
