//! Deploy, list, versions, rollback, remove, rename.

use fazt_tests::{Folder, Server, ServerOptions};

use crate::HELLO;

#[test]
fn a_folder_becomes_an_app_and_answers() {
    let server = Server::start();
    let deployed = server.deploy_files("myapp", &[("server.js", HELLO), ("public/a.txt", "file")]);
    assert_eq!(deployed["version"]["number"], 1);
    assert_eq!(deployed["files_sent"], 2);
    assert_eq!(server.get("myapp", "/").text(), "hello");
    assert_eq!(server.get("myapp", "/a.txt").text(), "file");
    let list = server.fazt(&["app", "list", "--json"]).ok().json();
    assert_eq!(list[0]["name"], "myapp");
    assert_eq!(list[0]["version"]["number"], 1);
}

#[test]
fn only_changed_files_travel_and_nothing_changed_makes_no_version() {
    let server = Server::start();
    let folder = Folder::with(&[("server.js", HELLO), ("public/a.txt", "one"), ("public/b.txt", "two")]);
    assert_eq!(server.deploy(&folder, "inc")["files_sent"], 3);
    let again = server.deploy(&folder, "inc");
    assert_eq!((&again["unchanged"], &again["version"]["number"]), (&true.into(), &1.into()));
    folder.write("public/b.txt", "three");
    let third = server.deploy(&folder, "inc");
    assert_eq!((&third["files_sent"], &third["version"]["number"]), (&1.into(), &2.into()));
    assert_eq!(server.get("inc", "/b.txt").text(), "three");
}

#[test]
fn an_app_of_files_alone_has_nothing_to_wake() {
    let server = Server::start();
    server.deploy_files("files", &[("index.html", "home")]);
    for verb in ["wake", "restart", "hibernate", "kill"] {
        let changed = server.fazt(&["proc", verb, "files", "--json"]).ok().json();
        assert_eq!(changed["workers"], 0, "{verb}");
    }
    assert_eq!(server.get("files", "/").text(), "home");
}

#[test]
fn a_file_that_changes_while_it_is_deployed_is_named() {
    let server = Server::start();
    let folder = Folder::with(&[("index.html", "home")]);
    let path = folder.path().join("busy.bin");
    std::fs::write(&path, vec![0; 8 << 20]).expect("a file");
    let done = std::sync::atomic::AtomicBool::new(false);
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| {
            use std::os::unix::fs::FileExt as _;
            let file = std::fs::File::options().write(true).open(&path).expect("the file");
            for n in 0_u64.. {
                if done.load(std::sync::atomic::Ordering::Relaxed) {
                    return;
                }
                file.write_all_at(&n.to_le_bytes(), 0).expect("written");
            }
        });
        let outcome = server.fazt(&["app", "deploy", folder.arg(), "--name", "busy"]);
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        outcome
    });
    assert_eq!(outcome.code, 5, "{outcome:?}");
    assert!(outcome.stderr.contains("busy.bin changed while it was deployed"), "{outcome:?}");
    assert_eq!(server.get("busy", "/").status, 421, "nothing is live");
    server.deploy(&folder, "busy");
}

#[test]
fn rollback_goes_back_and_forth() {
    let server = Server::start();
    let version = |n: u32| format!("export default {{ fetch() {{ return new Response('v{n}'); }} }};");
    for n in 1..=3 {
        server.deploy_files("app", &[("server.js", &version(n))]);
        assert_eq!(server.get("app", "/").text(), format!("v{n}"));
    }
    server.fazt(&["app", "rollback", "app"]).ok();
    assert_eq!(server.get("app", "/").text(), "v2");
    server.fazt(&["app", "rollback", "app", "1"]).ok();
    assert_eq!(server.get("app", "/").text(), "v1");
    server.fazt(&["app", "rollback", "app", "3"]).ok();
    assert_eq!(server.get("app", "/").text(), "v3");
    let missing = server.fazt(&["app", "rollback", "app", "9", "--json"]);
    assert_eq!(missing.code, 3, "{}", missing.stderr);
    let versions = server.fazt(&["app", "versions", "app", "--json"]).ok().json();
    assert_eq!(versions.as_array().map(Vec::len), Some(3));
}

#[test]
fn a_deploy_that_fails_changes_nothing() {
    let server = Server::start();
    server.deploy_files("app", &[("server.js", HELLO)]);
    for (files, expected) in [
        (&[("server.js", "export default { fetch( {")][..], "server.js:1"),
        (&[("server.js", HELLO), ("app.json", "{\"name\": \"app\", \"colour\": 1}")], "colour"),
        (
            &[
                ("server.js", HELLO),
                ("app.json", "{\n \"name\": \"app\",\n \"permissions\": {\"root\": true}}"),
            ],
            "root",
        ),
        (&[("server.js", HELLO), ("public/A.txt", "1"), ("public/a.txt", "2")], "a.txt"),
        (&[("readme.md", "nothing to run")], "index.html"),
    ] {
        let folder = Folder::with(files);
        let outcome = server.fazt(&["app", "deploy", folder.arg(), "--name", "app", "--yes", "--json"]);
        assert_ne!(outcome.code, 0, "{files:?} was accepted");
        let message = outcome.error().to_string();
        assert!(message.contains(expected), "{message} does not name {expected}");
        assert_eq!(server.get("app", "/").text(), "hello");
    }
    let versions = server.fazt(&["app", "versions", "app", "--json"]).ok().json();
    assert_eq!(versions.as_array().map(Vec::len), Some(1));
}

#[test]
fn a_symlink_is_refused_by_name() {
    let server = Server::start();
    let folder = Folder::with(&[("server.js", HELLO)]);
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("secret.txt")).expect("symlink");
    let outcome = server.fazt(&["app", "deploy", folder.arg(), "--name", "app", "--yes"]);
    assert_ne!(outcome.code, 0);
    assert!(outcome.stderr.contains("secret.txt"), "{}", outcome.stderr);
}

#[test]
fn names_that_mislead_are_refused() {
    let server = Server::start();
    for name in ["admin", "Über", "a.b", "-a", "xn--80ak6aa92e", "a_b", &"a".repeat(64)] {
        let folder = Folder::with(&[("server.js", HELLO)]);
        let outcome = server.fazt(&["app", "deploy", folder.arg(), "--name", name, "--yes", "--json"]);
        assert_ne!(outcome.code, 0, "{name} was accepted");
    }
}

#[test]
fn rename_moves_the_route_and_a_taken_name_conflicts() {
    let server = Server::start();
    server.deploy_files("one", &[("server.js", HELLO)]);
    server.deploy_files("two", &[("server.js", HELLO)]);
    assert_eq!(server.fazt(&["app", "rename", "one", "two"]).code, 5);
    let same = server.fazt(&["app", "rename", "one", "one", "--json"]);
    assert_eq!(same.code, 5, "its own name is told apart from a success");
    assert!(
        same.error()["message"].as_str().is_some_and(|text| text.contains("named `one` already")),
        "{}",
        same.stderr
    );
    server.fazt(&["app", "rename", "one", "three"]).ok();
    assert_eq!(server.get("three", "/").text(), "hello");
    assert_eq!(server.get("one", "/").status, 421);
}

#[test]
fn remove_leaves_nothing() {
    let server = Server::start();
    server.deploy_files("gone", &[("server.js", HELLO)]);
    assert_eq!(server.get("gone", "/").status, 200);
    server.fazt(&["app", "remove", "gone", "--yes"]).ok();
    assert_eq!(server.get("gone", "/").status, 421);
    assert_eq!(server.fazt(&["app", "info", "gone"]).code, 3);
    let left = std::fs::read_dir(server.data().join("apps")).expect("apps").flatten();
    let left = left.filter(|entry| entry.file_name().to_string_lossy().starts_with("app_")).count();
    assert_eq!(left, 0, "the app's folder is still there");
}

#[test]
fn typescript_and_jsx_are_stripped() {
    let server = Server::start();
    server.deploy_files(
        "typed",
        &[
            ("server.ts", "import { greet, type Name } from './greet.ts';\nenum Mood { Good = 'good' }\nconst who: Name = 'ts';\nexport default { async fetch(request: Request): Promise<Response> { return new Response(greet(who) + Mood.Good); } } satisfies object;"),
            ("greet.ts", "export type Name = string;\nexport const greet = (name: Name): string => `hi ${name} `;"),
        ],
    );
    assert_eq!(server.get("typed", "/").text(), "hi ts good");
}

#[test]
fn fs_commands_show_what_was_deployed() {
    let server = Server::start();
    server.deploy_files("files", &[("server.js", HELLO), ("public/dir/a.txt", "content")]);
    let listing = server.fazt(&["fs", "ls", "files:public", "--json"]).ok();
    assert!(listing.stdout.contains("dir"), "{}", listing.stdout);
    assert_eq!(server.fazt(&["fs", "cat", "files:public/dir/a.txt"]).ok().stdout, "content");
    let stat = server.fazt(&["fs", "stat", "files:public/dir/a.txt", "--json"]).ok();
    assert!(stat.stdout.contains("text/plain"), "{}", stat.stdout);
    assert_eq!(server.fazt(&["fs", "cat", "files:public/none"]).code, 3);
    let folder = server.fazt(&["fs", "cat", "files:public/dir", "--json"]);
    assert_eq!(folder.code, 2);
    assert_eq!(folder.error()["message"], "`public/dir` is a folder");
}

#[test]
fn as_many_versions_are_kept_as_the_configuration_says() {
    let config = "keep_versions = 2\n";
    let server = Server::with(ServerOptions { config: config.into(), ..ServerOptions::default() });
    for version in 1..=4 {
        let text = format!("export default {{ fetch() {{ return new Response('v{version}'); }} }};");
        server.deploy_files("app", &[("server.js", &text)]);
    }
    let kept = server.fazt(&["app", "versions", "app", "--json"]).ok().json();
    let numbers: Vec<u64> =
        kept.as_array().into_iter().flatten().filter_map(|row| row["number"].as_u64()).collect();
    assert_eq!(numbers, [4, 3]);
    assert_eq!(server.fazt(&["app", "rollback", "app", "2"]).code, 3, "it is gone");
    server.fazt(&["app", "rollback", "app"]).ok();
    assert_eq!(server.get("app", "/").text(), "v3");
}
