//! Parses SMTP replies as they arrive (RFC 5321 4.2): lines that end with CRLF, the same code on each, followed by a
//! hyphen on all but the last. Each byte is examined once, and a reply over the limits is invalid.
//!
//! Our own parser, because lettre parses all lines again with each further one, and the receiver of smtp-proto
//! neither limits the number of short lines nor checks that their codes agree: it reads `250-ok`, `550 no` as a 250.

use crate::reply_rules::enhanced;

/// The longest line, with its end (RFC 5321 4.5.3.1.5 allows 512; some servers send more).
pub(crate) const MOST_LINE: usize = 2_048;
/// Maximum number of lines of a reply. A reply to EHLO has about 20.
pub(crate) const MOST_LINES: usize = 128;
/// Maximum number of bytes of a reply.
pub(crate) const MOST_BYTES: usize = 64 * 1024;

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// 200 to 559.
    pub(crate) code: u16,
    /// The text after the codes, at least one line. May contain addresses.
    pub(crate) lines: Vec<String>,
}

impl Answer {
    /// The lines joined; an enhanced code repeated on each line is kept only once.
    pub(crate) fn text(&self) -> String {
        let first_word = |line: &str| line.split_ascii_whitespace().next().unwrap_or_default().to_owned();
        let repeated =
            self.lines.first().map(|line| first_word(line)).filter(|word| enhanced(word).is_some());
        let mut lines = self.lines.iter().map(String::as_str);
        let mut text = lines.next().unwrap_or_default().to_owned();
        for line in lines {
            let rest = repeated.as_deref().and_then(|code| line.strip_prefix(code));
            text.push(' ');
            text.push_str(rest.filter(|rest| rest.starts_with(' ')).map_or(line, str::trim_start));
        }
        text
    }
}

/// An invalid reply: no code, a missing line end, differing codes, or too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Senseless;

/// Received bytes not yet consumed.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    bytes: Vec<u8>,
    /// Start of the incomplete line.
    line: usize,
    /// Up to here the incomplete line has no line end.
    seen: usize,
    /// Code of the incomplete reply.
    code: Option<u16>,
    lines: Vec<String>,
    size: usize,
}

impl Arrivals {
    /// The buffer to which received bytes are appended.
    pub(crate) fn room(&mut self) -> &mut Vec<u8> {
        self.bytes.drain(..self.line);
        (self.seen, self.line) = (self.seen - self.line, 0);
        &mut self.bytes
    }

    /// Whether no bytes and no part of a reply are left.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.len() == self.line && self.lines.is_empty()
    }

    /// The next reply, if it is complete.
    ///
    /// # Errors
    /// [`Senseless`]: the following bytes can't be interpreted either.
    pub(crate) fn next(&mut self) -> Result<Option<Answer>, Senseless> {
        while let Some(at) = self.bytes[self.seen..].iter().position(|byte| *byte == b'\n') {
            let (begin, end) = (self.line, self.seen + at + 1);
            (self.line, self.seen) = (end, end);
            self.size += end - begin;
            if end - begin > MOST_LINE || self.size > MOST_BYTES || self.lines.len() >= MOST_LINES {
                return Err(Senseless);
            }
            let (code, is_last, text) = read(&self.bytes[begin..end]).ok_or(Senseless)?;
            self.lines.push(text);
            if *self.code.get_or_insert(code) != code {
                return Err(Senseless);
            }
            if is_last {
                (self.code, self.size) = (None, 0);
                return Ok(Some(Answer { code, lines: std::mem::take(&mut self.lines) }));
            }
        }
        self.seen = self.bytes.len();
        let incomplete = self.seen - self.line;
        if incomplete >= MOST_LINE || self.size + incomplete > MOST_BYTES { Err(Senseless) } else { Ok(None) }
    }
}

/// Code, whether this is the last line, and text.
fn read(line: &[u8]) -> Option<(u16, bool, String)> {
    let line = line.strip_suffix(b"\r\n")?;
    let (digits, rest) = line.split_at_checked(3)?;
    let code = match digits {
        [a @ b'2'..=b'5', b @ b'0'..=b'5', c @ b'0'..=b'9'] => {
            [a, b, c].iter().fold(0, |code, digit| code * 10 + u16::from(**digit - b'0'))
        }
        _ => return None,
    };
    let (is_last, text) = match rest {
        [] => (true, rest),
        [b' ', text @ ..] => (true, text),
        [b'-', text @ ..] => (false, text),
        _ => return None,
    };
    Some((code, is_last, String::from_utf8_lossy(text).into_owned()))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;

    /// The replies read from bytes that arrive in pieces of this size, and how reading ends.
    fn received(bytes: &[u8], piece: usize) -> (Vec<Answer>, Result<bool, Senseless>) {
        let (mut arrivals, mut answers) = (Arrivals::default(), Vec::new());
        for piece in bytes.chunks(piece) {
            arrivals.room().extend(piece);
            loop {
                match arrivals.next() {
                    Ok(Some(answer)) => answers.push(answer),
                    Ok(None) => break,
                    Err(senseless) => return (answers, Err(senseless)),
                }
            }
        }
        (answers, Ok(arrivals.is_empty()))
    }

    fn answer(code: u16, lines: &[&str]) -> Answer {
        Answer { code, lines: lines.iter().map(|line| (*line).to_owned()).collect() }
    }

    #[test]
    fn replies_are_read_in_pieces_of_any_size() {
        let bytes = b"220 one\r\n250-a\r\n250-\r\n250 b\xff\r\n354\r\n250";
        for piece in 1..=bytes.len() {
            let (answers, rest) = received(bytes, piece);
            let wanted = [answer(220, &["one"]), answer(250, &["a", "", "b\u{fffd}"]), answer(354, &[""])];
            assert_eq!((answers.as_slice(), rest), (&wanted[..], Ok(false)), "{piece}");
        }
        assert_eq!(received(b"220 x\r\n", 2).1, Ok(true));
        assert_eq!(received(b"220-x\r\n", 2).1, Ok(false), "half a reply is left");
    }

    #[test]
    fn what_is_no_reply_has_no_sense() {
        for bytes in [
            "what\r\n",
            "\r\n",
            "25\r\n",
            "250ok\r\n",
            "250_ok\r\n",
            "2x0 ok\r\n",
            "150 ok\r\n",
            "260 ok\r\n",
            "650 ok\r\n",
            "250 ok\n",
            "250-ok\r\n550 no\r\n",
            "250-ok\r\nno\r\n",
            "250-ok\r\n\r\n",
            " 250 ok\r\n",
        ] {
            assert_eq!(received(bytes.as_bytes(), 3), (vec![], Err(Senseless)), "{bytes:?}");
        }
    }

    #[test]
    fn a_reply_ends_within_its_bounds() {
        let lines = |count: usize| "220-\r\n".repeat(count - 1) + "220 \r\n";
        let line = |size: usize| format!("220 {}\r\n", "x".repeat(size - 6));
        let bytes =
            |size: usize| format!("220-{}\r\n", "x".repeat(1_018)).repeat(size / 1_024 - 1) + &line(1_024);
        for (fits, not) in [
            (lines(MOST_LINES), lines(MOST_LINES + 1)),
            (line(MOST_LINE), line(MOST_LINE + 1)),
            (bytes(MOST_BYTES), bytes(MOST_BYTES + 1_024)),
            (line(200), lines(2 * MOST_LINES)),
            (line(200), line(2 * MOST_LINE)),
            (line(200), "2".repeat(2 * MOST_LINE)),
            (line(200), lines(16_000)),
        ] {
            for piece in [1, 1_000, 100_000] {
                let (answers, rest) = received(fits.as_bytes(), piece);
                assert_eq!((answers.len(), rest), (1, Ok(true)));
                assert_eq!(received(not.as_bytes(), piece), (vec![], Err(Senseless)));
            }
        }
    }

    /// Quadratic time would take minutes.
    #[test]
    fn many_short_replies_in_small_pieces_take_linear_time() {
        let begun = Instant::now();
        let bytes = ("220-\r\n".repeat(100) + "220 \r\n").repeat(2_000);
        for piece in [1, bytes.len()] {
            assert_eq!(received(bytes.as_bytes(), piece).0.len(), 2_000);
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }

    #[test]
    fn lines_become_one_text_with_one_code() {
        for (lines, text) in [
            (&["5.1.1 The account", "5.1.1 does not exist"][..], "5.1.1 The account does not exist"),
            (&["5.1.1 The account", "5.1.10 no"], "5.1.1 The account 5.1.10 no"),
            (&["The account", "The end"], "The account The end"),
            (&["5.1.1", "5.1.1", "5.1.1 x"], "5.1.1 5.1.1 x"),
            (&[""], ""),
        ] {
            assert_eq!(answer(550, lines).text(), text);
        }
    }

    proptest! {
        #[test]
        fn pieces_change_nothing(
            lines in prop::collection::vec("(2|5)[0-6]0[ -]?[a-z]{0,5}\r?\n?", 0..12),
            noise in prop::collection::vec(any::<u8>(), 0..20),
            piece in 1..20_usize,
        ) {
            let bytes = [lines.concat().as_bytes(), &noise[..]].concat();
            prop_assert_eq!(received(&bytes, piece), received(&bytes, bytes.len().max(1)));
        }
    }
}
