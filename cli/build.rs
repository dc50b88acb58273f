//! Builds the worker program and lays its bytes where `main.rs` embeds them.
//!
//! The worker is a program of its own because its size is paid by every process; it is built in the release
//! profile whatever the profile of `fazt`, so that the sandboxed side is the same everywhere, and in its own
//! target folder, so that the two cargo runs do not wait for one lock. With `FAZT_SKIP_WORKER=1` an empty
//! image is embedded: checks and lints are quick, and the program refuses to start a server.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// Two thirds of the program's size, in a second.
const LEVEL: i32 = 12;

/// Set by cargo or by a lint run for this build, wrong for the other one.
const NOT_FOR_THE_WORKER: &[&str] = &[
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_TARGET_DIR",
    "RUSTC_WORKSPACE_WRAPPER",
    "CLIPPY_ARGS",
];

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}

fn main() {
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR")).join("..");
    let image = PathBuf::from(variable("OUT_DIR")).join("fazt-worker");
    for path in ["worker", "ipc", "Cargo.lock", "Cargo.toml", ".cargo/config.toml"] {
        println!("cargo::rerun-if-changed={}", root.join(path).display());
    }
    println!("cargo::rerun-if-changed=build.rs");
    // Addresses to adjust when it starts take 24 bytes each otherwise: a megabyte.
    println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    println!("cargo::rerun-if-env-changed=FAZT_SKIP_WORKER");
    println!("cargo::rerun-if-env-changed=CC");

    let skip = env::var_os("FAZT_SKIP_WORKER").is_some_and(|value| value == "1");
    if skip {
        fs::write(&image, []).expect("OUT_DIR is writable");
    } else {
        let program = fs::read(build(&root)).expect("the worker was built");
        let packed = zstd::bulk::compress(&program, LEVEL).expect("any bytes compress");
        fs::write(&image, packed).expect("OUT_DIR is writable");
    }
}

/// Runs the other cargo and gives the path of the program.
fn build(root: &Path) -> PathBuf {
    let target = variable("TARGET");
    let folder = root.join("target/worker");
    let mut cargo = Command::new(variable("CARGO"));
    cargo.current_dir(root).args(["build", "--release", "--package", "fazt-worker", "--bin", "fazt-worker"]);
    cargo.args(["--target", &target]).arg("--target-dir").arg(&folder);
    for name in NOT_FOR_THE_WORKER {
        cargo.env_remove(name);
    }
    // QuickJS runs faster built by clang; without it the machine's own compiler does.
    if env::var("CC").is_ok_and(|cc| cc == "clang")
        && Command::new("clang").arg("--version").output().is_err()
    {
        println!(
            "cargo::warning=clang is not installed: the JavaScript engine is built by cc and runs slower"
        );
        cargo.env("CC", "cc");
    }
    let status = cargo.status().expect("cargo runs");
    assert!(status.success(), "building fazt-worker failed: see above");
    folder.join(target).join("release/fazt-worker")
}
