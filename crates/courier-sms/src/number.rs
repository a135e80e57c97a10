//! Phone numbers in addresses.

use posthaste_model::Address;
pub(crate) use posthaste_model::addresses::phone::is_number;

/// The phone number of an address, if it is one.
pub(crate) fn read(address: &Address) -> Option<&str> {
    let text = address.expose();
    is_number(text).then_some(text)
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
