//! Where the launcher's groups belong on this machine.
//!
//! | found | base |
//! |---|---|
//! | a unit with `Delegate=` and `DelegateSubgroup=supervisor` | the unit's own group |
//! | a unit with `Delegate=` alone | the unit's own group, after the launcher moved to `supervisor` in it |
//! | a unit without `Delegate=` | as otherwise: below it the service manager would count a worker that dies of its own memory as the unit's death, and end the server |
//! | the v2 tree has no memory controller (hybrid) | `fazt/…` below the launcher's group, and so in each v1 hierarchy |
//! | otherwise | `fazt/…` at the top of the v2 tree |
//!
//! `fazt` itself stays when the server ends: the group above it is often one that only `CAP_DAC_OVERRIDE` may
//! write to, which the launcher has given up by then.

use std::fs;
use std::path::{Path, PathBuf};

/// Holds the groups of every server that is not a unit.
const PARENT: &str = "fazt";
/// `DelegateSubgroup=` of the unit.
const SUBGROUP: &str = "supervisor";

/// Base groups.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::jail) struct Place {
    /// In the v2 tree.
    pub(super) unified: Option<PathBuf>,
    /// In v1 hierarchies, by controller.
    pub(super) v1: Vec<(&'static str, PathBuf)>,
    /// Where hierarchies are mounted, and which group of them.
    pub(super) tops: Vec<(PathBuf, String)>,
}

/// A mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mount {
    point: PathBuf,
    /// Group that is mounted there.
    root: String,
    unified: bool,
    options: String,
}

/// Reads `/proc/self/mountinfo`.
fn mounts(text: &str) -> Vec<Mount> {
    text.lines()
        .filter_map(|line| {
            let (head, tail) = line.split_once(" - ")?;
            let mut head = head.split(' ').skip(3);
            let (root, point) = (head.next()?, head.next()?);
            let mut tail = tail.split(' ');
            let unified = match tail.next()? {
                "cgroup2" => true,
                "cgroup" => false,
                _ => return None,
            };
            Some(Mount {
                point: point.into(),
                root: root.into(),
                unified,
                options: tail.nth(1).unwrap_or_default().into(),
            })
        })
        .collect()
}

/// This process's group in a hierarchy, from `/proc/self/cgroup`; the empty controller is the v2 tree.
fn own<'a>(text: &'a str, controller: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let ours = if controller.is_empty() {
            controllers.is_empty()
        } else {
            controllers.split(',').any(|one| one == controller)
        };
        ours.then_some(path)
    })
}

/// A group's folder. `None`: it lies outside what is mounted.
fn folder(mount: &Mount, group: &str) -> Option<PathBuf> {
    let below = if mount.root == "/" { group } else { group.strip_prefix(mount.root.as_str())? };
    Some(mount.point.join(below.trim_start_matches('/')))
}

impl Place {
    /// Finds the place of the server whose data folder is `data`.
    pub(in crate::jail) fn find(data: &Path) -> Self {
        let mounts = mounts(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default());
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let name = format!("{PARENT}/{:016x}", fingerprint(data));
        let unified = mounts.iter().find(|mount| mount.unified);
        let has_memory = unified.is_some_and(|mount| {
            fs::read_to_string(mount.point.join("cgroup.controllers"))
                .is_ok_and(|names| names.split_whitespace().any(|name| name == "memory"))
        });
        let tops = mounts.iter().map(|mount| (mount.point.clone(), mount.root.clone())).collect();
        let mut place = Self { tops, ..Self::default() };
        if let Some(mount) = unified
            && let Some(own) = own(&groups, "").and_then(|group| folder(mount, group))
        {
            place.unified =
                Some(if has_memory { base(&own, &mount.point, &name, delegated) } else { own.join(&name) });
        }
        if !has_memory {
            for controller in ["memory", "pids", "cpu"] {
                let found = mounts
                    .iter()
                    .find(|mount| !mount.unified && mount.options.split(',').any(|one| one == controller))
                    .and_then(|mount| folder(mount, own(&groups, controller)?));
                if let Some(own) = found {
                    place.v1.push((controller, own.join(&name)));
                }
            }
        }
        place
    }
}

/// A folder's group, as `/proc/PID/cgroup` has it.
pub(super) fn group(tops: &[(PathBuf, String)], folder: &Path) -> Option<String> {
    let (below, root) =
        tops.iter().find_map(|(point, root)| Some((folder.strip_prefix(point).ok()?, root)))?;
    Some(format!("{}/{}", root.trim_end_matches('/'), below.display()))
}

/// Whether the service manager has given a group away: it says so by an attribute of the folder.
fn delegated(group: &Path) -> bool {
    let mut value = [0u8; 8];
    ["trusted.delegate", "user.delegate"].iter().any(|name| {
        rustix::fs::getxattr(group, *name, &mut value).is_ok_and(|length| value[..length] == *b"1")
    })
}

/// The base in a v2 tree with controllers.
fn base(own: &Path, top: &Path, name: &str, delegated: impl Fn(&Path) -> bool) -> PathBuf {
    let is_unit = |path: &Path| {
        path.extension().is_some_and(|kind| kind == "service" || kind == "scope") && delegated(path)
    };
    if own.file_name().is_some_and(|last| last == SUBGROUP)
        && let Some(unit) = own.parent().filter(|unit| is_unit(unit))
    {
        return unit.to_owned();
    }
    if is_unit(own) && move_to_subgroup(own).is_some() {
        return own.to_owned();
    }
    top.join(name)
}

/// A group that passes controllers on may hold no process itself: the launcher, if it is alone there, moves.
fn move_to_subgroup(unit: &Path) -> Option<()> {
    let me = std::process::id().to_string();
    let members = fs::read_to_string(unit.join("cgroup.procs")).ok()?;
    if members.trim() != me {
        return None;
    }
    let group = unit.join(SUBGROUP);
    super::make(&group).ok()?;
    super::put(&group, "cgroup.procs", &me).ok()
}

/// Whether a base was made by us and not by the service manager.
pub(super) fn is_own(base: &Path) -> bool {
    base.parent().and_then(Path::file_name).is_some_and(|name| name == PARENT)
}

/// Tells servers with different data folders apart (FNV-1a).
fn fingerprint(data: &Path) -> u64 {
    data.as_os_str()
        .as_encoded_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_are_read_from_the_mount_table() {
        let text = "30 1 0:26 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
                    31 1 0:27 /box /sys/fs/cgroup/unified rw shared:9 - cgroup2 none rw,nsdelegate\n\
                    32 1 0:28 / /proc rw - proc proc rw\n";
        let mounts = mounts(text);
        assert_eq!(mounts.len(), 2);
        assert!(!mounts[0].unified && mounts[0].options == "rw,memory");
        assert_eq!(folder(&mounts[0], "/a/b"), Some("/sys/fs/cgroup/memory/a/b".into()));
        assert_eq!(folder(&mounts[1], "/box/a"), Some("/sys/fs/cgroup/unified/a".into()));
        assert_eq!(folder(&mounts[1], "/elsewhere"), None);
        let tops: Vec<_> = mounts.iter().map(|mount| (mount.point.clone(), mount.root.clone())).collect();
        let back = |folder: &str| group(&tops, Path::new(folder));
        assert_eq!(back("/sys/fs/cgroup/memory/a/b").as_deref(), Some("/a/b"));
        assert_eq!(back("/sys/fs/cgroup/unified/a").as_deref(), Some("/box/a"));
        assert_eq!(back("/elsewhere"), None);
    }

    #[test]
    fn the_own_group_is_found_by_controller() {
        let text = "4:memory:/m\n3:cpu,cpuacct:/c\n0::/system.slice/fazt.service/supervisor\n";
        for (controller, group) in [
            ("memory", Some("/m")),
            ("cpu", Some("/c")),
            ("", Some("/system.slice/fazt.service/supervisor")),
            ("pids", None),
        ] {
            assert_eq!(own(text, controller), group, "{controller}");
        }
    }

    #[test]
    fn a_unit_keeps_its_own_group_and_a_shell_gets_one_at_the_top() {
        let top = Path::new("/nowhere/cgroup");
        let check = |own: &str, then: &str| {
            let delegated = |unit: &Path| !unit.ends_with("plain.service");
            assert_eq!(base(Path::new(own), top, "fazt/1", delegated), PathBuf::from(then), "{own}");
        };
        check(
            "/nowhere/cgroup/system.slice/fazt.service/supervisor",
            "/nowhere/cgroup/system.slice/fazt.service",
        );
        check("/nowhere/cgroup/system.slice/plain.service/supervisor", "/nowhere/cgroup/fazt/1");
        check("/nowhere/cgroup/system.slice/plain.service", "/nowhere/cgroup/fazt/1");
        check("/nowhere/cgroup/user.slice/session-3.scope", "/nowhere/cgroup/fazt/1");
        check("/nowhere/cgroup", "/nowhere/cgroup/fazt/1");
        assert!(is_own(Path::new("/x/fazt/1")) && !is_own(Path::new("/x/fazt.service")));
    }
}
