//! One request, to its last word: sent, led on by redirects, its answer taken in and handed on.
//!
//! ```text
//! check URL and host ─▶ send ─▶ redirect? ─▶ check again, leave secrets behind ─┐
//!        ▲─────────────────────────────────────────────────────────────────────┘
//!                              └▶ head ─▶ body: counted, decompressed, counted, sent as far as there is credit
//! ```

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use fazt_ipc::egress::limits::REDIRECTS_MAX;
use fazt_ipc::egress::{Cache, Fault, FaultKind, Head, Redirect, Request, Use};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, LOCATION};
use http::{HeaderMap, Method, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Client;
use super::cache::{self, Kept, Known};
use super::connect::Refused;
use super::decode::Decoder;
use super::fields::{self, Fields};
use super::lanes::Lane;
use super::limits::CACHE_ENTRY_BYTES_MAX;
use super::link::{Carrier, Stream};
use super::target::Target;
use super::upload::{Sent, Upload};

/// Responses that never have a body.
fn is_bare(method: &Method, status: StatusCode) -> bool {
    *method == Method::HEAD || matches!(status.as_u16(), 204 | 205 | 304)
}

impl Carrier for Client {
    async fn carry(self: Arc<Self>, request: Box<Request>, stream: Stream) -> Result<Use, Fault> {
        let wall = Duration::from_millis(request.wall_ms.into());
        match tokio::time::timeout(wall, self.exchange(*request, stream)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let message = format!("it took longer than {} s in all", wall.as_secs());
                Err(Fault::new(FaultKind::Late, message))
            }
        }
    }
}

impl Client {
    async fn exchange(&self, request: Request, mut stream: Stream) -> Result<Use, Fault> {
        let Request { lane, method, url, fields, hosts, redirect, cache, decode, bytes_max, .. } = request;
        let mut method = self::method(&method)?;
        let mut fields = Fields::of(&fields, decode)?;
        let mut target = Target::of(&url, &hosts, &self.settings)?;
        let lane = self.lanes.lane(lane);
        let sent = Sent::default();
        let mut has_body = stream.body.is_some();
        let mut body = match stream.body.take() {
            None => Upload::nothing(sent.clone()),
            Some(_) if matches!(method, Method::GET | Method::HEAD) => {
                return Err(Fault::new(FaultKind::Invalid, "a GET or HEAD request has no body"));
            }
            Some(incoming) => Upload::coming(incoming, fields.length, sent.clone()),
        };
        let mut redirects = 0;
        loop {
            let asking = asking(&method, &target, &fields)?;
            let known = lane.cache().known(&asking, cache, SystemTime::now());
            let checked = match known {
                Known::Fresh(kept, fields) => {
                    pass_kept(kept, &fields, &target, redirects > 0, &stream).await?;
                    return Ok(Use { sent_bytes: sent.bytes(), received_bytes: 0, cached: true });
                }
                _ if cache == Cache::OnlyIfCached => {
                    let message = "nothing that was kept answers this, and the request wants nothing else";
                    return Err(Fault::new(FaultKind::NotCached, message).at(&target.host));
                }
                Known::Stale(ref fields) => Some(fields.clone()),
                Known::Bypassed | Known::Nothing => None,
            };
            let checks = checked.is_some();
            let stores = !matches!(known, Known::Bypassed);
            let sending = send(&lane, &asking, checked, body);
            let response = sending.await.map_err(|fault| at(fault, &target))?;
            let status = response.status();
            if checks && status == StatusCode::NOT_MODIFIED {
                let (parts, _) = response.into_parts();
                let confirmed = lane.cache().confirmed(&asking, &parts, SystemTime::now());
                let Some((kept, fields)) = confirmed else {
                    let message = "it says that nothing has changed since something that nobody had";
                    return Err(Fault::new(FaultKind::Protocol, message).at(&target.host));
                };
                pass_kept(kept, &fields, &target, redirects > 0, &stream).await?;
                return Ok(Use { sent_bytes: sent.bytes(), received_bytes: 0, cached: true });
            }
            if !matches!(method, Method::GET | Method::HEAD | Method::OPTIONS) && status.as_u16() < 400 {
                lane.cache().changed(target.url.as_str());
            }
            let location = match (redirect, status.as_u16()) {
                (Redirect::Manual, _) => None,
                (_, 301 | 302 | 303 | 307 | 308) => response.headers().get(LOCATION),
                _ => None,
            };
            let Some(location) = location else {
                let head = Head {
                    status: status.as_u16(),
                    url: target.url.to_string(),
                    redirected: redirects > 0,
                    fields: Vec::new(),
                };
                let passing = Passing {
                    decode: decode && !is_bare(&method, status),
                    lane: &lane,
                    client: self,
                    asking: stores.then_some(&asking),
                };
                let mut out = Out { stream: &stream, bytes_max, passed: 0, copy: None };
                let passed = passing.pass(response, head, &mut out).await;
                let received_bytes = passed.map_err(|fault| at(fault, &target))?;
                return Ok(Use { sent_bytes: sent.bytes(), received_bytes, cached: false });
            };
            let wrong = |message: &str| Fault::new(FaultKind::Redirect, message).at(&target.host);
            if redirect == Redirect::Error {
                return Err(wrong("it redirects, and the request wants no redirect"));
            }
            redirects += 1;
            if redirects > REDIRECTS_MAX {
                return Err(wrong("it redirects more than 5 times"));
            }
            let location = std::str::from_utf8(location.as_bytes())
                .map_err(|_| wrong("it redirects to what is no URL"))?;
            let next = target.next(location, &hosts, &self.settings)?;
            let to_get = match status.as_u16() {
                301 | 302 => method == Method::POST,
                303 => method != Method::GET && method != Method::HEAD,
                _ => false,
            };
            body = if to_get {
                method = Method::GET;
                fields.bare();
                has_body = false;
                Upload::nothing(sent.clone())
            } else if has_body {
                let again = sent.again().ok_or_else(|| {
                    wrong(
                        "it redirects and wants the body of the request again, which is too large to be kept",
                    )
                })?;
                Upload::again(again, sent.clone())
            } else {
                Upload::nothing(sent.clone())
            };
            if !next.same_origin(&target) {
                fields.cross();
            }
            target = next;
        }
    }
}

fn at(fault: Fault, target: &Target) -> Fault {
    if fault.host.is_empty() { fault.at(&target.host) } else { fault }
}

fn method(text: &str) -> Result<Method, Fault> {
    let refused = |why: &str| Fault::new(FaultKind::Invalid, why);
    match Method::from_bytes(text.as_bytes()) {
        Ok(method)
            if ["CONNECT", "TRACE", "TRACK"].iter().any(|bad| method.as_str().eq_ignore_ascii_case(bad)) =>
        {
            Err(refused("CONNECT and TRACE are not sent"))
        }
        Ok(method) => Ok(method),
        Err(_) => Err(refused("the method is not one")),
    }
}

/// A request without its body.
fn asking(method: &Method, target: &Target, fields: &Fields) -> Result<http::Request<()>, Fault> {
    let mut request = http::Request::new(());
    *request.method_mut() = method.clone();
    let uri = target.url.as_str().parse();
    *request.uri_mut() =
        uri.map_err(|_| Fault::new(FaultKind::Invalid, "the URL holds what no request can"))?;
    fields.map().clone_into(request.headers_mut());
    Ok(request)
}

/// Sends a request, with other fields than its own where there are some.
async fn send(
    lane: &Lane,
    asking: &http::Request<()>,
    fields: Option<HeaderMap>,
    body: Upload,
) -> Result<Response<Incoming>, Fault> {
    let mut request = http::Request::new(body);
    asking.method().clone_into(request.method_mut());
    asking.uri().clone_into(request.uri_mut());
    *request.headers_mut() = fields.unwrap_or_else(|| asking.headers().clone());
    let response = lane.client.request(request).await.map_err(|error| fault(&error))?;
    if response.status().as_u16() < 200 {
        return Err(Fault::new(FaultKind::Protocol, "it answered with a status that is none of a response"));
    }
    Ok(response)
}

/// Hands on what was kept.
async fn pass_kept(
    kept: Kept,
    fields: &HeaderMap,
    target: &Target,
    redirected: bool,
    stream: &Stream,
) -> Result<(), Fault> {
    stream.head(Head {
        status: kept.status.as_u16(),
        url: target.url.to_string(),
        redirected,
        fields: fields::received(fields, kept.decoded)?,
    });
    stream.send(&kept.body).await;
    Ok(())
}

/// What an error of the HTTP library means to an app.
fn fault(error: &(dyn std::error::Error + 'static)) -> Fault {
    let mut next = Some(error);
    while let Some(error) = next {
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let refused = inner.and_then(|inner| inner.downcast_ref::<Refused>());
        if let Some(Refused(fault)) = refused.or_else(|| error.downcast_ref()) {
            return fault.clone();
        }
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            if error.is_parse_too_large() {
                return Fault::new(FaultKind::TooLarge, "the header of the response is too large");
            }
            if error.is_parse() {
                return Fault::new(FaultKind::Protocol, "what answers there does not speak HTTP");
            }
        }
        next = error.source();
    }
    Fault::new(FaultKind::Connect, "the connection broke")
}

/// Where the body of a response goes: counted, and copied while it is small and may be kept.
struct Out<'a> {
    stream: &'a Stream,
    bytes_max: u64,
    passed: u64,
    copy: Option<Vec<u8>>,
}

impl Out<'_> {
    async fn send(&mut self, piece: &[u8]) -> Result<(), Fault> {
        self.passed += piece.len() as u64;
        if self.passed > self.bytes_max {
            return Err(self.too_large());
        }
        match &mut self.copy {
            Some(copy) if copy.len() + piece.len() <= CACHE_ENTRY_BYTES_MAX => copy.extend_from_slice(piece),
            _ => self.copy = None,
        }
        self.stream.send(piece).await;
        Ok(())
    }

    fn too_large(&self) -> Fault {
        let mib = self.bytes_max.div_ceil(1024 * 1024);
        Fault::new(FaultKind::TooLarge, format!("the body of the response is too large: at most {mib} MiB"))
    }
}

/// A response on its way to the kernel.
struct Passing<'a> {
    decode: bool,
    lane: &'a Lane,
    client: &'a Client,
    /// What was asked, if the answer may be kept.
    asking: Option<&'a http::Request<()>>,
}

impl Passing<'_> {
    /// Hands it on; says how many bytes of it came.
    async fn pass(
        &self,
        response: Response<Incoming>,
        mut head: Head,
        out: &mut Out<'_>,
    ) -> Result<u64, Fault> {
        let (parts, mut body) = response.into_parts();
        if announced(&parts.headers).is_some_and(|bytes| bytes > out.bytes_max) {
            return Err(out.too_large());
        }
        let decoder = if self.decode { encoding(&parts.headers).and_then(Decoder::of) } else { None };
        let decoded = decoder.is_some();
        head.fields = fields::received(&parts.headers, decoded)?;
        let policy = self.asking.and_then(|asking| cache::Cache::policy(asking, &parts, SystemTime::now()));
        out.copy = policy.is_some().then(Vec::new);
        let mut decoder = match decoder {
            None => None,
            Some(decoder) => Some((self.room(decoder.mib()).await, decoder)),
        };
        out.stream.head(head);
        let mut received = 0;
        while let Some(frame) = body.frame().await {
            let Ok(bytes) = frame.map_err(|error| fault(&error))?.into_data() else { continue };
            received += bytes.len() as u64;
            if received > out.bytes_max {
                return Err(out.too_large());
            }
            match &mut decoder {
                None => out.send(&bytes).await?,
                Some((_, decoder)) => decode(decoder, &bytes, out).await?,
            }
        }
        if let Some((_, decoder)) = &mut decoder
            && received > 0
        {
            loop {
                let piece = decoder.finish()?;
                if piece.is_empty() {
                    break;
                }
                out.send(&piece).await?;
            }
        }
        if let (Some(asking), Some(policy), Some(copy)) = (self.asking, policy, out.copy.take()) {
            let kept = Kept { status: parts.status, decoded, body: copy.into() };
            self.lane.cache().keep(asking, policy, kept);
        }
        Ok(received)
    }

    /// Waits for memory: first the lane's own, so that who waits for itself is not in the way of others.
    async fn room(&self, mib: u32) -> [Option<OwnedSemaphorePermit>; 2] {
        let take = |semaphore: &Arc<Semaphore>| Arc::clone(semaphore).acquire_many_owned(mib);
        // Neither is ever closed.
        let own = take(&self.lane.decoders).await.ok();
        [own, take(&self.client.decoders).await.ok()]
    }
}

async fn decode(decoder: &mut Decoder, bytes: &Bytes, out: &mut Out<'_>) -> Result<(), Fault> {
    let mut input = &bytes[..];
    loop {
        let before = input.len();
        let piece = decoder.step(&mut input)?;
        if !piece.is_empty() {
            out.send(&piece).await?;
            // Others have their turn between two pieces of what does nothing but compute.
            tokio::task::yield_now().await;
        } else if input.is_empty() || input.len() == before {
            return Ok(());
        }
    }
}

fn announced(fields: &HeaderMap) -> Option<u64> {
    fields.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn encoding(fields: &HeaderMap) -> Option<&str> {
    let mut all = fields.get_all(CONTENT_ENCODING).iter();
    let first = all.next()?.to_str().ok()?;
    // Twice compressed is nothing that honest servers send.
    if all.next().is_some() { None } else { Some(first) }
}
