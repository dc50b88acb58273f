//! Load: `wrk` for closed loops, an own generator for a fixed arrival rate and for single requests.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::process::{self, LOAD_CPU};

/// What a closed loop reached.
#[derive(Debug, Clone, Copy, Default)]
pub struct Load {
    /// Requests per second.
    pub rate: f64,
    /// Half of the requests were faster, in microseconds.
    pub p50_us: f64,
    /// 99 of 100 were faster, in microseconds.
    pub p99_us: f64,
    /// CPU time of the server per request, in microseconds.
    pub cpu_us: f64,
    /// Proportional memory of the server at the end, in bytes.
    pub pss: u64,
}

/// Runs `wrk` against `path` at those hosts in turn, on the load's CPU.
pub fn wrk(
    address: SocketAddr,
    hosts: &[String],
    path: &str,
    connections: u32,
    seconds: u32,
    server: u32,
) -> Result<Load> {
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("hosts.lua");
    let list: Vec<_> = hosts.iter().map(|host| format!("{host:?}")).collect();
    std::fs::write(
        &script,
        format!(
            "local hosts = {{{}}}\nlocal made = {{}}\nlocal i = 0\nfunction init()\n  for n, host in ipairs(hosts) do made[n] = wrk.format('GET', {path:?}, {{ Host = host }}) end\nend\nfunction request()\n  i = i % #made + 1\n  return made[i]\nend\n",
            list.join(",")
        ),
    )?;
    let pids = process::tree(server);
    let before = process::cpu_us(&pids);
    let output = Command::new("taskset")
        .args(["-c", LOAD_CPU, "wrk", "-t1", "--latency"])
        .args([format!("-c{connections}"), format!("-d{seconds}s"), "-s".into()])
        .arg(&script)
        .arg(format!("http://{address}{path}"))
        .output()
        .context("wrk")?;
    let cpu = process::cpu_us(&process::tree(server)).saturating_sub(before);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let field = |name: &str| {
        text.lines().find_map(|line| line.trim().strip_prefix(name)).map(str::trim).map(str::to_owned)
    };
    if let Some(errors) = field("Non-2xx or 3xx responses:") {
        bail!("{errors} failed responses from {address}{path}");
    }
    let rate: f64 = field("Requests/sec:").context("no rate from wrk")?.parse()?;
    let requests = text
        .lines()
        .find_map(|line| line.trim().split_once(" requests in "))
        .and_then(|(count, _)| count.parse::<f64>().ok())
        .context("no count from wrk")?;
    Ok(Load {
        rate,
        p50_us: time_us(&field("50%").unwrap_or_default()),
        p99_us: time_us(&field("99%").unwrap_or_default()),
        cpu_us: cpu as f64 / requests,
        pss: process::pss(&process::tree(server)),
    })
}

fn time_us(text: &str) -> f64 {
    let (number, factor) = if let Some(number) = text.strip_suffix("us") {
        (number, 1.0)
    } else if let Some(number) = text.strip_suffix("ms") {
        (number, 1e3)
    } else {
        (text.trim_end_matches('s'), 1e6)
    };
    number.parse::<f64>().unwrap_or(f64::NAN) * factor
}

/// One request on a connection of its own; the time to the first byte of the answer.
pub fn first_byte(address: SocketAddr, host: &str, path: &str) -> Result<Duration> {
    let start = Instant::now();
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")?;
    let mut first = [0u8; 12];
    stream.read_exact(&mut first)?;
    let took = start.elapsed();
    if &first[9..12] != b"200" {
        bail!("answer {:?}", String::from_utf8_lossy(&first));
    }
    Ok(took)
}

/// Requests at a fixed rate on one connection, whatever the server does; latencies count from when each should
/// have been sent.
pub fn open_loop(address: SocketAddr, host: &str, per_second: u32, seconds: u32) -> Result<Vec<Duration>> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    let count = per_second * seconds;
    let gap = Duration::from_secs(1) / per_second;
    let begin = Instant::now();
    let request = format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n");
    let sender = thread::spawn(move || -> std::io::Result<()> {
        for i in 0..count {
            let due = begin + gap * i;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            writer.write_all(request.as_bytes())?;
        }
        Ok(())
    });
    let mut took = Vec::with_capacity(count as usize);
    for i in 0..count {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                bail!("the server closed the connection");
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        took.push(Instant::now().saturating_duration_since(begin + gap * i));
    }
    sender.join().map_err(|_| anyhow::anyhow!("sender"))??;
    Ok(took)
}

/// The value below which that share of the values lies.
pub fn percentile(values: &mut [Duration], share: f64) -> Duration {
    values.sort_unstable();
    let last = values.len().saturating_sub(1);
    values.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
}
