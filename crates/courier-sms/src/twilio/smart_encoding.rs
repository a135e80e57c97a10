//! Twilio's SmartEncoded: replaces characters with similar ones of the GSM alphabet. Twilio does this when sending;
//! we do the same to count segments, and to recognize our text when Twilio shows it.

use std::collections::HashMap;
use std::sync::LazyLock;

/// The table; its first lines describe it.
const TABLE: &str = include_str!("lookalikes.txt");

static REPLACED: LazyLock<HashMap<char, String>> = LazyLock::new(|| {
    let code = |hex: &str| u32::from_str_radix(hex, 16).ok().and_then(char::from_u32);
    let lines = TABLE.lines().filter_map(|line| line.split_once(" = "));
    let pairs = lines.flat_map(|(from, to)| {
        let to: String = to.split(' ').filter_map(code).collect();
        from.split(' ').filter_map(code).map(move |letter| (letter, to.clone()))
    });
    pairs.collect()
});

/// The text as it is sent.
pub(super) fn replace(text: &str) -> String {
    let mut sent = String::with_capacity(text.len());
    for letter in text.chars() {
        match REPLACED.get(&letter) {
            Some(instead) => sent.push_str(instead),
            None => sent.push(letter),
        }
    }
    sent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn look_alikes_become_letters_of_the_alphabet() {
        assert_eq!(replace("“it’s” — 1…2 ½"), "\"it's\" - 1...2 1/2");
        assert_eq!(replace("Здравствуйте, €5"), "Здравствуйте, €5");
        assert_eq!(replace("a\u{200b}b"), "ab");
    }

    #[test]
    fn the_whole_table_is_read() {
        let letters: usize = TABLE
            .lines()
            .filter_map(|line| line.split_once(" = "))
            .map(|(from, _)| from.split(' ').count())
            .sum();
        assert_eq!((REPLACED.len(), letters), (270, 270));
    }
}
