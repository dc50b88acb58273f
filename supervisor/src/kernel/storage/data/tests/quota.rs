//! One quota: whatever order of SQL, keys, documents and blobs, the app's files stay within it. Threads of this test
//! stand in for the processes that run SQL: they make files as large as they are told and no larger than they may.

use std::fs::File;
use std::io::{IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;

use fazt_ipc::store::limits::{PAGE_BYTES, REQUEST_BYTES_MAX, WAL_BYTES_KEPT};
use fazt_ipc::store::{Answer, FILES, Fault, Form, Outcome, READY, Statement, encode, length, read_request};
use futures_util::future::BoxFuture;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use tokio::sync::oneshot;

use super::*;
use crate::kernel::storage::sql::{Ended, Jailed, Jails, Place, Query, Sql, Tenant};

const MIB: u64 = 1 << 20;
const QUOTA_MIB: u32 = 12;

struct Growers;

impl Jails for Growers {
    fn store(&self, _: Tenant) -> BoxFuture<'static, Result<Jailed, String>> {
        Box::pin(async {
            let (ours, mut theirs) = UnixStream::pair().map_err(|error| error.to_string())?;
            ours.set_nonblocking(true).map_err(|error| error.to_string())?;
            let (killer, (tell, exited)) =
                (theirs.try_clone().map_err(|error| error.to_string())?, oneshot::channel());
            std::thread::spawn(move || {
                // The kernel has gone, or killed this one.
                let _ = grow(&mut theirs);
                let _ = tell.send(Ended::Code(0));
            });
            let kill = Box::new(move || drop(killer.shutdown(std::net::Shutdown::Both)));
            Ok(Jailed { socket: ours, exited, kill })
        })
    }

    fn compromised(&self, _: AppId, reason: &str) {
        panic!("{reason}");
    }
}

/// A process whose one statement is a number: so many bytes more, or, below zero, fewer.
fn grow(socket: &mut UnixStream) -> std::io::Result<()> {
    socket.write_all(READY)?;
    let mut word = [0; FILES.len()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    rustix::net::recvmsg(
        socket.as_fd(),
        &mut [IoSliceMut::new(&mut word)],
        &mut control,
        RecvFlags::empty(),
    )?;
    let files = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    let files: Vec<File> = files.flatten().map(File::from).collect();
    let [database, wal] = &files[..] else { panic!("{} files", files.len()) };
    let mut head = [0; 4];
    while socket.read_exact(&mut head).is_ok() {
        let mut bytes = vec![0; length(head, REQUEST_BYTES_MAX).expect("short")];
        socket.read_exact(&mut bytes)?;
        let request = read_request(&bytes).expect("a request");
        let more: i64 = request.statements[0].sql.parse().expect("a number");
        let now = database.metadata()?.len();
        let wanted = now.saturating_add_signed(more);
        let answer = if wanted > now && wanted > request.bytes_max / PAGE_BYTES * PAGE_BYTES {
            Answer::Failed { at: 0, fault: Fault::Quota, message: "full" }
        } else {
            database.set_len(wanted)?;
            wal.set_len(more.unsigned_abs().min(WAL_BYTES_KEPT.unsigned_abs()))?;
            let outcome = Outcome { statements: 1, bytes: wanted, ..Outcome::default() };
            Answer::Done { outcomes: vec![outcome], bytes: wanted }
        };
        socket.write_all(&encode(&answer, 1 << 20).expect("short"))?;
    }
    wal.set_len(0)
}

fn files(folder: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(about) if about.is_dir() => files(&entry.path()),
            Ok(about) => about.len(),
            Err(_) => 0,
        })
        .sum()
}

impl Stage {
    /// What counts: the pages of the cartridge, and the files beside it.
    fn taken(&self) -> u64 {
        let file = self.file(self.app);
        let connection = rusqlite::Connection::open(&file).expect("opens");
        let pages: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0)).expect("the pages");
        let beside = ["blobs", "sql"].map(|folder| files(&file.with_file_name(folder)));
        pages.unsigned_abs() * PAGE_BYTES + beside.iter().sum::<u64>()
    }
}

async fn sql(sql: &Sql, app: AppId, place: Place, more: i64) -> Option<ErrorCode> {
    let statements = vec![Statement { sql: more.to_string(), values: Vec::new() }];
    let query = Query {
        read_only: false,
        form: Form::One,
        statements,
        cpu_ms: 1_000,
        quota_bytes: u64::from(QUOTA_MIB) * MIB,
    };
    sql.call(app, place, query, Box::new(())).await.err().map(|error| error.error.code)
}

#[tokio::test]
async fn whatever_is_written_in_which_order_all_of_it_stays_within_one_quota() {
    let seed = seed();
    let mut random = StdRng::seed_from_u64(seed);
    let stage = Stage::new(&DataSchema { storage_mib: QUOTA_MIB, ..plain() });
    let raw = Sql::new(stage.folder.path().to_owned(), stage.data.ledger());
    raw.jails(Arc::new(Growers));
    let places = [Place::App, Place::Binding("A".into()), Place::Binding("B".into())];
    // A WAL of each file, one call on data, and what an empty cartridge has.
    let most = u64::from(QUOTA_MIB) * MIB + 3 * WAL_BYTES_KEPT.unsigned_abs() + MIB + 512 * 1024;
    let (mut refused, mut done, mut highest) = ([0; 2], [0; 2], 0);
    for step in 0..250 {
        // Two of them at once.
        let place = places[random.random_range(0..3)].clone();
        let more = random.random_range(1..1_500_000);
        let more = if random.random_range(0..4) == 0 { -more } else { more };
        let key = format!("k{}", random.random_range(0..40));
        let value = "v".repeat(random.random_range(1..120_000));
        let bytes = vec![7; random.random_range(1..900_000)];
        let kind = random.random_range(0..4);
        let data = async {
            match kind {
                0 => stage.set(person(1), SpaceName::User, &key, &value).await.err(),
                1 => {
                    let body = format!(r#"{{"id":"{key}","title":"{value}"}}"#);
                    let write = DocWrite::Put { body, if_version: None };
                    stage.doc(person(2), SpaceName::App, DocCall::Write(write)).await.err()
                }
                2 => stage.put_blob(person(1), &key, &bytes).await.err(),
                _ => stage.ask(person(1), Request::Reach(SpaceName::App)).await.err(),
            }
        };
        let reached = stage.ask(person(1), Request::Reach(SpaceName::App)).await.expect("the app's space");
        assert!(matches!(reached, Response::Reach { .. }));
        let (data, sql) = tokio::join!(data, sql(&raw, stage.app, place, more));
        for (which, error) in [(0, data.map(|error| error.code)), (1, sql)] {
            match error {
                None => done[which] += 1,
                Some(error) => {
                    assert_eq!(error, ErrorCode::QuotaExceeded, "seed {seed}, step {step}");
                    refused[which] += 1;
                }
            }
        }
        let taken = stage.taken();
        assert!(taken <= most, "seed {seed}, step {step}: {taken} bytes of {most}");
        highest = highest.max(taken);
    }
    assert!(refused.iter().chain(&done).all(|&times| times > 0), "seed {seed}: {refused:?} {done:?}");
    assert!(highest > u64::from(QUOTA_MIB) * MIB * 3 / 4, "seed {seed}: {highest} is too little");
}

#[tokio::test]
async fn what_sql_takes_is_refused_to_documents_and_given_back() {
    let stage = Stage::new(&DataSchema { storage_mib: QUOTA_MIB, ..plain() });
    let raw = Sql::new(stage.folder.path().to_owned(), stage.data.ledger());
    raw.jails(Arc::new(Growers));
    let quota = i64::from(QUOTA_MIB) << 20;
    let reach = || stage.ask(person(1), Request::Reach(SpaceName::App));
    reach().await.expect("the app's space");
    assert_eq!(
        sql(&raw, stage.app, Place::App, quota).await,
        Some(ErrorCode::QuotaExceeded),
        "a little is taken"
    );
    assert_eq!(sql(&raw, stage.app, Place::App, quota - 1_200_000).await, None);
    let large = "v".repeat(900_000);
    let refused = stage.put_blob(person(1), "a", large.as_bytes()).await;
    assert_eq!(code(refused), ErrorCode::QuotaExceeded);
    assert_eq!(code(stage.set(person(1), SpaceName::User, "a", &large).await), ErrorCode::QuotaExceeded);
    // The books are read from the disk when the server starts again.
    let again = engine(stage.folder.path().to_owned(), &stage.clock);
    let stage = Stage { data: again, ..stage };
    assert_eq!(code(stage.set(person(1), SpaceName::User, "a", &large).await), ErrorCode::QuotaExceeded);
    let raw = {
        raw.close(stage.app);
        let raw = Sql::new(stage.folder.path().to_owned(), stage.data.ledger());
        raw.jails(Arc::new(Growers));
        raw
    };
    assert_eq!(sql(&raw, stage.app, Place::App, -quota).await, None);
    stage.set(person(1), SpaceName::User, "a", &large).await.expect("room");
    stage.put_blob(person(1), "a", large.as_bytes()).await.expect("room");
}
