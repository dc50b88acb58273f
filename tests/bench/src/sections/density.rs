//! Memory: an idle worker, the trusted processes, 500 apps awake.

use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::Result;

use fazt_tests::{Folder, Server};

use crate::load::{first_byte, wrk};
use crate::process::{beside_pss, pss, tree};
use crate::report::{Table, mb};

const APPS: usize = 500;
/// Apps with data of their own, beside them.
const LARGER: usize = 20;
/// An idle worker gives memory back after half a second, the supervisor after one or two.
const REST: Duration = Duration::from_secs(4);

fn deploy_tiny(server: &Server, name: &str) {
    let manifest = format!("{{\"name\": \"{name}\", \"access\": \"public\"}}");
    let script = "export default { fetch() { return Response.json({ hello: \"world\" }); } };\n";
    server.deploy(
        &Folder::with(&[
            ("app.json", &manifest),
            ("server.js", script),
            ("public/file.css", &crate::peers::static_body()),
        ]),
        name,
    );
}

/// Wakes apps. How many were refused.
fn wake(server: &Server, apps: &[String]) -> usize {
    apps.iter().filter(|app| first_byte(server.address, &super::host(server, app), "/").is_err()).count()
}

/// The section.
pub fn run(folder: &Path) -> Result<String> {
    let mut table = Table::new("Memory and density", &["what", "MB", "how"]);
    let server = super::fazt("[workers]\nidle_s = 3600\n")?;
    let tiny: Vec<String> = (0..APPS).map(|i| format!("app{i}")).collect();
    tiny.iter().for_each(|app| deploy_tiny(&server, app));
    thread::sleep(REST);
    let trusted = |server: &fazt_tests::Server| -> Vec<u32> {
        let supervisor = server.status()["pid"].as_u64().unwrap_or(0) as u32;
        vec![server.pid(), supervisor]
    };
    let processes = tree(server.pid()).len();
    table.row([
        format!("supervisor + launcher, idle, {APPS} apps deployed"),
        mb(pss(&trusted(&server))),
        "PSS".into(),
    ]);
    table.row([
        format!("processes with {APPS} apps hibernated"),
        processes.to_string(),
        "launcher, supervisor, warm pool".into(),
    ]);

    let refused = wake(&server, &tiny);
    thread::sleep(REST);
    let trusted_pids = trusted(&server);
    let workers =
        || -> Vec<u32> { tree(server.pid()).into_iter().filter(|pid| !trusted_pids.contains(pid)).collect() };
    let pids = workers();
    let all = pss(&pids) + beside_pss(&pids);
    table.row([
        format!("{} workers awake after one request each ({refused} refused)", pids.len()),
        mb(all),
        "PSS + page tables + kernel stacks".into(),
    ]);
    table.row(["one idle worker".into(), mb(all / pids.len().max(1) as u64), "the same, divided".into()]);
    table.row(["supervisor + launcher with all of them awake".into(), mb(pss(&trusted_pids)), "PSS".into()]);
    let hosts: Vec<_> = tiny.iter().map(|app| super::host(&server, app)).collect();
    wrk(server.address, &hosts, "/", 64, 5, server.pid())?;
    table.row([
        "supervisor + launcher under load (c=64 over all apps)".into(),
        mb(pss(&trusted(&server))),
        "PSS".into(),
    ]);

    let larger: Vec<String> = (0..LARGER).map(|i| format!("larger{i}")).collect();
    for app in &larger {
        super::deploy_app(&server, folder, app)?;
    }
    let before = workers();
    wake(&server, &larger);
    thread::sleep(REST);
    let pids: Vec<u32> = workers().into_iter().filter(|pid| !before.contains(pid)).collect();
    let all = pss(&pids) + beside_pss(&pids);
    table.row([
        "one idle worker of an app with 200 KB of data of its own".into(),
        mb(all / pids.len().max(1) as u64),
        "the same, divided".into(),
    ]);
    Ok(table.markdown())
}
