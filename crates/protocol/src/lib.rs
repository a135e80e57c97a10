//! Key names, script texts and their contract, packed records, and the codec of every script. No I/O.
