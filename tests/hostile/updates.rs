//! A repository that was honest once: what it becomes changes nothing of the app that is there.

use fazt_tests::{GitServer, Server, ServerOptions};

use crate::stage::drives_terminal;

const HONEST: &str = "export default { fetch: () => new Response('honest') };";

#[test]
fn an_update_to_what_is_hostile_leaves_the_app_as_it_is() {
    let git = GitServer::new();
    let repository = git.repository("eve/turned");
    let honest = [("app.json", r#"{ "access": "public" }"#), ("server.js", HONEST)];
    repository.commit(&honest);
    repository.git(&["tag", "v1"]);
    let config = "[egress]\ntest_network = true\n".into();
    let server = Server::with(ServerOptions { config, ..ServerOptions::default() });
    for (name, reference) in [("turned", ""), ("pinned", "@v1")] {
        let source = git.source("eve/turned") + reference;
        server.fazt(&["app", "install", &source, "--yes", "--name", name]).ok();
    }
    let before = server.fazt(&["app", "info", "turned", "--json"]).ok().json()["version"].clone();
    type Change = fn(&std::path::Path);
    let rows: [(&str, i32, &str, Change); 9] = [
        ("a link", 2, "symbolic link", |at| {
            std::os::unix::fs::symlink("/etc/passwd", at.join("link")).expect("a link");
        }),
        ("twins", 2, "same name", |at| {
            std::fs::write(at.join("README"), "1").expect("a file");
            std::fs::write(at.join("readme"), "2").expect("a file");
        }),
        ("a key twice", 2, "twice", |at| {
            std::fs::write(at.join("app.json"), r#"{ "access": "owner", "access": "public" }"#)
                .expect("a file");
        }),
        ("an unknown key", 2, "app.json:1:", |at| {
            std::fs::write(at.join("app.json"), "{ \"\\u001b[31m\": 1 }").expect("a file");
        }),
        ("a bomb", 2, "times its packed size", |at| {
            std::fs::write(at.join("zeros"), vec![0; 60 << 20]).expect("a file");
        }),
        ("very many files", 2, "2000 files", |at| {
            (0..2_100).for_each(|number| std::fs::write(at.join(format!("f{number}")), "").expect("a file"));
        }),
        ("an import of the server's", 2, "nor among the packages", |at| {
            std::fs::write(at.join("package.json"), "{}").expect("a file");
            std::fs::write(at.join("server.js"), "import x from '/etc/passwd'; export default x;")
                .expect("a file");
        }),
        ("a script that does not start", 1, "", |at| {
            std::fs::write(at.join("server.js"), "throw new Error('\u{1b}[2J');").expect("a file");
        }),
        ("more permissions", 4, "--grant", |at| {
            let asks =
                r#"{ "access": "public", "permissions": { "net": ["evil.example"], "schedule": true } }"#;
            std::fs::write(at.join("app.json"), asks).expect("a file");
        }),
    ];
    for (what, code, says, change) in rows {
        repository.commit(&honest);
        change(repository.path());
        repository.commit_all();
        let refused = server.fazt(&["app", "update", "turned"]);
        let said = format!("{}{}", refused.stdout, refused.stderr);
        assert!(refused.code == code && said.contains(says), "{what}: {refused:?}");
        assert!(!said.contains(drives_terminal), "{what}: {said:?}");
        let now = server.fazt(&["app", "info", "turned", "--json"]).ok().json()["version"].clone();
        assert_eq!((&now["number"], &now["origin"]), (&before["number"], &before["origin"]), "{what}");
        assert_eq!(server.get("turned", "/").text(), "honest", "{what}");
    }
    // A tag that is something else now is no name for a version.
    repository.git(&["tag", "--force", "v1"]);
    let moved = server.fazt(&["app", "update", "pinned"]);
    assert!(moved.code == 5 && moved.stderr.contains("refs/tags/v1"), "{moved:?}");
    assert_eq!(server.get("pinned", "/").text(), "honest");
    // Honest again, it is taken.
    repository.commit(&[honest[0], ("server.js", &HONEST.replace("honest", "again"))]);
    server.fazt(&["app", "update", "turned"]).ok();
    assert_eq!(server.get("turned", "/").text(), "again");
}
