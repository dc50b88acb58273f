//! Births and deaths of launcher and supervisor.

use std::os::fd::AsFd;

use anyhow::{Result, ensure};
use fazt_ipc::launch::{Order, Profile};
use rustix::process::{Pid, Signal, kill_process};

use crate::Test;
use crate::rig::{LIMITS, Rig, groups, wait};

pub(crate) const TESTS: &[Test] = &[
    ("a_launcher_that_is_killed_leaves_no_orphan_and_the_next_one_no_leaf", true, launcher_killed),
    ("when_the_supervisor_dies_its_workers_die_and_it_is_started_again", true, supervisor_dies),
    ("a_supervisor_that_ends_well_ends_the_launcher_with_its_code", true, supervisor_ends),
    ("a_malformed_order_stops_everything", true, malformed),
    ("a_short_packet_stops_everything", true, short),
    ("what_a_broken_supervisor_left_in_the_data_folder_leads_the_launcher_nowhere", true, planted),
    ("an_ordinary_user_gets_what_holds_without_root", true, ordinary),
    ("an_ordinary_user_without_dev_is_refused_by_name_of_the_layers", true, ordinary_refused),
];

fn launcher_killed() -> Result<()> {
    let mut rig = Rig::start("obedient")?;
    let mut worker = rig.spawn(Profile::Worker, LIMITS)?;
    worker.hello()?;
    rig.launcher.kill()?;
    rig.launcher.wait()?;
    // The worker ends by the kernel's hand, not by anybody who could be gone too.
    wait(&worker.pidfd)?;
    ensure!(!rig.groups().is_empty(), "its leaf is left for the next launcher");
    let data = std::mem::replace(&mut rig.data, tempfile::tempdir()?);
    drop(rig);
    let rig = Rig::start_in(data, "obedient", None)?;
    ensure!(rig.groups().iter().all(|group| !group.join("pool/1").exists()), "{:?}", rig.groups());
    rig.stop()
}

fn supervisor_dies() -> Result<()> {
    let mut rig = Rig::start("obedient")?;
    let mut worker = rig.spawn(Profile::Worker, LIMITS)?;
    worker.hello()?;
    let (before, listening) = (rig.facts.clone(), rustix::net::getsockname(&rig.listening)?);
    let pid = Pid::from_raw(before.pid).ok_or_else(|| anyhow::anyhow!("no pid"))?;
    kill_process(pid, Signal::KILL)?;
    wait(&worker.pidfd)?;
    rig.again()?;
    ensure!(rig.facts.pid != before.pid && rig.facts.restarts == 1, "{:?}", rig.facts);
    ensure!(rig.facts.generation_first > worker.generation.0, "{:?}", rig.facts);
    ensure!(rustix::net::getsockname(&rig.listening)? == listening, "the listening socket is the same");
    rig.next = rig.facts.generation_first;
    rig.spawn(Profile::Worker, LIMITS)?;
    rig.stop()
}

fn supervisor_ends() -> Result<()> {
    for code in [0u8, 6] {
        let mut rig = Rig::start("obedient")?;
        rig.spawn(Profile::Worker, LIMITS)?;
        let data = rig.data.path().to_owned();
        if code == 0 {
            std::io::Write::write_all(&mut rig.supervisor, &[code])?;
            let status = rig.launcher.wait()?;
            ensure!(status.code() == Some(0), "{status}");
        } else {
            // It has served: a code that is not 0 is a crash, and it comes back.
            std::io::Write::write_all(&mut rig.supervisor, &[code])?;
            rig.again()?;
            ensure!(rig.facts.restarts == 1, "{:?}", rig.facts);
            rig.stop()?;
        }
        ensure!(groups(&data).is_empty(), "left behind: {:?}", groups(&data));
    }
    Ok(())
}

fn stopped_by(bytes: &[u8]) -> Result<()> {
    let mut rig = Rig::start("obedient")?;
    let mut worker = rig.spawn(Profile::Worker, LIMITS)?;
    worker.hello()?;
    rig.send(bytes)?;
    let status = rig.launcher.wait()?;
    ensure!(status.code() == Some(9), "{status}");
    wait(worker.pidfd.as_fd())?;
    ensure!(rig.groups().is_empty(), "left behind: {:?}", rig.groups());
    Ok(())
}

fn malformed() -> Result<()> {
    let mut packet = Order::Kill { generation: fazt_ipc::ids::Generation(1) }.encode();
    packet[63] = 1;
    stopped_by(&packet)
}

fn short() -> Result<()> {
    stopped_by(b"short")
}

/// The launcher gives the data folder to the supervisor's user: what lies elsewhere is not given away, though it
/// is linked to from there, and the configuration stays its owner's.
fn planted() -> Result<()> {
    use std::os::unix::fs::{MetadataExt, symlink};
    let beside = tempfile::tempdir()?;
    let data = tempfile::tempdir_in(beside.path())?;
    let (secret, folder) = (beside.path().join("secret"), beside.path().join("folder"));
    std::fs::write(&secret, "root's")?;
    std::fs::create_dir(&folder)?;
    std::fs::write(folder.join("below"), "root's")?;
    std::fs::create_dir(data.path().join("apps"))?;
    std::fs::write(data.path().join("apps/one"), "the supervisor's")?;
    std::fs::write(data.path().join("config.toml"), "")?;
    symlink(&secret, data.path().join("apps/link"))?;
    symlink(&folder, data.path().join("apps/folder"))?;
    std::fs::hard_link(&secret, data.path().join("apps/second-name"))?;
    std::fs::set_permissions(beside.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let rig = Rig::start_in(data, "obedient", None)?;
    let owner = |path: &std::path::Path| std::fs::symlink_metadata(path).map(|about| about.uid());
    let (link, configuration) = (rig.data.path().join("apps/link"), rig.data.path().join("config.toml"));
    for path in [&secret, &folder, &folder.join("below"), &link, &configuration] {
        ensure!(owner(path)? == 0, "{} was given away", path.display());
    }
    for path in ["", "apps", "apps/one"] {
        ensure!(owner(&rig.data.path().join(path))? == rig.facts.uid, "{path} is the supervisor's");
    }
    rig.stop()
}

/// An ordinary user's number that no account of this machine has.
const USER: u32 = 54_321;

fn ordinary() -> Result<()> {
    let mut rig = Rig::start_in(tempfile::tempdir()?, "obedient", Some(USER))?;
    ensure!(rig.facts.uid == USER, "{:?}", rig.facts);
    let mut worker = rig.spawn(Profile::Worker, LIMITS)?;
    worker.hello()?;
    let status = std::fs::read_to_string(format!("/proc/{}/status", worker.pid))?;
    for line in ["Seccomp:\t2", "NoNewPrivs:\t1"] {
        ensure!(status.contains(line), "{line} is missing in {status}");
    }
    rig.order(Order::Kill { generation: worker.generation })?;
    rig.done(worker.generation)?;
    ensure!(rig.exited(worker.generation)?.1 == 9);
    let mut bomb = rig.spawn(Profile::Worker, LIMITS)?;
    bomb.hello()?;
    bomb.tell(b"b")?;
    let (_, signal, ..) = rig.exited(bomb.generation)?;
    ensure!(signal != 0, "the address space has an end: signal {signal}");
    // A launcher that is killed leaves no orphan here either.
    let worker = rig.spawn(Profile::Worker, LIMITS)?;
    rig.launcher.kill()?;
    rig.launcher.wait()?;
    wait(worker.pidfd.as_fd())
}

fn ordinary_refused() -> Result<()> {
    use std::os::unix::process::CommandExt;
    let data = tempfile::tempdir()?;
    std::os::unix::fs::chown(data.path(), Some(USER), Some(USER))?;
    let output = std::process::Command::new("/proc/self/exe")
        .args(["launcher", "obedient"])
        .arg(data.path())
        .arg("")
        .uid(USER)
        .gid(USER)
        .output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(9), "{}", output.status);
    for name in ["memory.cgroup", "namespace.net", "uid", "--dev"] {
        ensure!(text.contains(name), "{name} is missing in {text}");
    }
    Ok(())
}
