//! Events about the servers of the database. `store::RedisState` takes the texts of its states from here.

use super::{COURIERS, LogEvent, SERVICES, info, warn};

const NOTHING: &str = "Until then nothing is accepted or sent; stored orders are kept.";
const NO_NEW: &str = "New orders are refused; stored orders are still sent.";

/// No connection, or no answer.
pub const AWAY: LogEvent = warn(
    SERVICES,
    "redis.away",
    "The server cannot be reached.",
    "Until it can be reached, orders on it are neither accepted nor sent; stored orders are kept.",
    "Check that the server is running and that this host can reach it at this address.",
);
/// It refuses the user or the password.
pub const ACCESS_DENIED: LogEvent = warn(
    SERVICES,
    "redis.access_denied",
    "The server refuses our user or password.",
    NOTHING,
    "Correct redis.username and redis.password (or password_file), or the server's ACL.",
);
/// Its settings would lose messages, so it is not used.
pub const UNSUITABLE: LogEvent = warn(
    SERVICES,
    "redis.unsuitable",
    "The server has settings with which messages would be lost, so it is not used.",
    NOTHING,
    "Correct these settings of the server; `posthaste doctor` lists all of them.",
);
/// It is loading its data from disk.
pub const LOADING: LogEvent = warn(
    SERVICES,
    "redis.loading",
    "The server is loading its data from disk.",
    NOTHING,
    "Wait: sending resumes by itself.",
);
/// It is a replica.
pub const READ_ONLY: LogEvent = warn(
    SERVICES,
    "redis.read_only",
    "The server is a read-only replica.",
    NOTHING,
    "Point redis.url at the primary; a redis-sentinel:// or redis-cluster:// URL follows a failover by itself.",
);
/// It is a replica without its primary.
pub const MASTER_DOWN: LogEvent = warn(
    SERVICES,
    "redis.master_down",
    "The server is a replica that has lost its primary.",
    NOTHING,
    "Bring the primary back, or promote a replica and point redis.url at it.",
);
/// The cluster it belongs to is down.
pub const CLUSTER_DOWN: LogEvent = warn(
    SERVICES,
    "redis.cluster_down",
    "The server belongs to a cluster that is down.",
    NOTHING,
    "Check CLUSTER INFO and CLUSTER NODES: a slot without a primary stops all others unless \
                 cluster-require-full-coverage is no.",
);
/// A script or function of another client blocks it.
pub const BUSY: LogEvent = warn(
    SERVICES,
    "redis.busy",
    "The server is blocked by a script or function that has been running for long.",
    NOTHING,
    "Find its owner (CLIENT LIST, SLOWLOG GET). SCRIPT KILL or FUNCTION KILL ends a script that has \
                 written nothing.",
);
/// It cannot write to its disk.
pub const DISK: LogEvent = warn(
    SERVICES,
    "redis.disk",
    "The server cannot write to its disk and refuses all writes (MISCONF).",
    NOTHING,
    "Free space on the disk of its data directory and check the directory's permissions; the \
                 server's log names the file.",
);
/// It has too few replicas to accept writes.
pub const NO_REPLICAS: LogEvent = warn(
    SERVICES,
    "redis.no_replicas",
    "The server has too few replicas and refuses all writes (NOREPLICAS).",
    NOTHING,
    "Bring the replicas back, or lower min-replicas-to-write.",
);
/// Writes are not confirmed by disk or replica in time.
pub const UNCONFIRMED: LogEvent = warn(
    SERVICES,
    "redis.unconfirmed",
    "The server does not confirm writes on disk or at a replica in time, as redis.durability requires.",
    "Orders may be stored, but callers get an error with an unknown outcome; no delivery is begun.",
    "Check that a replica is connected and keeps up (INFO replication), and that the disk does not stall.",
);
/// Its memory is full.
pub const MEMORY_FULL: LogEvent = warn(
    SERVICES,
    "redis.memory_full",
    "The server has no memory left.",
    NO_NEW,
    "Raise maxmemory (CONFIG SET maxmemory, and in its configuration file), or shorten courier.retention_days.",
);
/// Its memory is nearly full.
pub const MEMORY_NEARLY_FULL: LogEvent = warn(
    SERVICES,
    "redis.memory_nearly_full",
    "The server has used more than 90% of its memory.",
    NO_NEW,
    "Raise maxmemory (CONFIG SET maxmemory, and in its configuration file), or shorten courier.retention_days.",
);
/// It answers slowly.
pub const SLOW: LogEvent = warn(
    SERVICES,
    "redis.slow",
    "The server answers slowly.",
    "Orders are accepted and sent late.",
    "Check SLOWLOG GET and LATENCY DOCTOR, the CPU, swap and disk of its host, and the network.",
);

/// Events about servers, cluster and wake-ups.
pub(super) const EVENTS: &[LogEvent] = &[
    info(
        SERVICES,
        "cluster.primary_added",
        "The cluster has a new primary, and this process connects to it.",
    ),
    info(SERVICES, "cluster.primary_removed", "A server is no longer a primary of the cluster."),
    warn(
        SERVICES,
        "cluster.slots_moving",
        "Slots of the cluster have been moving for a while; logged every 30 s.",
        "Orders of these slots wait until the move is finished.",
        "If nobody is moving them, the move was interrupted: run redis-cli --cluster fix.",
    ),
    ACCESS_DENIED,
    AWAY,
    BUSY,
    warn(
        SERVICES,
        "redis.client_restarted",
        "A connection to a server ended for good (`client` says which) and is replaced.",
        "Calls on it are repeated where that is safe.",
        "Nothing if it is rare. If it repeats, check the server's log and the network, and report it with the `reason`.",
    ),
    CLUSTER_DOWN,
    info(SERVICES, "redis.connected", "A connection to a server was checked and is in use."),
    DISK,
    LOADING,
    MASTER_DOWN,
    MEMORY_FULL,
    MEMORY_NEARLY_FULL,
    NO_REPLICAS,
    warn(
        SERVICES,
        "redis.partitions_missing",
        "The process started although the primaries of some partitions cannot be reached.",
        "Orders of these partitions wait; all others are served.",
        "Bring the servers in `missing` back, or fail over to their replicas; the process connects by itself.",
    ),
    READ_ONLY,
    SLOW,
    UNCONFIRMED,
    UNSUITABLE,
    info(SERVICES, "redis.wait_ended", "The server that the process waited for at startup is ready."),
    info(
        SERVICES,
        "redis.waiting_at_start",
        "The process waits at startup for a server, at most for redis.wait_at_start; another line says why.",
    ),
    warn(
        COURIERS,
        "wakeups.missing",
        "No keyspace events are received.",
        "Messages may be late by up to courier.poll.",
        "Set notify-keyspace-events KEhx on every server of the database.",
    ),
    info(COURIERS, "wakeups.restored", "Keyspace events are received again."),
];
