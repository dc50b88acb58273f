//! The HTTP edge and the control API.

mod cookies;
mod fields;
mod host;
