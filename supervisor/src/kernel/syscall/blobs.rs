//! `fazt.storage.blobs` and uploads in parts: bytes are taken in before storage is asked to keep them, and read
//! from their file as the worker takes them.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;
use fazt_ipc::syscall::{
    BlobConditions, BlobFound, BlobHead, BlobOptions, BlobRange, Call, CallError, ErrorCode, Reply,
};
use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;

use super::storage::{outsider, place};
use super::{Answer, Broken, Source, Upload, Whole};
use crate::kernel::security::Actor;
use crate::kernel::storage::data::blobs::{
    self, Attributes, BlobAnswer, BlobCall, BlobInfo, BlobList, Conditions, Content, Range, Stager, Sums,
};
use crate::kernel::storage::data::{Data, Request, Response, SpaceName};

/// Bytes read from a file at a time while parts are put together.
const COPY_BYTES: u64 = 256 * 1024;
/// Checksums that an app may have made.
const SUMS: [&str; 5] = ["md5", "sha1", "sha256", "sha384", "sha512"];

/// Answers a call on blobs. There is none of another noun here.
pub(super) async fn answer(
    data: &Data,
    actor: Actor,
    call: Call,
    upload: Box<dyn Upload>,
) -> Result<Answer, CallError> {
    let desk = Desk { data, actor };
    match call {
        Call::BlobsPut { space, key, sums, options } => {
            let place = place(&space)?;
            let BlobOptions { http, meta, only_if, expect } = *options;
            let mut wanted: Vec<&str> =
                SUMS.into_iter().filter(|name| sums.iter().any(|sum| sum == name)).collect();
            wanted
                .extend(SUMS.into_iter().filter(|name| expect.as_ref().is_some_and(|(sum, _)| sum == name)));
            let content = desk.take(place, upload, &wanted).await?;
            if let Some((name, wanted)) = expect {
                check(&content.sums, &name, &wanted)?;
            }
            let attributes = Attributes { http, meta };
            let only_if = only_if.map(conditions);
            let put = BlobCall::Put { key, content, attributes, only_if };
            match desk.ask(place, put).await? {
                BlobAnswer::Info(info) => Ok(Answer::Reply(Reply::BlobsPut(info.map(head)))),
                other => Err(strange(&other)),
            }
        }
        Call::BlobsGet { space, key, range, only_if } => {
            let BlobRange { offset, length, suffix } = range.unwrap_or_default();
            let (range, only_if) = (Range { offset, length, suffix }, only_if.map(conditions));
            match desk.ask(place(&space)?, BlobCall::Get { key, range, only_if }).await? {
                BlobAnswer::Found(found) => Ok(desk.found(found)),
                other => Err(strange(&other)),
            }
        }
        Call::BlobsHead { space, key } => match desk.ask(place(&space)?, BlobCall::Head { key }).await? {
            BlobAnswer::Info(info) => Ok(Answer::Reply(Reply::BlobsHead(info.map(head)))),
            other => Err(strange(&other)),
        },
        Call::BlobsDelete { space, keys } => {
            match desk.ask(place(&space)?, BlobCall::Delete { keys }).await? {
                BlobAnswer::Deleted(count) => Ok(Answer::Reply(Reply::BlobsDelete(count))),
                other => Err(strange(&other)),
            }
        }
        Call::BlobsList { space, prefix, delimiter, after, limit, cursor } => {
            let prefix = prefix.unwrap_or_default();
            let delimiter = delimiter.filter(|delimiter| !delimiter.is_empty());
            let list = BlobList { prefix, delimiter, after, limit, cursor };
            match desk.ask(place(&space)?, BlobCall::List(list)).await? {
                BlobAnswer::Page { items, prefixes, cursor } => {
                    let text = page(&items, &prefixes);
                    Ok(Answer::Bytes(Reply::BlobsList(cursor), Box::new(Whole::from(text))))
                }
                other => Err(strange(&other)),
            }
        }
        Call::UploadsBegin { space, key, options } => {
            let attributes = Attributes { http: options.http, meta: options.meta };
            match desk.ask(place(&space)?, BlobCall::Begin { key, attributes }).await? {
                BlobAnswer::Upload(id) => Ok(Answer::Reply(Reply::UploadsBegin(id))),
                other => Err(strange(&other)),
            }
        }
        Call::UploadsPart { space, key, upload: id, number } => {
            let place = place(&space)?;
            let content = desk.take(place, upload, &[]).await?;
            match desk.ask(place, BlobCall::Part { key, upload: id, number, content }).await? {
                BlobAnswer::Part(etag) => Ok(Answer::Reply(Reply::UploadsPart(etag))),
                other => Err(strange(&other)),
            }
        }
        Call::UploadsComplete { space, key, upload: id, parts } => {
            let info = desk.complete(place(&space)?, key, id, parts).await?;
            Ok(Answer::Reply(Reply::UploadsComplete(info.map(head))))
        }
        Call::UploadsAbort { space, key, upload } => {
            desk.ask(place(&space)?, BlobCall::Abort { key, upload }).await?;
            Ok(Answer::Reply(Reply::UploadsAbort(())))
        }
        _ => Err(CallError::new(ErrorCode::Internal, "not a call on blobs")),
    }
}

struct Desk<'a> {
    data: &'a Data,
    actor: Actor,
}

impl Desk<'_> {
    async fn ask(&self, place: SpaceName, call: BlobCall) -> Result<BlobAnswer, CallError> {
        match self.data.call(self.actor, Request::Blobs(place, Box::new(call))).await.map_err(outsider)? {
            Response::Blob(answer) => Ok(answer),
            other => {
                tracing::error!(?other, "storage answered something else");
                Err(CallError::new(ErrorCode::Internal, "storage failed; the server's log says why"))
            }
        }
    }

    async fn room(&self, place: SpaceName) -> Result<u64, CallError> {
        match self.ask(place, BlobCall::Room).await? {
            BlobAnswer::Room(room) => Ok(room),
            other => Err(strange(&other)),
        }
    }

    /// Takes in what follows a call, once it is clear that the caller may write there at all.
    async fn take(
        &self,
        place: SpaceName,
        mut upload: Box<dyn Upload>,
        sums: &[&str],
    ) -> Result<Content, CallError> {
        let room = self.room(place).await?;
        let mut stager = self.data.stager(self.actor, room, sums).map_err(outsider)?;
        loop {
            match upload.next().await {
                Ok(Some(bytes)) => stager.write(&bytes).await.map_err(outsider)?,
                Ok(None) => return stager.finish().await.map_err(outsider),
                Err(Broken) => {
                    let message = "the bytes broke off before their end; nothing was changed";
                    return Err(CallError::new(ErrorCode::Unavailable, message));
                }
            }
        }
    }

    fn found(&self, found: Option<(BlobInfo, Option<(u64, blobs::Bytes)>)>) -> Answer {
        let Some((info, bytes)) = found else {
            return Answer::Bytes(Reply::BlobsGet(None), Box::new(Whole::from(Bytes::new())));
        };
        let head = head(info);
        let Some((offset, bytes)) = bytes else {
            let found = BlobFound { head, body: false, offset: 0, length: 0 };
            return Answer::Bytes(Reply::BlobsGet(Some(found)), Box::new(Whole::from(Bytes::new())));
        };
        let (length, source): (u64, Box<dyn Source>) = match bytes {
            blobs::Bytes::Whole(bytes) => (bytes.len() as u64, Box::new(Whole::from(bytes))),
            blobs::Bytes::Later(..) => (0, Box::new(Whole::from(Bytes::new()))),
            blobs::Bytes::File(file, at, left) => {
                (left, Box::new(Reading { file, at, left, threads: self.data.blob_threads() }))
            }
        };
        Answer::Bytes(Reply::BlobsGet(Some(BlobFound { head, body: true, offset, length })), source)
    }

    async fn copy(
        &self,
        file: Arc<File>,
        mut at: u64,
        mut left: u64,
        stager: &mut Stager,
    ) -> Result<(), CallError> {
        while left > 0 {
            let bytes = read(&file, at, left.min(COPY_BYTES), &self.data.blob_threads()).await?;
            at += bytes.len() as u64;
            left -= bytes.len() as u64;
            stager.write(&bytes).await.map_err(outsider)?;
        }
        Ok(())
    }

    async fn complete(
        &self,
        place: SpaceName,
        key: String,
        upload: String,
        parts: Vec<(u32, String)>,
    ) -> Result<Option<BlobInfo>, CallError> {
        let room = self.room(place).await?;
        let asked = BlobCall::Parts { key: key.clone(), upload: upload.clone(), parts };
        let (sources, etag) = match self.ask(place, asked).await? {
            BlobAnswer::Parts(sources, etag) => (sources, etag),
            other => return Err(strange(&other)),
        };
        let mut stager = self.data.stager(self.actor, room, &[]).map_err(outsider)?;
        for source in sources {
            match source {
                blobs::Bytes::Whole(bytes) => stager.write(&bytes).await.map_err(outsider)?,
                blobs::Bytes::File(file, at, left) => self.copy(file, at, left, &mut stager).await?,
                blobs::Bytes::Later(path, left) => {
                    let opened = tokio::task::spawn_blocking(move || File::open(path)).await;
                    let file = opened.ok().and_then(Result::ok).ok_or_else(|| {
                        CallError::new(ErrorCode::Conflict, "one of the parts was put again meanwhile")
                    })?;
                    let file = Arc::new(file);
                    self.copy(file, 0, left, &mut stager).await?;
                }
            }
        }
        let mut content = stager.finish().await.map_err(outsider)?;
        content.etag = Some(etag);
        match self.ask(place, BlobCall::Complete { key, upload, content }).await? {
            BlobAnswer::Info(info) => Ok(info),
            other => Err(strange(&other)),
        }
    }
}

fn strange(answer: &BlobAnswer) -> CallError {
    tracing::error!(?answer, "storage answered something else");
    CallError::new(ErrorCode::Internal, "storage failed; the server's log says why")
}

/// Compares a checksum with what the app says it should be.
fn check(sums: &Sums, name: &str, wanted: &str) -> Result<(), CallError> {
    let found = match name {
        "md5" => Some(&sums.md5),
        "sha1" => sums.sha1.as_ref(),
        "sha256" => sums.sha256.as_ref(),
        "sha384" => sums.sha384.as_ref(),
        "sha512" => sums.sha512.as_ref(),
        _ => None,
    };
    let found = found.map(|sum| sum.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    match found {
        Some(found) if found == wanted => Ok(()),
        Some(found) => {
            Err(CallError::new(ErrorCode::InvalidQuery, format!("{name} is {found}, not {wanted}")))
        }
        None => Err(CallError::new(ErrorCode::InvalidArgument, format!("a checksum is one of {SUMS:?}"))),
    }
}

fn conditions(of: BlobConditions) -> Conditions {
    let BlobConditions { matches, differs, before, after, seconds } = of;
    Conditions { matches, differs, before, after, seconds }
}

fn head(info: BlobInfo) -> BlobHead {
    BlobHead {
        key: info.key,
        version: info.version,
        size: info.size,
        etag: info.etag,
        uploaded: info.uploaded_unix_ms,
        http: info.attributes.http,
        meta: info.attributes.meta,
        sums: info.sums,
    }
}

fn page(items: &[BlobInfo], prefixes: &[String]) -> String {
    let items: Vec<_> = items
        .iter()
        .map(|info| {
            serde_json::json!({
                "key": info.key,
                "version": info.version,
                "size": info.size,
                "etag": info.etag,
                "uploaded": info.uploaded_unix_ms,
                "http": info.attributes.http,
                "meta": info.attributes.meta,
                "sums": info.sums,
            })
        })
        .collect();
    serde_json::json!({ "items": items, "prefixes": prefixes }).to_string()
}

/// Some bytes of a file.
async fn read(file: &Arc<File>, at: u64, bytes: u64, threads: &Arc<Semaphore>) -> Result<Bytes, CallError> {
    let failed = || CallError::new(ErrorCode::Unavailable, "the blob cannot be read now");
    let _permit = Arc::clone(threads).acquire_owned().await.map_err(|_| failed())?;
    let (file, bytes) = (Arc::clone(file), usize::try_from(bytes).map_err(|_| failed())?);
    let work = move || {
        let mut buffer = vec![0; bytes];
        file.read_exact_at(&mut buffer, at).map(|()| Bytes::from(buffer))
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => {
            tracing::error!(%error, "the file of a blob cannot be read");
            Err(failed())
        }
        Err(_) => Err(failed()),
    }
}

/// A file, read as the worker takes it. Who deletes or replaces the blob meanwhile does not change what comes.
struct Reading {
    file: Arc<File>,
    at: u64,
    left: u64,
    threads: Arc<Semaphore>,
}

impl Source for Reading {
    fn next(&mut self, bytes_max: u32) -> BoxFuture<'_, Result<Bytes, CallError>> {
        Box::pin(async move {
            if self.left == 0 {
                return Ok(Bytes::new());
            }
            let bytes = read(&self.file, self.at, self.left.min(bytes_max.into()), &self.threads).await?;
            self.at += bytes.len() as u64;
            self.left -= bytes.len() as u64;
            Ok(bytes)
        })
    }
}
