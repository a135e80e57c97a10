//! The number of SMS segments of a text: they count toward a sender's rate, and are what is paid for. The rules are those of
//! 3GPP TS 23.038 (alphabet) and 23.040 (concatenation). Edge cases follow Twilio's published calculator: no character is split
//! across segments, whether it takes two septets or several UTF-16 units.

use unicode_segmentation::UnicodeSegmentation;

/// Septets in a single segment, and in one of several.
const GSM: (usize, usize) = (160, 153);
/// UTF-16 units in a single segment, and in one of several.
const UCS: (usize, usize) = (70, 67);

/// Characters of the GSM alphabet that take one septet, except the escape.
const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?\
                     ¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// Characters of its extension: an escape and another septet.
const EXTENSION: &str = "\u{c}^{}\\[~]|€";

/// The encoding of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Septets of the GSM alphabet.
    Gsm7,
    /// UTF-16.
    Ucs2,
}

impl Encoding {
    /// The name used for gateways.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Gsm7 => "gsm7",
            Self::Ucs2 => "ucs2",
        }
    }
}

/// The size of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// The encoding.
    pub encoding: Encoding,
    /// Septets or UTF-16 units.
    pub units: usize,
    /// Segments; 1 for an empty text.
    pub segments: usize,
}

/// Counts the units and segments of a text.
#[must_use]
pub fn count(text: &str) -> Counted {
    let septets: Option<Vec<usize>> = text.chars().map(septets).collect();
    match septets {
        Some(sizes) => counted(Encoding::Gsm7, GSM, sizes),
        None => counted(Encoding::Ucs2, UCS, text.graphemes(true).flat_map(pieces).collect()),
    }
}

/// Septets of a character; `None` if it is not in the alphabet.
fn septets(letter: char) -> Option<usize> {
    if BASIC.contains(letter) {
        Some(1)
    } else if EXTENSION.contains(letter) {
        Some(2)
    } else {
        None
    }
}

/// The units that stay together: a character with all its marks, unless it is longer than a segment.
fn pieces(grapheme: &str) -> Vec<usize> {
    let units: usize = grapheme.chars().map(char::len_utf16).sum();
    // A line end is not a single character.
    if units > UCS.1 || grapheme == "\r\n" {
        return grapheme.chars().map(char::len_utf16).collect();
    }
    vec![units]
}

fn counted(encoding: Encoding, (alone, one_of_several): (usize, usize), sizes: Vec<usize>) -> Counted {
    let units = sizes.iter().sum();
    if units <= alone {
        return Counted { encoding, units, segments: 1 };
    }
    let (mut segments, mut used) = (1, 0);
    for size in sizes {
        if used + size > one_of_several {
            (segments, used) = (segments + 1, 0);
        }
        used += size;
    }
    Counted { encoding, units, segments }
}

#[cfg(test)]
#[path = "segments_tests.rs"]
mod tests;
