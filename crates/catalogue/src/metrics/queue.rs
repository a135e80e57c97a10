//! Metrics of the queue service.

use super::{Metric, MetricGroup, MetricLabel, MetricUnit, counter, fixed, gauge, open, seconds};

pub(super) const GROUP: MetricGroup =
    MetricGroup { title: "Queue service", exported_by: "Exported by `posthaste-queue`.", metrics: METRICS };

const ROUTE: MetricLabel = open(
    "route",
    "the route as the API description writes it, such as `/v1/orders/{id}`; `none` if there is none",
);
const METHOD: MetricLabel = open("method", "the HTTP method; `other` if it is not a usual one");

const METRICS: &[Metric] = &[
    counter(
        "posthaste_http_requests_total",
        &[ROUTE, METHOD, open("status", "the HTTP status")],
        "Requests answered.",
        "Act when the share of 5xx rises: the log has a line with the trace id of each.",
    ),
    seconds(
        "posthaste_http_request_duration_seconds",
        &[ROUTE, METHOD],
        "Time until the head of the response was sent. Long polls and event streams count until their first byte.",
        "Act when the routes that accept orders get slower while posthaste_redis_script_duration_seconds does not: the \
         service lacks CPU.",
    ),
    counter(
        "posthaste_http_requests_rate_limited_total",
        &[],
        "Requests rejected because their API key exceeded its rate limit.",
        "Act when it keeps growing: a client ignores Retry-After, or needs a higher limit.",
    ),
    gauge(
        "posthaste_order_watchers",
        MetricUnit::Count,
        &[],
        "Open long polls and event streams.",
        "Act when it stays near trackers.max_open: further ones get 503.",
    ),
    gauge(
        "posthaste_channel_state",
        MetricUnit::Flag,
        &[
            open("channel", "the channel"),
            fixed(
                "state",
                &[
                    ("working", "a courier sends what is due"),
                    ("paused", "the provider asked to wait"),
                    ("resting", "the provider keeps failing, so calls to it rest"),
                    ("stopped", "an operator must fix something first"),
                    ("silent", "a courier was there a moment ago and does not report any more"),
                    ("absent", "there is no courier"),
                ],
            ),
        ],
        "1 for the state of the channel, 0 for the others. With several couriers the best state counts. Measured every \
         5 s.",
        "Act when `stopped` is 1, and when `resting`, `silent` or `absent` stay at 1 while deliveries wait: \
         `posthaste courier list` says why.",
    ),
    gauge(
        "posthaste_waiting_deliveries",
        MetricUnit::Count,
        &[open("channel", "the channel")],
        "Deliveries that are due and not sent, leased ones included. Measured every 5 s; of a bigger backlog, 20,000 \
         parcels in each partition are counted.",
        "Act when it keeps growing: the provider, its rate limit or the number of couriers is too small.",
    ),
    counter("posthaste_orders_accepted_total", &[], "Orders accepted, not counting repeats.", ""),
    counter(
        "posthaste_deliveries_accepted_total",
        &[],
        "Deliveries of accepted orders, not counting repeats.",
        "",
    ),
    gauge(
        "posthaste_sms_segments_today",
        MetricUnit::Count,
        &[],
        "SMS segments accepted today by all queue processes, as this one last saw it.",
        "Act when it nears sms_limits.segments_a_day: orders above the limit are rejected until tomorrow.",
    ),
    counter(
        "posthaste_sms_limit_warnings_total",
        &[],
        "Days on which 80 % of the SMS segments were used.",
        "Act on any growth: raise sms_limits.segments_a_day, or find out who sends so much.",
    ),
    counter(
        "posthaste_sms_orders_rejected_total",
        &[fixed(
            "limit",
            &[
                ("segments_a_day", "segments of all orders in a day"),
                ("messages_an_hour", "messages of one API key in an hour"),
                ("to_prefix_an_hour", "messages to one block of numbers in an hour"),
            ],
        )],
        "Orders rejected by sms_limits.",
        "Act when `to_prefix_an_hour` grows: it can be a sign of toll fraud.",
    ),
    counter(
        "posthaste_unreadable_records_total",
        &[fixed(
            "reason",
            &[
                ("newer_version", "written by a newer program; left as it is"),
                ("wrong_type", "the key holds another Redis type"),
                ("damaged", "the record makes no sense"),
                ("ended_by_operator", "an operator ended the order because its record was damaged"),
            ],
        )],
        "Requests for an order whose record cannot be read.",
        "Act on any growth of `damaged` and `wrong_type`: see `posthaste parked list`.",
    ),
];
