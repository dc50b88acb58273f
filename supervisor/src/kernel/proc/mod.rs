//! Workers: pool, lifecycle, link, limits, logs.
