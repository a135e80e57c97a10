//! Stand-in providers that behave like the real ones, an outbox, faults on request.
