//! The VK channel.
