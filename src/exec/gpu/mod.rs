//! GPU executor.
