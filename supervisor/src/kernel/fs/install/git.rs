//! Gets one commit from a Git server: [`super::super::origin`] says what to ask, [`Outbound`] carries it there and back.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use fazt_ipc::control::InstallLine;

use super::super::origin::{Client, GitError, Origin, PackReader, Reference, Request};
use super::super::outbound::{
    Cache, Caller, Fault, FaultKind, Outbound, Outgoing, Receiving, Redirect, Sending,
};
use super::{Failed, Told};

/// From the first byte of a question to the last of its answer.
const WALL: Duration = Duration::from_secs(300);
/// Pieces of a pack after which somebody is told.
const TOLD_BYTES: u64 = 256 * 1024;

/// A conversation with one server about one repository.
pub(super) struct Git<'a> {
    outbound: &'a dyn Outbound,
    client: Client,
    host: String,
    token: Option<&'a str>,
}

impl<'a> Git<'a> {
    pub(super) fn new(outbound: &'a dyn Outbound, origin: &Origin, token: Option<&'a str>) -> Self {
        // A port is none of the name that requests are checked by.
        let host = origin.host();
        let host = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        Self { outbound, client: Client::new(origin), host: host.to_owned(), token }
    }

    /// Which commit the origin names now.
    pub(super) async fn resolve(&mut self) -> Result<Reference, Failed> {
        let mut answer = self.ask(self.client.advertisement()).await?;
        let mut body = Vec::new();
        while let Some(bytes) = answer.next().await? {
            body.extend_from_slice(&bytes);
        }
        self.client.advertised(&answer.url, &body)?;
        if let Some(known) = self.client.known() {
            return Ok(known);
        }
        let mut answer = self.ask(self.client.refs()).await?;
        let mut reader = self.client.read_refs();
        while let Some(bytes) = answer.next().await? {
            reader.push(&bytes)?;
        }
        Ok(reader.finish()?)
    }

    /// The pack with a commit.
    pub(super) async fn fetch(&self, reference: &Reference, told: &Told) -> Result<Vec<Bytes>, Failed> {
        let mut answer = self.ask(self.client.fetch(reference)).await?;
        let mut reader = PackReader::default();
        let mut said = 0;
        while let Some(bytes) = answer.next().await? {
            reader.push(&bytes)?;
            let bytes = reader.packed_bytes() as u64;
            if bytes - said >= TOLD_BYTES {
                said = bytes;
                told.say(InstallLine::Fetch { commit: reference.commit.clone(), bytes });
            }
        }
        Ok(reader.finish()?)
    }

    async fn ask(&self, request: Request) -> Result<Answer, Failed> {
        let mut outgoing = Outgoing::get(Caller::Kernel("install"), request.url, vec![self.host.clone()]);
        outgoing.method = request.method.into();
        outgoing.redirect = Redirect::Follow;
        outgoing.cache = Cache::NoStore;
        outgoing.bytes_max = request.answer_bytes_max as u64;
        outgoing.wall = WALL;
        for (name, value) in request.headers {
            outgoing = outgoing.field(name, value);
        }
        if let Some(token) = self.token {
            // Every host takes a token as the password of whatever name.
            let pair = BASE64.encode(format!("x-access-token:{token}"));
            outgoing = outgoing.secret("authorization", format!("Basic {pair}"));
        }
        let body = Some(Bytes::from(request.body)).filter(|body| !body.is_empty());
        let body = body.map(|body| Box::new(Some(body)) as Box<dyn Sending>);
        let too_large = request.too_large;
        let answer = self.outbound.fetch(outgoing, body).await.map_err(|fault| told(fault, &too_large))?;
        let kind = answer.head.fields.iter().find(|(name, _)| name == "content-type");
        let kind = kind.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).unwrap_or_default();
        match answer.head.status {
            200 if kind.split(';').next().is_some_and(|kind| kind.trim() == request.expect) => {
                Ok(Answer { url: answer.head.url, body: answer.body, too_large })
            }
            200 => Err(GitError::Protocol("it answers with something that is not Git's").into()),
            401 | 403 | 404 if self.token.is_none() => Err(Failed::Missing(self.host.clone())),
            401 | 403 => Err(Failed::Token(self.host.clone())),
            404 => Err(Failed::Missing(self.host.clone())),
            status => Err(Failed::Status(self.host.clone(), status)),
        }
    }
}

/// An answer of the server, as it comes.
struct Answer {
    /// Where it came from, after redirects.
    url: String,
    body: Box<dyn Receiving>,
    too_large: GitError,
}

impl Answer {
    async fn next(&mut self) -> Result<Option<Bytes>, Failed> {
        self.body.next().await.map_err(|fault| told(fault, &self.too_large))
    }
}

/// What is too large is so for a reason that can be said.
fn told(fault: Fault, too_large: &GitError) -> Failed {
    match fault.kind {
        FaultKind::TooLarge => too_large.clone().into(),
        _ => fault.into(),
    }
}
