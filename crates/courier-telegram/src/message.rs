//! The text of a message: the parts of an order's content for this channel.

use posthaste_model::{Channel, Content};
use teloxide::types::MessageEntity;

use crate::split::{self, TextPart};

/// The parts of an order's content. The subject goes in bold above the text, unless the text is for this channel only.
pub(crate) fn parts(content: &Content, channel: &Channel, with_subject: bool) -> Vec<TextPart> {
    let text = content.text_for(channel).expose();
    let subject = content.subject.expose().trim();
    if !with_subject || subject.is_empty() || content.texts.contains_key(channel) {
        return split::split(text, &[], split::LIMIT);
    }
    let bold = MessageEntity::bold(0, split::units_of(subject));
    split::split(&format!("{subject}\n\n{text}"), &[bold], split::LIMIT)
}

#[cfg(test)]
mod tests {
    use posthaste_model::Text;

    use super::*;

    #[test]
    fn the_subject_goes_above_the_common_text_only() {
        let telegram: Channel = "telegram".parse().unwrap();
        let mut content = Content {
            text: Text::new("text <b>&amp;</b> _*"),
            subject: Text::new(" Сбор 😀 "),
            ..Content::default()
        };
        let with = parts(&content, &telegram, true);
        assert_eq!(with[0].text, "Сбор 😀\n\ntext <b>&amp;</b> _*");
        assert_eq!(with[0].entities, [MessageEntity::bold(0, 7)]);
        assert_eq!(parts(&content, &telegram, false)[0].text, "text <b>&amp;</b> _*");
        content.texts.insert(telegram.clone(), Text::new("own"));
        let own = parts(&content, &telegram, true);
        assert_eq!((own[0].text.as_str(), own[0].entities.len()), ("own", 0));
    }
}
