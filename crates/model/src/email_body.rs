//! How large a text becomes in an e-mail. The courier encodes by this rule, and acceptance knows from it what fits.

use crate::content::Content;
use crate::ids::Channel;

/// Room for the headers of a message and the lines between its parts.
const HEADERS: usize = 16 * 1024;

/// Whether a text is encoded as base64, otherwise as quoted-printable: the shorter of the two. Line ends are `\n` here.
#[must_use]
pub fn is_base64(text: &str) -> bool {
    let others = text.bytes().filter(|byte| !byte.is_ascii() || (*byte < 32 && *byte != b'\n')).count();
    // Quoted-printable writes such a byte as three bytes, base64 writes every three bytes as four.
    others * 6 > text.len()
}

/// The most bytes that a message with this content can have.
#[must_use]
pub fn most_bytes(content: &Content, channel: &Channel) -> usize {
    let [text, html] = [content.text_for(channel), &content.html].map(|part| most_encoded(part.expose()));
    HEADERS.saturating_add(text).saturating_add(html)
}

/// The most bytes of an encoded text: lines have at most 76 characters, and an end of two or three.
fn most_encoded(text: &str) -> usize {
    let breaks = text.bytes().filter(|byte| matches!(byte, b'\n' | b'\r')).count();
    if is_base64(text) {
        let written = (text.len() + breaks).div_ceil(3) * 4;
        return written + (written / 76 + 1) * 2;
    }
    let cost = |byte: u8| if byte == b' ' || (byte.is_ascii_graphic() && byte != b'=') { 1 } else { 3 };
    let written: usize = text.bytes().map(cost).sum::<usize>() + breaks * 3;
    written + (written / 70 + 1) * 3
}
