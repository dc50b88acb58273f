//! `fazt storage`: what operators see of what apps store, with its exit codes.

use std::process::Command;

use fazt_tests::{Folder, Server};
use serde_json::Value;

use crate::HELLO;
use crate::storage::{enter, gave, serve};

/// An app in which two people store something.
fn filled() -> Server {
    let server = serve();
    let mut owner = server.owner();
    let mut anna = server.user("anna", &[]);
    enter(&server, &mut owner);
    enter(&server, &mut anna);
    gave(&mut anna, "/queries");
    gave(&mut anna, "/mine/of-anna");
    gave(&mut anna, "/blobs");
    gave(&mut owner, "/mine/of-the-owner");
    gave(&mut owner, "/shared/of-all");
    gave(&mut owner, "/create");
    server
}

fn json(server: &Server, words: &[&str]) -> Value {
    server.fazt(&[&["storage"], words, &["--json"]].concat()).ok().json()
}

fn refused(server: &Server, words: &[&str], code: i32, said: &str) {
    let outcome = server.fazt(&[&["storage"], words, &["--json"]].concat());
    assert_eq!(outcome.code, code, "{words:?}: {outcome:?}");
    assert!(outcome.stderr.contains(said), "{words:?}: {}", outcome.stderr);
}

#[test]
fn an_operator_sees_how_much_there_is_and_of_which_kind() {
    let server = filled();
    let used = json(&server, &["usage"]);
    let notes = &used[0];
    assert_eq!(notes["app"], "notes");
    // 24 documents, one key and two blobs of Anna's, two keys of others.
    assert_eq!((&notes["rows"], &notes["rows_max"]), (&29.into(), &(256 * 8192).into()), "{used}");
    assert_eq!(notes["data_bytes_max"], 256u64 << 20);
    assert!(
        notes["data_bytes"].as_u64().is_some_and(|bytes| bytes > 4096) && notes["trouble"].is_null(),
        "{used}"
    );
    let table = server.fazt(&["storage", "usage"]).ok().stdout;
    assert!(table.contains("APP") && table.contains("notes") && table.contains("256 MB"), "{table}");

    let found = json(&server, &["collections", "notes"]);
    assert_eq!((&found[0]["name"], &found[0]["docs"]), (&"notes".into(), &24.into()), "{found}");
    assert_eq!(found[0]["indexes"], serde_json::json!([["n"], ["title", "n"]]));
    assert_eq!(found[0]["schema"]["title"], "string");
    let table = server.fazt(&["storage", "collections", "notes"]).ok().stdout;
    assert!(table.contains("title+n") && table.contains("active"), "{table}");
    refused(&server, &["collections", "none"], 3, "none");
}

#[test]
fn an_operator_sees_what_a_user_sees_and_it_is_written_down() {
    let server = filled();
    let query =
        ["query", "notes", "notes", "--as", "anna", "--where", r#"{"n":{"$gte":20}}"#, "--order", "-n"];
    let query = [&query[..], &["--limit", "2"]].concat();
    let page = json(&server, &query);
    let n = |page: &Value| {
        let items = page["items"].as_array().expect("items").iter();
        items.map(|item| item["n"].as_u64().expect("n")).collect::<Vec<_>>()
    };
    assert_eq!(n(&page), [100, 24]);
    let cursor = page["cursor"].as_str().expect("more");
    let next = json(&server, &[&query[..], &["--cursor", cursor]].concat());
    assert_eq!(n(&next), [23, 22]);
    assert_eq!(
        json(&server, &["query", "notes", "notes"])["items"],
        serde_json::json!([]),
        "the owner has none"
    );
    let lines = server.fazt(&["storage", "query", "notes", "notes", "--as", "anna", "--limit", "1"]).ok();
    assert!(lines.stdout.contains(r#""id":""#) && lines.stderr.contains("--cursor"), "{lines:?}");

    let told = json(&server, &["explain", "notes", "notes", "--as", "anna", "--where", r#"{"n":5}"#]);
    assert!(told["sql"].as_str().is_some_and(|sql| sql.contains("_space = ?1")), "{told}");
    let plan = told["plan"].to_string();
    assert!(plan.contains("SEARCH") && plan.contains("_space=?") && !plan.contains("SCAN doc"), "{plan}");
    let kinds: Vec<_> = told["spaces"].as_array().expect("spaces").iter().map(|one| &one["kind"]).collect();
    assert_eq!(kinds, ["app", "user"], "{told}");
    let own = json(&server, &["explain", "notes", "notes"]);
    assert_eq!(own["spaces"].as_array().map(Vec::len), Some(3), "the owner made a room: {own}");
    let room = own["spaces"][2]["id"].as_str().expect("an id");
    json(&server, &["query", "notes", "notes", "--space", room]);
    refused(&server, &["query", "notes", "notes", "--space", room, "--as", "anna"], 3, "not a member");

    for (words, code, said) in [
        (&["--where", "{"][..], 2, "--where is not JSON"),
        (&["--where", r#"{"n":{"$no":1}}"#], 2, "unknown operator"),
        (&["--limit", "5000"], 2, "1 to 1000"),
        (&["--cursor", "made-up"], 2, "cursor"),
        (&["--space", "space_x"], 2, "no such space"),
        (&["--as", "nobody"], 3, "nobody"),
        (&["--as", "anonymous"], 4, "nobody is signed in"),
    ] {
        for verb in ["query", "explain"] {
            refused(&server, &[&[verb, "notes", "notes"], words].concat(), code, said);
        }
    }
    refused(&server, &["query", "notes", "none"], 2, "no collection");
    refused(&server, &["query", "none", "notes"], 3, "none");
    let audit = server.fazt(&["security", "audit"]).ok().stdout;
    assert!(audit.contains("storage.query notes/notes: as anna"), "{audit}");
}

#[test]
fn a_damaged_file_is_found_and_the_others_are_sound() {
    let mut server = filled();
    server.deploy_files("bad", &[("server.js", HELLO), ("public/large.txt", &"z".repeat(200_000))]);
    let checked = json(&server, &["check"]);
    assert_eq!(checked.as_array().map(Vec::len), Some(3), "{checked}");
    assert!(checked.as_array().is_some_and(|all| all.iter().all(|one| one["ok"] == true)), "{checked}");
    let id =
        server.fazt(&["app", "info", "bad", "--json"]).ok().json()["id"].as_str().expect("id").to_owned();
    server.fazt(&["proc", "stop"]).ok();
    server.exit_code();
    let path = server.data().join("apps").join(id).join("app.fazt");
    std::fs::write(&path, vec![0xa5; 64 * 1024]).expect("the cartridge");
    for beside in ["app.fazt-wal", "app.fazt-shm"] {
        // A clean stop leaves neither.
        let _ = std::fs::remove_file(path.with_file_name(beside));
    }
    server.start_again();
    let outcome = server.fazt(&["storage", "check", "--json"]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    for one in outcome.json().as_array().expect("rows") {
        assert_eq!(one["ok"], one["app"] != "bad", "{one}");
    }
    assert!(
        outcome.error()["message"].as_str().is_some_and(|text| text.contains("1 of 3 files")),
        "{outcome:?}"
    );
    let table = server.fazt(&["storage", "check", "notes"]).ok().stdout;
    assert!(table.contains("sound") && !table.contains("bad"), "{table}");
    refused(&server, &["check", "none"], 3, "none");
    // And everybody still gets what is theirs, with a word about what is not there.
    let place = Folder::with(&[]);
    let archive = place.path().join("anna.tar");
    let archive = archive.to_str().expect("text");
    let exported = server.fazt(&["storage", "export-user", "anna", archive]);
    assert!(exported.stdout.contains("notes"), "{exported:?}");
}

#[test]
fn a_user_s_archive_has_what_is_theirs_and_nothing_else() {
    let server = filled();
    let place = Folder::with(&[]);
    let archive = place.path().join("anna.tar");
    let archive = archive.to_str().expect("text");
    let told = json(&server, &["export-user", "anna", archive]);
    assert_eq!(told["apps"][0]["docs"], 24, "{told}");
    let unpacked = Command::new("tar").args(["-xf", archive, "-C", place.arg()]).status().expect("tar");
    assert!(unpacked.success());
    let read = |path: &str| {
        std::fs::read_to_string(place.path().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
    };
    let lines = |path: &str| {
        let text = read(path);
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect::<Vec<Value>>()
    };
    let docs = lines("apps/notes/docs-0001.jsonl");
    assert_eq!(docs.len(), 24);
    assert!(
        docs.iter().any(|doc| doc["id"] == "q05" && doc["body"]["n"] == 5 && doc["collection"] == "notes")
    );
    let keys = lines("apps/notes/kv-0001.jsonl");
    assert_eq!((keys.len(), &keys[0]["key"], &keys[0]["value"]), (1, &"mine".into(), &"of-anna".into()));
    let blobs = lines("apps/notes/blobs-0001.jsonl");
    let sizes: Vec<_> = blobs.iter().map(|blob| blob["size"].as_u64().expect("size")).collect();
    assert_eq!(sizes, [300_000, 5], "{blobs:?}");
    for blob in &blobs {
        let bytes = read(&format!("apps/notes/{}", blob["file"].as_str().expect("a file")));
        assert_eq!(bytes, "b".repeat(blob["size"].as_u64().expect("size") as usize));
    }
    let spaces = lines("apps/notes/spaces-0001.jsonl");
    assert_eq!((spaces.len(), &spaces[0]["kind"], &spaces[0]["own"]), (1, &"user".into(), &true.into()));
    assert_eq!(keys[0]["space"], spaces[0]["space"]);
    let about: Value = serde_json::from_str(&read("export.json")).expect("JSON");
    assert_eq!((&about["user"]["name"], &about["version"]), (&"anna".into(), &1.into()), "{about}");
    assert!(read("README.txt").contains("docs-0001.jsonl"));
    refused(&server, &["export-user", "anna", archive], 5, "exists already");
    let other = place.path().join("nobody.tar");
    refused(&server, &["export-user", "nobody", other.to_str().expect("text")], 3, "nobody");
    assert!(!other.exists(), "nothing is left of what did not come to be");
}
