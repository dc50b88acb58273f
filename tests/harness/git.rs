//! A Git server on loopback, over HTTP: what `git upload-pack` answers, and what a hostile one would.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::Folder;

/// An answer that takes the place of the real one.
type Instead = Box<dyn Fn(&str) -> Option<Vec<u8>> + Send + Sync>;

/// Serves the repositories in a folder.
pub struct GitServer {
    /// Where it listens.
    pub address: SocketAddr,
    folder: tempfile::TempDir,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Tokens that repositories want.
    tokens: Mutex<HashMap<String, String>>,
    instead: Mutex<Option<Instead>>,
    asked: Mutex<Vec<String>>,
}

impl GitServer {
    /// Starts one with no repository.
    ///
    /// # Panics
    /// When that does not work.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it starts a server")]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::<Shared>::default();
        let (path, with) = (folder.path().to_owned(), Arc::clone(&shared));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (path, with) = (path.clone(), Arc::clone(&with));
                std::thread::spawn(move || {
                    let _ = serve(stream, &path, &with);
                });
            }
        });
        Self { address, folder, shared }
    }

    /// What is typed to name a repository of it.
    #[must_use]
    pub fn source(&self, repository: &str) -> String {
        format!("http://127.0.0.1:{}/{repository}", self.address.port())
    }

    /// A repository, made if it is not there.
    ///
    /// # Panics
    /// When that does not work.
    #[must_use]
    pub fn repository(&self, name: &str) -> Repository {
        let path = self.folder.path().join(format!("{name}.git"));
        if !path.exists() {
            std::fs::create_dir_all(&path).expect("a folder");
            Repository { path: path.clone() }.git(&["init", "--quiet", "--initial-branch=main"]);
        }
        Repository { path }
    }

    /// Serves a repository that lies elsewhere.
    ///
    /// # Panics
    /// When the disk refuses.
    pub fn share(&self, name: &str, git_folder: &Path) {
        let path = self.folder.path().join(format!("{name}.git"));
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        if !path.exists() {
            std::os::unix::fs::symlink(git_folder, path).expect("a link");
        }
    }

    /// Shows a repository only to whoever has this token.
    ///
    /// # Panics
    /// When another thread did.
    pub fn guard(&self, repository: &str, token: &str) {
        self.shared.tokens.lock().expect("tokens").insert(repository.to_owned(), token.to_owned());
    }

    /// Answers with these bytes, head and all, wherever there are some for a path.
    ///
    /// # Panics
    /// When another thread did.
    pub fn instead(&self, answer: impl Fn(&str) -> Option<Vec<u8>> + Send + Sync + 'static) {
        *self.shared.instead.lock().expect("answers") = Some(Box::new(answer));
    }

    /// Paths that were asked for so far.
    ///
    /// # Panics
    /// When another thread did.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().expect("paths").clone()
    }
}

/// A repository with a work tree.
pub struct Repository {
    path: PathBuf,
}

impl Repository {
    /// Puts files in the place of those that are there and commits them; the commit.
    ///
    /// # Panics
    /// When that does not work.
    pub fn commit(&self, files: &[(&str, &str)]) -> String {
        for entry in std::fs::read_dir(&self.path).expect("a folder").flatten() {
            match entry.file_type() {
                _ if entry.file_name() == ".git" => {}
                Ok(kind) if kind.is_dir() => std::fs::remove_dir_all(entry.path()).expect("removed"),
                _ => std::fs::remove_file(entry.path()).expect("removed"),
            }
        }
        for (path, content) in files {
            let path = self.path.join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(path, content).expect("a file");
        }
        self.commit_all()
    }

    /// Commits the work tree of a folder.
    ///
    /// # Panics
    /// When that does not work.
    pub fn commit_folder(&self, folder: &Folder) -> String {
        let status = Command::new("cp")
            .arg("-a")
            .arg(format!("{}/.", folder.path().display()))
            .arg(&self.path)
            .status();
        assert!(status.is_ok_and(|status| status.success()), "copied");
        self.commit_all()
    }

    /// Commits the work tree as it is; the commit.
    ///
    /// # Panics
    /// When that does not work.
    pub fn commit_all(&self) -> String {
        self.git(&["add", "--all", "--force"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", "a commit"]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Where the work tree is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs Git in it: what it says.
    ///
    /// # Panics
    /// When it fails.
    pub fn git(&self, arguments: &[&str]) -> String {
        let output =
            quiet(Command::new("git").arg("-C").arg(&self.path).args(arguments)).output().expect("git runs");
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

/// Nobody's settings count.
fn quiet(command: &mut Command) -> &mut Command {
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
    for (name, value) in [("NAME", "Ada"), ("EMAIL", "ada@example.org"), ("DATE", "2026-11-20T12:00:00Z")] {
        command.env(format!("GIT_AUTHOR_{name}"), value).env(format!("GIT_COMMITTER_{name}"), value);
    }
    command
}

/// One request, then the connection ends.
fn serve(stream: TcpStream, folder: &Path, shared: &Shared) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let target = first.split(' ').nth(1).unwrap_or_default().to_owned();
    shared.asked.lock().expect("paths").push(target.clone());
    let (mut length, mut chunked, mut authorization) = (0, false, String::new());
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().unwrap_or(0),
            "transfer-encoding" => chunked = value.contains("chunked"),
            "authorization" => authorization = value.trim().to_owned(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    while chunked {
        let mut size = String::new();
        reader.read_line(&mut size)?;
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        let start = body.len();
        body.resize(start + size, 0);
        reader.read_exact(&mut body[start..])?;
        reader.read_line(&mut String::new())?;
        chunked = size > 0;
    }
    let mut stream = stream;
    if let Some(answer) = shared.instead.lock().expect("answers").as_ref().and_then(|of| of(&target)) {
        return stream.write_all(&answer);
    }
    let path = target.split('?').next().unwrap_or_default().trim_start_matches('/');
    let (name, advertises) = match (path.strip_suffix("/info/refs"), path.strip_suffix("/git-upload-pack")) {
        (Some(name), _) => (name, true),
        (_, Some(name)) => (name, false),
        _ => return answer(&mut stream, "404 Not Found", "text/plain", b""),
    };
    let wants = shared.tokens.lock().expect("tokens").get(name.trim_end_matches(".git")).cloned();
    if let Some(token) = wants {
        use base64::Engine as _;
        let pair = authorization.strip_prefix("Basic ").unwrap_or_default();
        let pair = base64::engine::general_purpose::STANDARD.decode(pair).unwrap_or_default();
        if !String::from_utf8_lossy(&pair).ends_with(&format!(":{token}")) {
            return answer(&mut stream, "401 Unauthorized", "text/plain", b"");
        }
    }
    let repository = folder.join(name);
    if name.contains("..") || !repository.exists() {
        return answer(&mut stream, "404 Not Found", "text/plain", b"");
    }
    let mut command = Command::new("git");
    // Commits are asked for by their ids; a repository that lies elsewhere may be another user's.
    let settings = ["-c", "uploadpack.allowAnySHA1InWant=true", "-c", "safe.directory=*"];
    quiet(&mut command).args(settings).args(["upload-pack", "--stateless-rpc"]);
    command.env("GIT_PROTOCOL", "version=2");
    command.args(advertises.then_some("--http-backend-info-refs")).arg(repository);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    child.stdin.take().expect("piped").write_all(&body)?;
    let output = child.wait_with_output()?.stdout;
    if advertises {
        let mut whole = b"001e# service=git-upload-pack\n0000".to_vec();
        whole.extend_from_slice(&output);
        return answer(&mut stream, "200 OK", "application/x-git-upload-pack-advertisement", &whole);
    }
    answer(&mut stream, "200 OK", "application/x-git-upload-pack-result", &output)
}

fn answer(stream: &mut TcpStream, status: &str, kind: &str, body: &[u8]) -> std::io::Result<()> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)
}
