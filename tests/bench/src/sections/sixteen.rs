//! Sixteen apps behind one port, requests in turn, everything on one core.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::load::wrk;
use crate::peers::Peer;
use crate::process::{Running, free_port};
use crate::report::{Table, mb, median};

const APPS: usize = 16;

fn nginx(ports: &[u16], scratch: &Path) -> Result<Running> {
    let port = free_port()?;
    let servers: String = ports
        .iter()
        .enumerate()
        .map(|(i, upstream)| {
            format!(
                "upstream u{i} {{ server 127.0.0.1:{upstream}; keepalive 64; }}\nserver {{ listen 127.0.0.1:{port}; server_name app{i}.localhost; location / {{ proxy_pass http://u{i}; proxy_http_version 1.1; proxy_set_header Connection \"\"; }} }}\n"
            )
        })
        .collect();
    let config = format!(
        "daemon off; worker_processes 1; pid {0}/pid; error_log {0}/error.log;\nevents {{ worker_connections 4096; }}\nhttp {{ access_log off; keepalive_requests 1000000; client_body_temp_path {0}; proxy_temp_path {0}; fastcgi_temp_path {0}; uwsgi_temp_path {0}; scgi_temp_path {0};\n{servers}}}\n",
        scratch.display()
    );
    let file = scratch.join("nginx.conf");
    std::fs::write(&file, config)?;
    let mut command = Command::new("nginx");
    command.arg("-c").arg(&file).arg("-p").arg(scratch);
    Running::start(command, SocketAddr::from(([127, 0, 0, 1], port)))
}

/// The section.
pub fn run(folder: &Path) -> Result<String> {
    let mut table = Table::new(
        "Sixteen apps behind one port, c=64, requests in turn, one core",
        &["stack", "req/s", "fazt / this", "p99 µs", "PSS MB"],
    );
    let server = super::fazt("")?;
    for i in 0..APPS {
        super::deploy_app(&server, folder, &format!("app{i}"))?;
    }
    let hosts: Vec<_> = (0..APPS).map(|i| super::host(&server, &format!("app{i}"))).collect();
    wrk(server.address, &hosts, "/", 64, 1, server.pid())?;
    crate::process::pin(server.pid())?;

    let buns = (0..APPS).map(|_| Peer::Bun.start(folder)).collect::<Result<Vec<_>>>()?;
    let scratch = tempfile::tempdir()?;
    let ports: Vec<_> = buns.iter().map(|bun| bun.address.port()).collect();
    let front = nginx(&ports, scratch.path())?;
    let names: Vec<_> = (0..APPS).map(|i| format!("app{i}.localhost")).collect();
    wrk(front.address, &names, "/", 64, 1, front.pid())?;

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        ours.push(wrk(server.address, &hosts, "/", 64, 4, server.pid())?);
        theirs.push(wrk(front.address, &names, "/", 64, 4, front.pid())?);
    }
    let rate = |loads: &[crate::load::Load]| median(&loads.iter().map(|load| load.rate).collect::<Vec<_>>());
    let p99 = |loads: &[crate::load::Load]| median(&loads.iter().map(|load| load.p99_us).collect::<Vec<_>>());
    let bun_pids: Vec<_> = buns.iter().flat_map(|bun| crate::process::tree(bun.pid())).collect();
    let fazt_pss = crate::process::pss(&crate::process::tree(server.pid()));
    let bun_pss = crate::process::pss(&bun_pids) + crate::process::pss(&crate::process::tree(front.pid()));
    table.row([
        "**fazt**".into(),
        format!("{:.0}", rate(&ours)),
        "1.00".into(),
        format!("{:.0}", p99(&ours)),
        mb(fazt_pss),
    ]);
    table.row([
        "nginx + 16 bun".into(),
        format!("{:.0}", rate(&theirs)),
        format!("{:.2}", rate(&ours) / rate(&theirs)),
        format!("{:.0}", p99(&theirs)),
        mb(bun_pss),
    ]);
    Ok(table.markdown())
}
