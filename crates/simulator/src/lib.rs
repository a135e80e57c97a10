//! Runs the files of lua/ on an in-memory model of Redis, under a model checker.
