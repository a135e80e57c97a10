//! SMS.

use super::{AddressRule, ChannelDescriptor};
use crate::text_limit::{SMS_CHARACTERS, TextLimit};

/// SMS, over Twilio or a gateway.
pub const SMS: ChannelDescriptor = ChannelDescriptor {
    name: "sms",
    noun: "SMS",
    by_default: true,
    address: AddressRule::Phone,
    text_limit: TextLimit::Text(SMS_CHARACTERS),
    value_name: "NUMBER",
    help: "A phone number",
    csv_titles: &[
        "sms",
        "phone",
        "phone number",
        "mobile",
        "mobile phone",
        "mobile number",
        "cell",
        "cell phone",
        "tel",
        "telephone",
        "телефон",
        "номер телефона",
        "мобильный",
        "мобильный телефон",
        "сотовый",
        "сотовый телефон",
        "тел",
        "моб",
        "моб телефон",
        "смс",
    ],
    sections: &["sms", "twilio", "gateway"],
    fake_provider: "twilio",
    dev_port: None,
    example: "+12025550123",
    failing: "+15007730003",
};
