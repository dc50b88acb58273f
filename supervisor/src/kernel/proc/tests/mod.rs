//! Proc over scripted workers: requests, lifecycle, faults, hostile frames.

mod events;
mod fake;
mod hostile;
mod life;
mod memory;
mod requests;
