//! The look from outside: before the supervisor may send a byte to a new process, the launcher compares what the
//! kernel says of it with what it must be. What the process says of itself is not asked.
//!
//! Reading another user's descriptors needs `CAP_SYS_PTRACE`; an ordinary user's launcher sees less, and looks at
//! what it sees.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::process::Pid;

/// What was found that must not be. The number is the step of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Finding {
    /// It is gone, or its facts cannot be read.
    Gone = 20,
    /// A user or group that is not its own.
    User = 21,
    /// A capability.
    Capability = 22,
    /// New privileges can be had.
    Privileges = 23,
    /// No filter of system calls.
    Seccomp = 24,
    /// A second thread.
    Threads = 25,
    /// A namespace of the launcher's.
    Namespace = 26,
    /// A group that is not its leaf.
    Cgroup = 27,
    /// A descriptor too many, or another one.
    Descriptor = 28,
    /// A tracer.
    Tracer = 29,
}

/// What the kernel says of a process. `None`: could not be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) uids: [u32; 4],
    pub(super) gids: [u32; 4],
    pub(super) groups: usize,
    /// Inheritable, permitted, effective, bounding, ambient.
    pub(super) capabilities: [u64; 5],
    pub(super) no_new_privileges: bool,
    pub(super) seccomp: u32,
    /// Filters of system calls; none: kernels before 5.9 do not count them.
    pub(super) filters: Option<u32>,
    pub(super) threads: u32,
    pub(super) tracer: u32,
    /// Inodes by name.
    pub(super) namespaces: Option<Vec<(&'static str, u64)>>,
    /// Groups by controller; the v2 tree's controller is empty.
    pub(super) groups_of: Vec<(String, String)>,
    /// Number, what it is, which one.
    pub(super) descriptors: Option<Vec<(u32, Open)>>,
}

/// What a descriptor leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Open {
    /// `/dev/null`
    Null,
    /// A socket, with its inode.
    Socket(u64),
    /// Anything else.
    Other,
}

/// What a process must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// An ordinary user's launcher: bounding set, namespaces and groups are not its to change.
    pub(super) privileged: bool,
    /// It must have a filter of system calls of its own, or must have none.
    pub(super) seccomp: bool,
    /// Filters of the launcher, which it has inherited: those of a service manager say nothing of its own.
    pub(super) inherited: u32,
    /// Namespaces that it must not share with the launcher.
    pub(super) strange: Vec<(&'static str, u64)>,
    /// Namespaces that it must be in.
    pub(super) shared: Vec<(&'static str, u64)>,
    /// Groups that it must be in, by controller.
    pub(super) leaf: Vec<(&'static str, String)>,
    pub(super) socket: u64,
}

/// Namespaces that are looked at.
pub(super) const NAMESPACES: [&str; 6] = ["mnt", "pid", "uts", "cgroup", "net", "ipc"];

/// Compares.
pub(super) fn judge(seen: &Seen, expected: &Expected) -> Result<(), Finding> {
    let Expected { uid, gid, privileged, .. } = *expected;
    let check = |holds: bool, finding: Finding| if holds { Ok(()) } else { Err(finding) };
    check(seen.uids == [uid; 4] && seen.gids == [gid; 4], Finding::User)?;
    check(!privileged || (uid != 0 && gid != 0 && seen.groups == 0), Finding::User)?;
    let [inheritable, permitted, effective, bounding, ambient] = seen.capabilities;
    check(inheritable | permitted | effective | ambient == 0, Finding::Capability)?;
    check(!privileged || bounding == 0, Finding::Capability)?;
    check(seen.no_new_privileges, Finding::Privileges)?;
    let is_filtered = match seen.filters {
        Some(filters) => seen.seccomp == 2 && filters > expected.inherited,
        None => seen.seccomp == 2,
    };
    let is_bare = match seen.filters {
        Some(filters) => filters == expected.inherited,
        None => seen.seccomp == 0,
    };
    check(if expected.seccomp { is_filtered } else { is_bare }, Finding::Seccomp)?;
    check(seen.threads == 1, Finding::Threads)?;
    check(seen.tracer == 0, Finding::Tracer)?;
    if privileged {
        let namespaces = seen.namespaces.as_ref().ok_or(Finding::Namespace)?;
        let is = |(name, inode): &(&'static str, u64)| {
            namespaces.iter().any(|(other, number)| other == name && number == inode)
        };
        check(namespaces.len() == NAMESPACES.len(), Finding::Namespace)?;
        check(!expected.strange.iter().any(is), Finding::Namespace)?;
        check(expected.shared.iter().all(is), Finding::Namespace)?;
    }
    for (controller, leaf) in &expected.leaf {
        let there = seen
            .groups_of
            .iter()
            .filter(|(names, _)| names.split(',').any(|name| name == *controller))
            .all(|(_, group)| group == leaf)
            && seen.groups_of.iter().any(|(names, _)| names.split(',').any(|name| name == *controller));
        check(there, Finding::Cgroup)?;
    }
    let right = [(0, Open::Null), (1, Open::Null), (2, Open::Null), (3, Open::Socket(expected.socket))];
    match &seen.descriptors {
        Some(open) => check(open[..] == right, Finding::Descriptor),
        None => check(!privileged, Finding::Descriptor),
    }
}

/// Inode of one of a process's namespaces.
pub(super) fn namespace(process: &str, name: &str) -> io::Result<u64> {
    Ok(fs::metadata(format!("/proc/{process}/ns/{name}"))?.ino())
}

/// Filters of system calls that this process has, and hands down.
pub(super) fn own_filters() -> u32 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let count = status.lines().find_map(|line| line.strip_prefix("Seccomp_filters:"));
    count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

/// Looks.
pub(super) fn look(pid: Pid) -> io::Result<Seen> {
    let process = PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()));
    let status = fs::read_to_string(process.join("status"))?;
    let numbers = |name: &str, radix: u32| -> Vec<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default()
            .split_whitespace()
            .filter_map(|word| u64::from_str_radix(word, radix).ok())
            .collect()
    };
    let missing = || io::Error::from(io::ErrorKind::InvalidData);
    let one = |name: &str, radix: u32| numbers(name, radix).first().copied().ok_or_else(missing);
    let four = |name: &str| -> io::Result<[u32; 4]> {
        let four: [u64; 4] = numbers(name, 10).try_into().map_err(|_| missing())?;
        Ok(four.map(|id| u32::try_from(id).unwrap_or(0)))
    };
    let small = |name: &str| -> io::Result<u32> { u32::try_from(one(name, 10)?).map_err(|_| missing()) };
    let groups_of = fs::read_to_string(process.join("cgroup"))?
        .lines()
        .filter_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            Some((parts.next()?.to_owned(), parts.next()?.to_owned()))
        })
        .collect();
    let name = pid.as_raw_nonzero().to_string();
    Ok(Seen {
        uids: four("Uid")?,
        gids: four("Gid")?,
        groups: numbers("Groups", 10).len(),
        capabilities: [
            one("CapInh", 16)?,
            one("CapPrm", 16)?,
            one("CapEff", 16)?,
            one("CapBnd", 16)?,
            one("CapAmb", 16)?,
        ],
        no_new_privileges: one("NoNewPrivs", 10)? == 1,
        seccomp: small("Seccomp")?,
        filters: small("Seccomp_filters").ok(),
        threads: small("Threads")?,
        tracer: small("TracerPid")?,
        namespaces: NAMESPACES
            .iter()
            .map(|kind| Ok((*kind, namespace(&name, kind)?)))
            .collect::<io::Result<_>>()
            .ok(),
        groups_of,
        descriptors: descriptors(&process).ok(),
    })
}

fn descriptors(process: &Path) -> io::Result<Vec<(u32, Open)>> {
    let null = rustix::fs::makedev(1, 3);
    let mut open = Vec::with_capacity(4);
    for entry in fs::read_dir(process.join("fd"))? {
        let entry = entry?;
        let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
        // Follows the link to the open file itself, whatever its path was.
        let about = fs::metadata(entry.path())?;
        let kind = match rustix::fs::FileType::from_raw_mode(about.mode()) {
            rustix::fs::FileType::CharacterDevice if about.rdev() == null => Open::Null,
            rustix::fs::FileType::Socket => Open::Socket(about.ino()),
            _ => Open::Other,
        };
        open.push((number.ok_or(io::ErrorKind::InvalidData)?, kind));
    }
    open.sort_by_key(|(number, _)| *number);
    Ok(open)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected() -> Expected {
        Expected {
            uid: 2_000_007,
            gid: 2_000_007,
            privileged: true,
            seccomp: true,
            inherited: 1,
            strange: vec![("mnt", 1), ("pid", 2), ("net", 5)],
            shared: vec![("net", 15), ("ipc", 16)],
            leaf: vec![("", "/fazt/1/pool/7".into()), ("memory", "/m/fazt/1/pool/7".into())],
            socket: 99,
        }
    }

    fn good() -> Seen {
        Seen {
            uids: [2_000_007; 4],
            gids: [2_000_007; 4],
            groups: 0,
            capabilities: [0; 5],
            no_new_privileges: true,
            seccomp: 2,
            filters: Some(2),
            threads: 1,
            tracer: 0,
            namespaces: Some(vec![
                ("mnt", 11),
                ("pid", 12),
                ("uts", 13),
                ("cgroup", 14),
                ("net", 15),
                ("ipc", 16),
            ]),
            groups_of: vec![
                ("memory".into(), "/m/fazt/1/pool/7".into()),
                (String::new(), "/fazt/1/pool/7".into()),
            ],
            descriptors: Some(vec![(0, Open::Null), (1, Open::Null), (2, Open::Null), (3, Open::Socket(99))]),
        }
    }

    /// Every way in which a process can be wrong, one at a time.
    #[test]
    fn each_thing_that_must_not_be_is_found() {
        type Change = fn(&mut Seen);
        let cases: [(Finding, Change); 27] = [
            (Finding::User, |s| s.uids[0] = 0),
            (Finding::User, |s| s.uids[3] = 0),
            (Finding::User, |s| s.uids = [2_000_008; 4]),
            (Finding::User, |s| s.gids[1] = 0),
            (Finding::User, |s| s.groups = 1),
            (Finding::Capability, |s| s.capabilities[0] = 1),
            (Finding::Capability, |s| s.capabilities[1] = 1 << 21),
            (Finding::Capability, |s| s.capabilities[2] = 1 << 40),
            (Finding::Capability, |s| s.capabilities[3] = 1),
            (Finding::Capability, |s| s.capabilities[4] = 1),
            (Finding::Privileges, |s| s.no_new_privileges = false),
            (Finding::Seccomp, |s| s.seccomp = 0),
            (Finding::Seccomp, |s| s.seccomp = 1),
            (Finding::Seccomp, |s| s.filters = Some(1)),
            (Finding::Threads, |s| s.threads = 2),
            (Finding::Tracer, |s| s.tracer = 4),
            (Finding::Namespace, |s| s.namespaces = None),
            (Finding::Namespace, |s| s.namespaces.as_mut().expect("seen")[0].1 = 1),
            (Finding::Namespace, |s| s.namespaces.as_mut().expect("seen")[4].1 = 5),
            (Finding::Namespace, |s| s.namespaces.as_mut().expect("seen")[5].1 = 17),
            (Finding::Cgroup, |s| s.groups_of[1].1 = "/".into()),
            (Finding::Cgroup, |s| s.groups_of[0].1 = "/m".into()),
            (Finding::Cgroup, |s| s.groups_of.clear()),
            (Finding::Descriptor, |s| s.descriptors = None),
            (Finding::Descriptor, |s| s.descriptors.as_mut().expect("seen").push((4, Open::Other))),
            (Finding::Descriptor, |s| s.descriptors.as_mut().expect("seen")[1].1 = Open::Other),
            (Finding::Descriptor, |s| s.descriptors.as_mut().expect("seen")[3].1 = Open::Socket(98)),
        ];
        assert_eq!(judge(&good(), &expected()), Ok(()));
        let bare = Expected { seccomp: false, ..expected() };
        assert_eq!(judge(&good(), &bare), Err(Finding::Seccomp), "a filter where there must be none");
        assert_eq!(judge(&Seen { filters: Some(1), ..good() }, &bare), Ok(()), "the service manager's own");
        let old = Seen { filters: None, ..good() };
        assert_eq!(judge(&old, &expected()), Ok(()), "a kernel that does not count them");
        assert_eq!(judge(&old, &bare), Err(Finding::Seccomp));
        assert_eq!(judge(&Seen { seccomp: 0, ..old }, &bare), Ok(()));
        for (at, (finding, change)) in cases.into_iter().enumerate() {
            let mut seen = good();
            change(&mut seen);
            assert_eq!(judge(&seen, &expected()), Err(finding), "case {at}");
        }
    }

    #[test]
    fn an_ordinary_users_launcher_looks_at_what_it_can_see() {
        let expected = Expected {
            uid: 1000,
            gid: 1000,
            privileged: false,
            strange: Vec::new(),
            shared: Vec::new(),
            leaf: Vec::new(),
            ..expected()
        };
        let seen = Seen {
            uids: [1000; 4],
            gids: [1000; 4],
            groups: 3,
            capabilities: [0, 0, 0, u64::MAX, 0],
            namespaces: None,
            descriptors: None,
            ..good()
        };
        assert_eq!(judge(&seen, &expected), Ok(()));
        assert_eq!(judge(&Seen { seccomp: 0, ..seen.clone() }, &expected), Err(Finding::Seccomp));
        assert_eq!(judge(&Seen { no_new_privileges: false, ..seen }, &expected), Err(Finding::Privileges));
    }

    #[test]
    fn this_process_can_be_looked_at() {
        let me = look(rustix::process::getpid()).expect("a look");
        assert_eq!(me.uids[0], rustix::process::getuid().as_raw());
        assert!(me.threads >= 1 && me.namespaces.is_some());
    }
}
