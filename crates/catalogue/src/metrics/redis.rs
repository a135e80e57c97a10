//! Metrics of the connection to Redis or Valkey.

use super::{Metric, MetricGroup, MetricLabel, MetricUnit, counter, fixed, gauge, open, seconds};

pub(super) const GROUP: MetricGroup = MetricGroup {
    title: "Redis",
    exported_by: "Exported by every process that uses the database: the queue service and all couriers.",
    metrics: METRICS,
};

const SCRIPT: MetricLabel = open("script", "the file in `lua/` without its extension, such as `claim`");
const NODE: MetricLabel = open("node", "the address of the server");
const STATE: MetricLabel = fixed(
    "state",
    &[
        ("away", "cannot be reached"),
        ("access_denied", "rejects our credentials"),
        ("unsuitable", "has settings with which messages would be lost"),
        ("loading", "is loading its data from disk"),
        ("read_only", "accepts no writes"),
        ("master_down", "is a replica without its primary"),
        ("cluster_down", "is part of a cluster that does not work"),
        ("busy", "is running a script of another program"),
        ("disk", "cannot write to its disk"),
        ("no_replicas", "has too few replicas and rejects all writes"),
        ("unconfirmed", "does not confirm writes by disk or replica in time"),
        ("memory_full", "has no memory left and rejects new orders"),
        ("memory_nearly_full", ""),
        ("slow", "takes 250 ms or more to answer"),
    ],
);

const METRICS: &[Metric] = &[
    gauge(
        "posthaste_redis_state",
        MetricUnit::Flag,
        &[STATE, NODE],
        "1 while a server is in a state that hinders work.",
        "Act when it is 1 for any state for a minute: the log and `posthaste doctor` say what to do.",
    ),
    counter(
        "posthaste_redis_calls_failed_total",
        &[STATE],
        "Calls that failed because of the state of their server.",
        "See posthaste_redis_state.",
    ),
    seconds(
        "posthaste_redis_script_duration_seconds",
        &[SCRIPT],
        "Time until a script answered.",
        "Act when the median exceeds a few milliseconds: the server or the network is overloaded.",
    ),
    counter(
        "posthaste_redis_invalid_replies_total",
        &[SCRIPT],
        "Replies of scripts that could not be read.",
        "Act on any growth: it is a bug, or another program writes to the database.",
    ),
    counter(
        "posthaste_redis_disconnects_total",
        &[],
        "Times the last connection to a server was lost.",
        "Act when it grows without a restart of the server: check the network.",
    ),
    counter(
        "posthaste_redis_event_gaps_total",
        &[fixed(
            "listener",
            &[
                ("wakeups", "bells, which wake couriers"),
                ("order_changes", "changes of orders that somebody watches"),
            ],
        )],
        "Times keyspace events were dropped because they arrived faster than they were read. Everything is looked at \
         afterwards, so nothing is missed.",
        "Act when it keeps growing: the process lacks CPU.",
    ),
    counter(
        "posthaste_redis_unconfirmed_writes_total",
        &[],
        "Waits for a disk or replica that did not confirm writes in time.",
        "Act on any growth: check the disk of the server and its replicas.",
    ),
    gauge(
        "posthaste_redis_node_up",
        MetricUnit::Flag,
        &[NODE],
        "1 while there is a checked connection to this primary. It becomes 0 for a server that is no longer one, too.",
        "Act when a primary stays at 0.",
    ),
    gauge(
        "posthaste_redis_partitions_unavailable",
        MetricUnit::Count,
        &[],
        "Partitions of a cluster that cannot be reached now. Their orders wait.",
        "Act when it stays above 0: bring the missing primary back, or promote a replica.",
    ),
    gauge(
        "posthaste_redis_halted",
        MetricUnit::Flag,
        &[],
        "1 while sending is stopped because the database went back or was wiped.",
        "Act at once when it is 1: an operator has to decide, with `posthaste recover`.",
    ),
    gauge(
        "posthaste_redis_rollback_seconds",
        MetricUnit::Seconds,
        &[],
        "Approximate time span of the changes that the halted database lost; 0 if it is not halted.",
        "See posthaste_redis_halted.",
    ),
    counter(
        "posthaste_redis_rollbacks_total",
        &[fixed(
            "result",
            &[
                ("halted", "confirmed changes were lost: sending is stopped"),
                ("continued", "no confirmed change was lost: work went on"),
            ],
        )],
        "Times the database was found to have lost changes.",
        "Act on any growth: check persistence, replication and failover of the server.",
    ),
    counter(
        "posthaste_redis_halts_total",
        &[],
        "Times this process began to refuse all calls, because its database was replaced, wiped, went back, or needs \
         another version or key.",
        "Act on any growth: the log says which.",
    ),
    counter(
        "posthaste_redis_entries_skipped_total",
        &[fixed("index", &[("channels", "the list of channels"), ("orders", "a list of orders")])],
        "Entries of a list that could not be read and were skipped.",
        "Act on any growth: another program writes to the database.",
    ),
];
