//! workerd and esbuild, from the npm registry into `tests/.cache/oracle`.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The folder with programs and libraries.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| fazt_tests::npm("oracle"))
}

/// Bundles a fixture with its libraries into one module.
pub fn bundle(fixture: &str) -> PathBuf {
    let cache = folder();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("oracle/fixtures");
    let out = cache.join(format!("{fixture}-{}.js", std::process::id()));
    let mut command = Command::new(cache.join("node_modules/.bin/esbuild"));
    command
        .arg(sources.join(format!("{fixture}.js")))
        .args(["--bundle", "--format=esm", "--target=es2022", "--log-level=error", "--external:node:*"])
        .arg(format!("--outfile={}", out.display()))
        .env("NODE_PATH", cache.join("node_modules"));
    assert!(command.status().expect("esbuild").success(), "esbuild {fixture}");
    out
}

/// A running workerd.
pub struct Workerd {
    child: Child,
    /// Where it answers.
    pub address: SocketAddr,
    config: PathBuf,
}

impl Workerd {
    /// Starts it with a bundle.
    pub fn start(bundle: &Path, service_worker: bool) -> Self {
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("port").port();
        let name = bundle.file_name().expect("file").to_str().expect("plain");
        let code = if service_worker {
            format!("serviceWorkerScript = embed \"{name}\",")
        } else {
            format!("modules = [(name = \"{name}\", esModule = embed \"{name}\")],")
        };
        let text = format!(
            "using Workerd = import \"/workerd/workerd.capnp\";\nconst config :Workerd.Config = (services = [(name = \"main\", worker = .worker)], sockets = [(name = \"http\", address = \"127.0.0.1:{port}\", http = (), service = \"main\")]);\nconst worker :Workerd.Worker = ({code} compatibilityDate = \"2026-01-01\", compatibilityFlags = [\"nodejs_compat\"]);\n"
        );
        let config = bundle.with_extension("capnp");
        fs::write(&config, text).expect("config");
        let child = Command::new(folder().join("node_modules/.bin/workerd"))
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .spawn()
            .expect("workerd");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(start.elapsed() < Duration::from_secs(20), "workerd does not answer");
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { child, address, config }
    }
}

impl Drop for Workerd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.config);
        let _ = fs::remove_file(self.config.with_extension("js"));
    }
}

/// A running Miniflare: workerd with Workers KV and R2 beside it.
pub struct Miniflare {
    child: Child,
    /// Where it answers.
    pub address: SocketAddr,
}

impl Miniflare {
    /// Starts it with a bundle.
    pub fn start(bundle: &Path) -> Self {
        // Beside its packages, where node looks for them.
        let script = bundle.with_extension("mjs");
        fs::write(&script, include_str!("miniflare.mjs")).expect("script");
        let mut child = Command::new("node")
            .args([&script, bundle])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node");
        let mut line = String::new();
        let said = child.stdout.take().expect("a pipe");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(said), &mut line).expect("its port");
        let port = line.trim().parse().unwrap_or_else(|_| panic!("miniflare says {line:?}"));
        let _ = fs::remove_file(script);
        Self { child, address: SocketAddr::from(([127, 0, 0, 1], port)) }
    }
}

impl Drop for Miniflare {
    fn drop(&mut self) {
        // The end of its input ends it, and workerd with it.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
