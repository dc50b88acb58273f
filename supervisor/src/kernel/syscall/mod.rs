//! Answers the calls of workers.
