//! What every process needs: configuration, telemetry, health and metrics port, two-stage stop, exit codes.
