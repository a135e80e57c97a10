//! How many segments a text has: what is counted by the rate of a sender, and paid. The rules are those of 3GPP TS 23.038
//! (alphabet) and 23.040 (concatenation), with the edges as Twilio's published calculator has them: nobody's letter is torn in
//! two, neither one that takes two septets nor one that takes several UTF-16 units.

use unicode_segmentation::UnicodeSegmentation;

/// Septets of the only segment, and of one of several.
const GSM: (usize, usize) = (160, 153);
/// UTF-16 units of the only segment, and of one of several.
const UCS: (usize, usize) = (70, 67);

/// Letters of the GSM alphabet that take one septet, the escape aside.
const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?\
                     ¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// Letters of its extension: an escape and another septet.
const EXTENSION: &str = "\u{c}^{}\\[~]|€";

/// How a text goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Septets of the GSM alphabet.
    Gsm7,
    /// UTF-16.
    Ucs2,
}

impl Encoding {
    /// The word for gateways.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Gsm7 => "gsm7",
            Self::Ucs2 => "ucs2",
        }
    }
}

/// A text, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// How it goes out.
    pub encoding: Encoding,
    /// Septets or UTF-16 units.
    pub units: usize,
    /// Segments; one of an empty text.
    pub segments: usize,
}

/// Counts a text.
#[must_use]
pub fn count(text: &str) -> Counted {
    let septets: Option<Vec<usize>> = text.chars().map(septets).collect();
    match septets {
        Some(sizes) => counted(Encoding::Gsm7, GSM, sizes),
        None => counted(Encoding::Ucs2, UCS, text.graphemes(true).flat_map(pieces).collect()),
    }
}

/// Septets of a letter; none when the alphabet does not have it.
fn septets(letter: char) -> Option<usize> {
    if BASIC.contains(letter) {
        Some(1)
    } else if EXTENSION.contains(letter) {
        Some(2)
    } else {
        None
    }
}

/// What stays together: a letter with all its marks, unless it is longer than a segment.
fn pieces(grapheme: &str) -> Vec<usize> {
    let units: usize = grapheme.chars().map(char::len_utf16).sum();
    // The end of a line is no letter.
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
