//! What both fuzzers run: every decoder of the contract on the same bytes.

use fazt_ipc::codec::{decode, encode};
use fazt_ipc::control::{DeployPlan, Rename, Rollback};
use fazt_ipc::egress::{FromEgress, ToEgress};
use fazt_ipc::frame;
use fazt_ipc::launch::{Answer, Order, Packet};
use fazt_ipc::store::{self, read_answer, read_request};
use fazt_ipc::syscall::Call;
use fazt_ipc::wire::kernel::{Configure, Event, Module, ReplyBody, Request, Start};
use fazt_ipc::wire::worker::{Bytecode, Done, Loaded, Log, Ready, Response};
use fazt_ipc::wire::{Failure, KernelKind, WorkerKind};

/// Decodes, encodes again and demands the same meaning. Says whether anything was accepted.
fn round<'a, T>(body: &'a [u8]) -> bool
where
    T: serde::Deserialize<'a> + serde::Serialize,
{
    let Ok((value, [])) = postcard::take_from_bytes::<T>(body) else { return false };
    let mut again = Vec::new();
    encode(&value, &mut again).expect("what fitted a frame fits again");
    assert!(again.len() <= body.len(), "an encoding is the shortest of its value");
    true
}

fn message(header: frame::Header, body: &[u8]) -> bool {
    if let Ok(kind) = WorkerKind::try_from(header.kind) {
        return match kind {
            WorkerKind::Ready => round::<Ready>(body),
            WorkerKind::Loaded => round::<Loaded>(body),
            WorkerKind::LoadFailed | WorkerKind::Failed => round::<Failure>(body),
            WorkerKind::Bytecode => round::<Bytecode<'_>>(body),
            WorkerKind::Response => round::<Response<'_>>(body),
            WorkerKind::Credit | WorkerKind::CallCredit | WorkerKind::LongCall => decode::<u32>(body).is_ok(),
            WorkerKind::Call => round::<Call>(body),
            WorkerKind::Done => round::<Done>(body),
            WorkerKind::Log => round::<Log<'_>>(body),
            WorkerKind::BytecodeData
            | WorkerKind::Compiled
            | WorkerKind::Body
            | WorkerKind::Settled
            | WorkerKind::StopBody
            | WorkerKind::NoRetry
            | WorkerKind::CancelCall
            | WorkerKind::CallBody => true,
        };
    }
    let Ok(kind) = KernelKind::try_from(header.kind) else { return false };
    match kind {
        KernelKind::Configure => round::<Configure>(body),
        KernelKind::Module => round::<Module<'_>>(body),
        KernelKind::Start => round::<Start<'_>>(body),
        KernelKind::Request => round::<Request<'_>>(body),
        KernelKind::Event => round::<Event<'_>>(body),
        KernelKind::Credit | KernelKind::LongReply => decode::<u32>(body).is_ok(),
        KernelKind::Reply => round::<ReplyBody>(body),
        KernelKind::ModuleData
        | KernelKind::Compile
        | KernelKind::Body
        | KernelKind::Abort
        | KernelKind::ReplyBody
        | KernelKind::Drain => true,
    }
}

/// What kernel and egress say to each other.
fn egress(header: frame::Header, body: &[u8]) -> bool {
    let (mut again, mut accepted) = (Vec::new(), false);
    if let Ok(word) = ToEgress::decode(header, body) {
        word.encode(header.stream, header.end, &mut again).expect("what fitted a frame fits again");
        accepted = true;
    }
    if let Ok(word) = FromEgress::decode(header, body) {
        word.encode(header.stream, &mut again).expect("what fitted a frame fits again");
        accepted = true;
    }
    accepted
}

/// Runs every decoder; says whether one accepted the bytes.
pub(crate) fn decode_everything(bytes: &[u8]) -> bool {
    let mut accepted = false;
    let mut rest = bytes;
    while let Ok(Some((header, body))) = frame::split(rest) {
        accepted |= message(header, body);
        accepted |= egress(header, body);
        rest = &rest[fazt_ipc::limits::FRAME_HEADER_BYTES + body.len()..];
    }
    if let Some(packet) = bytes.first_chunk::<{ fazt_ipc::limits::LAUNCH_BYTES }>() {
        let packet: &Packet = packet;
        if let Ok(order) = Order::decode(packet) {
            assert_eq!(&order.encode(), packet);
            accepted = true;
        }
        if let Ok(answer) = Answer::decode(packet) {
            assert_eq!(&answer.encode(), packet);
            accepted = true;
        }
    }
    if let Ok(answer) = read_answer(bytes) {
        let again = store::encode(&answer, usize::MAX).expect("what was read can be written");
        assert_eq!(read_answer(&again[4..]), Ok(answer));
        accepted = true;
    }
    if let Ok(request) = read_request(bytes) {
        assert!(store::encode(&request, usize::MAX).expect("can be written").len() <= bytes.len() + 4);
        accepted = true;
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = serde_json::from_str::<DeployPlan>(text);
        let _ = serde_json::from_str::<Rename>(text);
        let _ = serde_json::from_str::<Rollback>(text);
    }
    accepted
}
