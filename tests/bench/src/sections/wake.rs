//! From hibernation to the first byte, beside the peers' process start.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use fazt_tests::{Folder, Server};

use crate::load::{first_byte, percentile};
use crate::peers::Peer;
use crate::report::Table;

const ROUNDS: usize = 60;

fn wakes(server: &Server, app: &str) -> Result<Vec<Duration>> {
    let mut took = Vec::new();
    for _ in 0..ROUNDS {
        server.fazt(&["proc", "hibernate", app]).ok();
        server.wait("hibernation and a full pool", |server| {
            server.processes(app).iter().all(|row| row["pid"].is_null())
                && server.status()["pool"].as_u64() > Some(0)
        });
        took.push(first_byte(server.address, &super::host(server, app), "/")?);
    }
    Ok(took)
}

/// The section.
pub fn run(folder: &Path) -> Result<String> {
    let mut table = Table::new(
        "Wake: hibernated to first byte; peers: process start to first answer",
        &["what", "p50 ms", "p99 ms", "bun's start / this", "workerd's / this", "node's / this"],
    );
    let mut starts = Vec::new();
    for peer in [Peer::Bun, Peer::Workerd, Peer::Node, Peer::Hono, Peer::Axum, Peer::BunBig, Peer::WorkerdBig]
    {
        let mut took = (0..10).map(|_| peer.cold_start(folder)).collect::<Result<Vec<_>>>()?;
        starts.push((peer, percentile(&mut took, 0.5), percentile(&mut took, 0.99)));
    }
    let start = |wanted: Peer| {
        starts.iter().find(|(peer, ..)| *peer == wanted).map_or(f64::NAN, |(_, p50, _)| p50.as_secs_f64())
    };
    let mut row = |name: &str, p50: Duration, p99: Duration, ratios: bool| {
        let against = |peer: Peer| {
            if ratios { format!("{:.1}", start(peer) / p50.as_secs_f64()) } else { "–".into() }
        };
        table.row([
            name.to_owned(),
            format!("{:.2}", p50.as_secs_f64() * 1e3),
            format!("{:.2}", p99.as_secs_f64() * 1e3),
            against(Peer::Bun),
            against(Peer::Workerd),
            against(Peer::Node),
        ]);
    };
    for (name, config) in
        [("fazt, hello, warm pool", ""), ("fazt, hello, empty pool", "[workers]\npool = 0\n")]
    {
        let server = super::fazt(config)?;
        super::deploy_app(&server, folder, "app")?;
        let mut took = if config.is_empty() {
            wakes(&server, "app")?
        } else {
            let mut took = Vec::new();
            for _ in 0..ROUNDS {
                server.fazt(&["proc", "hibernate", "app"]).ok();
                server.wait("hibernation", |server| {
                    server.processes("app").iter().all(|row| row["pid"].is_null())
                });
                took.push(first_byte(server.address, &super::host(&server, "app"), "/")?);
            }
            took
        };
        row(name, percentile(&mut took, 0.5), percentile(&mut took, 0.99), true);
        if config.is_empty() {
            let big = Folder::with(&[("app.json", "{\"name\": \"big\", \"access\": \"public\"}")]);
            big.write("server.js", std::fs::read(folder.join("big.out.js"))?);
            server.deploy(&big, "big");
            let mut took = wakes(&server, "big")?;
            row("fazt, 545 KB bundle", percentile(&mut took, 0.5), percentile(&mut took, 0.99), false);
        }
    }
    for (peer, p50, p99) in &starts {
        row(peer.name(), *p50, *p99, false);
    }
    Ok(table.markdown())
}
