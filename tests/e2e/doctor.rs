//! `fazt proc doctor`: layers, escapes in a real locked process, and what `sandbox.allow_missing` may not name.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use fazt_tests::{Server, ServerOptions, fazt};
use serde_json::Value;

use crate::HELLO;

const USER: u32 = 65_534;

fn root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|about| about.uid() == 0)
}

fn rows<'a>(doctor: &'a Value, what: &str) -> &'a Vec<Value> {
    doctor[what].as_array().expect("an array")
}

fn every_escape_is_stopped(doctor: &Value) {
    let escapes = rows(doctor, "escapes");
    assert!(escapes.len() >= 30, "{} escapes", escapes.len());
    for escape in escapes {
        assert_eq!(escape["stopped"], true, "{escape}");
        assert!(!escape["by"].as_str().unwrap_or_default().is_empty(), "{escape}");
    }
    assert!(escapes.iter().any(|escape| escape["by"] == "seccomp"), "{escapes:?}");
}

/// What only seccomp stops stays inside its process.
fn second_walls_hold(doctor: &Value) {
    assert_eq!(doctor["walls_untried"], "", "{doctor}");
    for escape in rows(doctor, "escapes") {
        let walls = &escape["walls"];
        assert!(walls["stopped"] == true || walls["contained"] == true, "{escape}");
    }
    for name in ["openat /etc/passwd", "connect TCP to this machine", "fork", "unshare user namespace"] {
        let escape = rows(doctor, "escapes").iter().find(|escape| escape["name"] == name).expect(name);
        assert_eq!(escape["walls"]["stopped"], true, "{escape}");
    }
}

#[test]
fn root_is_healthy_every_escape_is_stopped_and_the_app_goes_on() {
    if !root() {
        return;
    }
    let server = Server::start();
    server.deploy_files("good", &[("server.js", HELLO)]);
    assert_eq!(server.get("good", "/").text(), "hello");
    let before = server.processes("good");
    let over = AtomicBool::new(false);
    let outcome = thread::scope(|scope| {
        let visitor = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                assert_eq!(server.get("good", "/").text(), "hello");
            }
        });
        let outcome = server.fazt(&["proc", "doctor", "--json"]);
        over.store(true, Ordering::Relaxed);
        visitor.join().expect("the app answers meanwhile");
        outcome
    });
    let doctor = outcome.json();
    every_escape_is_stopped(&doctor);
    second_walls_hold(&doctor);
    for layer in rows(&doctor, "layers") {
        assert_eq!(layer["present"], true, "{layer}");
    }
    assert_eq!((&doctor["healthy"], outcome.code), (&Value::Bool(true), 0));
    assert_eq!(server.processes("good")[0]["gen"], before[0]["gen"], "the same worker");
    let words = server.fazt(&["proc", "doctor"]).ok().stdout;
    for part in ["seccomp (", "execve /bin/sh", "The same without seccomp", "empty root", "namespace.pid"] {
        assert!(words.contains(part), "{part}: {words}");
    }
}

#[test]
fn an_ordinary_user_is_told_which_layers_are_missing() {
    let uid = root().then_some(USER);
    let server = Server::with(ServerOptions { uid, ..ServerOptions::default() });
    let outcome = server.fazt(&["proc", "doctor", "--json"]);
    let doctor = outcome.json();
    assert_eq!((&doctor["healthy"], outcome.code), (&Value::Bool(false), 1));
    every_escape_is_stopped(&doctor);
    assert!(doctor["walls_untried"].as_str().is_some_and(|why| why.contains("root")), "{doctor}");
    assert!(rows(&doctor, "escapes").iter().all(|escape| escape["walls"].is_null()), "{doctor}");
    for name in ["memory.cgroup", "namespace.net", "namespace.mount", "uid", "capabilities"] {
        let layer = rows(&doctor, "layers").iter().find(|layer| layer["name"] == name).expect(name);
        assert_eq!(layer["present"], false, "{layer}");
        assert!(layer["fix"].as_str().is_some_and(|fix| fix.contains("root")), "{layer}");
    }
}

#[test]
fn a_layer_that_may_never_be_missing_cannot_be_named_and_neither_can_a_strange_one() {
    for (name, part) in [("seccomp", "never be missing"), ("cgroup.memory", "is no layer")] {
        let data = tempfile::tempdir().expect("temporary folder");
        let config = format!("[sandbox]\nallow_missing = ['{name}']\n");
        std::fs::write(data.path().join("config.toml"), config).expect("config.toml");
        let outcome = fazt(data.path(), &["proc", "start", "--dev", "--listen", "127.0.0.1:0"]);
        assert_ne!(outcome.code, 0, "{name}");
        for part in ["sandbox.allow_missing", name, part] {
            assert!(outcome.stderr.contains(part), "{part}: {}", outcome.stderr);
        }
    }
}
