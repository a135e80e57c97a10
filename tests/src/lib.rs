//! Whole-process scenarios live in `it/`; the processes they start live in `src/bin`.
