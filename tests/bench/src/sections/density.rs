//! Memory: an idle worker, the trusted processes, 500 apps awake.

use std::path::Path;

use anyhow::Result;

use crate::load::{first_byte, wrk};
use crate::process::{beside_pss, pss, tree};
use crate::report::{Table, mb};

const APPS: usize = 500;

/// The section.
pub fn run(folder: &Path) -> Result<String> {
    let mut table = Table::new("Memory and density", &["what", "MB", "how"]);
    let server = super::fazt("[workers]\nidle_s = 3600\n")?;
    for i in 0..APPS {
        super::deploy_app(&server, folder, &format!("app{i}"))?;
    }
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

    let hosts: Vec<_> = (0..APPS).map(|i| super::host(&server, &format!("app{i}"))).collect();
    let mut refused = 0;
    for host in &hosts {
        if first_byte(server.address, host, "/").is_err() {
            refused += 1;
        }
    }
    let trusted_pids = trusted(&server);
    let workers: Vec<u32> =
        tree(server.pid()).into_iter().filter(|pid| !trusted_pids.contains(pid)).collect();
    let all = pss(&workers) + beside_pss(&workers);
    table.row([
        format!("{} workers awake after one request each ({refused} refused)", workers.len()),
        mb(all),
        "PSS + page tables + kernel stacks".into(),
    ]);
    table.row(["one idle worker".into(), mb(all / workers.len().max(1) as u64), "the same, divided".into()]);
    table.row(["supervisor + launcher with all of them awake".into(), mb(pss(&trusted_pids)), "PSS".into()]);
    wrk(server.address, &hosts, "/", 64, 5, server.pid())?;
    table.row([
        "supervisor + launcher under load (c=64 over all apps)".into(),
        mb(pss(&trusted(&server))),
        "PSS".into(),
    ]);
    Ok(table.markdown())
}
