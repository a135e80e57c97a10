//! Templates filled with values that would break naive string concatenation.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn values(text: &str) -> Values<'_> {
    Values {
        to: "+79161234567",
        text,
        from: "Post & Co",
        attempt: "u.1.0.0.1".to_owned(),
        segments: "3".to_owned(),
        encoding: "ucs2",
        secret: "p=a&b",
        callback: "https://x.org/y?z".to_owned(),
    }
}

fn refused(text: &str) -> String {
    Template::read("gateway.body", text).unwrap_err().to_string()
}

#[test]
fn names_stand_for_values_and_doubled_braces_for_braces() {
    let template = Template::read("gateway.body", "{{{to}}} {to_digits}/{segments}{encoding}").unwrap();
    assert_eq!(template.fill(&values("")), "{+79161234567} 79161234567/3ucs2");
    assert_eq!(template.names(), [Name::To, Name::ToDigits, Name::Segments, Name::Encoding]);
    assert!(refused("{phone}").contains("allowed are {to} {to_digits}"));
    assert!(refused("canary {x}").find("canary").is_none());
    for text in ["{", "}", "{to", "to}", "{{to}", "{to}}"] {
        assert!(refused(text).contains("unmatched brace"), "{text}");
    }
}

#[test]
fn what_a_value_says_is_not_read_again() {
    let template = Template::read("gateway.body", "{text}").unwrap();
    assert_eq!(template.fill(&values("{secret} {{")), "{secret} {{");
}

#[test]
fn forms_are_encoded() {
    let pairs =
        Pairs::read("gateway.body", "a=%26&psw={secret}&mes={text}&who={from}+!&cb={callback}").unwrap();
    let filled = pairs.fill(&values("1&psw=2\r\n+%00 ы"));
    assert_eq!(
        filled,
        "a=%26&psw=p%3Da%26b&mes=1%26psw%3D2%0D%0A%2B%2500+%D1%8B&who=Post+%26+Co+%21&cb=https%3A%2F%2Fx.org%2Fy%3Fz"
    );
}

#[test]
fn json_is_written_by_a_serializer() {
    let text = r#"{"messages":[{"to":"{to_digits:number}","n":"{segments:number}","text":"{text}","{text}":true}],"k":1.5}"#;
    let Body::Json(json) = Body::read(BodyFormat::Json, text).unwrap() else { panic!("is JSON") };
    let said = "\",\"x\":\"\\ \u{0}\n{secret}";
    let filled = json.fill(&values(said));
    // A name of a field stays what it is.
    let wanted =
        json!({"messages": [{"to": 79_161_234_567_u64, "n": 3, "text": said, "{text}": true}], "k": 1.5});
    assert_eq!(filled, wanted);
    for bad in [r#"{"to":"{text:number}"}"#, r#"{"to":"{to}"#, "canary"] {
        let refused = Body::read(BodyFormat::Json, bad).unwrap_err().to_string();
        assert!(!refused.contains("canary"), "{refused}");
    }
}

proptest! {
    #[test]
    fn no_template_panics(text in ".{0,60}") {
        let _ = Template::read("gateway.body", &text);
        let _ = Pairs::read("gateway.body", &text);
        let _ = Body::read(BodyFormat::Json, &text);
    }

    #[test]
    fn a_text_comes_out_of_a_form_as_it_went_in(text in "(?s).{0,60}") {
        let pairs = Pairs::read("gateway.body", "a=1&mes={text}&z=2").unwrap();
        let filled = pairs.fill(&values(&text));
        let read: Vec<(String, String)> = form_urlencoded::parse(filled.as_bytes()).into_owned().collect();
        prop_assert_eq!(read.len(), 3);
        prop_assert_eq!(&read[1].1, &text);
    }
}
