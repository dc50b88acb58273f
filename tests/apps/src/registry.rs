//! A registry of npm on loopback, in front of the one that `npm` is set to: Fazt reaches nothing else in a test.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context as _, Result};

/// What is passed on.
struct Relay {
    upstream: String,
    folder: PathBuf,
}

/// Starts it; its URL.
pub fn start(folder: &Path) -> Result<String> {
    std::fs::create_dir_all(folder)?;
    let said = Command::new("npm").args(["config", "get", "registry"]).output().context("npm")?;
    let upstream = String::from_utf8_lossy(&said.stdout).trim().trim_end_matches('/').to_owned();
    let relay = Arc::new(Relay { upstream, folder: folder.to_owned() });
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", listener.local_addr()?);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let relay = Arc::clone(&relay);
            std::thread::spawn(move || relay.answer(stream));
        }
    });
    Ok(url)
}

impl Relay {
    fn answer(&self, mut stream: TcpStream) -> Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut first = String::new();
        reader.read_line(&mut first)?;
        let mut line = String::new();
        while reader.read_line(&mut line)? > 2 {
            line.clear();
        }
        let body = first.split(' ').nth(1).and_then(|path| self.package(path));
        let (status, body) = body.map_or(("404 Not Found", Vec::new()), |body| ("200 OK", body));
        let head =
            format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
        stream.write_all(&[head.into_bytes(), body].concat())?;
        Ok(())
    }

    /// A package, kept from an earlier run or fetched.
    fn package(&self, path: &str) -> Option<Vec<u8>> {
        let plain = path.starts_with('/') && !path.contains("..") && path.ends_with(".tgz");
        let kept = plain.then(|| self.folder.join(path.trim_start_matches('/').replace('/', "+")))?;
        if !kept.exists() {
            let part = self.folder.join(format!("{:?}.part", std::thread::current().id()));
            let mut curl = Command::new("curl");
            curl.args(["-sfL", "--max-time", "60", "-o"]).arg(&part).arg(format!("{}{path}", self.upstream));
            curl.status().ok().filter(|status| status.success())?;
            std::fs::rename(part, &kept).ok()?;
        }
        std::fs::read(kept).ok()
    }
}
