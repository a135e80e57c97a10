//! One reply of a server, and its parser.

use std::io::{BufRead, Read};

use super::Stop;

/// A RESP2 reply.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RespReply {
    /// The nil bulk string or nil array.
    Nil,
    /// An integer.
    Int(i64),
    /// A bulk string.
    Bytes(Vec<u8>),
    /// A status line such as `OK`.
    Status(String),
    /// An error line such as `WRONGTYPE …`.
    Error(String),
    /// An array of replies.
    Array(Vec<RespReply>),
}

impl RespReply {
    /// The integer, if it is one.
    pub fn int(&self) -> Option<i64> {
        if let Self::Int(n) = self { Some(*n) } else { None }
    }

    /// The bytes of a bulk string.
    pub fn bytes(&self) -> Option<&[u8]> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    /// A bulk string, status or error as text; `None` for other types and for bytes that are not UTF-8.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
            Self::Status(text) | Self::Error(text) => Some(text),
            _ => None,
        }
    }

    /// The elements of an array; an empty slice for everything else.
    pub fn items(&self) -> &[RespReply] {
        if let Self::Array(items) = self { items } else { &[] }
    }

    /// The error line, if it is one.
    pub fn error(&self) -> Option<&str> {
        if let Self::Error(text) = self { Some(text) } else { None }
    }
}

/// A larger bulk string is refused: the tests request nothing that large.
const MAX_BULK: u64 = 512 * 1024 * 1024;
/// A longer status, error, integer or length line is refused.
const MAX_LINE: u64 = 64 * 1024;
const MAX_DEPTH: u8 = 32;

pub(super) fn read(stream: &mut impl BufRead) -> Result<RespReply, Stop> {
    read_at(stream, 0)
}

fn read_at(stream: &mut impl BufRead, depth: u8) -> Result<RespReply, Stop> {
    if depth > MAX_DEPTH {
        return Err(Stop::NotResp(format!("arrays nested deeper than {MAX_DEPTH}")));
    }
    let line = read_line(stream)?;
    let (kind, rest) = line.split_at_checked(1).ok_or_else(|| Stop::NotResp("an empty line".into()))?;
    match kind {
        "+" => Ok(RespReply::Status(rest.to_owned())),
        "-" => Ok(RespReply::Error(rest.to_owned())),
        ":" => Ok(RespReply::Int(number(rest)?)),
        "$" => match length(rest)? {
            None => Ok(RespReply::Nil),
            Some(n) if n > MAX_BULK => Err(Stop::NotResp(format!("a bulk string of {n} bytes"))),
            Some(n) => read_bulk(stream, n),
        },
        "*" => match length(rest)? {
            None => Ok(RespReply::Nil),
            Some(n) => {
                (0..n).map(|_| read_at(stream, depth + 1)).collect::<Result<_, _>>().map(RespReply::Array)
            }
        },
        _ => Err(Stop::NotResp(format!("a line that begins with {kind:?}"))),
    }
}

fn read_line(stream: &mut impl BufRead) -> Result<String, Stop> {
    let mut line = Vec::new();
    let read = stream.take(MAX_LINE).read_until(b'\n', &mut line)?;
    if read == 0 {
        return Err(Stop::Io(std::io::ErrorKind::UnexpectedEof.into()));
    }
    match line.strip_suffix(b"\r\n") {
        Some(line) => Ok(String::from_utf8_lossy(line).into_owned()),
        None => Err(Stop::NotResp("a line without an end, or too long".into())),
    }
}

fn read_bulk(stream: &mut impl BufRead, length: u64) -> Result<RespReply, Stop> {
    // `take` grows the buffer with the bytes received, not with the announced length.
    let mut bytes = Vec::new();
    stream.take(length + 2).read_to_end(&mut bytes)?;
    match bytes.strip_suffix(b"\r\n") {
        Some(body) if body.len() as u64 == length => Ok(RespReply::Bytes(body.to_vec())),
        _ => Err(Stop::NotResp("a bulk string differs from its announced length".into())),
    }
}

fn number(text: &str) -> Result<i64, Stop> {
    text.parse().map_err(|_| Stop::NotResp(format!("{text:?} is not a number")))
}

fn length(text: &str) -> Result<Option<u64>, Stop> {
    match number(text)? {
        -1 => Ok(None),
        n => u64::try_from(n).map(Some).map_err(|_| Stop::NotResp(format!("the length {n}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(raw: &[u8]) -> Result<RespReply, Stop> {
        read(&mut &*raw)
    }

    #[test]
    fn reads_every_type() {
        let raw = b"*6\r\n+OK\r\n-ERR no\r\n:-7\r\n$3\r\na\nb\r\n$-1\r\n*1\r\n*-1\r\n";
        let reply = parse(raw).expect("a reply");
        assert_eq!(
            reply.items(),
            [
                RespReply::Status("OK".into()),
                RespReply::Error("ERR no".into()),
                RespReply::Int(-7),
                RespReply::Bytes(b"a\nb".to_vec()),
                RespReply::Nil,
                RespReply::Array(vec![RespReply::Nil]),
            ]
        );
        assert_eq!(reply.items()[0].text(), Some("OK"));
        assert_eq!(reply.items()[1].error(), Some("ERR no"));
        assert_eq!(reply.items()[2].int(), Some(-7));
        assert_eq!(reply.items()[3].bytes(), Some(&b"a\nb"[..]));
    }

    #[test]
    fn refuses_invalid_resp() {
        let deep = b"*1\r\n".repeat(40);
        for raw in
            [&b"hello\r\n"[..], b":x\r\n", b"$-2\r\n", b"$3\r\nabcde\r\n", b"\r\n", b"+no end\n", &deep]
        {
            assert!(matches!(parse(raw), Err(Stop::NotResp(_))), "{raw:?}");
        }
        assert!(matches!(parse(b"$99999999999\r\n"), Err(Stop::NotResp(_))));
    }

    #[test]
    fn an_early_end_is_an_io_error() {
        assert!(matches!(parse(b""), Err(Stop::Io(_))));
        assert!(matches!(parse(b"*2\r\n:1\r\n"), Err(Stop::Io(_))));
    }
}
