//! What one request costs the worker: batches of requests over a socket pair, CPU time of the worker's thread.
//!
//! `cargo run --release -p fazt-worker --example hot [batch] [script]`

#[path = "../tests/kernel/mod.rs"]
mod kernel;

use std::time::Instant;

use fazt_ipc::wire::WorkerKind;
use kernel::Kernel;

/// CPU time of every thread but this one, in nanoseconds.
fn worker_cpu_ns() -> u64 {
    let own = std::fs::read_link("/proc/thread-self").expect("Linux");
    let own = own.file_name().expect("a number").to_owned();
    std::fs::read_dir("/proc/self/task")
        .expect("Linux")
        .filter_map(Result::ok)
        .filter(|task| task.file_name() != own)
        .filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|text| text.split(' ').next()?.parse::<u64>().ok())
        .sum()
}

fn measure(name: &str, script: &str, batch: usize, rounds: usize) {
    let mut kernel = Kernel::app(script);
    let mut round = |count: usize| {
        for _ in 0..count {
            let mut bytes = Vec::new();
            for _ in 0..batch {
                kernel.queue(&mut bytes, "/a/b?c=d");
            }
            kernel.write(&bytes);
            let mut settled = 0;
            while settled < batch {
                settled += usize::from(kernel.frame().kind == WorkerKind::Settled);
            }
        }
    };
    round(rounds / 10 + 1);
    let (cpu, wall) = (worker_cpu_ns(), Instant::now());
    round(rounds);
    let requests = (rounds * batch) as f64;
    println!(
        "{name:<28} batch {batch:>2}: {:>6.2} µs CPU, {:>6.2} µs wall per request",
        (worker_cpu_ns() - cpu) as f64 / requests / 1000.0,
        wall.elapsed().as_nanos() as f64 / requests / 1000.0
    );
}

fn main() {
    for batch in [1, 32] {
        let rounds = 40_000 / batch;
        measure(
            "sync handler",
            "export default { fetch() { return new Response('hello'); } };",
            batch,
            rounds,
        );
        measure(
            "async handler",
            "export default { async fetch() { return new Response('hello'); } };",
            batch,
            rounds,
        );
        measure(
            "header and JSON",
            "export default { async fetch(r) { return Response.json({ a: r.headers.get('accept'), m: r.method }); } };",
            batch,
            rounds,
        );
        measure(
            "URL, init with headers",
            "export default { async fetch(r) { const u = new URL(r.url); return new Response(u.pathname, { status: 201, headers: { 'x-a': 'b' } }); } };",
            batch,
            rounds,
        );
    }
}
