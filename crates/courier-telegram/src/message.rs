//! The text of a message: the parts of an order's content for this channel.

use posthaste_model::{Channel, Content};
use teloxide::types::MessageEntity;

use crate::split::{self, TextPart};

/// The parts of an order's content. The subject goes in bold above the text, unless the text is for this channel only.
pub(crate) fn parts(content: &Content, channel: &Channel, with_subject: bool) -> Vec<TextPart> {
    let text = content.text_for(channel).expose();
    if !with_subject {
        return split::split(text, &[], split::LIMIT);
    }
    let whole = content.text_below_subject(channel);
    // What is longer than the text is the subject above it.
    let bold = (whole.len() > text.len())
        .then(|| MessageEntity::bold(0, split::units_of(content.subject.expose().trim())));
    split::split(&whole, bold.as_slice(), split::LIMIT)
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
