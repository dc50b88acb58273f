//! Starting, pinning and measuring processes by `/proc`.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// CPU that servers run on; the load generator has the other.
pub const SERVER_CPU: &str = "0";
/// CPU of the load generator.
pub const LOAD_CPU: &str = "1";

/// A server that was started for the benchmark, ended with the value.
pub struct Running {
    child: Child,
    /// Where it answers.
    pub address: SocketAddr,
}

impl Running {
    /// Starts `command` on the server's CPU and waits until `address` accepts connections.
    pub fn start(command: Command, address: SocketAddr) -> Result<Self> {
        let program = command.get_program().to_owned();
        let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        let mut pinned = Command::new("taskset");
        pinned.args(["-c", SERVER_CPU]).arg(&program).args(arguments);
        for (key, value) in command.get_envs() {
            if let Some(value) = value {
                pinned.env(key, value);
            }
        }
        if let Some(folder) = command.get_current_dir() {
            pinned.current_dir(folder);
        }
        let child = pinned
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("{program:?}"))?;
        drop(command);
        let running = Self { child, address };
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            if start.elapsed() > Duration::from_secs(20) {
                bail!("{program:?} does not answer on {address}");
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(running)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for pid in tree(self.child.id()).into_iter().rev() {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).stderr(Stdio::null()).status();
        }
        let _ = self.child.wait();
    }
}

/// A port that nobody listens on right now.
pub fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A process and all below it.
pub fn tree(root: u32) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while next < found.len() {
        let pid = found[next];
        next += 1;
        for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        }
    }
    found
}

/// Keeps a process and all below it on the server's CPU.
pub fn pin(root: u32) -> Result<()> {
    for pid in tree(root) {
        Command::new("taskset")
            .args(["-a", "-p", "-c", SERVER_CPU, &pid.to_string()])
            .stdout(Stdio::null())
            .status()?;
    }
    Ok(())
}

/// CPU time of processes in microseconds.
pub fn cpu_us(pids: &[u32]) -> u64 {
    pids.iter()
        .filter_map(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let mut words = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
            let user: u64 = words.next()?.parse().ok()?;
            let system: u64 = words.next()?.parse().ok()?;
            Some((user + system) * 10_000)
        })
        .sum()
}

/// A line of `/proc/PID/FILE` in bytes.
fn kib(pid: u32, file: &str, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Proportional memory of processes in bytes.
pub fn pss(pids: &[u32]) -> u64 {
    pids.iter().map(|&pid| kib(pid, "smaps_rollup", "Pss:")).sum()
}

/// Page tables and kernel stacks (16 KiB a thread) of processes in bytes: what PSS does not count.
pub fn beside_pss(pids: &[u32]) -> u64 {
    pids.iter()
        .map(|&pid| {
            let threads = fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count) as u64;
            kib(pid, "status", "VmPTE:") + threads * 16 * 1024
        })
        .sum()
}

/// Facts about the machine, a line each.
pub fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name\t: ")).unwrap_or("unknown");
    let cores = cpu.matches("processor\t:").count();
    let memory = read("/proc/meminfo");
    let memory = memory.lines().next().unwrap_or_default().split_whitespace().nth(1).unwrap_or("0");
    let load = read("/proc/loadavg");
    format!(
        "{model}, {cores} cores, {} MiB, kernel {}, load before {}",
        memory.parse::<u64>().unwrap_or(0) / 1024,
        read("/proc/sys/kernel/osrelease").trim(),
        load.split(' ').next().unwrap_or_default(),
    )
}
