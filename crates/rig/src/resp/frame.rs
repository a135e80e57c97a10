//! Finds the boundaries of RESP messages, and the arguments of a command.

/// A longer header line is invalid RESP.
const MAX_HEADER: usize = 64 * 1024;

/// Writes a command as an array of bulk strings.
pub fn encode_command<A: AsRef<[u8]>>(args: &[A]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args.iter().map(AsRef::as_ref) {
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// Parses the arguments of one whole command as clients send it (an array of bulk strings, or an inline line).
/// `None` when it is neither.
pub fn decode_command(raw: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (header, mut rest) = split_line(raw)?;
    let Some(count) = header.strip_prefix(b"*") else {
        let words = header.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        return Some(words.map(<[u8]>::to_vec).collect());
    };
    let mut args = Vec::new();
    for _ in 0..number(count)? {
        let (header, body) = split_line(rest)?;
        let length = usize::try_from(number(header.strip_prefix(b"$")?)?).ok()?;
        args.push(body.get(..length)?.to_vec());
        rest = body.get(length..)?.strip_prefix(b"\r\n")?;
    }
    rest.is_empty().then_some(args)
}

fn split_line(raw: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = raw.iter().position(|b| *b == b'\n')?;
    Some((raw[..end].strip_suffix(b"\r").unwrap_or(&raw[..end]), &raw[end + 1..]))
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// What kind of message ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A command, or the answer to one.
    Message,
    /// A RESP3 push: not an answer to a command.
    Push,
}

/// Finds the ends of messages in a stream of bytes that arrives in arbitrary pieces. It looks at every byte of a
/// header once and skips bodies, so large messages cost nothing extra.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    /// Elements still to come before the current message ends.
    open: u64,
    /// Bytes of a body (with its line end) still to come.
    body: u64,
    header: Vec<u8>,
    push: bool,
}

impl Scanner {
    /// Consumes bytes. For each message that ended, returns the position after it in these bytes.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<Vec<(usize, Kind)>, String> {
        let mut ends = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            if self.body > 0 {
                let here = self.body.min((bytes.len() - at) as u64);
                self.body -= here;
                at += usize::try_from(here).map_err(|e| e.to_string())?;
                if self.body > 0 {
                    break;
                }
            } else {
                let Some(end) = bytes[at..].iter().position(|b| *b == b'\n') else {
                    self.keep(&bytes[at..])?;
                    break;
                };
                self.keep(&bytes[at..at + end])?;
                at += end + 1;
                self.header_done()?;
            }
            if self.open == 0 && self.body == 0 {
                ends.push((at, if self.push { Kind::Push } else { Kind::Message }));
                self.push = false;
            }
        }
        Ok(ends)
    }

    fn keep(&mut self, part: &[u8]) -> Result<(), String> {
        self.header.extend_from_slice(part);
        if self.header.len() > MAX_HEADER { Err("a header line is too long".into()) } else { Ok(()) }
    }

    fn header_done(&mut self) -> Result<(), String> {
        let line = std::mem::take(&mut self.header);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        let begins = self.open == 0;
        // The element of this header is complete; what it contains is added to the open ones.
        self.open = self.open.saturating_sub(1);
        let Some((kind, rest)) = line.split_first() else { return Ok(()) };
        let count = || -> Result<u64, String> {
            match std::str::from_utf8(rest).ok().and_then(|text| text.parse::<i64>().ok()) {
                Some(-1) => Ok(0),
                Some(n) if n >= 0 => Ok(n.unsigned_abs()),
                _ => Err(format!("invalid length: {:?}", String::from_utf8_lossy(rest))),
            }
        };
        match kind {
            b'$' | b'=' | b'!' if rest != b"-1" => self.body = count()? + 2,
            b'*' | b'~' => self.open += count()?,
            b'>' => {
                self.push |= begins;
                self.open += count()?;
            }
            b'%' => self.open += count()?.saturating_mul(2),
            // An attribute precedes the element it belongs to.
            b'|' => self.open += count()?.saturating_mul(2) + 1,
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(raw: &[u8], piece: usize) -> Vec<(usize, Kind)> {
        let mut scanner = Scanner::default();
        let mut all = Vec::new();
        for (i, part) in raw.chunks(piece).enumerate() {
            let found = scanner.feed(part).expect("RESP");
            all.extend(found.into_iter().map(|(at, kind)| (i * piece + at, kind)));
        }
        all
    }

    #[test]
    fn finds_the_ends_whatever_the_pieces() {
        let messages: [&[u8]; 9] = [
            b"+OK\r\n",
            b"*0\r\n",
            b"*2\r\n$3\r\n\r\n\n\r\n*1\r\n:1\r\n",
            b"$-1\r\n",
            b"*-1\r\n",
            b"PING\r\n",
            b"%1\r\n+a\r\n:1\r\n",
            b"|1\r\n+ttl\r\n:1\r\n$0\r\n\r\n",
            b"*2\r\n*-1\r\n*0\r\n",
        ];
        let raw = messages.concat();
        let mut at = 0;
        let expected: Vec<_> = messages
            .iter()
            .map(|m| {
                at += m.len();
                (at, Kind::Message)
            })
            .collect();
        for piece in 1..raw.len() {
            assert_eq!(ends(&raw, piece), expected, "pieces of {piece}");
        }
    }

    #[test]
    fn a_push_is_recognized() {
        let raw = b">2\r\n+message\r\n+hello\r\n:1\r\n";
        assert_eq!(ends(raw, 3), [(22, Kind::Push), (26, Kind::Message)]);
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(Scanner::default().feed(b"*many\r\n").is_err());
        assert!(Scanner::default().feed(&[b'x'; MAX_HEADER + 1]).is_err());
    }

    #[test]
    fn commands_survive_the_round_trip() {
        let raw = encode_command(&[&b"SET"[..], b"key\r\n", b""]);
        assert_eq!(decode_command(&raw), Some(vec![b"SET".to_vec(), b"key\r\n".to_vec(), Vec::new()]));
        assert_eq!(decode_command(b"PING  now\r\n"), Some(vec![b"PING".to_vec(), b"now".to_vec()]));
        for broken in [&b"*1\r\n$3\r\nab"[..], b"*1\r\n$1\r\na\r\nmore", b"*1\r\n+a\r\n", b"*1\r\n"] {
            assert_eq!(decode_command(broken), None);
        }
    }
}
