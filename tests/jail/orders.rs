//! The four orders, and every way in which they are refused.

use anyhow::{Result, ensure};
use fazt_ipc::ids::Generation;
use fazt_ipc::launch::{Answer, Limits, Order, Profile, Refusal};

use crate::Test;
use crate::rig::{LIMITS, Rig};

pub(crate) const TESTS: &[Test] = &[
    ("a_worker_is_made_locked_verified_and_handed_over", true, made),
    ("a_generation_is_never_used_twice", true, reused),
    ("caps_become_tighter_and_never_wider", true, limit),
    ("a_native_memory_bomb_is_killed_by_its_group_and_told_as_such", true, bomb),
    ("killing_is_done_and_the_exit_follows", true, kill),
    ("a_process_that_nobody_knows_cannot_be_told_anything", true, unknown),
    ("an_extra_descriptor_is_found_and_the_process_killed", true, extra_descriptor),
    ("a_changed_standard_output_is_found", true, standard_output),
    ("a_process_without_seccomp_is_found", true, unlocked),
    ("a_second_thread_is_found", true, thread),
    ("a_process_that_dies_before_it_is_ready_is_refused", true, dies),
    ("a_process_that_says_nothing_is_killed_at_its_deadline", true, silent),
    ("many_at_once_each_with_a_user_and_a_leaf_of_its_own", true, many),
];

fn made() -> Result<()> {
    let mut rig = Rig::start("obedient")?;
    ensure!(rig.facts.capabilities == "0000000000000000", "supervisor: {:?}", rig.facts);
    ensure!(rig.facts.seccomp == "2", "supervisor: {:?}", rig.facts);
    ensure!(rig.facts.uid != 0 && rig.facts.uid < 2_000_000, "supervisor: {:?}", rig.facts);
    ensure!(rig.facts.listeners == 1 && rig.facts.generation_first == 1, "supervisor: {:?}", rig.facts);
    let mut worker = rig.spawn(Profile::Worker, LIMITS)?;
    ensure!(worker.uid >= 2_000_000, "uid {}", worker.uid);
    ensure!(worker.hello()? == b"locked stand-in.", "its first words reach the supervisor whole");
    let status = std::fs::read_to_string(format!("/proc/{}/status", worker.pid))?;
    for line in ["Seccomp:\t2", "NoNewPrivs:\t1", "CapBnd:\t0000000000000000", "Threads:\t1"] {
        ensure!(status.contains(line), "{line} is missing in {status}");
    }
    let adjust = std::fs::read_to_string(format!("/proc/{}/oom_score_adj", worker.pid))?;
    ensure!(adjust.trim() == "1000", "oom_score_adj {adjust}");
    rig.order(Order::Stat { generation: worker.generation })?;
    let ((used, most), _) = rig.answer(|answer| match *answer {
        Answer::Stat { memory_bytes, memory_bytes_max, .. } => Some((memory_bytes, memory_bytes_max)),
        _ => None,
    })?;
    ensure!(used > 0 && used < most && most == LIMITS.memory_bytes, "{used} of {most}");
    worker.tell(b"x")?;
    let (code, signal, oom, ..) = rig.exited(worker.generation)?;
    ensure!((code, signal, oom) == (5, 0, false), "exit {code} {signal} {oom}");
    rig.stop()
}

fn reused() -> Result<()> {
    let mut rig = Rig::start("obedient")?;
    let worker = rig.spawn(Profile::Worker, LIMITS)?;
    for number in [worker.generation.0, 0, u64::MAX] {
        let generation = Generation(number);
        rig.order(Order::Spawn { profile: Profile::Worker, generation, limits: LIMITS })?;
        ensure!(rig.refused(generation)?.0 == Refusal::Reused, "generation {number}");
    }
    rig.stop()
}

fn limit() -> Result<()> {
    let mut rig = Rig::start("obedient")?;
    let mut worker = rig.spawn(Profile::Worker, LIMITS)?;
    let generation = worker.generation;
    let tight = Limits { memory_bytes: 24 << 20, cpu_permille: 500, cpu_weight: 50 };
    rig.order(Order::Limit { generation, limits: tight })?;
    rig.done(generation)?;
    for wider in [
        Limits { memory_bytes: 25 << 20, ..Limits::default() },
        Limits { cpu_permille: 501, ..Limits::default() },
        Limits { cpu_weight: 51, ..Limits::default() },
    ] {
        rig.order(Order::Limit { generation, limits: wider })?;
        ensure!(rig.refused(generation)?.0 == Refusal::Wider, "{wider:?}");
    }
    let over = rig.spawn_order(Profile::Worker, Limits { memory_bytes: 1 << 40, ..Limits::default() })?;
    ensure!(rig.refused(over)?.0 == Refusal::Wider);
    worker.hello()?;
    worker.tell(b"b")?;
    let (_, signal, oom, _, peak) = rig.exited(generation)?;
    ensure!(signal == 9 && oom, "signal {signal}, oom {oom}");
    ensure!(peak <= 25 << 20, "the tighter cap holds: peak {peak}");
    rig.stop()
}

fn bomb() -> Result<()> {
    let mut rig = Rig::start("obedient")?;
    let mut neighbour = rig.spawn(Profile::Worker, LIMITS)?;
    neighbour.hello()?;
    let mut worker = rig.spawn(Profile::Worker, LIMITS)?;
    worker.hello()?;
    worker.tell(b"b")?;
    let (code, signal, oom, cpu_us, peak) = rig.exited(worker.generation)?;
    ensure!((code, signal, oom) == (-1, 9, true), "exit {code} {signal} {oom}");
    ensure!(peak <= LIMITS.memory_bytes + (1 << 20) && peak > LIMITS.memory_bytes / 2, "peak {peak}");
    ensure!(cpu_us > 0, "cpu {cpu_us}");
    neighbour.tell(b"e")?;
    ensure!(neighbour.hello()? == b"e", "the neighbour answers");
    rig.stop()
}

fn kill() -> Result<()> {
    let mut rig = Rig::start("obedient")?;
    let mut worker = rig.spawn(Profile::Worker, LIMITS)?;
    worker.hello()?;
    worker.tell(b"l")?;
    rig.order(Order::Kill { generation: worker.generation })?;
    rig.done(worker.generation)?;
    let (code, signal, oom, ..) = rig.exited(worker.generation)?;
    ensure!((code, signal, oom) == (-1, 9, false), "exit {code} {signal} {oom}");
    crate::rig::wait(&worker.pidfd)?;
    ensure!(
        !rig.groups().iter().any(|group| group.join("pool").join(worker.generation.to_string()).exists()),
        "its leaf is gone when its exit is told"
    );
    rig.stop()
}

fn unknown() -> Result<()> {
    let mut rig = Rig::start("obedient")?;
    let generation = Generation(77);
    for order in
        [Order::Kill { generation }, Order::Stat { generation }, Order::Limit { generation, limits: LIMITS }]
    {
        rig.order(order)?;
        ensure!(rig.refused(generation)?.0 == Refusal::Unknown, "{order:?}");
    }
    rig.stop()
}

/// A worker that misbehaves before it is ready is refused so, and is gone.
fn refused_so(behaviour: &str, refusal: Refusal, step: u8) -> Result<()> {
    let mut rig = Rig::start(behaviour)?;
    let generation = rig.spawn_order(Profile::Worker, LIMITS)?;
    let found = match rig.spawned(generation)? {
        Ok(handed) => anyhow::bail!("process {} was handed over", handed.pid),
        Err(found) => found,
    };
    ensure!((found.0, found.1) == (refusal, step), "{found:?} instead of {refusal:?} at {step}");
    // Its generation is spent, and nothing of it can be told any more once it is reaped.
    rig.order(Order::Spawn { profile: Profile::Worker, generation, limits: LIMITS })?;
    ensure!(rig.refused(generation)?.0 == Refusal::Reused);
    rig.stop()
}

fn extra_descriptor() -> Result<()> {
    refused_so("extra-descriptor", Refusal::Verdict, 28)
}

fn standard_output() -> Result<()> {
    refused_so("no-standard-output", Refusal::Verdict, 28)
}

fn unlocked() -> Result<()> {
    refused_so("unlocked", Refusal::Verdict, 24)
}

fn thread() -> Result<()> {
    refused_so("thread", Refusal::Verdict, 25)
}

fn dies() -> Result<()> {
    refused_so("dies", Refusal::Setup, 12)
}

fn silent() -> Result<()> {
    refused_so("silent", Refusal::Deadline, 0)
}

fn many() -> Result<()> {
    let mut rig = Rig::start("obedient")?;
    let orders: Vec<Generation> =
        (0..40).map(|_| rig.spawn_order(Profile::Worker, LIMITS)).collect::<Result<_>>()?;
    let mut uids = std::collections::BTreeSet::new();
    let mut all = Vec::new();
    for generation in orders {
        let handed = rig.spawned(generation)?.map_err(|refused| anyhow::anyhow!("refused: {refused:?}"))?;
        ensure!(uids.insert(handed.uid), "uid {} twice", handed.uid);
        all.push(handed);
    }
    for handed in &mut all {
        handed.tell(b"x")?;
    }
    for handed in all {
        rig.exited(handed.generation)?;
    }
    rig.stop()
}
