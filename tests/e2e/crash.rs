//! Power cuts: the server dies at random moments of a deploy, and starts clean with the old or the new version
//! whole. `FAZT_CRASH_ROUNDS` sets how often, `FAZT_SEED` replays.

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use fazt_tests::{Folder, Server, fazt_path, seed};

use crate::HELLO;

fn rounds(default: u32) -> u32 {
    std::env::var("FAZT_CRASH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn a_deploy_interrupted_at_any_moment_is_whole_or_absent() {
    let (seed, mut random) = seed();
    let rounds = rounds(12);
    println!("FAZT_SEED={seed} FAZT_CRASH_ROUNDS={rounds}");
    let mut server = Server::start();
    let folder = Folder::new();
    let write = |version: u32| {
        folder.write(
            "server.js",
            "import { n } from './n.js'; export default { fetch() { return new Response('s' + n); } };",
        );
        folder.write("n.js", format!("export const n = {version};"));
        for file in 0..40 {
            folder.write(&format!("public/f{file}.txt"), format!("{version} ").repeat(500));
        }
    };
    write(0);
    server.deploy_files("good", &[("server.js", HELLO)]);
    server.deploy(&folder, "app");
    let mut committed = 0;
    for version in 1..=rounds {
        write(version);
        let mut deploy = start_deploy(&server, &folder);
        thread::sleep(Duration::from_micros(random() % 250_000));
        server.kill_hard();
        let acknowledged = deploy.wait().expect("deploy ends").success();
        server.start_again();
        assert_eq!(server.get("good", "/").text(), "hello", "the neighbour");
        let script = server.get("app", "/").text();
        let now: u32 = script.strip_prefix('s').and_then(|n| n.parse().ok()).expect("a version");
        assert!(
            now == version || (now == committed && !acknowledged),
            "{now} after {version}, {acknowledged}"
        );
        for file in 0..40 {
            let text = server.get("app", &format!("/f{file}.txt")).text();
            assert_eq!(text, format!("{now} ").repeat(500), "file {file} is of another version");
        }
        committed = now;
    }
}

/// A deploy of `app` by the command line, under way.
fn start_deploy(server: &Server, folder: &Folder) -> Child {
    Command::new(fazt_path())
        .args(["app", "deploy", folder.arg(), "--name", "app", "--yes", "--data"])
        .arg(server.data())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("deploy")
}

/// The command line dies, the server does not: the neighbour never notices.
#[test]
fn a_deploy_whose_client_is_killed_at_any_moment_is_whole_or_absent() {
    let (seed, mut random) = seed();
    let rounds = rounds(12);
    println!("FAZT_SEED={seed} FAZT_CRASH_ROUNDS={rounds}");
    let server = Server::start();
    server.deploy_files("good", &[("server.js", HELLO)]);
    let folder = Folder::new();
    let write = |version: u32| {
        folder.write(
            "server.js",
            format!("export default {{ fetch() {{ return new Response('{version}'); }} }};"),
        );
        for file in 0..40 {
            folder.write(&format!("public/f{file}.txt"), format!("{version} ").repeat(500));
        }
    };
    write(0);
    server.deploy(&folder, "app");
    server.while_answering("good", || {
        let mut before = 0;
        for version in 1..=rounds {
            write(version);
            let mut deploy = start_deploy(&server, &folder);
            thread::sleep(Duration::from_micros(random() % 150_000));
            let _ = deploy.kill();
            let acknowledged = deploy.wait().expect("deploy ends").success();
            // A commit that was asked for ends, though nobody waits for it; what is live never goes back.
            let now: u32 = server.get("app", "/").text().parse().expect("a version");
            assert!((before..=version).contains(&now), "{now} after {before}, deploying {version}");
            assert!(now == version || !acknowledged, "{now} though {version} was acknowledged");
            before = now;
        }
        write(rounds + 1);
        server.deploy(&folder, "app");
        assert_eq!(
            server.get("app", "/").text(),
            (rounds + 1).to_string(),
            "nothing is left that is in the way"
        );
    });
}
