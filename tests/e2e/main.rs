//! The whole product through its real binary.
//!
//! | what | file |
//! |---|---|
//! | deploy, list, versions, rollback, remove, rename | `deploy.rs` |
//! | `fazt app dev` | `dev.rs` |
//! | variables and secrets | `env.rs` |
//! | permissions and consent | `grants.rs` |
//! | one app at the data of another | `between.rs` |
//! | apps from a Git server, updates | `install.rs` |
//! | building them: packages, Wrangler | `bundle.rs` |
//! | files of an app over HTTP | `assets.rs` |
//! | handlers, streams, errors | `runtime.rs` |
//! | hibernation, waking, restarts, orphans | `lifecycle.rs` |
//! | hostile apps and a neighbour that keeps answering | `hostile.rs` |
//! | the control API, as a program speaks to it | `control.rs` |
//! | the admin API: its description, tokens, scopes | `api.rs` |
//! | commands for a server elsewhere | `remote.rs` |
//! | layers, escapes, what may be missing | `doctor.rs` |
//! | the HTTP edge | `edge.rs` |
//! | `fetch` to elsewhere: grants, redirects, secrets, caps | `egress.rs` |
//! | owner, users, sign-in, single sign-on, sessions, tokens | `identity.rs` |
//! | attacks on them | `intruder.rs` |
//! | `fazt.storage`: values, people, rooms | `storage.rs` |
//! | `fazt storage`: what operators see, a user's archive | `operator.rs` |
//! | the tutorial of the README, and its guestbook | `tutorial.rs` |
//! | `fazt.storage.sql`: values, people, attacks, deaths | `sql.rs` |
//! | schedules, runs and jobs for later | `schedule.rs` |
//! | HTTPS, certificates of our own, those of an authority | `tls.rs`, `acme.rs` |
//! | power cuts in the middle of a deploy | `crash.rs` |
//! | several workers, memory, crash loops, quarantine, the owner's word | `workers.rs` |
//! | full disks, damaged files, missing layers, stalling clients | `faults.rs` |

mod acme;
mod api;
mod assets;
mod between;
mod blobs;
mod bundle;
mod control;
mod crash;
mod deploy;
mod dev;
mod doctor;
mod edge;
mod egress;
mod env;
mod faults;
mod grants;
mod hostile;
mod identity;
mod install;
mod intruder;
mod lifecycle;
mod operator;
mod remote;
mod runtime;
mod schedule;
mod sql;
mod storage;
mod tls;
mod tutorial;
mod workers;

/// A handler that says hello.
pub const HELLO: &str = "export default { fetch() { return new Response('hello'); } };";
