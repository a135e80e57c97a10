//! Signatures as Twilio computes them: over the URL, then name and value of each parameter, sorted by name.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha1::Sha1;

/// The value of `X-Twilio-Signature` for a form that is posted to `url`. Equal values of one name count once.
#[must_use]
pub fn signature(key: &str, url: &str, parameters: &[(&str, &str)]) -> String {
    let mut sorted: Vec<_> = parameters.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    // HMAC accepts keys of any length.
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(key.as_bytes()) else { return String::new() };
    mac.update(url.as_bytes());
    for (name, value) in sorted {
        mac.update(name.as_bytes());
        mac.update(value.as_bytes());
    }
    STANDARD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_twilios_documentation_comes_out() {
        let parameters = [
            ("CallSid", "CA1234567890ABCDE"),
            ("Caller", "+14158675309"),
            ("Digits", "1234"),
            ("From", "+14158675309"),
            ("To", "+18005551212"),
        ];
        let url = "https://mycompany.com/myapp.php?foo=1&bar=2";
        assert_eq!(signature("12345", url, &parameters), "RSOYDt4T1cUTdK1PDd93/VVr8B8=");
        let turned: Vec<_> = parameters.iter().rev().chain(&parameters[..1]).copied().collect();
        assert_eq!(signature("12345", url, &turned), "RSOYDt4T1cUTdK1PDd93/VVr8B8=");
    }
}
