//! Phone numbers as providers take them: E.164, a plus and 6 to 15 digits (the shortest existing numbers have six, as
//! +98 9601). Which of them exist is for the queue to know, which has the numbering plans.

/// Whether a text is a phone number: a plus, no zero after it, 6 to 15 digits.
#[must_use]
pub fn is_number(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (6..=15).contains(&digits.len())
            && !digits.starts_with('0')
            && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}
