//! Power cuts: the server dies at random moments of a deploy, and starts clean with the old or the new version
//! whole. `FAZT_CRASH_ROUNDS` sets how often, `FAZT_SEED` replays.

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fazt_tests::{Folder, Server, fazt_path};

#[test]
fn a_deploy_interrupted_at_any_moment_is_whole_or_absent() {
    let seed: u64 = std::env::var("FAZT_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| now.as_nanos() as u64)
    });
    let rounds: u32 =
        std::env::var("FAZT_CRASH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    println!("FAZT_SEED={seed} FAZT_CRASH_ROUNDS={rounds}");
    let mut random = seed | 1;
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
    server.deploy(&folder, "app");
    let mut committed = 0;
    for version in 1..=rounds {
        write(version);
        let mut deploy = Command::new(fazt_path())
            .args(["app", "deploy", folder.arg(), "--name", "app", "--yes", "--data"])
            .arg(server.data())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("deploy");
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        thread::sleep(Duration::from_micros((random >> 33) % 250_000));
        server.kill_hard();
        let acknowledged = deploy.wait().expect("deploy ends").success();
        server.start_again();
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
