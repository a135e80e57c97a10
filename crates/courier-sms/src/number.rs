//! Phone numbers in addresses: E.164, a plus and 6 to 15 digits (the shortest existing numbers have six, as +98 9601).

use posthaste_model::Address;

/// The phone number of an address, if it is one.
pub(crate) fn read(address: &Address) -> Option<&str> {
    let text = address.expose();
    is_number(text).then_some(text)
}

/// Whether a text is a phone number: a plus, no zero after it, 6 to 15 digits.
pub(crate) fn is_number(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (6..=15).contains(&digits.len())
            && !digits.starts_with('0')
            && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_international_numbers_are_numbers() {
        for good in ["+79161234567", "+12025550123", "+12345678", "+6837012", "+989601", "+123456789012345"] {
            assert!(is_number(good), "{good}");
        }
        for bad in ["", "+", "79161234567", "+79161", "+1234567890123456", "+0791612345", "+7 9161234567"] {
            assert!(!is_number(bad), "{bad}");
        }
        for bad in ["+7916123456\n", "whatsapp:+79161234567", "+٧٩١٦١٢٣٤٥٦٧", "+7916&To=+7917"] {
            assert!(!is_number(bad), "{bad}");
        }
    }
}
