//! Splitting: examples, and properties of any text.

use std::collections::HashSet;

use proptest::prelude::*;
use unicode_segmentation::UnicodeSegmentation;

use super::*;

fn is_blank(letter: &str) -> bool {
    letter.chars().all(char::is_whitespace)
}

fn texts(parts: &[TextPart]) -> Vec<&str> {
    parts.iter().map(|part| part.text.as_str()).collect()
}

fn solid(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_whitespace()).collect()
}

#[test]
fn a_text_at_the_limit_is_one_part_and_one_unit_more_are_two() {
    assert_eq!(split(&"x".repeat(LIMIT), &[], LIMIT).len(), 1);
    assert_eq!(split(&"x".repeat(LIMIT + 1), &[], LIMIT).len(), 2);
    // Two units each.
    assert_eq!(split(&"😀".repeat(LIMIT / 2), &[], LIMIT).len(), 1);
    let parts = split(&"😀".repeat(LIMIT / 2 + 1), &[], LIMIT);
    assert_eq!(parts.iter().map(|part| units_of(&part.text)).collect::<Vec<_>>(), [LIMIT, 2]);
}

#[test]
fn a_text_is_cut_at_the_best_place_of_the_second_half() {
    let cut = |text: &str| texts(&split(text, &[], 20)).join("|");
    assert_eq!(cut("one two three\n\nfour five\nsix"), "one two three|four five\nsix");
    assert_eq!(cut("one two three\nfour five six"), "one two three|four five six");
    assert_eq!(cut("one two three four five six"), "one two three four|five six");
    assert_eq!(cut("1. two,three,four,five,six"), "1. two,three,four,|five,six");
    assert_eq!(cut("a\n\nlong-winded-but-short text"), "a\n\nlong-winded-but-|short text");
    assert_eq!(cut(&"x".repeat(45)), ["x".repeat(20), "x".repeat(20), "x".repeat(5)].join("|"));
}

#[test]
fn graphemes_of_several_characters_stay_whole() {
    let family = "👩‍👩‍👧‍👦";
    let parts = split(&family.repeat(5), &[], 24);
    assert_eq!(texts(&parts), [family.repeat(2), family.repeat(2), family.to_owned()]);
    let flags = "🇩🇪🇫🇷🇷🇸";
    assert_eq!(texts(&split(flags, &[], 10)), ["🇩🇪🇫🇷", "🇷🇸"]);
    assert_eq!(texts(&split("e\u{301}e\u{301}e\u{301}", &[], 5)), ["e\u{301}e\u{301}", "e\u{301}"]);
    // A single grapheme longer than a whole message is cut anyway.
    let tall = format!("e{}", "\u{301}".repeat(30));
    assert_eq!(split(&tall, &[], 10).len(), 4);
}

#[test]
fn blank_texts_have_no_parts() {
    for text in ["", " ", "\n\n\t", &" ".repeat(10_000), "\u{2003}\r\n"] {
        assert_eq!(split(text, &[], LIMIT), []);
    }
    let spread = format!("one{}two", " ".repeat(10_000));
    assert_eq!(texts(&split(&spread, &[], LIMIT)), ["one", "two"]);
}

#[test]
fn formatting_is_cut_with_the_text() {
    let text = "😀bold and more words here";
    let parts = split(text, &[MessageEntity::bold(2, 13)], 12);
    assert_eq!(texts(&parts), ["😀bold and", "more words", "here"]);
    assert_eq!(parts[0].entities, [MessageEntity::bold(2, 8)]);
    assert_eq!(parts[1].entities, [MessageEntity::bold(0, 4)]);
    assert_eq!(parts[2].entities, []);
    // Formatting beyond the end of the text is cut off too.
    assert_eq!(
        split("x", &[MessageEntity::bold(0, usize::MAX)], 12)[0].entities,
        [MessageEntity::bold(0, 1)]
    );
}

#[test]
fn a_part_prints_without_its_text() {
    assert_eq!(format!("{:?}", split("canary", &[], LIMIT)), "[part(6, 0 entities)]");
}

fn any_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-zа-я]{1,12}",
        3 => Just(" ".to_owned()),
        1 => Just("\n".to_owned()),
        1 => Just("\n\n".to_owned()),
        1 => Just("\r\n".to_owned()),
        1 => Just("👩‍👩‍👧‍👦".to_owned()),
        1 => Just("🇩🇪".to_owned()),
        1 => Just("e\u{301}".to_owned()),
        1 => Just(" \u{301}".to_owned()),
        1 => "\\PC{0,6}",
    ];
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn parts_are_within_the_limit_and_neither_empty_nor_blank_at_their_ends(text in any_text(), limit in 12..200_usize) {
        for part in split(&text, &[], limit) {
            prop_assert!(units_of(&part.text) <= limit);
            prop_assert!(!part.text.is_empty());
            let letters: Vec<&str> = part.text.graphemes(true).collect();
            prop_assert!(!is_blank(letters[0]) && !is_blank(letters[letters.len() - 1]));
        }
    }

    #[test]
    fn nothing_but_white_space_is_lost_and_the_order_stays(text in any_text(), limit in 2..200_usize) {
        let parts = split(&text, &[], limit);
        prop_assert_eq!(solid(&texts(&parts).concat()), solid(&text));
        let mut rest = text.as_str();
        for part in &parts {
            let at = rest.find(&part.text);
            prop_assert!(at.is_some());
            let at = at.unwrap_or_default();
            prop_assert!(rest[..at].chars().all(char::is_whitespace));
            rest = &rest[at + part.text.len()..];
        }
        prop_assert!(rest.chars().all(char::is_whitespace));
    }

    #[test]
    fn graphemes_stay_whole_if_they_fit(text in any_text(), limit in 40..200_usize) {
        let edges: HashSet<usize> =
            text.grapheme_indices(true).map(|(at, _)| at).chain([text.len()]).collect();
        let fit = text.graphemes(true).all(|letter| units_of(letter) <= 20);
        let mut at = 0;
        for part in split(&text, &[], limit) {
            let begins = at + text[at..].find(&part.text).unwrap_or_default();
            at = begins + part.text.len();
            prop_assert!(!fit || (edges.contains(&begins) && edges.contains(&at)));
        }
    }

    #[test]
    fn parts_are_long(words in proptest::collection::vec("[a-z]{1,9}", 1..300), limit in 40..200_usize) {
        let parts = split(&words.join(" "), &[], limit);
        for part in &parts[..parts.len() - 1] {
            prop_assert!(units_of(&part.text) >= limit / 2);
        }
        // Words stay whole.
        let split: Vec<&str> = parts.iter().flat_map(|part| part.text.split(' ')).collect();
        prop_assert_eq!(split, words);
    }

    #[test]
    fn formatting_covers_the_same_characters(
        text in any_text(), limit in 12..90_usize, from in 0..300_usize, long in 1..300_usize,
    ) {
        let units: Vec<u16> = text.encode_utf16().collect();
        let covered = |units: &[u16], entity: &MessageEntity| {
            let end = (entity.offset + entity.length).min(units.len());
            units[entity.offset.min(end)..end].to_vec()
        };
        let solid = |units: Vec<u16>| {
            units.into_iter().filter(|unit| !char::from_u32((*unit).into()).is_some_and(char::is_whitespace)).collect::<Vec<_>>()
        };
        let entity = MessageEntity::bold(from, long);
        let mut found = Vec::new();
        for part in split(&text, std::slice::from_ref(&entity), limit) {
            let units: Vec<u16> = part.text.encode_utf16().collect();
            for entity in &part.entities {
                prop_assert!(entity.length > 0 && entity.offset + entity.length <= units.len());
                found.extend(covered(&units, entity));
            }
        }
        prop_assert_eq!(solid(found), solid(covered(&units, &entity)));
    }
}
