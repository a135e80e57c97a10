//! Metrics of every courier.

use super::{Metric, MetricGroup, MetricLabel, MetricUnit, counter, fixed, gauge, open, seconds};

pub(super) const GROUP: MetricGroup = MetricGroup {
    title: "Couriers",
    exported_by: "Exported by the courier of each channel.",
    metrics: METRICS,
};

const CHANNEL: MetricLabel =
    open("channel", "the channel of the courier: `email`, `sms`, `telegram`, `vk`, `webhook`");

const ALERTS: MetricLabel = fixed(
    "type",
    &[
        ("bell_without_expiry", "another program had removed the expiry of a `delivery:*` key"),
        ("bot_stopped", "a Telegram bot was stopped because its token is rejected; the others go on"),
        ("breaker_open", "the provider keeps failing; sending pauses"),
        ("clock_jump", "the clock of the Redis server jumped; claiming pauses for the length of a lease"),
        ("content_rejected", "the provider rejects the content of an order; counted once per order"),
        ("database_stopped", "sending stopped because the database was replaced, wiped or went back"),
        ("housekeeping_failed", "a step of housekeeping failed for one partition; the others go on"),
        ("index_repaired", "parcels were missing from their index and were put back"),
        ("invalid_reply", "a reply of the database could not be read"),
        ("no_wakeup_events", "no keyspace events arrive; messages may be late by up to courier.poll"),
        ("panic", "a task panicked and was restarted; please report it"),
        ("record_parked", "a damaged record was parked"),
        ("suppression_unavailable", "a suppression list could not be read or written"),
        ("updates_paused", "receiving Telegram updates is paused: another program or a webhook takes them"),
        ("wakeup_gap", "keyspace events were missed; the courier looked at everything instead"),
    ],
);

const METRICS: &[Metric] = &[
    counter(
        "posthaste_alerts_total",
        &[CHANNEL, ALERTS],
        "Conditions that an operator should look at.",
        "Act on any growth: the log has a line that says what happened and what to do.",
    ),
    gauge(
        "posthaste_channel_stopped",
        MetricUnit::Flag,
        &[CHANNEL],
        "1 while the channel is stopped until an operator fixes it.",
        "Act at once when it is 1: the log and `posthaste doctor` say why.",
    ),
    gauge(
        "posthaste_channel_resting",
        MetricUnit::Flag,
        &[CHANNEL],
        "1 while calls to the provider rest because it keeps failing (circuit breaker), until a call succeeds.",
        "Act when it stays 1: check the provider; the log and `posthaste courier list` say how it fails.",
    ),
    seconds(
        "posthaste_delivery_lateness_seconds",
        &[CHANNEL],
        "Time from the due time of deliveries to their first claim, one sample per parcel.",
        "Act when the 99th percentile exceeds a second: add couriers, or see posthaste_ready_parcels.",
    ),
    counter(
        "posthaste_delivery_attempts_total",
        &[
            CHANNEL,
            fixed(
                "outcome",
                &[
                    ("sent", "the provider took the message"),
                    ("delivered", "the provider says that it arrived"),
                    ("failed", "rejected for good"),
                    ("suppressed", "the address is on a suppression list; nothing was sent"),
                    ("unknown", "the message may have arrived"),
                    ("retry", "rejected for now; a try is spent"),
                    ("not_sent", "nothing was sent; no try is spent"),
                    ("part", "one part of several was sent"),
                ],
            ),
            open("reason", "the reason of a delivery, as in the API"),
        ],
        "Attempts by outcome.",
        "Act when the share of `failed`, `unknown` or `retry` rises: the reason says where to look.",
    ),
    counter(
        "posthaste_wakeups_total",
        &[
            CHANNEL,
            fixed(
                "source",
                &[
                    ("event", "a bell rang"),
                    ("timer", "a deadline of the courier, or courier.poll"),
                    ("start", "the courier started"),
                ],
            ),
        ],
        "Claims by what triggered them.",
        "",
    ),
    gauge(
        "posthaste_wakeup_listener_up",
        MetricUnit::Flag,
        &[CHANNEL],
        "1 while the courier receives the keyspace events that it causes itself as a test.",
        "Act when it is 0: messages may be late by up to courier.poll; check notify-keyspace-events of the server.",
    ),
    gauge(
        "posthaste_provider_requests_in_flight",
        MetricUnit::Count,
        &[CHANNEL],
        "Requests to the provider that wait for their answer.",
        "Act when it stays at posthaste_provider_concurrency_limit while parcels wait: the provider is slow.",
    ),
    gauge(
        "posthaste_provider_concurrency_limit",
        MetricUnit::Count,
        &[CHANNEL],
        "Maximum concurrent requests to the provider now. It falls while the provider fails, and rises again after.",
        "Act when it stays low: the provider keeps failing.",
    ),
    seconds(
        "posthaste_provider_request_duration_seconds",
        &[CHANNEL, fixed("priority", &[("urgent", ""), ("bulk", "")])],
        "Time until the provider answered.",
        "Act when it nears the time limit of the channel: the outcome of requests that time out is unknown.",
    ),
    gauge(
        "posthaste_leased_deliveries",
        MetricUnit::Count,
        &[CHANNEL],
        "Deliveries under a lease of this courier.",
        "",
    ),
    gauge(
        "posthaste_ready_parcels",
        MetricUnit::Count,
        &[CHANNEL],
        "Parcels that wait in the ready index of the partition claimed last.",
        "Act when it keeps growing: the provider, its rate limit or the number of couriers is too small.",
    ),
    gauge(
        "posthaste_oldest_overdue_seconds",
        MetricUnit::Seconds,
        &[CHANNEL],
        "Time since the oldest delivery that is not sent yet was due, whatever was tried since; 0 if none is overdue. \
         Measured in all partitions, by the queue every 5 s for every channel, and by a courier every 10 s.",
        "Act when it keeps growing: posthaste_channel_state says what the channel does.",
    ),
    counter(
        "posthaste_parcels_claimed_total",
        &[CHANNEL],
        "Parcels leased. A parcel counts each time it is leased.",
        "",
    ),
    counter(
        "posthaste_attempt_reports_after_lease_total",
        &[
            CHANNEL,
            fixed(
                "result",
                &[
                    (
                        "late",
                        "the lease was lost, but the report says that the message was accepted, and it counts",
                    ),
                    ("stale", "rejected: it is about another attempt than the recorded one"),
                ],
            ),
        ],
        "Reports of attempts that came after the courier had lost its lease.",
        "Act when it keeps growing: couriers sleep or lose the database for longer than courier.lease.",
    ),
    counter(
        "posthaste_begins_rejected_total",
        &[
            CHANNEL,
            fixed(
                "reason",
                &[
                    ("cancelled", "the order was cancelled"),
                    ("expired", "the order is past its end of validity"),
                    ("lease_expired", "the courier's own lease had run out"),
                    ("lease_lost", "another courier has the lease"),
                    ("unreadable", "the record is gone, damaged or of a later version"),
                ],
            ),
        ],
        "Parcels that could not be begun.",
        "Act when `lease_expired` or `lease_lost` keeps growing: couriers are too slow for courier.lease.",
    ),
    counter(
        "posthaste_deliveries_unresolved_total",
        &[CHANNEL],
        "Deliveries whose courier lost its lease while sending. Their outcome is unknown until it is resolved.",
        "Act when it grows without a crash or restart of a courier.",
    ),
    counter(
        "posthaste_deliveries_resolved_total",
        &[
            CHANNEL,
            fixed(
                "result",
                &[
                    ("retry", "sent again, once"),
                    ("repeat", "sent again under the same token, which the provider recognizes"),
                    ("hold", "stays unknown"),
                    ("found_sent", "the provider says that it took the message"),
                    ("found_failed", "the provider says that it rejected the message"),
                ],
            ),
        ],
        "Deliveries of unknown outcome that were decided.",
        "",
    ),
    counter(
        "posthaste_orders_finished_total",
        &[CHANNEL],
        "Orders that finished when this courier settled their last delivery.",
        "",
    ),
    counter(
        "posthaste_delivery_receipts_total",
        &[
            CHANNEL,
            fixed("status", &[("sent", ""), ("delivered", ""), ("failed", "")]),
            fixed(
                "result",
                &[
                    ("changed", "the history changed"),
                    ("known", "nothing new"),
                    ("no_such_attempt", "the order is gone, or has no such attempt"),
                ],
            ),
        ],
        "Delivery receipts from providers.",
        "Act when the share of `failed` rises, or when receipts stop: check the callback address at the provider.",
    ),
    counter(
        "posthaste_suppressions_total",
        &[CHANNEL],
        "Addresses put on a suppression list, and failures counted against an address.",
        "Act when it jumps: a provider may be rejecting good addresses.",
    ),
    counter(
        "posthaste_callbacks_rejected_total",
        &[CHANNEL],
        "Callbacks that failed authentication.",
        "Act when it grows while receipts stop: the secret in the settings is wrong. Otherwise these are strangers.",
    ),
    counter(
        "posthaste_parcels_reclaimed_total",
        &[CHANNEL],
        "Parcels taken back from expired leases.",
        "Act when it grows without a crash or restart of a courier.",
    ),
    counter(
        "posthaste_parcels_poisoned_total",
        &[CHANNEL],
        "Parcels with deliveries given up as poison: three couriers died while sending the same message alone.",
        "Act on any growth: please report it, with the log of the couriers.",
    ),
    counter(
        "posthaste_parcels_repaired_total",
        &[CHANNEL],
        "Parcels that were missing from their index and were put back.",
        "Act on any growth: the database lost or changed data.",
    ),
    counter(
        "posthaste_index_entries_dropped_total",
        &[CHANNEL],
        "Entries of an index without a record, which were dropped.",
        "Act on any growth: the database lost or evicted records, or another program writes to it.",
    ),
    counter(
        "posthaste_orders_purged_total",
        &[CHANNEL],
        "Orders removed after courier.retention_days, of all channels.",
        "",
    ),
    counter(
        "posthaste_newer_records_total",
        &[CHANNEL],
        "Records of a later version that were skipped, counted each time.",
        "Act when it grows after an upgrade is complete: a courier of the old version is still running.",
    ),
    counter(
        "posthaste_records_parked_total",
        &[CHANNEL],
        "Unreadable orders and parcels that this courier found parked, of all channels; at its start it counts all.",
        "Act on any growth: see `posthaste parked list`.",
    ),
    gauge(
        "posthaste_parked_records",
        MetricUnit::Count,
        &[CHANNEL, open("partition", "the number of the partition")],
        "Parked orders and parcels of all channels.",
        "Act when it is above 0: see `posthaste parked list`.",
    ),
];
