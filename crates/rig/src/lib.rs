//! Private servers, child processes, a fault proxy and waiting for facts: for tests, drills and benchmarks.
