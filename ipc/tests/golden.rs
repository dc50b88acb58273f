//! Golden encodings: what travels on the wire, byte for byte. A change here is a change of the protocol.
//! `FAZT_UPDATE=1` rewrites the file.

use std::fmt::Write as _;

use fazt_ipc::codec::{decode, encode};
use fazt_ipc::ids::{AppId, Generation, RequestId};
use fazt_ipc::launch::{Answer, Limits, Order, Profile, Refusal};
use fazt_ipc::syscall::{Call, CallError, ErrorCode, FileStat, Reply};
use fazt_ipc::wire::kernel::{
    BindingKind, Configure, Event, EventKind, Module, ModuleKind, Request, Start, User,
};
use fazt_ipc::wire::worker::{Bytecode, Done, Loaded, Log, LogLevel, Ready, Response};
use fazt_ipc::wire::{Failure, FailureKind, KernelKind, Phase, WorkerKind};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn body<T: serde::Serialize>(value: &T) -> String {
    let mut bytes = Vec::new();
    encode(value, &mut bytes).expect("fits a frame");
    hex(&bytes)
}

fn encodings() -> String {
    let app = AppId::new(1_700_000_000_000, 42);
    let id = RequestId::new(1_700_000_000_001, 43);
    let stat = fazt_ipc::syscall::EntryKind::File;
    let mut out = String::new();
    let mut row = |name: &str, hex: String| {
        let _ = writeln!(out, "{name} {hex}");
    };
    row(
        "Configure",
        body(&Configure {
            app,
            app_name: "notes".into(),
            app_version: "1.4.0".into(),
            memory_bytes: 32 << 20,
            cpu_ms: 1000,
            user: Some(User { id: "u1".into(), name: "Ada".into(), role: "member".into() }),
            env: vec![("KEY".into(), "value".into())],
            bindings: vec![("DB".into(), BindingKind::D1)],
            compatibility_date: "2026-11-20".into(),
            assets: "public".into(),
            spa: false,
        }),
    );
    row("Module", body(&Module { path: "server.js", kind: ModuleKind::Bytecode, bytes: 70_000 }));
    row("Start", body(&Start { main: "server.js" }));
    row(
        "Request",
        body(&Request {
            id,
            method: "GET",
            url: "http://notes.localhost:8080/a?b=c",
            fields: vec![("accept", b"*/*"), ("x-bytes", &[0xff])],
        }),
    );
    row(
        "Event",
        body(&Event {
            id,
            kind: EventKind::Scheduled,
            name: "digest",
            cron: "0 8 * * *",
            job: "job_1",
            unix_ms: 1_700_000_000_002,
            attempt: 1,
        }),
    );
    row("Done", body(&Done { retry: true, delay_s: Some(300) }));
    row("Credit", body(&65_536u32));
    row(
        "Reply ok",
        body(&Ok::<_, CallError>(Reply::FsStat(FileStat {
            path: "a.txt".into(),
            kind: stat,
            bytes: 3,
            sha256: "00".into(),
            media_type: "text/plain".into(),
        }))),
    );
    row(
        "Reply error",
        body(&Err::<Reply, _>(CallError {
            code: ErrorCode::PermissionDenied,
            message: "no".into(),
            permission: "net:example.org".into(),
        })),
    );
    row("Ready", body(&Ready { protocol: 1, landlock_abi: 7, engine: 0x0102_0304_0506_0708 }));
    row("Loaded", body(&Loaded { fetch: true, scheduled: false, message: true, queue: false }));
    row("Bytecode", body(&Bytecode { path: "server.js", bytes: 1 }));
    row(
        "Response",
        body(&Response { status: 200, fields: vec![("content-type", b"text/plain")], body_bytes: Some(5) }),
    );
    row(
        "Failure",
        body(&Failure { kind: FailureKind::Exception, message: "Error: x".into(), stack: "at f".into() }),
    );
    row("Call", body(&Call::FsRead { path: "a.txt".into() }));
    row("Log", body(&Log { level: LogLevel::Warn, text: "hi", origin: "server.js:3", dropped: 2 }));
    let generation = Generation(7);
    let limits = Limits { memory_bytes: 40 << 20, cpu_permille: 1000, cpu_weight: 100 };
    row("SPAWN", hex(&Order::Spawn { profile: Profile::Worker, generation, limits }.encode()));
    row("LIMIT", hex(&Order::Limit { generation, limits }.encode()));
    row("KILL", hex(&Order::Kill { generation }.encode()));
    row("STAT", hex(&Order::Stat { generation }.encode()));
    let refused = Answer::Refused { generation, refusal: Refusal::Setup, step: 6, errno: 1 };
    row("Refused", hex(&refused.encode()));
    for kind in KernelKind::ALL {
        row(&format!("kernel {}", kind.name()), format!("{:02x}", *kind as u8));
    }
    for kind in WorkerKind::ALL {
        row(&format!("worker {}", kind.name()), format!("{:02x}", *kind as u8));
    }
    out
}

#[test]
fn encodings_are_those_of_the_golden_file() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden.txt");
    let now = encodings();
    if std::env::var_os("FAZT_UPDATE").is_some() {
        std::fs::write(path, &now).expect("golden file");
    }
    let golden = std::fs::read_to_string(path).expect("golden file");
    assert_eq!(now, golden, "the wire changed: raise PROTOCOL, then FAZT_UPDATE=1");
}

/// The table of phases, drawn, so that a change is seen by eye.
#[test]
fn phases_are_those_of_the_golden_table() {
    let mut table = String::new();
    for phase in Phase::ALL {
        for kind in KernelKind::ALL {
            if let Ok(next) = phase.sent_by_kernel(*kind) {
                let _ = writeln!(table, "{phase:?} > {} = {next:?}", kind.name());
            }
        }
        for kind in WorkerKind::ALL {
            if let Ok(next) = phase.sent_by_worker(*kind) {
                let _ = writeln!(table, "{phase:?} < {} = {next:?}", kind.name());
            }
        }
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/phases.txt");
    if std::env::var_os("FAZT_UPDATE").is_some() {
        std::fs::write(path, &table).expect("golden file");
    }
    assert_eq!(table, std::fs::read_to_string(path).expect("golden file"));
}

#[test]
fn a_body_with_a_byte_too_many_or_too_few_is_refused() {
    let mut bytes = Vec::new();
    encode(&Loaded { fetch: true, ..Loaded::default() }, &mut bytes).expect("small");
    assert!(decode::<Loaded>(&bytes).is_ok());
    bytes.push(0);
    assert!(decode::<Loaded>(&bytes).is_err());
    bytes.truncate(2);
    assert!(decode::<Loaded>(&bytes).is_err());
}
