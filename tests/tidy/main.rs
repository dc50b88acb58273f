//! Rules that the text claims, checked by a machine: direction of dependencies, where `unsafe` may stand, how
//! long a file may be, which symbols the static binary must not hold.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("workspace").to_owned()
}

/// Every file below the workspace's crates with that ending, as (path from the root, text).
fn files(ending: &str) -> Vec<(String, String)> {
    let root = root();
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> =
        ["ipc", "worker", "supervisor", "cli", "tests", "apps"].map(|name| root.join(name)).into();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() {
                if !name.starts_with('.') && name != "target" && name != "node_modules" {
                    folders.push(path);
                }
            } else if name.ends_with(ending) {
                let short = path.strip_prefix(&root).expect("below the root").to_string_lossy().into_owned();
                found.push((short, fs::read_to_string(&path).expect("text")));
            }
        }
    }
    assert!(!found.is_empty());
    found
}

/// Code without line comments, so that a page may name what it does not use.
fn code(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

#[test]
fn crates_depend_in_one_direction() {
    for (crate_name, forbidden) in [
        ("ipc", &["fazt-worker", "fazt-supervisor", "tokio", "rusqlite", "hyper", "rustix", "libc"][..]),
        ("worker", &["fazt-supervisor", "tokio", "rusqlite", "hyper"]),
        ("supervisor", &["fazt-worker", "rquickjs", "clap"]),
    ] {
        let manifest = fs::read_to_string(root().join(crate_name).join("Cargo.toml")).expect("manifest");
        let dependencies = manifest.split("[dev-dependencies]").next().expect("first part");
        for name in forbidden {
            let named = dependencies.lines().any(|line| line.split(['.', '=', ' ']).next() == Some(name));
            assert!(!named, "{crate_name} must not depend on {name}");
        }
    }
}

#[test]
fn kernel_nouns_know_only_what_lies_left_of_them() {
    let nouns = ["security", "storage", "fs", "syscall", "proc", "net"];
    let mut wrong = Vec::new();
    for (path, text) in files(".rs") {
        let Some(rest) = path.strip_prefix("supervisor/src/kernel/") else { continue };
        let Some(mine) = nouns.iter().position(|noun| rest.starts_with(&format!("{noun}/"))) else {
            continue;
        };
        let text = code(&text);
        for right in &nouns[mine + 1..] {
            for spelling in [format!("kernel::{right}"), format!("super::super::{right}")] {
                if text.contains(&spelling) {
                    wrong.push(format!("{path} names {spelling}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_jail_knows_nothing_of_the_kernel() {
    for (path, text) in files(".rs") {
        if path.starts_with("supervisor/src/jail/") {
            assert!(!code(&text).contains("kernel::"), "{path} names the kernel");
        }
    }
}

#[test]
fn only_storage_and_the_store_role_name_the_database_library() {
    for (path, text) in files(".rs") {
        // The store role is a process of its own, which runs SQL that an app wrote.
        let may = ["supervisor/src/kernel/storage/", "supervisor/src/store/"];
        if path.starts_with("supervisor/src/") && !may.iter().any(|folder| path.starts_with(folder)) {
            assert!(!code(&text).contains("rusqlite"), "{path} names rusqlite");
        }
    }
}

#[test]
fn unsafe_stands_in_files_named_sys_only() {
    for (path, text) in files(".rs") {
        if path.ends_with("/sys.rs") {
            continue;
        }
        let text = code(&text);
        for mark in ["{", "fn", "impl", "extern"].map(|what| ["unsafe", what].join(" ")) {
            assert!(!text.contains(&mark), "{path} holds `{mark}`");
        }
    }
}

#[test]
fn files_are_easy_to_hold_in_the_head() {
    for ending in [".rs", ".js"] {
        for (path, text) in files(ending) {
            let lines = text.lines().count();
            assert!(lines <= 800, "{path} has {lines} lines: make it a folder");
        }
    }
}

#[test]
fn modules_open_by_saying_what_they_are_for() {
    for (path, text) in files(".rs") {
        let documented = text.lines().next().is_some_and(|line| line.starts_with("//!"));
        assert!(documented, "{path} does not open with `//!`");
    }
}

/// A static glibc cannot load name-service modules; a call would crash or lie on another machine.
#[test]
fn the_binary_calls_no_name_service() {
    let output = Command::new("nm").arg(fazt_tests::fazt_path()).output().expect("nm, of binutils");
    let symbols = String::from_utf8_lossy(&output.stdout);
    assert!(symbols.lines().count() > 1000, "the binary must keep its symbol table for this test");
    for name in ["getaddrinfo", "gethostbyname", "getpwnam", "getpwuid_r", "getgrnam", "getpwnam_r"] {
        let found = symbols.lines().any(|line| line.rsplit(' ').next() == Some(name));
        assert!(!found, "{name} is linked in");
    }
}
