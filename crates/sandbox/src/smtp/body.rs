//! The end of a message: finds the final dot, undoubles dots, and finds what a strict server refuses.

use memchr::memchr2;

/// Finds the end of a message that arrives in pieces.
#[derive(Debug)]
pub(super) struct DotFinder {
    lenient: bool,
    at: At,
}

/// The position in the line after the last byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Start,
    /// A dot at the start.
    Dot,
    /// A dot at the start and CR.
    DotCr,
    Text,
    /// CR in a line.
    Cr,
}

impl DotFinder {
    pub(super) fn new(lenient: bool) -> Self {
        Self { lenient, at: At::Start }
    }

    /// How many bytes of the piece belong to the message, including its final dot; `None` if all do and it continues.
    /// A lenient end is also found at a bare CR; an LF after it is left to the caller.
    pub(super) fn find(&mut self, piece: &[u8]) -> Option<usize> {
        let mut i = 0;
        while let Some(&byte) = piece.get(i) {
            if self.at == At::Text {
                match piece.get(i..).and_then(|rest| memchr2(b'\r', b'\n', rest)) {
                    Some(skip) => i += skip,
                    None => return None,
                }
                let byte = piece.get(i).copied().unwrap_or_default();
                self.at = self.next(byte);
            } else {
                let before = self.at;
                self.at = self.next(byte);
                let ends = match before {
                    At::Dot => self.lenient && matches!(byte, b'\r' | b'\n'),
                    At::DotCr => byte == b'\n',
                    _ => false,
                };
                if ends {
                    return Some(i + 1);
                }
            }
            i += 1;
        }
        None
    }

    fn next(&self, byte: u8) -> At {
        if self.lenient {
            return match (self.at, byte) {
                (_, b'\r' | b'\n') => At::Start,
                (At::Start, b'.') => At::Dot,
                _ => At::Text,
            };
        }
        match (self.at, byte) {
            (At::Start, b'.') => At::Dot,
            (At::Dot, b'\r') => At::DotCr,
            (At::Cr, b'\n') => At::Start,
            (_, b'\r') => At::Cr,
            _ => At::Text,
        }
    }
}

/// The message in bytes from the wire: without the final dot, and with dots undoubled.
pub(crate) fn undotted(wire: &[u8], lenient: bool) -> Vec<u8> {
    let mut message = Vec::with_capacity(wire.len());
    let mut at_start = true;
    let mut before = 0;
    for (i, &byte) in wire.iter().enumerate() {
        if at_start && byte == b'.' {
            at_start = false;
            let rest = wire.get(i + 1..).unwrap_or_default();
            let last = if lenient { matches!(rest, b"\r" | b"\n" | b"\r\n") } else { rest == b"\r\n" };
            if last {
                return message;
            }
            before = byte;
            continue;
        }
        message.push(byte);
        at_start = if lenient { matches!(byte, b'\r' | b'\n') } else { before == b'\r' && byte == b'\n' };
        before = byte;
    }
    message
}

/// The first thing a strict server refuses in bytes from the wire, as the text of its 554.
pub(super) fn complaint(wire: &[u8], eight_bit: bool) -> Option<&'static str> {
    let mut before = 0;
    let mut length = 0_usize;
    for &byte in wire {
        length += 1;
        if byte == 0 {
            return Some("5.6.0 The message holds NUL");
        }
        if (before == b'\r') != (byte == b'\n') {
            return Some("5.5.2 The message holds bare CR or LF");
        }
        if length > 1_000 {
            return Some("5.6.0 A line is longer than 1,000 bytes");
        }
        if !eight_bit && !byte.is_ascii() {
            return Some("5.6.3 The message holds 8-bit bytes without BODY=8BITMIME");
        }
        if byte == b'\n' {
            length = 0;
        }
        before = byte;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a client does to a message.
    fn dotted(lines: &[Vec<u8>]) -> Vec<u8> {
        let dot = |line: &Vec<u8>| if line.first() == Some(&b'.') { &b"."[..] } else { b"" };
        let lines = lines.iter().map(|line| [dot(line), line, b"\r\n"].concat());
        lines.chain([b".\r\n".to_vec()]).collect::<Vec<_>>().concat()
    }

    proptest! {
        #[test]
        fn every_message_comes_out_as_it_went_in(
            lines in prop::collection::vec(prop::collection::vec(prop::sample::select(&b".ab\0\xff"[..]), 0..5), 0..8),
            behind in prop::collection::vec(any::<u8>(), 0..9),
            cuts in prop::collection::vec(1..9_usize, 1..50),
        ) {
            let wire = dotted(&lines);
            let message: Vec<u8> = lines.iter().flat_map(|line| [line, &b"\r\n"[..]].concat()).collect();
            let stream = [&wire[..], &behind].concat();
            for lenient in [false, true] {
                let (mut finder, mut at, mut end) = (DotFinder::new(lenient), 0, None);
                for cut in cuts.iter().cycle() {
                    let piece = &stream[at..(at + cut).min(stream.len())];
                    end = finder.find(piece).map(|found| at + found);
                    at += piece.len();
                    if end.is_some() || piece.is_empty() {
                        break;
                    }
                }
                // A lenient end is found at the CR.
                let expected = if lenient { wire.len() - 1 } else { wire.len() };
                prop_assert_eq!(end, Some(expected));
                prop_assert_eq!(undotted(&stream[..expected], lenient), message.clone());
            }
        }

        #[test]
        fn no_bytes_confuse_it(bytes in prop::collection::vec(any::<u8>(), 0..200), lenient in any::<bool>()) {
            if let Some(end) = DotFinder::new(lenient).find(&bytes) {
                prop_assert!(end <= bytes.len() && undotted(&bytes[..end], lenient).len() < end);
            }
            complaint(&bytes, lenient);
        }
    }

    /// The end found, which must not depend on how the bytes come in.
    fn end(bytes: &[u8], lenient: bool) -> Option<usize> {
        let whole = DotFinder::new(lenient).find(bytes);
        let mut finder = DotFinder::new(lenient);
        let single = bytes.iter().position(|byte| finder.find(&[*byte]).is_some()).map(|at| at + 1);
        assert_eq!(whole, single, "{bytes:?}");
        whole
    }

    #[test]
    fn only_a_dot_between_line_ends_ends_a_message() {
        assert_eq!(end(b"a\r\n.\r\nNOOP\r\n", false), Some(6));
        assert_eq!(end(b".\r\n", false), Some(3));
        assert_eq!(end(b"..\r\n.\r\n", false), Some(7));
        assert_eq!(end(b"a\r\r\n.\r\n", false), Some(7));
        for open in
            ["a\n.\n", "a\r.\r", "a\r\n.\n", "a\n.\r\n", "a\r\n.x\r\n", "a\r\n.\rx", "a.\r\n", "\r\n..\r\n"]
        {
            assert_eq!(end(open.as_bytes(), false), None, "{open:?}");
        }
    }

    #[test]
    fn a_lenient_server_is_fooled_by_bare_line_ends() {
        for fooled in ["a\n.\nMAIL", "a\r.\rMAIL", "a\r\n.\nMAIL"] {
            assert_eq!(end(fooled.as_bytes(), true), Some(fooled.len() - 4), "{fooled:?}");
        }
        assert_eq!(end(b"a\r\n.\r\n", true), Some(5), "the LF is left");
        assert_eq!(end(b"a\n..\n", true), None);
    }

    #[test]
    fn doubled_dots_become_single_and_the_last_one_goes() {
        assert_eq!(undotted(b"a\r\n..b\r\n...\r\n.\r\n", false), b"a\r\n.b\r\n..\r\n");
        assert_eq!(undotted(b".\r\n", false), b"");
        assert_eq!(undotted(b"a\n.b\r\n.\r\n", false), b"a\n.b\r\n");
        assert_eq!(undotted(b"a\n..b\n.\n", true), b"a\n.b\n");
        assert_eq!(undotted(b"cut off", false), b"cut off");
    }

    #[test]
    fn a_strict_server_complains() {
        assert_eq!(complaint(b"fine\r\n.\r\n", false), None);
        assert_eq!(complaint("h\u{e9}\r\n.\r\n".as_bytes(), true), None);
        let long = [b"x".repeat(999), b"\r\n.\r\n".to_vec()].concat();
        for bad in [&b"a\nb\r\n"[..], b"a\rb\r\n", b"a\0b\r\n", &long, "h\u{e9}\r\n".as_bytes()] {
            assert!(complaint(bad, false).is_some(), "{bad:?}");
        }
        assert_eq!(complaint(&[b"x".repeat(998), b"\r\n.\r\n".to_vec()].concat(), false), None);
    }
}
