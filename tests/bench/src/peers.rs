//! The servers that are compared. Peers come from the npm registry into `tests/.cache/bench`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use axum::http::header;
use axum::routing::get;

use crate::process::{Running, free_port};

/// Body of the static file that Fazt and axum serve.
pub fn static_body() -> String {
    "body { color: #123456; margin: 0; }\n".repeat(290)
}

/// A bare axum handler on one thread: the most that this machine gives.
pub fn serve_axum(port: u16) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let body = bytes::Bytes::from(static_body());
    let app = axum::Router::new()
        .route("/", get(|| async { ([(header::CONTENT_TYPE, "application/json")], r#"{"hello":"world"}"#) }))
        .route("/file.css", get(move || async move { ([(header::CONTENT_TYPE, "text/css")], body.clone()) }));
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).await?;
        axum::serve(listener, app).await?;
        Ok(())
    })
}

/// The folder with the peers' programs and scripts, filled on first use.
pub fn folder() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cache = here.join("../.cache/bench");
    std::fs::create_dir_all(&cache)?;
    let cache = cache.canonicalize()?;
    for entry in std::fs::read_dir(here.join("peers"))? {
        let entry = entry?;
        std::fs::copy(entry.path(), cache.join(entry.file_name()))?;
    }
    if ["workerd", "hono", "better-sqlite3"]
        .iter()
        .any(|peer| !cache.join("node_modules").join(peer).is_dir())
    {
        eprintln!("installing the peers (npm)");
        let status = Command::new("npm")
            .args(["install", "--no-audit", "--no-fund", "--silent"])
            .current_dir(&cache)
            .status()?;
        ensure!(status.success(), "npm install failed");
    }
    let esbuild = |entry: &str, out: &str| -> Result<()> {
        let status = Command::new(cache.join("node_modules/.bin/esbuild"))
            .args([entry, "--bundle", "--format=esm", "--minify", "--log-level=error", "--target=es2022"])
            .arg(format!("--outfile={out}"))
            .current_dir(&cache)
            .status()?;
        ensure!(status.success(), "esbuild {entry}");
        Ok(())
    };
    esbuild("big.mjs", "big.out.js")?;
    esbuild("app.mjs", "app.out.js")?;
    Ok(cache)
}

/// A peer by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Bare axum.
    Axum,
    /// Node's own server.
    Node,
    /// Hono on Node.
    Hono,
    /// Bun.
    Bun,
    /// workerd.
    Workerd,
    /// workerd with the big bundle.
    WorkerdBig,
    /// Bun with the big bundle.
    BunBig,
    /// Node's own server with better-sqlite3.
    NodeStore,
    /// Bun with its SQLite.
    BunStore,
    /// A Durable Object on workerd.
    WorkerdStore,
}

/// An empty folder for what a peer stores, on the disk that everything else is on.
fn store(folder: &Path, port: u16) -> Result<PathBuf> {
    let store = folder.join(format!("store-{port}"));
    let _ = std::fs::remove_dir_all(&store);
    std::fs::create_dir_all(&store)?;
    Ok(store)
}

impl Peer {
    /// Name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Axum => "axum",
            Self::Node => "node",
            Self::Hono => "node + hono",
            Self::Bun => "bun",
            Self::Workerd => "workerd",
            Self::WorkerdBig => "workerd, big",
            Self::BunBig => "bun, big",
            Self::NodeStore => "node + better-sqlite3",
            Self::BunStore => "bun + its SQLite",
            Self::WorkerdStore => "workerd, Durable Object",
        }
    }

    /// How to start it on that port.
    pub fn command(self, folder: &Path, port: u16) -> Result<Command> {
        let bin = |name: &str| folder.join("node_modules/.bin").join(name);
        let mut command = match self {
            Self::Axum => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["__axum", &port.to_string()]);
                command
            }
            Self::Node | Self::Hono => {
                let mut command = Command::new("node");
                command.arg(if self == Self::Node { "node.mjs" } else { "hono.mjs" });
                command
            }
            Self::Bun => {
                let mut command = Command::new(folder.join("node_modules/bun/bin/bun.exe"));
                command.arg("bun.mjs");
                command
            }
            Self::BunBig => {
                std::fs::write(
                    folder.join("bunbig.mjs"),
                    "import app from './big.out.js';\nBun.serve({ port: Number(process.env.PORT), hostname: '127.0.0.1', fetch: app.fetch });\n",
                )?;
                let mut command = Command::new(folder.join("node_modules/bun/bin/bun.exe"));
                command.arg("bunbig.mjs");
                command
            }
            Self::NodeStore | Self::BunStore => {
                let node = self == Self::NodeStore;
                let mut command = if node {
                    Command::new("node")
                } else {
                    Command::new(folder.join("node_modules/bun/bin/bun.exe"))
                };
                command.arg(if node { "store-node.mjs" } else { "store-bun.mjs" });
                command.env("STORE", store(folder, port)?.join("store.db"));
                command
            }
            Self::WorkerdStore => {
                let config = std::fs::read_to_string(folder.join("store-workerd.capnp.in"))?
                    .replace("PORT", &port.to_string())
                    .replace("MAIN", "store-workerd.mjs")
                    .replace("\"STORE\", writable", &format!("{:?}, writable", store(folder, port)?));
                let file = folder.join(format!("workerd-{port}.capnp"));
                std::fs::write(&file, config)?;
                let mut command = Command::new(bin("workerd"));
                command.arg("serve").arg(file);
                command
            }
            Self::Workerd | Self::WorkerdBig => {
                let main = if self == Self::Workerd { "app.out.js" } else { "big.out.js" };
                let config = std::fs::read_to_string(folder.join("workerd.capnp.in"))?
                    .replace("PORT", &port.to_string())
                    .replace("MAIN", main);
                let file = folder.join(format!("workerd-{port}.capnp"));
                std::fs::write(&file, config)?;
                let mut command = Command::new(bin("workerd"));
                command.arg("serve").arg(file);
                command
            }
        };
        command.current_dir(folder).env("PORT", port.to_string());
        Ok(command)
    }

    /// Starts it.
    pub fn start(self, folder: &Path) -> Result<Running> {
        let port = free_port()?;
        Running::start(self.command(folder, port)?, SocketAddr::from(([127, 0, 0, 1], port)))
            .with_context(|| self.name())
    }

    /// Time from starting the process to the first answer.
    pub fn cold_start(self, folder: &Path) -> Result<Duration> {
        let port = free_port()?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut command = self.command(folder, port)?;
        command
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        let start = Instant::now();
        let mut child = command.spawn()?;
        while crate::load::first_byte(address, "localhost", "/").is_err() {
            ensure!(start.elapsed() < Duration::from_secs(20), "{} does not answer", self.name());
            std::thread::sleep(Duration::from_micros(200));
        }
        let took = start.elapsed();
        for pid in crate::process::tree(child.id()).into_iter().rev() {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
        }
        child.wait()?;
        Ok(took)
    }
}
