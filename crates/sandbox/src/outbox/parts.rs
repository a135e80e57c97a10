//! The parts of a message that are not containers. Containers are split here, to a depth of [`MOST_DEPTH`]: the mail
//! parser keeps nested messages as a tree, and dropping a tree of thousands of levels aborts the process. So the
//! parser gets only heads and single parts.

use mail_parser::{Message, MessageParser, MimeHeaders, PartType};

/// Depth of nested containers that are parsed; a deeper one is shown as a part.
const MOST_DEPTH: usize = 8;
/// Parts that are shown.
const MOST_PARTS: usize = 1_000;
/// The head of a part without one (RFC 2045 5.2).
const PLAIN: &[u8] = b"Content-Type: text/plain\r\n";

/// A part that is not a container, or one that is not opened: a message within the message, or one nested too deeply.
pub(super) struct Leaf<'a> {
    pub(super) head: Message<'a>,
    whole: &'a [u8],
    body: &'a [u8],
    is_closed: bool,
}

impl<'a> Leaf<'a> {
    fn read(whole: &'a [u8]) -> Option<Self> {
        let parser = MessageParser::default();
        let head = parser.parse_headers(whole).or_else(|| parser.parse_headers(PLAIN))?;
        Some(Self { head, whole, body: body(whole), is_closed: false })
    }

    /// Type and subtype, in lower case.
    pub(super) fn kind(&self) -> String {
        match self.head.content_type() {
            Some(of) => format!("{}/{}", of.ctype(), of.subtype().unwrap_or("*")),
            None => "text/plain".to_owned(),
        }
    }

    /// Its content, decoded; nothing if it is not opened.
    pub(super) fn contents(&self) -> Option<PartType<'a>> {
        if self.is_closed || self.is_message() {
            return None;
        }
        // With the same head it finds the same as above: not a container.
        Some(MessageParser::default().parse(self.whole)?.parts.into_iter().next()?.body)
    }

    /// Bytes of its content, as received.
    pub(super) fn size(&self) -> usize {
        self.body.len()
    }

    fn is_message(&self) -> bool {
        self.kind().starts_with("message/")
    }

    fn boundary(&self) -> Option<&str> {
        self.head.content_type().filter(|kind| kind.ctype() == "multipart")?.attribute("boundary")
    }
}

/// The parts of a message, in order.
pub(super) fn leaves(message: &[u8]) -> Vec<Leaf<'_>> {
    let mut leaves = Vec::new();
    let mut left: Vec<_> = Leaf::read(message).map(|leaf| (leaf, 0)).into_iter().collect();
    while let Some((mut leaf, depth)) = left.pop() {
        if leaves.len() >= MOST_PARTS {
            break;
        }
        match leaf.boundary() {
            Some(boundary) if depth < MOST_DEPTH && !boundary.is_empty() => {
                let parts = divided(leaf.body, boundary.as_bytes());
                // The last one of these is processed next.
                let inner = parts.into_iter().rev().filter_map(Leaf::read).map(|leaf| (leaf, depth + 1));
                left.extend(inner);
            }
            boundary => {
                leaf.is_closed = boundary.is_some();
                leaves.push(leaf);
            }
        }
    }
    leaves
}

fn body(whole: &[u8]) -> &[u8] {
    let lines = whole.split_inclusive(|byte| *byte == b'\n');
    let head = lines.take_while(|line| !matches!(*line, b"\n" | b"\r\n")).map(<[u8]>::len).sum();
    let rest = whole.get(head..).unwrap_or_default();
    rest.strip_prefix(b"\r\n").or_else(|| rest.strip_prefix(b"\n")).unwrap_or(rest)
}

/// Splits at lines that hold two dashes, the boundary, and then only white space (RFC 2046 5.1.1). Implemented
/// separately: a fake provider that parsed mail with the courier's own code would share its bugs.
fn divided<'a>(body: &'a [u8], boundary: &[u8]) -> Vec<&'a [u8]> {
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
        // The line end before the boundary belongs to it.
        parts.extend(begin.map(|begin: usize| {
            let part = &body[begin..line_at.max(begin)];
            let part = part.strip_suffix(b"\n").unwrap_or(part);
            part.strip_suffix(b"\r").unwrap_or(part)
        }));
        begin = (!is_end).then_some(at);
        if is_end || parts.len() >= MOST_PARTS {
            return parts;
        }
    }
    parts.extend(begin.map(|begin| &body[begin..]));
    parts
}
