//! Bodies nested deeper than the JSON parser goes.

use super::*;

/// The JSON parser stops at 128 levels: deeper bodies are invalid, deeper entities are a text, and the next message is
/// accepted.
#[tokio::test]
async fn messages_within_messages_are_refused_and_end_nothing() {
    let server = started().await;
    for levels in [2 * 128, 100_000] {
        let mut client = Client::connect(&server).await;
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let deep = format!("{}1{}", open.repeat(levels), close.repeat(levels));
            let json = format!("{{\"chat_id\":7,\"text\":\"x\",\"entities\":{deep}}}");
            let form: String = url::form_urlencoded::Serializer::new(String::new())
                .extend_pairs([("chat_id", "7"), ("text", "x"), ("entities", deep.as_str())])
                .finish();
            for (kind, body) in [("json", json), ("x-www-form-urlencoded", form)] {
                let length = body.len();
                let path = format!("/bot{TOKEN}/sendMessage");
                let head = format!(
                    "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/{kind}\r\ncontent-length: {length}\r\n\r\n"
                );
                client.say(&(head + &body)).await;
                assert_eq!(client.hear().await.map(|(status, ..)| status), Some(400), "{kind} {levels}");
            }
        }
        assert_eq!(client.send(7).await.map(|(status, _)| status), Some(200));
    }
}
