//! Events about the HTTP service: requests, keys, suppression lists, SMS limits.

use super::{LogEvent, Program, SERVICES, error, info, warn};

const QUEUE: &[Program] = &[Program::Queue];

/// In the order of their names.
pub(super) const EVENTS: &[LogEvent] = &[
    info(QUEUE, "key.created", "An API key was created; `key` is its id."),
    error(
        QUEUE,
        "key.not_created",
        "An API key could not be created: the system returned no random numbers.",
        "The caller got an error.",
        "Check that getrandom works on this host (seccomp filters, a very old kernel).",
    ),
    info(QUEUE, "key.revoked", "An API key was revoked."),
    warn(
        QUEUE,
        "key.unreadable",
        "The record of an API key cannot be read.",
        "The key is left out of the list, and cannot be used.",
        "Check whether a newer version of Posthaste wrote it; otherwise create a new key.",
    ),
    warn(
        QUEUE,
        "request.failed",
        "A request was answered with a status of 500 or above; `trace_id` and `code` are those of the problem.",
        "The caller was told whether to repeat it.",
        "With a `code` about the store, see the lines `redis.…`; `internal_error` is a bug: report it.",
    ),
    info(
        QUEUE,
        "request.refused",
        "A request was answered with a status of 400 to 499; `trace_id` leads from the caller's problem to this line.",
    ),
    warn(
        QUEUE,
        "response.cut_off",
        "A long answer could not be finished, because the database did not send the rest.",
        "The connection was closed, so that the caller notices.",
        "The caller should repeat the request. See the lines about the database (`redis.…`).",
    ),
    warn(
        QUEUE,
        "sms_limits.nearly_used",
        "The given share of today's SMS segments is used.",
        "Orders above sms_limits.segments_a_day are refused until tomorrow.",
        "Check who sends so much (`posthaste order list`); if it is meant, raise sms_limits.segments_a_day.",
    ),
    warn(
        QUEUE,
        "sms_limits.not_counted",
        "The messages of a retry could not be counted, because the database did not answer.",
        "The retry goes on; today's count is too low by its messages.",
        "See the lines about the database (`redis.…`).",
    ),
    warn(
        QUEUE,
        "sms_limits.not_returned",
        "The SMS segments of a refused order could not be returned.",
        "They count until the day ends.",
        "See the lines about the database (`redis.…`).",
    ),
    warn(
        QUEUE,
        "sms_limits.order_refused",
        "An order exceeds a limit of sms_limits; `limit` names it, `key` the API key.",
        "The order was refused, and nothing of it is sent.",
        "Check whether the key is abused (revoke it with `posthaste key revoke`); if the order is meant, raise the limit.",
    ),
    info(QUEUE, "suppression.added", "Addresses were put on a suppression list over the API."),
    info(QUEUE, "suppression.deleted", "Addresses were taken off a suppression list over the API."),
    warn(
        SERVICES,
        "suppression.unreadable",
        "An entry of a suppression list cannot be read.",
        "Its address gets no messages; the entry is left out of lists.",
        "Check whether a newer version of Posthaste wrote it, and upgrade; otherwise delete the entry and add it again.",
    ),
];
