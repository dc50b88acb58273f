//! The way to an authority: HTTP through the process for connections to elsewhere. What comes back is a stranger's, and
//! bounded here; who parses it is the library for ACME.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};

use crate::kernel::fs::outbound::{Cache, Caller, Outbound, Outgoing, Redirect};

/// An answer: a chain of certificates is some kilobytes.
const ANSWER_BYTES_MAX: u64 = 256 * 1024;
/// From the first byte of a question to the last of its answer.
const WALL: Duration = Duration::from_secs(30);

/// The authority's client: through the process for connections to elsewhere.
pub(super) struct Way {
    outbound: Arc<dyn Outbound>,
    hosts: Vec<String>,
}

impl Way {
    /// To this host, and no other one, whatever it says.
    pub(super) fn to(host: Option<String>, outbound: Arc<dyn Outbound>) -> Self {
        Self { outbound, hosts: host.into_iter().collect() }
    }
}

impl HttpClient for Way {
    fn request(
        &self,
        request: http::Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let (parts, body) = request.into_parts();
        if parts.uri.scheme_str() != Some("https") {
            // What it says is trusted as far as it comes over TLS.
            let why = format!("the authority leads to {}, which is not an https URL", parts.uri);
            return Box::pin(std::future::ready(Err(Error::Other(why.into()))));
        }
        let mut outgoing =
            Outgoing::get(Caller::Kernel("certificates"), parts.uri.to_string(), self.hosts.clone());
        outgoing.method = parts.method.to_string();
        outgoing.redirect = Redirect::Error;
        outgoing.cache = Cache::NoStore;
        outgoing.bytes_max = ANSWER_BYTES_MAX;
        outgoing.wall = WALL;
        for (name, value) in &parts.headers {
            outgoing = outgoing.field(name.as_str(), value.as_bytes());
        }
        let outbound = Arc::clone(&self.outbound);
        Box::pin(async move {
            let other = |why: String| Error::Other(why.into());
            let Ok(body) = body.collect().await;
            let body = Some(body.to_bytes()).filter(|body| !body.is_empty());
            let answer = match body {
                Some(body) => {
                    // Authorities want to know it before.
                    let outgoing = outgoing.field("content-length", body.len().to_string());
                    outbound.fetch(outgoing, Some(Box::new(Some(body)))).await
                }
                None => outbound.fetch(outgoing, None).await,
            };
            let answer = answer.map_err(|fault| other(fault.to_string()))?;
            let mut response = http::Response::builder().status(answer.head.status);
            for (name, value) in &answer.head.fields {
                response = response.header(name.as_str(), value.as_slice());
            }
            let (parts, ()) = response.body(())?.into_parts();
            let body = answer.whole().await.map_err(|fault| other(fault.to_string()))?;
            Ok(BytesResponse { parts, body: Box::new(Bytes::from(body)) })
        })
    }
}
