//! Launcher and sandbox on this kernel, with real processes. One program plays every role: it is the launcher, the
//! supervisor that the launcher starts, the stand-in for a worker, and the tests.
//!
//! As root, everything; as an ordinary user, what `--dev` holds. `jail measure` prints costs and asserts nothing.

mod attacks;
mod builds;
mod life;
mod measure;
mod orders;
mod rig;
mod standin;
mod sys;

use std::process::ExitCode;

use fazt_supervisor::jail::{BUILD, EGRESS, STORE, SUPERVISE};

/// A test: a sentence, and whether it needs root.
pub(crate) type Test = (&'static str, bool, fn() -> anyhow::Result<()>);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["fazt-worker", fazt_worker::sandbox::escape::ARGUMENT] => fazt_worker::sandbox::escape::serve(),
        ["fazt-worker", fazt_worker::sandbox::escape::ARGUMENT_WALLS] => {
            fazt_worker::sandbox::escape::serve_walls()
        }
        ["fazt-worker", ..] => {
            standin::main();
            ExitCode::SUCCESS
        }
        [_, BUILD] => fazt_supervisor::entry::build(),
        [_, STORE] => fazt_worker::sandbox::escape::serve_behind(fazt_supervisor::confine::store().is_ok()),
        [_, EGRESS, ..] => {
            sys::close_what_was_handed();
            fazt_worker::sandbox::escape::serve_behind(fazt_supervisor::confine::egress(&[443, 53]).is_ok())
        }
        [_, SUPERVISE, socket] => rig::supervisor(socket),
        [_, "launcher", ..] => rig::launcher(&arguments[2..]),
        [_, "measure", ..] => measure::main(),
        _ => tests(&arguments[1..]),
    }
}

/// Understands what `cargo test` and `cargo nextest` ask of a test program.
fn tests(arguments: &[String]) -> ExitCode {
    let root = rustix::process::geteuid().is_root();
    let has = |flag: &str| arguments.iter().any(|one| one == flag);
    let wanted: Vec<&String> =
        arguments.iter().filter(|one| !one.starts_with('-') && *one != "terse").collect();
    let all = || orders::TESTS.iter().chain(life::TESTS).chain(attacks::TESTS).chain(builds::TESTS);
    if has("--list") {
        if !has("--ignored") {
            all().for_each(|(name, ..)| println!("{name}: test"));
        }
        return ExitCode::SUCCESS;
    }
    let mut failed = 0;
    for &(name, needs_root, test) in all() {
        let named =
            |part: &&String| if has("--exact") { name == **part } else { name.contains(part.as_str()) };
        if !wanted.is_empty() && !wanted.iter().any(named) {
            continue;
        }
        if needs_root && !root {
            println!("skip  {name}: needs root");
            continue;
        }
        match test() {
            Ok(()) => println!("ok    {name}"),
            Err(error) => {
                failed += 1;
                println!("FAIL  {name}: {error:?}");
            }
        }
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
