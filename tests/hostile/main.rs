//! A stranger who tries everything, from the command line to the jail: real binary, real processes, a server on
//! loopback. Each row is one attack; after it the command has said why not and what would be right, nothing of it
//! remains, and the app that was there before answers.
//!
//! A new attack is a new `row(…)`: what it is, the exit code, parts of what is said, and what is to be installed.
//!
//! | rows | file |
//! |---|---|
//! | names, links, modes, twins, a million files | `trees.rs` |
//! | packs that lie, bombs | `packs.rs` |
//! | Git servers that lie, lead elsewhere, never end | `servers.rs` |
//! | what is typed | `typed.rs` |
//! | manifests and names | `manifests.rs` |
//! | texts that would drive a terminal or a page | `texts.rs` |
//! | lock files, archives of packages | `packages.rs` |
//! | scripts, settings, bundles | `scripts.rs` |
//! | an honest repository that turns hostile | `updates.rs` |
//! | processes that are killed, installs that meet | `middle.rs` |
//!
//! | what they are made with | file |
//! |---|---|
//! | the stage, and what must be as it was | `stage.rs` |
//! | a server that answers as it is told | `web.rs` |
//! | packs, trees, deltas by hand | `pack.rs` |
//! | archives by hand | `tar.rs` |

mod manifests;
mod middle;
mod pack;
mod packages;
mod packs;
mod scripts;
mod servers;
mod stage;
mod tar;
mod texts;
mod trees;
mod typed;
mod updates;
mod web;
