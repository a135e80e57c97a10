//! VK.

use super::{AddressRule, ChannelDescriptor};
use crate::text_limit::{TextLimit, VK_CHARACTERS};

/// VK, by a community.
pub const VK: ChannelDescriptor = ChannelDescriptor {
    name: "vk",
    noun: "VK",
    by_default: true,
    address: AddressRule::Peer,
    text_limit: TextLimit::TextAndSubject(VK_CHARACTERS),
    value_name: "PEER",
    help: "A VK peer id",
    csv_titles: &["vk", "vk id", "vkontakte", "vk peer id", "peer id", "вк", "вконтакте", "вк id", "id вк"],
    sections: &["vk"],
    fake_provider: "vk",
    dev_port: None,
    example: "2001",
    failing: "999000901",
};
