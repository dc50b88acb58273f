//! The lock-down that the worker applies to itself before any byte of an app.

/// Landlock ABI in force; 0: none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LandlockAbi(pub u8);
