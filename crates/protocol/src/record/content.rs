//! The content of an order as bytes: a version, then per field that is not empty a tag, a length and the bytes.

use integer_encoding::VarInt as _;
use posthaste_model::{Content, Text};

use crate::reply_value::Malformed;

const VERSION: u8 = 1;
/// The last tag of a single field. Later tags, except that of a channel's text, belong to later versions.
const LAST_FIELD: u8 = 11;
/// The tag of a channel's text.
const TEXT_OF_CHANNEL: u8 = 16;
/// Most bytes of a number, here and in `lua/lib/content.lua`.
const NUMBER_BYTES: usize = 5;

/// Appends a number, 7 bits per byte, low bits first.
pub(crate) fn put_varint(out: &mut Vec<u8>, n: usize) {
    let mut bytes = [0; 10];
    let length = n.encode_var(&mut bytes);
    out.extend_from_slice(&bytes[..length]);
}

/// Takes a number off the front.
pub(crate) fn take_varint(bytes: &mut &[u8]) -> Option<usize> {
    let (n, length) = usize::decode_var(bytes.get(..NUMBER_BYTES).unwrap_or(bytes))?;
    *bytes = bytes.get(length..)?;
    Some(n)
}

/// Appends the length of the bytes, then the bytes.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// Takes a length and that many bytes off the front, as text.
pub(crate) fn take_text(bytes: &mut &[u8]) -> Option<String> {
    let length = take_varint(bytes)?;
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    String::from_utf8(text.to_vec()).ok()
}

/// Packs a content.
#[must_use]
pub fn encode_content(content: &Content) -> Vec<u8> {
    let mut out = vec![VERSION];
    let fields = [
        (1, content.text.expose()),
        (2, content.subject.expose()),
        (3, content.html.expose()),
        (4, content.sender_name.expose()),
        (6, content.role.as_str()),
        (7, content.origin.as_str()),
        (8, content.metadata.expose()),
        (9, content.retry_of.as_str()),
        (10, content.from_email.expose()),
        (11, content.reply_to.expose()),
    ];
    for (tag, text) in fields.into_iter().filter(|(_, text)| !text.is_empty()) {
        out.push(tag);
        put_bytes(&mut out, text.as_bytes());
    }
    for (channel, text) in &content.texts {
        out.push(TEXT_OF_CHANNEL);
        put_bytes(&mut out, channel.as_str().as_bytes());
        put_bytes(&mut out, text.expose().as_bytes());
    }
    out
}

/// Reads a packed content. Fields with tags of later versions are an error: they would be lost.
///
/// # Errors
/// When the bytes are not a content of this version; `newer` when a number or tag shows a later version.
/// `lua/lib/content.lua` applies the same rules.
pub fn decode_content(bytes: &[u8]) -> Result<Content, Malformed> {
    if bytes.first().is_some_and(|version| *version > VERSION) {
        return Err(Malformed::newer("content"));
    }
    let mut later_field = false;
    read_content(bytes, &mut later_field).ok_or(if later_field {
        Malformed::newer("content")
    } else {
        Malformed::new("content")
    })
}

fn read_content(bytes: &[u8], later_field: &mut bool) -> Option<Content> {
    let (version, mut rest) = bytes.split_first()?;
    if *version != VERSION {
        return None;
    }
    let mut content = Content::default();
    while let Some((tag, after)) = rest.split_first() {
        rest = after;
        if *tag > LAST_FIELD && *tag != TEXT_OF_CHANNEL {
            *later_field = true;
            return None;
        }
        let text = take_text(&mut rest)?;
        match *tag {
            1 => content.text = Text::new(text),
            2 => content.subject = Text::new(text),
            3 => content.html = Text::new(text),
            4 => content.sender_name = Text::new(text),
            // Until schema 2 one mailbox was From where the courier's settings allowed it, otherwise Reply-To.
            5 => {
                content.from_email = Text::new(text.clone());
                content.reply_to = Text::new(text);
            }
            6 => content.role = text,
            7 => content.origin = text,
            8 => content.metadata = Text::new(text),
            9 => content.retry_of = text,
            10 => content.from_email = Text::new(text),
            11 => content.reply_to = Text::new(text),
            TEXT_OF_CHANNEL => {
                let own = take_text(&mut rest)?;
                content.texts.insert(text.parse().ok()?, Text::new(own));
            }
            _ => return None,
        }
    }
    Some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A content with every field set.
    fn whole() -> Content {
        let text = |text: &str| Text::new(text);
        Content {
            text: text("a"),
            texts: [("sms".parse().expect("a channel"), text("b"))].into(),
            subject: text("c"),
            html: text("d"),
            sender_name: text("e"),
            from_email: text("f@g.hi"),
            reply_to: text("j@k.lm"),
            role: "n".to_owned(),
            origin: "o".to_owned(),
            metadata: text("{}"),
            retry_of: "u1:5".to_owned(),
        }
    }

    #[test]
    fn every_field_is_read_back() {
        assert_eq!(decode_content(&encode_content(&whole())), Ok(whole()));
        for without in [
            Content { from_email: Text::default(), ..whole() },
            Content { reply_to: Text::default(), ..whole() },
            Content { from_email: Text::default(), reply_to: Text::default(), ..whole() },
            Content::default(),
        ] {
            assert_eq!(decode_content(&encode_content(&without)), Ok(without));
        }
    }

    /// Records of earlier versions stay readable, and this version writes the same bytes for the same fields.
    #[test]
    fn the_tags_of_fields_stay_the_same() {
        let packed = b"\x01\x01\x01a\x02\x01c\x03\x01d\x04\x01e\x06\x01n\x07\x01o\x08\x02{}\x09\x04u1:5\
            \x0a\x06f@g.hi\x0b\x06j@k.lm\x10\x03sms\x01b";
        assert_eq!(encode_content(&whole()), packed);
    }

    #[test]
    fn the_one_mailbox_of_earlier_versions_is_both() {
        let old = b"\x01\x01\x01a\x04\x01e\x05\x06f@g.hi\x06\x01n";
        let read = decode_content(old).expect("a content");
        assert_eq!((read.from_email.expose(), read.reply_to.expose()), ("f@g.hi", "f@g.hi"));
        assert_eq!((read.sender_name.expose(), read.role.as_str()), ("e", "n"));
        // A retry stores it with the tags of this version.
        assert_eq!(decode_content(&encode_content(&read)), Ok(read));
    }

    #[test]
    fn fields_of_later_versions_are_left_to_a_later_program() {
        for tag in [LAST_FIELD + 1, TEXT_OF_CHANNEL - 1, TEXT_OF_CHANNEL + 1, 255] {
            let packed = [1, 1, 1, b'a', tag, 1, b'x'];
            assert_eq!(decode_content(&packed), Err(Malformed::newer("content")), "{tag}");
        }
        assert_eq!(decode_content(&[1, 0, 1, b'x']), Err(Malformed::new("content")));
        assert_eq!(decode_content(&[2]), Err(Malformed::newer("content")));
    }

    #[test]
    fn numbers_have_seven_bits_per_byte_and_at_most_five_bytes() {
        for (n, bytes) in [
            (0, &[0][..]),
            (127, &[127]),
            (128, &[128, 1]),
            (300, &[172, 2]),
            (16_384, &[128, 128, 1]),
            (0xffff_ffff, &[255, 255, 255, 255, 15]),
        ] {
            let mut out = Vec::new();
            put_varint(&mut out, n);
            assert_eq!(out, bytes, "{n}");
            out.push(9);
            let mut rest = &out[..];
            assert_eq!((take_varint(&mut rest), rest), (Some(n), &[9][..]));
        }
        // As Lua reads them: a number may be longer than needed, but not truncated or of six bytes.
        assert_eq!(take_varint(&mut &[129, 128, 128, 128, 0][..]), Some(1));
        for bad in [&[][..], &[128], &[128, 128, 128, 128, 128, 0], &[255; 20]] {
            assert_eq!(take_varint(&mut &*bad), None, "{bad:?}");
        }
    }
}
