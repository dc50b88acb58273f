//! The stage: an edge on a free port, apps deployed from memory, a stand-in that answers for them.

use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use fazt_ipc::control::{Access, DeployPlan, PlanFile};
use fazt_ipc::ids::{AppId, RequestId};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::super::clients::Clients;
use super::super::edge::{Apps, Edge};
use super::super::hints::Hints;
use super::super::identity::People;
use super::super::metrics::Metrics;
use super::super::serve::{Serving, serve};
use crate::config::Config;
use crate::kernel::fs::{
    BuildError, Builder, Compiled, Fs, FsOptions, Release, Said, Sha256, Source, StripResult, Stripped,
};
use crate::kernel::proc::{BodyError, DispatchError, RequestBody};
use crate::kernel::security::{Authority, Identity, Real};

/// Answers by path.
#[derive(Default)]
pub(super) struct Stub {
    /// What reached it, as text: method, origin, path, fields.
    pub(super) seen: Mutex<Vec<String>>,
    /// What authors were told.
    pub(super) remarks: Mutex<Vec<String>>,
}

impl Apps for Arc<Stub> {
    type Body = UnsyncBoxBody<Bytes, BodyError>;

    async fn answer(
        &self,
        release: &Arc<Release>,
        authority: Authority,
        _: RequestId,
        origin: &str,
        request: Request<RequestBody>,
    ) -> Result<Response<Self::Body>, DispatchError> {
        assert_eq!(authority.app(), release.app);
        let mut seen = format!("{} {origin}{}\n", request.method(), request.uri().path());
        for (name, value) in request.headers() {
            seen.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
        }
        self.seen.lock().expect("seen").push(seen.clone());
        let whole =
            |text: String| Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync();
        match request.uri().path() {
            "/hostile" => {
                let mut response = Response::new(whole("hostile".into()));
                for name in
                    ["connection", "server", "date", "strict-transport-security", "x-fazt-x", "keep-alive"]
                {
                    response.headers_mut().insert(name, "forged".parse().expect("value"));
                }
                response.headers_mut().insert("content-length", "9999".parse().expect("value"));
                response.headers_mut().insert("transfer-encoding", "gzip".parse().expect("value"));
                Ok(response)
            }
            "/empty" => Ok(Response::builder().status(204).body(whole("not sent".into())).expect("response")),
            "/unchanged" => {
                Ok(Response::builder().status(304).body(whole("not sent".into())).expect("response"))
            }
            "/fail" => Err(DispatchError::Exception),
            "/busy" => Err(DispatchError::Overloaded),
            "/hang" => std::future::pending().await,
            "/body" => match request.into_body() {
                RequestBody::Empty => Ok(Response::new(whole("0".into()))),
                RequestBody::Stream(body) => {
                    let bytes = body.collect().await.map_err(|_| DispatchError::Died)?.to_bytes().len();
                    Ok(Response::new(whole(bytes.to_string())))
                }
            },
            "/flood" => {
                let piece = Bytes::from(vec![b'x'; 64 * 1024]);
                let pieces =
                    futures_util::stream::repeat_with(move || Ok(http_body::Frame::data(piece.clone())));
                Ok(Response::new(StreamBody::new(pieces.boxed()).boxed_unsync()))
            }
            _ => Ok(Response::new(whole(seen))),
        }
    }

    fn remark(&self, _: AppId, _: RequestId, text: String) {
        self.remarks.lock().expect("remarks").push(text);
    }

    async fn trouble(&self, _: AppId, _: RequestId) -> String {
        "Error: <boom>\n    at fetch (server.js:3:9)".into()
    }
}

/// Passes scripts on as they are: nothing here is run.
struct Plain;

impl Builder for Plain {
    fn strip(&self, sources: Vec<Source>) -> BoxFuture<'static, Result<Vec<StripResult>, BuildError>> {
        let stripped = sources.iter().map(|_| Ok(Stripped::default())).collect();
        Box::pin(async { Ok(stripped) })
    }

    fn compile(&self, sources: Vec<Source>) -> BoxFuture<'static, Result<Compiled, BuildError>> {
        let modules = sources.iter().map(|_| Ok(Bytes::from_static(b"bytecode"))).collect();
        Box::pin(async { Ok(Compiled { engine: 1, modules }) })
    }

    fn engine(&self) -> Option<u64> {
        Some(1)
    }
}

/// An edge and what is behind it.
pub(super) struct Stage {
    /// Where it listens.
    pub(super) address: SocketAddr,
    /// What reached the stand-in.
    pub(super) stub: Arc<Stub>,
    /// The running edge.
    pub(super) serving: Serving,
    pub(super) metrics: Arc<Metrics>,
    fs: Arc<Fs>,
    _data: tempfile::TempDir,
}

impl Stage {
    /// An edge with this configuration and no app.
    pub(super) async fn with(config: Config, dev: bool) -> Self {
        let data = tempfile::tempdir().expect("folder");
        let options = FsOptions { access_default: Access::Public, ..FsOptions::default() };
        let fs = Fs::open(data.path(), Arc::new(Plain), options).await.expect("fs");
        let people =
            People { identity: Identity::new(fs.book(), Arc::new(Real), &[7; 32]), fs: Arc::clone(&fs) };
        let (stub, metrics) = (Arc::<Stub>::default(), Arc::<Metrics>::default());
        let edge = Arc::new(Edge {
            domain: config.domain.clone(),
            dev,
            tls: None,
            clients: Clients::new(config.limits.clone()),
            hints: Hints::default(),
            config,
            fs: Arc::clone(&fs),
            apps: Arc::clone(&stub),
            people,
            api: None,
            metrics: Arc::clone(&metrics),
            ready: AtomicBool::new(true),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listener");
        let address = listener.local_addr().expect("address");
        let serving = serve(&edge, vec![(listener, None)]);
        Self { address, stub, serving, metrics, fs, _data: data }
    }

    /// An edge with defaults and the app `app`, which has a server and these files.
    pub(super) async fn app(files: &[(&str, &str)]) -> Self {
        let stage = Self::with(Config::default(), false).await;
        let mut files = files.to_vec();
        files.push(("server.js", "export default {}"));
        stage.deploy("notes", &files).await;
        stage
    }

    /// Deploys files.
    pub(super) async fn deploy(&self, name: &str, files: &[(&str, &str)]) {
        let plan = files
            .iter()
            .map(|(path, text)| PlanFile {
                path: (*path).into(),
                sha256: Sha256::of(text.as_bytes()).to_string(),
                bytes: text.len() as u64,
            })
            .collect();
        let ticket = self.fs.plan(name, DeployPlan { files: plan }).await.expect("plan");
        for (_, text) in files {
            let sha256 = Sha256::of(text.as_bytes()).to_string();
            if ticket.missing.contains(&sha256) {
                let bytes = Bytes::copy_from_slice(text.as_bytes());
                let body = futures_util::stream::once(async { Ok(bytes) }).boxed();
                self.fs.put(&ticket.id, &sha256, body).await.expect("put");
            }
        }
        self.fs.commit(&ticket.id, Said::default()).await.expect("commit");
    }

    /// A connection.
    pub(super) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("connection")
    }

    /// Sends these bytes on a connection of their own and reads until the server closes it.
    pub(super) async fn raw(&self, bytes: &str) -> Reply {
        let mut socket = self.connect().await;
        socket.write_all(bytes.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        // A server that refuses without reading everything may reset the connection after its answer.
        let _ = socket.read_to_end(&mut answer).await;
        Reply::of(&answer)
    }

    /// One request to the app `app` with these fields.
    pub(super) async fn ask(&self, method: &str, target: &str, fields: &[(&str, &str)]) -> Reply {
        let mut head =
            format!("{method} {target} HTTP/1.1\r\nhost: notes.localhost\r\nconnection: close\r\n");
        for (name, value) in fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        self.raw(&(head + "\r\n")).await
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    /// 0: there was none.
    pub(super) status: u16,
    fields: Vec<(String, String)>,
    /// As sent, with its framing.
    pub(super) body: String,
}

impl Reply {
    fn of(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or(0);
        let fields =
            lines.filter_map(|line| line.split_once(": ")).map(|(n, v)| (n.to_lowercase(), v.into()));
        Self { status, fields: fields.collect(), body: body.to_owned() }
    }

    /// The first field of that name.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }
}
