//! Bot tokens. A token is part of every Bot API URL, so it is kept only here and in the requests.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

use crate::settings::BadSetting;

/// Maximum number of bots per channel.
const MOST: usize = 64;
const KEY: &str = "telegram.tokens";

/// A token. `Debug` shows only the bot's public id.
#[derive(Clone)]
pub(crate) struct BotToken {
    bot: u64,
    secret: SecretString,
}

impl BotToken {
    /// The bot's id, which is public.
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

impl fmt::Debug for BotToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:***", self.bot)
    }
}

/// Reads all tokens of the setting, in order. Errors name a token's position, never its value.
pub(crate) fn read(tokens: &SecretString) -> Result<Vec<BotToken>, BadSetting> {
    let mut read: Vec<BotToken> = Vec::new();
    for (at, text) in tokens.expose_secret().split_whitespace().enumerate() {
        let Some(token) = BotToken::parse(text) else {
            let why = format!("token {} is not a bot token: it must look like 123456789:AAbbCC…", at + 1);
            return Err(BadSetting::new(KEY, why));
        };
        if read.iter().any(|other| other.bot == token.bot) {
            return Err(BadSetting::new(
                KEY,
                format!("bot {} has two tokens: remove the old one", token.bot),
            ));
        }
        read.push(token);
    }
    match read.len() {
        0 => Err(BadSetting::new(
            KEY,
            "missing; get a token from @BotFather and name its file in telegram.tokens_file",
        )),
        n if n > MOST => Err(BadSetting::new(KEY, format!("{n} tokens are too many: at most {MOST}"))),
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
        assert_eq!(read.iter().map(BotToken::bot).collect::<Vec<_>>(), [12, 34]);
        assert_eq!(read[0].expose(), format!("12:{SECRET}"));
        assert_eq!(format!("{read:?}"), "[12:***, 34:***]");
    }

    #[test]
    fn an_invalid_token_is_refused_without_being_shown() {
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
