//! The e-mail channel: SMTP through lettre.
