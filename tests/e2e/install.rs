//! Apps of strangers, from a Git server to the first answer, and what they do not get.

use fazt_tests::{GitServer, Outcome, Server, ServerOptions, noise};
use serde_json::{Value, json};

/// The test network is open: the Git server is on this machine.
fn server() -> Server {
    Server::with(ServerOptions {
        config: "[egress]\ntest_network = true\n".into(),
        ..ServerOptions::default()
    })
}

const MANIFEST: &str = r#"{ "name": "weather", "version": "1.0.0", "description": "The weather", "main": "server.ts",
  "access": "public",
  "permissions": { "net": ["weather.localhost", "api.example.org"], "schedule": true,
    "reasons": { "net:weather.localhost": "to fetch the weather" } } }"#;

const APP: &str = "const said: string = 'one';
export default { async fetch(request: Request) {
  const to = new URL(request.url).searchParams.get('to');
  if (to === null) return new Response(said);
  try {
    return new Response('got ' + await (await fetch(to)).text());
  } catch (error) {
    return Response.json({ name: error.name, permission: error.permission, message: error.message });
  }
} };";

fn files<'a>(manifest: &'a str, app: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![("app.json", manifest), ("server.ts", app), ("README.md", "# Weather"), ("public/a.txt", "a")]
}

fn install(server: &Server, source: &str, more: &[&str]) -> Outcome {
    server.fazt(&[&["app", "install", source, "--json"][..], more].concat())
}

fn update(server: &Server, more: &[&str]) -> Outcome {
    server.fazt(&[&["app", "update", "weather", "--json"][..], more].concat())
}

fn number(server: &Server) -> Value {
    server.fazt(&["app", "info", "weather", "--json"]).ok().json()["version"]["number"].clone()
}

/// Nothing of an app or an unfinished deploy is in the data folder.
fn nothing_left(server: &Server) {
    let apps = server.data().join("apps");
    let left = |path: std::path::PathBuf| -> Vec<String> {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    };
    server.wait("deploys to be cleared away", |_| left(apps.join(".deploys")).is_empty());
    let left: Vec<_> = left(apps).into_iter().filter(|name| name.starts_with("app_")).collect();
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn a_strangers_app_is_installed_asks_is_updated_and_leaves_nothing() {
    let git = GitServer::new();
    let repository = git.repository("ada/weather");
    let first = repository.commit(&files(MANIFEST, APP));
    let server = server();
    let source = git.source("ada/weather");

    let review = install(&server, &source, &["--dry-run"]).ok().json();
    assert_eq!((&review["app"], &review["origin"]["commit"]), (&json!("weather"), &json!(first)));
    let asks: Vec<_> =
        review["permissions"].as_array().expect("a list").iter().map(|of| &of["permission"]).collect();
    assert_eq!(asks, ["net:weather.localhost", "net:api.example.org", "schedule"]);
    assert_eq!(review["permissions"][0]["reason"], "to fetch the weather");
    nothing_left(&server);

    let installed = install(&server, &source, &["--grant", "net:weather.localhost"]).ok().json();
    let origin = &installed["version"]["origin"];
    assert_eq!((&origin["commit"], &origin["reference"]), (&json!(first), &json!("refs/heads/main")));
    assert_eq!(origin["tree"], repository.git(&["rev-parse", "HEAD^{tree}"]));
    assert_eq!(server.get("weather", "/").text(), "one");
    assert_eq!(server.get("weather", "/a.txt").text(), "a");
    let words = server.fazt(&["app", "info", "weather"]).ok().stdout;
    assert!(words.contains(&first) && words.contains(&source), "{words}");
    // What was granted works, what was refused says its name.
    let port = git.address.port();
    let answer = server.get("weather", &format!("/?to=http://weather.localhost:{port}/nothing")).text();
    assert_eq!(answer, "got ");
    let refused: Value =
        serde_json::from_str(&server.get("weather", "/?to=https://api.example.org/").text()).expect("JSON");
    assert_eq!(
        (&refused["name"], &refused["permission"]),
        (&json!("PermissionDenied"), &json!("net:api.example.org"))
    );

    // Nothing new, then something new, then something that asks for more.
    assert_eq!(update(&server, &[]).ok().json()["current"], true);
    let second = repository.commit(&files(MANIFEST, &APP.replace("'one'", "'two'")));
    let updated = update(&server, &[]).ok().json();
    assert_eq!(updated["version"]["origin"]["commit"], second);
    assert_eq!(server.get("weather", "/").text(), "two");
    let more = MANIFEST.replace("\"schedule\": true", "\"schedule\": true, \"push\": true");
    repository.commit(&files(&more, &APP.replace("'one'", "'three'")));
    let waits = update(&server, &[]);
    assert_eq!(waits.code, 4, "{waits:?}");
    assert!(waits.error()["message"].as_str().is_some_and(|text| text.contains("push")), "{waits:?}");
    assert_eq!(server.get("weather", "/").text(), "two", "the version before goes on");
    let all = server.fazt(&["app", "update", "--all", "--json"]);
    assert_eq!((all.code, number(&server)), (1, json!(2)), "{all:?}");
    update(&server, &["--grant", "push"]).ok();
    assert_eq!(server.get("weather", "/").text(), "three");

    server.fazt(&["app", "revoke", "weather", "net:weather.localhost"]).ok();
    let refused = server.get("weather", &format!("/?to=http://weather.localhost:{port}/x")).text();
    assert!(refused.contains("net:weather.localhost"), "{refused}");
    server.fazt(&["app", "remove", "weather", "--yes"]).ok();
    nothing_left(&server);
    assert_eq!(server.fazt(&["app", "grants", "weather"]).code, 3);
}

#[test]
fn an_update_that_does_not_start_is_taken_back() {
    let git = GitServer::new();
    let repository = git.repository("ada/weather");
    repository.commit(&files(MANIFEST, APP));
    // The version before is the one to go back to, however few are kept.
    let config = "keep_versions = 1\n[egress]\ntest_network = true\n".into();
    let server = Server::with(ServerOptions { config, ..ServerOptions::default() });
    install(&server, &git.source("ada/weather"), &["--yes"]).ok();
    let more = MANIFEST.replace("\"schedule\": true", "\"schedule\": true, \"push\": true");
    assert_ne!(more, MANIFEST);
    for (manifest, broken) in [
        (MANIFEST, "throw new Error('no start');"),
        (MANIFEST, "export default {"),
        (&more, "throw new Error('no start');"),
    ] {
        repository.commit(&files(manifest, broken));
        // Nobody who uses it notices: it is tried beside the one that serves.
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let asking = scope.spawn(|| {
                let mut asked = 0;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) || asked == 0 {
                    let answer = server.get("weather", "/");
                    assert_eq!((answer.status, &*answer.text()), (200, "one"), "{broken}");
                    asked += 1;
                }
            });
            let refused = update(&server, &["--yes"]);
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            asking.join().expect("every answer is the one before");
            assert!(matches!(refused.code, 1 | 2), "{refused:?}");
            if broken.starts_with("throw") {
                let message = refused.error()["message"].as_str().expect("text").to_owned();
                assert!(message.contains("stays live"), "{message}");
                let log = server.fazt(&["proc", "logs", "weather"]).ok().stdout;
                assert!(log.contains("no start"), "{log}");
            }
        });
        assert_eq!(server.get("weather", "/").text(), "one", "{broken}");
    }
    // What was said to a version that did not come to be was not said.
    let grants = server.fazt(&["app", "grants", "weather", "--json"]).ok().stdout;
    assert!(!grants.contains("push"), "{grants}");
    repository.commit(&files(MANIFEST, &APP.replace("'one'", "'fine'")));
    update(&server, &[]).ok();
    assert_eq!(server.get("weather", "/").text(), "fine");
}

#[test]
fn references_and_folders_name_what_they_say_and_a_tag_does_not_move() {
    let git = GitServer::new();
    let repository = git.repository("ada/many");
    let manifest = r#"{ "access": "public" }"#;
    let page = |text: &str| -> String { format!("<p>{text}") };
    let (one, two) = (page("one"), page("two"));
    let first = repository.commit(&[("apps/site/app.json", manifest), ("apps/site/index.html", &one)]);
    repository.git(&["tag", "v1"]);
    repository.git(&["branch", "old"]);
    repository.commit(&[("apps/site/app.json", manifest), ("apps/site/index.html", &two)]);
    let server = server();
    let at = |reference: &str| format!("{}{reference}#apps/site", git.source("ada/many"));
    for (name, reference, expect) in [
        ("tag", "@v1", "one"),
        ("branch", "@old", "one"),
        ("head", "", "two"),
        ("commit", &format!("@{first}"), "one"),
    ] {
        let done = install(&server, &at(reference), &["--name", name]).ok().json();
        assert_eq!(done["app"]["access"], "public");
        assert!(server.get(name, "/").text().contains(expect), "{name}");
    }
    for (source, code) in [
        (at("@nowhere"), 3),
        (at(&format!("@{}", "0".repeat(40))), 1),
        (format!("{}#nothing", git.source("ada/many")), 2),
        (git.source("ada/nobody"), 3),
        ("github.com/only-an-owner".into(), 2),
        ("ftp://example.org/a/b".into(), 2),
        ("https://user:secret@example.org/a/b".into(), 2),
    ] {
        let refused = install(&server, &source, &["--name", "other"]);
        assert_eq!(refused.code, code, "{source}: {refused:?}");
        assert!(!refused.stderr.contains("secret@"), "{refused:?}");
    }
    assert_eq!(install(&server, &at("@v1"), &["--name", "tag"]).code, 5, "the name is taken");
    let update =
        |name: &str, more: &[&str]| server.fazt(&[&["app", "update", name, "--json"][..], more].concat());
    assert_eq!(update("tag", &[]).ok().json()["current"], true);
    repository.git(&["tag", "--force", "v1"]);
    let moved = update("tag", &[]);
    assert_eq!(moved.code, 5, "{moved:?}");
    let message = moved.error()["message"].as_str().expect("text").to_owned();
    assert!(message.contains("refs/tags/v1") && message.contains(&first), "{message}");
    assert!(server.get("tag", "/").text().contains("one"));
    update("tag", &["--to", "main"]).ok();
    assert!(server.get("tag", "/").text().contains("two"));
    assert_eq!(server.fazt(&["app", "update", "nobody"]).code, 3);
}

#[test]
fn a_private_repository_wants_its_token_and_the_token_stays_nowhere() {
    let git = GitServer::new();
    git.repository("ada/private").commit(&[("index.html", "<p>private")]);
    git.guard("ada/private", "t0ken-123");
    let server = server();
    let source = git.source("ada/private");
    let refused = install(&server, &source, &[]);
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(refused.error()["hint"].as_str().is_some_and(|hint| hint.contains("FAZT_GIT_TOKEN")));
    let file = tempfile::NamedTempFile::new().expect("a file");
    let path = file.path().to_str().expect("text");
    std::fs::write(path, "wrong\n").expect("written");
    assert_eq!(install(&server, &source, &["--git-token-file", path]).code, 4);
    std::fs::write(path, "t0ken-123\n").expect("written");
    install(&server, &source, &["--git-token-file", path]).ok();
    let found = std::process::Command::new("grep").args(["-rl", "t0ken-123"]).arg(server.data()).output();
    assert_eq!(String::from_utf8_lossy(&found.expect("grep runs").stdout), "");
}

#[test]
fn what_no_app_may_hold_is_refused_with_its_path_and_changes_nothing() {
    let git = GitServer::new();
    let server = server();
    let page = ("index.html", "<p>x");
    type Make = fn(&std::path::Path);
    let cases: [(&str, Make, &str); 6] = [
        ("link", |at| std::os::unix::fs::symlink("/etc/passwd", at.join("link")).expect("a link"), "link"),
        (
            "twin",
            |at| {
                std::fs::write(at.join("A.txt"), "a").expect("a file");
                std::fs::write(at.join("a.txt"), "a").expect("a file");
            },
            "a.txt",
        ),
        ("slash", |at| std::fs::write(at.join("a\\b"), "a").expect("a file"), "a\\b"),
        ("escape", |at| std::fs::write(at.join("a\u{1b}[31m"), "a").expect("a file"), "cannot"),
        ("large", |at| std::fs::write(at.join("large"), noise(6 << 20)).expect("a file"), "large"),
        (
            "many",
            |at| (0..2_100).for_each(|n| std::fs::write(at.join(format!("f{n}")), "").expect("a file")),
            "2000",
        ),
    ];
    for (name, make, part) in cases {
        let repository = git.repository(&format!("eve/{name}"));
        repository.commit(&[page]);
        make(repository.path());
        repository.commit_all();
        let refused = install(&server, &git.source(&format!("eve/{name}")), &[]);
        assert_eq!(refused.code, 2, "{name}: {refused:?}");
        let message = refused.error()["message"].as_str().expect("text").to_owned();
        assert!(message.replace(['\'', ',', ' '], "").contains(&part.replace(' ', "")), "{name}: {message}");
        assert!(!message.contains('\u{1b}'), "{name}: {message:?}");
    }
    let module = git.repository("eve/module");
    module.commit(&[page]);
    module.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{},sub", "1".repeat(40))]);
    module.git(&["commit", "--quiet", "--message", "a module"]);
    let refused = install(&server, &git.source("eve/module"), &[]);
    assert!(refused.code == 2 && refused.error()["message"].to_string().contains("sub"), "{refused:?}");
    nothing_left(&server);
    assert_eq!(server.fazt(&["app", "list", "--json"]).ok().json(), json!([]));
}

#[test]
fn a_server_that_lies_is_an_ordinary_error() {
    let git = GitServer::new();
    let commit = git.repository("eve/app").commit(&[("index.html", "<p>x")]);
    // Named by its commit, it is asked for at once.
    let source = format!("{}@{commit}", git.source("eve/app"));
    let server = server();
    let head = |kind: &str| {
        format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n").into_bytes()
    };
    let advertisement = "application/x-git-upload-pack-advertisement";
    let result = "application/x-git-upload-pack-result";
    let answers: Vec<(&str, &str, Vec<u8>)> = vec![
        ("a page", "/info/refs", [head("text/html"), b"<h1>hello".to_vec()].concat()),
        ("nonsense", "/info/refs", [head(advertisement), b"zzzz".to_vec()].concat()),
        ("nothing", "/info/refs", head(advertisement)),
        ("endless lines", "/info/refs", [head(advertisement), b"0005a".repeat(40_000)].concat()),
        ("no pack", "/git-upload-pack", [head(result), b"0000".to_vec()].concat()),
        (
            "nonsense for a pack",
            "/git-upload-pack",
            [head(result), b"000dpackfile\n0009\x01PACK0000".to_vec()].concat(),
        ),
        (
            "an error with escapes",
            "/git-upload-pack",
            [head(result), b"000dERR \x1b[31m0000".to_vec()].concat(),
        ),
        (
            "a redirect inside",
            "/info/refs",
            b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\nconnection: close\r\n\r\n".to_vec(),
        ),
        ("hangs up", "/info/refs", Vec::new()),
    ];
    for (what, path, bytes) in answers {
        git.instead(move |target| target.contains(path).then(|| bytes.clone()));
        let refused = install(&server, &source, &[]);
        assert!(matches!(refused.code, 1 | 2), "{what}: {refused:?}");
        let message = refused.error()["message"].as_str().expect("text").to_owned();
        assert!(!message.is_empty() && !message.contains('\u{1b}'), "{what}: {message:?}");
    }
    nothing_left(&server);
    git.instead(|_| None);
    install(&server, &source, &["--name", "fine"]).ok();
}

#[test]
fn whoever_stops_in_the_middle_leaves_nothing() {
    let git = GitServer::new();
    git.repository("eve/slow").commit(&[("index.html", "<p>x")]);
    let (asked, came) = std::sync::mpsc::channel();
    let asked = std::sync::Mutex::new(asked);
    git.instead(move |target| {
        if target.ends_with("/git-upload-pack") {
            let _ = asked.lock().expect("a channel").send(());
            // Until the test ends.
            loop {
                std::thread::park();
            }
        }
        None
    });
    let server = server();
    let mut child = fazt_tests::fazt_command(server.data())
        .args(["app", "install", &git.source("eve/slow"), "--data"])
        .arg(server.data())
        .spawn()
        .expect("fazt starts");
    came.recv().expect("the server was asked");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("sent");
    child.wait().expect("ended");
    nothing_left(&server);
    assert_eq!(server.fazt(&["app", "list", "--json"]).ok().json(), json!([]));
}

#[test]
fn without_the_setting_for_tests_nothing_on_this_machine_is_reached() {
    let git = GitServer::new();
    git.repository("ada/app").commit(&[("index.html", "<p>x")]);
    let server = Server::start();
    let port = git.address.port();
    for source in [
        git.source("ada/app"),
        format!("https://127.0.0.1:{port}/ada/app"),
        format!("https://localhost:{port}/ada/app"),
        format!("https://0x7f.1:{port}/ada/app"),
        format!("https://[::1]:{port}/ada/app"),
        "https://2130706433/ada/app".into(),
    ] {
        let refused = install(&server, &source, &["--name", "x"]);
        assert_ne!(refused.code, 0, "{source}: {refused:?}");
    }
    assert_eq!(git.asked(), Vec::<String>::new());
}
