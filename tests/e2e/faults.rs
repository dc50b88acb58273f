//! What breaks around an app: its disk, its file, its kernel, its clients. In each case the neighbour keeps
//! answering.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use fazt_tests::{Client, Folder, Server, ServerOptions, fazt, fazt_path, seed};

use crate::HELLO;

fn root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0)
}

/// Fills the disk to its last block.
fn fill(path: &std::path::Path) {
    let mut file = File::create(path).expect("a file");
    let block = vec![7; 64 * 1024];
    for size in [block.len(), 4096, 1] {
        while file.write_all(&block[..size]).is_ok() {}
    }
}

#[test]
fn a_full_disk_refuses_deploys_and_everything_else_goes_on() {
    if !root() {
        println!("only root can mount a small disk");
        return;
    }
    let server = Server::with(ServerOptions { disk_bytes: Some(24 << 20), ..ServerOptions::default() });
    let talk = "let n = 0; export default { fetch() {
        for (let i = 0; i < 20; i++) console.log('line', ++n, 'x'.repeat(2000)); return new Response('said'); } };";
    server.deploy_files("good", &[("server.js", HELLO), ("public/a.txt", "file")]);
    server.deploy_files("talk", &[("server.js", talk)]);
    assert_eq!(server.get("talk", "/").text(), "said");
    let large = "y".repeat(300_000);
    let filler = server.data().join("filler");
    server.while_answering("good", || {
        fill(&filler);
        for name in ["new", "good"] {
            let folder = Folder::with(&[
                ("server.js", "export default { fetch() { return new Response('new'); } };"),
                ("public/large.txt", &large),
            ]);
            let deploy = server.fazt(&["app", "deploy", folder.arg(), "--name", name, "--yes", "--json"]);
            assert_eq!(deploy.code, 1, "{}", deploy.stdout);
            let error = deploy.error();
            assert!(error["message"].as_str().is_some_and(|text| text.contains("disk is full")), "{error}");
            assert!(error["hint"].as_str().is_some_and(|hint| hint.contains("free some space")), "{error}");
        }
        assert_eq!(server.get("good", "/a.txt").text(), "file");
        // Logs that cannot be written cost nobody an answer, and are shown from memory.
        for _ in 0..10 {
            assert_eq!(server.get("talk", "/").text(), "said");
        }
        let logs = server.fazt(&["proc", "logs", "talk", "--json"]).ok().stdout;
        assert!(logs.contains("line"), "{logs}");
        // A sleeping app wakes without writing.
        for app in ["talk", "good"] {
            server.fazt(&["proc", "hibernate", app]).ok();
        }
        server.wait("hibernation", |server| server.processes("talk").is_empty());
        assert_eq!(server.get("talk", "/").text(), "said");
        for verb in
            [&["app", "list"][..], &["app", "versions", "good"], &["proc", "status"], &["fs", "ls", "good"]]
        {
            server.fazt(verb).ok();
        }
        std::fs::remove_file(&filler).expect("room again");
        server.deploy_files("new", &[("server.js", HELLO), ("public/large.txt", &large)]);
        assert_eq!(server.get("new", "/").text(), "hello");
        assert_eq!(server.get("new", "/large.txt").body.len(), large.len());
    });
    assert_eq!(
        server.fazt(&["app", "versions", "good", "--json"]).ok().json().as_array().map(Vec::len),
        Some(1)
    );
}

const STORE: &str = "const { kv } = fazt.storage.space('app');
    export default { async fetch(request) {
        const [verb, key] = new URL(request.url).pathname.slice(1).split('/');
        try {
            if (verb === 'set') await kv.set(key, 'x'.repeat(40_000));
            if (verb === 'delete') await kv.delete(key);
            const value = await kv.get(key);
            return new Response(verb + ' ' + (value?.length ?? 'none'));
        } catch (error) { return new Response(error.name + ': ' + error.message); }
    } };";
const STORE_MANIFEST: &str =
    r#"{ "name": "store", "main": "server.js", "access": "public", "permissions": { "spaces": true } }"#;

#[test]
fn what_apps_store_on_a_full_disk_can_be_read_and_deleted_and_the_kernel_records() {
    if !root() {
        println!("only root can mount a small disk");
        return;
    }
    let server = Server::with(ServerOptions { disk_bytes: Some(40 << 20), ..ServerOptions::default() });
    for app in ["greedy", "other"] {
        server.deploy_files(app, &[("app.json", STORE_MANIFEST), ("server.js", STORE)]);
    }
    server.deploy_files("good", &[("server.js", HELLO)]);
    assert_eq!(server.get("other", "/set/a").text(), "set 40000");
    server.while_answering("good", || {
        // An app that fills the disk finds an end before the kernel does.
        let mut stored = 0;
        let said = loop {
            let said = server.get("greedy", &format!("/set/k{stored}")).text();
            if said != "set 40000" {
                break said;
            }
            stored += 1;
            assert!(stored < 1_000, "a disk of 40 MiB has an end");
        };
        assert!(said.starts_with("Unavailable: there is no room on the server's disk"), "{said}");
        assert!(stored > 10, "{stored}");
        assert_eq!(server.get("other", "/get/a").text(), "get 40000", "reading goes on");
        assert!(server.get("other", "/set/b").text().starts_with("Unavailable"), "for everyone");
        server.fazt(&["user", "add", "bo"]).ok();
        assert!(server.fazt(&["security", "audit"]).ok().stdout.contains("user.add bo"));
        // Somebody else takes the last block.
        let filler = server.data().join("filler");
        fill(&filler);
        assert!(server.get("greedy", "/set/k0").text().starts_with("Unavailable"));
        assert_eq!(server.get("greedy", "/get/k1").text(), "get 40000");
        assert_eq!(server.get("other", "/get/a").text(), "get 40000");
        std::fs::remove_file(&filler).expect("room again");
        for key in 0..stored {
            let path = format!("/delete/k{key}");
            server.wait("a deletion", |server| server.get("greedy", &path).text() == "delete none");
        }
        server.wait("room in its own file", |server| server.get("greedy", "/set/k0").text() == "set 40000");
        server.fazt(&["app", "remove", "greedy", "--yes"]).ok();
        server.wait("room for others", |server| server.get("other", "/set/b").text() == "set 40000");
    });
    let checked = server.fazt(&["storage", "check", "--json"]).ok().json();
    assert!(checked.as_array().is_some_and(|all| all.iter().all(|one| one["ok"] == true)), "{checked}");
}

/// The server also starts and stops on a full disk: nothing that it needs for it is written.
#[test]
fn a_server_starts_again_on_a_full_disk() {
    if !root() {
        println!("only root can mount a small disk");
        return;
    }
    let mut server = Server::with(ServerOptions { disk_bytes: Some(24 << 20), ..ServerOptions::default() });
    server.deploy_files("good", &[("server.js", HELLO)]);
    assert_eq!(server.get("good", "/").text(), "hello");
    fill(&server.data().join("filler"));
    server.kill_hard();
    server.start_again();
    assert_eq!(server.get("good", "/").text(), "hello");
}

fn cartridge(server: &Server, app: &str) -> PathBuf {
    let id =
        server.fazt(&["app", "info", app, "--json"]).ok().json()["id"].as_str().expect("an id").to_owned();
    server.data().join("apps").join(id).join("app.fazt")
}

#[test]
fn a_cartridge_with_flipped_bytes_is_its_own_apps_trouble() {
    let (seed, mut random) = seed();
    println!("FAZT_SEED={seed}");
    let mut server = Server::start();
    let text = "z".repeat(200_000);
    server.deploy_files("bad", &[("server.js", HELLO), ("public/large.txt", &text)]);
    server.deploy_files("good", &[("server.js", HELLO)]);
    let path = cartridge(&server, "bad");
    server.fazt(&["proc", "stop"]).ok();
    server.exit_code();
    let whole = std::fs::read(&path).expect("the cartridge");
    let mut failed = 0;
    for round in 0..6 {
        let mut bytes = whole.clone();
        if round == 0 {
            // Its head: no database at all.
            bytes[..64].fill(b'x');
        } else {
            for _ in 0..200 {
                let at = random() as usize % bytes.len();
                bytes[at] ^= 1 << (random() % 8);
            }
        }
        std::fs::write(&path, &bytes).expect("the cartridge");
        server.start_again();
        server.while_answering("good", || {
            for target in ["/", "/large.txt"] {
                let answer = server.get("bad", target);
                let right = answer.status == 200 && [&b"hello"[..], text.as_bytes()].contains(&&*answer.body);
                assert!(right || answer.status >= 400, "round {round}: {} {}", answer.status, answer.text());
                failed += u32::from(!right);
            }
            let list = server.fazt(&["app", "list", "--json"]).ok().json();
            assert_eq!(list.as_array().map(Vec::len), Some(2), "round {round}");
            if round == 0 {
                assert!(server.get("bad", "/").status >= 500);
                let told = server.fazt(&["app", "info", "bad", "--json"]).ok().json();
                assert!(told["description"].as_str().is_some_and(|text| text.contains("damaged")), "{told}");
                let versions = server.fazt(&["app", "versions", "bad", "--json"]);
                assert_eq!(versions.code, 1);
                assert!(versions.error()["message"].as_str().is_some_and(|text| text.contains("damaged")));
            }
        });
        server.fazt(&["proc", "stop"]).ok();
        server.exit_code();
    }
    assert!(failed > 2, "flipped bytes were noticed");
    // The owner's way out.
    server.start_again();
    server.fazt(&["app", "remove", "bad", "--yes"]).ok();
    server.deploy_files("bad", &[("server.js", HELLO)]);
    assert_eq!(server.get("bad", "/").text(), "hello");
}

/// Flipped while the server runs and the app is asked.
#[test]
fn a_cartridge_that_rots_under_a_running_server_hurts_nobody_else() {
    let server = Server::start();
    let text = "z".repeat(200_000);
    server.deploy_files("bad", &[("server.js", HELLO), ("public/large.txt", &text)]);
    server.deploy_files("good", &[("server.js", HELLO)]);
    let path = cartridge(&server, "bad");
    server.while_answering("good", || {
        let mut file = OpenOptions::new().read(true).write(true).open(&path).expect("the cartridge");
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).expect("the cartridge");
        file.seek(SeekFrom::Start(0)).expect("its start");
        file.write_all(&vec![0x5a; bytes.len()]).expect("the cartridge");
        server.fazt(&["proc", "kill", "bad"]).ok();
        for target in ["/", "/large.txt", "/", "/none"] {
            let answer = server.get("bad", target);
            let cached = answer.status == 200 && (answer.text() == "hello" || answer.text() == text);
            assert!(cached || answer.status >= 400, "{target}: {}", answer.status);
        }
        let folder = Folder::with(&[("server.js", HELLO), ("public/b.txt", "b")]);
        let deploy = server.fazt(&["app", "deploy", folder.arg(), "--name", "bad", "--yes", "--json"]);
        // What had not been moved from the log into the file may be whole; then so is what is deployed on it.
        if deploy.code == 0 {
            assert_eq!(server.get("bad", "/b.txt").text(), "b");
        } else {
            assert!(!deploy.error()["hint"].as_str().unwrap_or_default().is_empty(), "{}", deploy.stderr);
        }
    });
}

/// Takes away what the sandbox needs, one part at a time: mounts of a private mount namespace, rights of root.
#[test]
fn a_server_without_a_layer_says_which_and_runs_only_when_it_is_named() {
    if !root() {
        println!("an ordinary user lacks most of them: doctor.rs");
        return;
    }
    let mounts = std::fs::read_to_string("/proc/mounts").expect("/proc/mounts");
    let mut faked = 0;
    for controller in ["memory", "pids", "cpu"] {
        let of_controller = |line: &&str| {
            let mut words = line.split(' ').skip(1);
            let (_, kind, options) = (words.next(), words.next(), words.next());
            kind == Some("cgroup") && options.is_some_and(|all| all.split(',').any(|one| one == controller))
        };
        let Some(mount) = mounts.lines().find(of_controller).and_then(|line| line.split(' ').nth(1)) else {
            continue;
        };
        let without = format!("umount -l {mount} && exec \"$@\"");
        let through: Vec<String> =
            ["unshare", "--mount", "sh", "-c", &without, "sh"].iter().map(|&word| word.to_owned()).collect();
        let name = format!("{controller}.cgroup");
        let refused = refusal(&through, "");
        assert!(refused.contains(&name) && refused.contains("sandbox.allow_missing"), "{refused}");
        let named = Server::with(ServerOptions {
            config: format!("[sandbox]\nallow_missing = ['{name}']\n"),
            through,
            ..ServerOptions::default()
        });
        let missing = named.status()["missing_layers"].clone();
        assert!(missing.as_array().is_some_and(|all| all.contains(&name.clone().into())), "{missing}");
        named.deploy_files("app", &[("server.js", HELLO)]);
        assert_eq!(named.get("app", "/").text(), "hello");
        let doctor = named.fazt(&["proc", "doctor", "--json"]);
        assert_eq!((doctor.code, &doctor.json()["healthy"]), (1, &serde_json::json!(false)));
        faked += 1;
    }
    println!("{faked} cgroup controllers taken away");
    // Rights of root, one at a time: nothing lifts these.
    for right in ["sys_admin", "setuid", "setgid", "setpcap", "sys_ptrace"] {
        let through =
            ["setpriv".to_owned(), format!("--bounding-set=-{right}"), format!("--inh-caps=-{right}")];
        let refused = refusal(&through, "[sandbox]\nallow_missing = ['memory.cgroup', 'landlock.fs']\n");
        for layer in ["uid", "capabilities", "verification"] {
            assert!(refused.contains(layer), "without {right}: {refused}");
        }
        assert!(refused.contains("Start as root"), "{refused}");
    }
}

/// What `fazt proc start` says when it does not start.
fn refusal(through: &[String], config: &str) -> String {
    let data = tempfile::tempdir().expect("temporary folder");
    std::fs::write(data.path().join("config.toml"), config).expect("config.toml");
    let mut child = std::process::Command::new(&through[0])
        .args(&through[1..])
        .arg(fazt_path())
        .args(["proc", "start", "--listen", "127.0.0.1:0", "--data"])
        .arg(data.path())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("started");
    let mut text = String::new();
    let mut words = child.stderr.take().expect("piped");
    let over = Instant::now() + Duration::from_secs(30);
    while child.try_wait().expect("a child").is_none() {
        if Instant::now() > over {
            let _ = fazt(data.path(), &["proc", "stop"]);
            let _ = child.kill();
        }
        thread::sleep(Duration::from_millis(10));
    }
    words.read_to_string(&mut text).expect("text");
    assert_ne!(child.wait().expect("a child").code(), Some(0), "it started: {text}");
    text
}

/// Clients that stall in each way there is: before the end of the head, in the middle of a body, and by reading
/// nothing of a long answer.
#[test]
fn clients_that_stall_cost_nobody_else_an_answer() {
    let server = Server::start();
    let app = "export default { async fetch(request) {
        if (request.method === 'POST') return new Response(String((await request.arrayBuffer()).byteLength));
        if (new URL(request.url).pathname === '/long') {
            const block = new Uint8Array(1 << 16);
            let left = 2000;
            return new Response(new ReadableStream({ pull(c) { left-- ? c.enqueue(block) : c.close(); } }));
        }
        return new Response('hello'); } };";
    let limits = "{\"name\": \"app\", \"limits\": {\"wallS\": 120}}";
    server.deploy_files("app", &[("server.js", app), ("app.json", limits)]);
    server.deploy_files("good", &[("server.js", HELLO)]);
    let host = format!("app.localhost:{}", server.address.port());
    let mut stalled: Vec<(Client, &str)> = Vec::new();
    server.while_answering("good", || {
        for _ in 0..10 {
            for (what, bytes) in [
                ("head", format!("GET / HTTP/1.1\r\nhost: {host}\r\nx-half: ")),
                ("body", format!("POST / HTTP/1.1\r\nhost: {host}\r\ncontent-length: 1000000\r\n\r\nhalf")),
                ("answer", format!("GET /long HTTP/1.1\r\nhost: {host}\r\n\r\n")),
            ] {
                let mut client = server.client("app");
                client.send(bytes.as_bytes()).expect("request");
                stalled.push((client, what));
            }
        }
        server.wait("the worker to have them", |server| {
            server.processes("app").iter().any(|row| row["state"] == "running")
        });
        for _ in 0..20 {
            assert_eq!(server.get("app", "/").text(), "hello", "the same app, too");
        }
        // One that goes on is served as if nothing had been.
        let (client, _) = stalled.iter_mut().find(|(_, what)| *what == "head").expect("one");
        client.send(b"1\r\n\r\n").expect("the rest");
        assert_eq!(client.response(false).expect("an answer").text(), "hello");
        let (client, _) = stalled.iter_mut().find(|(_, what)| *what == "answer").expect("one");
        assert_eq!(client.response(false).expect("an answer").body.len(), 2000 << 16);
    });
    drop(stalled);
    assert_eq!(server.get("app", "/").text(), "hello");
}
