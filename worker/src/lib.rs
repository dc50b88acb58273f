//! The untrusted side of Fazt: one app for one person in one locked process.
//!
//! The worker builds its engine, locks itself down, says `Ready`, and only then is sent an app. It has one
//! thread, one socket (fd 3) and no way to anything else. It never sees a session cookie, a credential meant
//! for Fazt, another app or another person.
//!
//! | task | where |
//! |---|---|
//! | add or change a web API | `prelude/` (README there), `native/` |
//! | change what happens to frames | `link/` |
//! | change how handlers are called | `dispatch/`, `prelude/main.js` |
//! | change limits, modules, the engine | `engine/`, `limits.rs` |
//! | change the lock-down | `sandbox/` |

mod dispatch;
pub mod engine;
pub mod limits;
pub mod link;
pub mod native;
pub mod prelude;
pub mod sandbox;
pub mod sys;

pub use engine::Engine;
pub use prelude::engine_hash;
