//! Metrics that only the e-mail courier has.

use super::{Metric, MetricGroup, MetricLabel, counter, fixed, open};

pub(super) const GROUP: MetricGroup = MetricGroup {
    title: "E-mail courier",
    exported_by: "Exported by `posthaste-courier-email`, besides the metrics of every courier.",
    metrics: METRICS,
};

const RELAY: MetricLabel = open("relay", "host and port of the relay");

const METRICS: &[Metric] = &[
    counter(
        "posthaste_smtp_connections_total",
        &[RELAY, fixed("result", &[("opened", "ready to send"), ("failed", "no session could be opened")])],
        "Attempts to open a session with a relay.",
        "Act when `failed` grows for a relay: check its address, certificate and credentials.",
    ),
    counter(
        "posthaste_smtp_rejections_total",
        &[RELAY, open("code", "the SMTP reply code, such as `550`")],
        "Error replies of relays to commands and messages.",
        "Act when the share of one code rises: 421 and 45x mean too fast or not now, 55x a bad address or a policy.",
    ),
    counter(
        "posthaste_bounces_total",
        &[
            fixed(
                "status",
                &[
                    ("bounced", "not delivered, and the address is bad"),
                    ("failed", "not delivered, for another reason"),
                    ("delivered", ""),
                    ("relayed", "passed to a server that sends no reports"),
                    ("complaint", "the recipient reported the message as spam"),
                    ("delayed", "the server is still trying"),
                    ("unclear", "a report that does not say what happened"),
                    ("automatic", "an automatic reply, such as an absence note"),
                    ("other", "not a report"),
                ],
            ),
            fixed(
                "result",
                &[
                    ("changed", "the history or a suppression list changed"),
                    ("known", "nothing new"),
                    ("no_such_attempt", "the order is gone, or has no such attempt"),
                    ("ignored", "nothing to store"),
                ],
            ),
        ],
        "Messages received at return paths: bounces, complaints, automatic replies.",
        "Act when `complaint` exceeds 0.1 % of the messages sent, or `bounced` 2 %: mailbox providers start to reject.",
    ),
    counter(
        "posthaste_bounces_rejected_total",
        &[],
        "Recipients rejected at the bounce port because the address is no valid return path.",
        "Act when it grows with posthaste_bounces_total at rest: bounces.key or bounces.old_keys may be wrong.",
    ),
    counter(
        "posthaste_bounce_connections_rejected_total",
        &[],
        "Connections to the bounce port rejected because their address had too many open.",
        "Act when your own mail server is the one rejected: raise bounces.max_connections_per_peer.",
    ),
    counter(
        "posthaste_return_path_fallbacks_total",
        &[fixed(
            "reason",
            &[
                ("address_too_long", "the return path would be too long for an address"),
                ("no_feedback", "the courier was not ready to store feedback"),
                ("not_stored", "the name of the return path could not be stored in time"),
            ],
        )],
        "Messages sent with the common return path instead of their own; their bounces are not reported.",
        "Act when it keeps growing: shorten bounces.address, or see the state of Redis.",
    ),
    counter(
        "posthaste_unsubscribes_total",
        &[fixed(
            "result",
            &[
                ("stored", "the address is on the sender's suppression list"),
                ("expired", "the order of the link is gone"),
                ("invalid_link", "no link made here"),
                ("not_stored", "the person was asked to try again"),
            ],
        )],
        "Requests to unsubscribe links that asked for a change, and requests with invalid links.",
        "Act on any growth of `not_stored`, which is a failing database, and when `invalid_link` exceeds `stored`: \
         unsubscribe.key or unsubscribe.old_keys may be wrong.",
    ),
];
