//! The SMS channel: Twilio, and any provider with a plain HTTP gateway.
