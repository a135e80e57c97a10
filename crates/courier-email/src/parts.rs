//! Finds a part of a message by its type. mail-parser keeps nested messages as a tree, and dropping a tree of 30,000
//! levels (1 MB of `message/rfc822` heads) overflows the stack and ends the process. So here it gets only heads and
//! single parts, never a container. Containers are split line by line, down to [`MOST_DEPTH`], and a message within a
//! message is not searched at all.
//!
//! The time is linear in the size of the message: each level is read once, and the parameters of Content-Type, for
//! which the parser needs more than linear time, have their own limit.

use mail_parser::{HeaderName, Message, MessageParser, MimeHeaders, PartType};

/// Maximum nesting of containers. Reports have one level, or two if a server on the way added a footer.
pub(crate) const MOST_DEPTH: usize = 4;
/// Maximum number of parts that are searched, over all levels.
const MOST_PARTS: usize = 100;
/// The largest head, in bytes. A message that passed many servers has about 20 KiB.
pub(crate) const MOST_HEAD: usize = 64 * 1024;
/// The longest Content-Type, in bytes.
pub(crate) const MOST_TYPE: usize = 2 * 1024;

/// A message or a part of one, its head parsed, its body not.
pub(crate) struct Part<'a> {
    head: Message<'a>,
    kind: Option<Kind>,
    whole: &'a [u8],
    body: &'a [u8],
}

/// The parsed Content-Type, in lower case except for the boundary.
struct Kind {
    of: String,
    report: Option<String>,
    boundary: Option<String>,
}

impl<'a> Part<'a> {
    /// Parses the head; `None` if it is missing or too large.
    pub(crate) fn read(whole: &'a [u8]) -> Option<Self> {
        let (head, body) = split(whole)?;
        let head = raw_headers().parse_headers(head)?;
        let kind = head.header_raw(HeaderName::ContentType).and_then(Kind::read);
        Some(Self { head, kind, whole, body })
    }

    /// A raw field of the head.
    pub(crate) fn field(&self, name: &'static str) -> Option<&str> {
        self.head.header_raw(name).map(str::trim)
    }

    /// The type of a report, empty if it names none; `None` if this is not a report.
    pub(crate) fn report_type(&self) -> Option<&str> {
        let kind = self.kind.as_ref().filter(|kind| kind.of == "multipart/report")?;
        Some(kind.report.as_deref().unwrap_or_default())
    }

    /// The decoded contents of the first part with one of these types. None of the types may be a container.
    pub(crate) fn find(&self, types: &[&str]) -> Option<Vec<u8>> {
        self.search(types, MOST_DEPTH, &mut { MOST_PARTS })
    }

    /// The text for people: that of the message, or of its first part with plain text.
    pub(crate) fn text(&self) -> Option<String> {
        let text = if self.kind.is_none() { self.contents() } else { self.find(&["text/plain"]) };
        text.map(|text| String::from_utf8_lossy(&text).into_owned())
    }

    /// Goes at most [`MOST_DEPTH`] levels deep, whatever the message contains.
    fn search(&self, types: &[&str], depth: usize, left: &mut usize) -> Option<Vec<u8>> {
        let kind = self.kind.as_ref()?;
        if types.contains(&kind.of.as_str()) {
            return self.contents();
        }
        let boundary = kind.boundary.as_deref().filter(|_| kind.of.starts_with("multipart/"))?;
        let deeper = depth.checked_sub(1)?;
        parts(self.body, boundary.as_bytes()).into_iter().find_map(|part| {
            *left = left.checked_sub(1)?;
            Part::read(part)?.search(types, deeper, left)
        })
    }

    fn contents(&self) -> Option<Vec<u8>> {
        // The parser reads only the encoding from the head: without a type it takes the part as text and does not
        // search it.
        let parser =
            MessageParser::new().header_text(HeaderName::ContentTransferEncoding).default_header_ignore();
        match parser.parse(self.whole)?.parts.into_iter().next()?.body {
            PartType::Text(text) => Some(text.into_owned().into_bytes()),
            _ => None,
        }
    }
}

impl Kind {
    fn read(value: &str) -> Option<Self> {
        if value.len() > MOST_TYPE {
            return None;
        }
        let field = format!("Content-Type:{value}\r\n");
        let read = MessageParser::new().header_content_type(HeaderName::ContentType).parse_headers(&field)?;
        let kind = read.content_type()?;
        Some(Self {
            of: format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or_default()).to_ascii_lowercase(),
            report: kind.attribute("report-type").map(str::to_ascii_lowercase),
            boundary: kind.attribute("boundary").filter(|text| !text.is_empty()).map(str::to_owned),
        })
    }
}

/// A parser that returns every field raw.
pub(crate) fn raw_headers() -> MessageParser {
    // The parser uses its default only if some field is configured by name.
    MessageParser::new().header_raw(HeaderName::ContentType).default_header_raw()
}

/// Head and body; `None` if the head is too large.
fn split(whole: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut at = 0;
    for line in whole.split_inclusive(|byte| *byte == b'\n') {
        at += line.len();
        if at > MOST_HEAD {
            return None;
        }
        if matches!(line, b"\n" | b"\r\n") {
            break;
        }
    }
    Some(whole.split_at(at))
}

/// The parts of a container, in order; the last one may be cut off. A delimiter line has two dashes, the boundary,
/// and then only white space (RFC 2046 5.1.1).
fn parts<'a>(body: &'a [u8], boundary: &[u8]) -> Vec<&'a [u8]> {
    let (mut parts, mut begin, mut at) = (Vec::new(), None, 0);
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let line_at = at;
        at += line.len();
        let behind = line.strip_prefix(b"--").and_then(|line| line.strip_prefix(boundary));
        let is_end = match behind.map(<[u8]>::trim_ascii_end) {
            Some(b"") => false,
            Some(b"--") => true,
            _ => continue,
        };
        // The text before the first part is ignored.
        parts.extend(begin.map(|begin| &body[begin..line_at]));
        begin = (!is_end).then_some(at);
        if is_end || parts.len() >= MOST_PARTS {
            return parts;
        }
    }
    parts.extend(begin.map(|begin| &body[begin..]));
    parts
}

#[cfg(test)]
#[path = "parts_tests.rs"]
mod tests;
