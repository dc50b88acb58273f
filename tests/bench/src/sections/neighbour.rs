//! A neighbour at 200 requests a second while another app burns the core.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::Result;

use crate::load::{first_byte, open_loop, percentile};
use crate::peers::Peer;
use crate::report::Table;

/// The section.
pub fn run(folder: &Path) -> Result<String> {
    let mut table = Table::new(
        "A neighbour at 200 requests a second while another app burns the core (both on one core)",
        &["server", "alone p50 / p99 ms", "beside it p50 / p99 ms", "p99.9 ms"],
    );
    let server = super::fazt("")?;
    super::deploy_app(&server, folder, "quiet")?;
    super::deploy_app(&server, folder, "loud")?;
    let quiet = super::host(&server, "quiet");
    let loud = super::host(&server, "loud");
    first_byte(server.address, &quiet, "/")?;
    first_byte(server.address, &loud, "/")?;
    crate::process::pin(server.pid())?;
    let row = measure(server.address, &quiet, server.address, &loud)?;
    table.row(std::iter::once("**fazt**".to_owned()).chain(row));

    let workerd = Peer::Workerd.start(folder)?;
    let row = measure(workerd.address, "localhost", workerd.address, "localhost")?;
    table.row(std::iter::once("workerd, one process".to_owned()).chain(row));
    Ok(table.markdown())
}

fn measure(
    quiet: std::net::SocketAddr,
    quiet_host: &str,
    loud: std::net::SocketAddr,
    loud_host: &str,
) -> Result<Vec<String>> {
    let show = |values: &mut Vec<std::time::Duration>, shares: &[f64]| {
        let parts: Vec<_> = shares
            .iter()
            .map(|&share| format!("{:.2}", percentile(values, share).as_secs_f64() * 1e3))
            .collect();
        parts.join(" / ")
    };
    let mut alone = open_loop(quiet, quiet_host, 200, 5)?;
    let over = AtomicBool::new(false);
    let mut beside = thread::scope(|scope| {
        let burner = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let _ = first_byte(loud, loud_host, "/burn");
            }
        });
        thread::sleep(std::time::Duration::from_millis(500));
        let beside = open_loop(quiet, quiet_host, 200, 10);
        over.store(true, Ordering::Relaxed);
        let _ = burner.join();
        beside
    })?;
    Ok(vec![show(&mut alone, &[0.5, 0.99]), show(&mut beside, &[0.5, 0.99]), show(&mut beside, &[0.999])])
}
