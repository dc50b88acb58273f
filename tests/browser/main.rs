//! People in a real browser: Chromium of the system, driven by `cases.mjs`. What is asserted is in there; here a
//! server is set up and the case is run. `FAZT_CHROMIUM` names another browser than `/usr/bin/chromium`.

use std::path::Path;
use std::process::Command;

use fazt_tests::{Folder, Server, npm};
use serde_json::json;

/// A server with the app `board`, which says nothing about security, and a hostile one.
fn serve() -> Server {
    let server = Server::start();
    let board = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser/board");
    server.fazt(&["app", "deploy", board.to_str().expect("plain"), "--yes"]).ok();
    let evil = Folder::with(&[("index.html", "<!doctype html><title>evil</title><body>evil</body>")]);
    server.deploy(&evil, "evil");
    server
}

/// Runs a case against a server on which nobody has signed in yet.
fn check(case: &str) {
    let server = serve();
    let invite = server.fazt(&["user", "invite", "--json"]).ok().json();
    let port = server.address.port();
    let facts = json!({
        "origin": format!("http://localhost:{port}"),
        "app": format!("http://board.localhost:{port}/"),
        "evil": format!("http://evil.localhost:{port}/"),
        "link": server.sign_in_url,
        "invite": invite["url"],
    });
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let done = Command::new("node")
        .arg(here.join("browser/cases.mjs"))
        .args([case, &facts.to_string()])
        .env("NODE_PATH", npm("browser").join("node_modules"))
        .output()
        .expect("node");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{case}: {said}\n`packaging/need.sh test` installs the browser");
}

#[test]
fn two_people_use_one_app_and_each_sees_their_own_and_what_is_shared() {
    check("people");
}

#[test]
fn all_but_passkeys_works_without_a_script() {
    check("noscript");
}

#[test]
fn a_passkey_is_made_and_signs_in() {
    check("passkey");
}

#[test]
fn codes_of_an_app_are_set_up_asked_for_and_turned_off() {
    check("totp");
}

#[test]
fn a_hostile_app_gets_nothing_from_whoever_is_signed_in() {
    check("attacks");
}
