//! Settings that were renamed. An old name is refused, and the message names the new one.

/// Old and new dotted keys.
pub const RENAMED: &[(&str, &str)] = &[
    ("bounces.connections", "bounces.max_connections"),
    ("bounces.connections_per_peer", "bounces.max_connections_per_peer"),
    ("bounces.read_at_most", "bounces.max_parsed_size"),
    ("bounces.request", "bounces.request_dsn"),
    ("bounces.take_at_most", "bounces.max_size"),
    ("courier.hold_through", "courier.max_hold"),
    ("courier.max_rows", "courier.max_deliveries"),
    ("courier.rate", "courier.messages_per_second"),
    ("gateway.taken_pointer", "gateway.accepted_pointer"),
    ("gateway.taken_status", "gateway.accepted_status"),
    ("gateway.taken_text", "gateway.accepted_text"),
    ("gateway.taken_value", "gateway.accepted_value"),
    ("http.connections", "http.max_connections"),
    ("http.requests", "http.max_requests"),
    ("keys.known_for", "keys.cache_for"),
    ("orders.invalid", "orders.on_invalid"),
    ("orders.max_html", "orders.max_html_characters"),
    ("orders.max_span", "orders.max_lifetime"),
    ("orders.max_text", "orders.max_text_characters"),
    ("orders.span", "orders.lifetime"),
    ("sms.answers_file", "sms.response_rules_file"),
    ("smtp.connections", "smtp.max_connections"),
    ("smtp.rest_for", "smtp.skip_relay_for"),
    ("telegram.rate", "telegram.messages_per_second"),
    ("telegram.updates_again", "telegram.updates_retry_after"),
    ("telegram.updates_rest", "telegram.updates_pause"),
    ("trackers.look_every", "trackers.check_every"),
    ("trackers.most", "trackers.max_open"),
    ("twilio.ask_after", "twilio.lookup_after"),
    ("unsubscribe.connections", "unsubscribe.max_connections"),
    ("vk.rate", "vk.requests_per_second"),
];

/// The new name of a setting that has this old one.
pub(super) fn new_name(key: &str) -> Option<&'static str> {
    RENAMED.iter().find(|(old, _)| *old == key).map(|(_, new)| *new)
}
