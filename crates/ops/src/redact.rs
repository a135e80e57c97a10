//! Removes credentials from text before it is shown.

use std::borrow::Cow;

/// Replaces the user and password of every URL in a text by `***`: `redis://:pw@host` becomes `redis://***@host`.
///
/// A safety net for the last line of a process and for `config show`, where a URL is text. It prefers to hide too much: it
/// replaces everything between `://` and the last `@` of the word, so that a password that contains `/` is hidden too.
pub fn credentials(text: &str) -> Cow<'_, str> {
    const MARK: &str = "://";
    if !text.contains(MARK) || !text.contains('@') {
        return Cow::Borrowed(text);
    }
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(MARK) {
        let (before, after) = rest.split_at(start + MARK.len());
        masked.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || matches!(c, '"' | '`')).unwrap_or(after.len());
        let (word, tail) = after.split_at(end);
        match word.rsplit_once('@') {
            Some((_, host)) => {
                masked.push_str("***@");
                masked.push_str(host);
            }
            None => masked.push_str(word),
        }
        rest = tail;
    }
    masked.push_str(rest);
    Cow::Owned(masked)
}

#[cfg(test)]
mod tests {
    use super::credentials;

    #[test]
    fn user_and_password_of_every_url_are_removed() {
        for (text, masked) in [
            ("redis://:pw@h:6379/0", "redis://***@h:6379/0"),
            ("cannot reach \"rediss://u:p/w@h\": refused", "cannot reach \"rediss://***@h\": refused"),
            ("a://x:y@h then b://z@i", "a://***@h then b://***@i"),
            ("redis://h:6379", "redis://h:6379"),
            ("write to a@b.c", "write to a@b.c"),
            ("http://h/ and a@b.c", "http://h/ and a@b.c"),
        ] {
            assert_eq!(credentials(text), masked);
        }
    }
}
