//! E-mail.

use super::{AddressRule, ChannelDescriptor};
use crate::text_limit::{EMAIL_BYTES, TextLimit};

/// E-mail, over SMTP relays.
pub const EMAIL: ChannelDescriptor = ChannelDescriptor {
    name: "email",
    noun: "e-mail",
    by_default: true,
    address: AddressRule::Mailbox,
    text_limit: TextLimit::EmailBytes(EMAIL_BYTES),
    value_name: "ADDRESS",
    help: "An e-mail address",
    csv_titles: &[
        "email",
        "e mail",
        "mail",
        "email address",
        "e mail address",
        "mailbox",
        "почта",
        "эл почта",
        "электронная почта",
        "адрес электронной почты",
        "адрес эл почты",
        "емейл",
        "имейл",
        "емайл",
        "мейл",
        "e mail адрес",
        "email адрес",
    ],
    sections: &["smtp", "email", "dkim", "bounces", "unsubscribe"],
    fake_provider: "smtp",
    dev_port: Some(("smtp-port", 1025)),
    example: "anna@example.org",
    failing: "refuse@example.org",
};
