//! The launcher: makes, checks, limits and kills locked processes. Knows nothing of the kernel.
