//! Texts at every segment boundary, and their counts.

use proptest::prelude::*;

use super::*;

fn of(text: &str) -> (Encoding, usize, usize) {
    let Counted { encoding, units, segments } = count(text);
    (encoding, units, segments)
}

#[test]
fn texts_of_the_gsm_alphabet_have_160_or_153_septets() {
    for (letters, segments) in [(0, 1), (1, 1), (160, 1), (161, 2), (306, 2), (307, 3), (459, 3), (460, 4)] {
        assert_eq!(of(&"a".repeat(letters)), (Encoding::Gsm7, letters, segments), "{letters}");
    }
}

#[test]
fn characters_of_the_extension_count_twice_and_stay_whole() {
    for letter in ["^", "{", "}", "\\", "[", "~", "]", "|", "€", "\u{c}"] {
        assert_eq!(of(letter), (Encoding::Gsm7, 2, 1), "{letter}");
        assert_eq!(of(&format!("{letter}{}", "a".repeat(158))), (Encoding::Gsm7, 160, 1), "{letter}");
        assert_eq!(of(&format!("{letter}{}", "a".repeat(159))), (Encoding::Gsm7, 161, 2), "{letter}");
    }
    assert_eq!(of(&"€".repeat(80)), (Encoding::Gsm7, 160, 1));
    assert_eq!(of(&"€".repeat(81)), (Encoding::Gsm7, 162, 2));
    // 153 septets hold 76 of them; one septet stays unused.
    assert_eq!(of(&"€".repeat(152)), (Encoding::Gsm7, 304, 2));
    assert_eq!(of(&"€".repeat(153)), (Encoding::Gsm7, 306, 3));
    // 306 septets, but the character that would be split moves to the next segment and pushes the last one out.
    let torn = format!("{}€{}", "a".repeat(152), "a".repeat(152));
    assert_eq!(of(&torn), (Encoding::Gsm7, 306, 3));
    let whole = format!("{}€{}", "a".repeat(151), "a".repeat(153));
    assert_eq!(of(&whole), (Encoding::Gsm7, 306, 2));
}

#[test]
fn one_other_character_makes_the_whole_text_ucs2() {
    for letter in ["ы", "ç", "`", "“", "’", "—", "á", "\t", "\0", "Ё", "你", "\u{feff}", "№"] {
        let text = format!("{}{letter}", "a".repeat(69));
        assert_eq!(of(&text), (Encoding::Ucs2, 70, 1), "{letter}");
        assert_eq!(of(&format!("a{text}")), (Encoding::Ucs2, 71, 2), "{letter}");
    }
    // Characters that count twice in the GSM alphabet are one unit here.
    assert_eq!(of(&format!("ы{}", "€".repeat(69))), (Encoding::Ucs2, 70, 1));
}

#[test]
fn texts_with_other_characters_have_70_or_67_units() {
    for (letters, segments) in [(1, 1), (70, 1), (71, 2), (134, 2), (135, 3), (201, 3), (202, 4)] {
        assert_eq!(of(&"ы".repeat(letters)), (Encoding::Ucs2, letters, segments), "{letters}");
    }
}

#[test]
fn surrogate_pairs_and_combined_characters_are_not_split() {
    assert_eq!(of(&"😀".repeat(35)), (Encoding::Ucs2, 70, 1));
    assert_eq!(of(&"😀".repeat(36)), (Encoding::Ucs2, 72, 2));
    // 67 units hold 33 pairs.
    assert_eq!(of(&"😀".repeat(66)), (Encoding::Ucs2, 132, 2));
    assert_eq!(of(&"😀".repeat(67)), (Encoding::Ucs2, 134, 3));
    assert_eq!(of(&format!("{}😀{}", "ы".repeat(66), "ы".repeat(66))), (Encoding::Ucs2, 134, 3));
    assert_eq!(of(&format!("{}😀{}", "ы".repeat(65), "ы".repeat(67))), (Encoding::Ucs2, 134, 2));
    // A flag is four units, a rainbow flag six.
    assert_eq!(of(&format!("🇮🇹{}", "2".repeat(66))), (Encoding::Ucs2, 70, 1));
    assert_eq!(of(&format!("🇮🇹{}", "2".repeat(67))), (Encoding::Ucs2, 71, 2));
    assert_eq!(of(&format!("{}🇮🇹{}", "2".repeat(65), "2".repeat(65))), (Encoding::Ucs2, 134, 3));
    assert_eq!(of(&format!("🏳️‍🌈{}", "2".repeat(64))), (Encoding::Ucs2, 70, 1));
    assert_eq!(of(&format!("🏳️‍🌈{}", "2".repeat(65))), (Encoding::Ucs2, 71, 2));
}

#[test]
fn a_line_end_counts_as_two_characters() {
    assert_eq!(of(&"\r\n".repeat(80)), (Encoding::Gsm7, 160, 1));
    assert_eq!(of(&format!("{}\r\n{}", "ы".repeat(66), "ы".repeat(66))), (Encoding::Ucs2, 134, 2));
}

#[test]
fn a_character_with_more_marks_than_a_segment_holds_is_counted_too() {
    let letter = format!("e{}", "\u{301}".repeat(200));
    assert_eq!(of(&letter), (Encoding::Ucs2, 201, 3));
}

#[test]
fn the_alphabet_is_complete() {
    // 128 places, minus the escape; the extension has ten.
    assert_eq!((BASIC.chars().count(), EXTENSION.chars().count()), (127, 10));
}

proptest! {
    #[test]
    fn counts_are_within_their_bounds(text in ".{0,400}") {
        let Counted { encoding, units, segments } = count(&text);
        let (alone, part) = if encoding == Encoding::Gsm7 { GSM } else { UCS };
        prop_assert!(segments >= 1 && (segments == 1) == (units <= alone));
        prop_assert!(units <= alone.max(segments * part));
        if encoding == Encoding::Ucs2 {
            prop_assert_eq!(units, text.encode_utf16().count());
        }
    }
}
