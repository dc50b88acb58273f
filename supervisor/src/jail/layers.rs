//! Which layers of the sandbox this machine has, and whether apps may run without those that it lacks.
//!
//! The probe asks the kernel once, when the launcher starts. The judgement is pure, so that every layer can be
//! missing in a test.
//!
//! Each asset has two walls: files (seccomp, empty root, Landlock), network (seccomp, empty namespace), other
//! processes (seccomp, process namespace, user), memory (group, heap limit), CPU (watchdog, group).

use fazt_ipc::control::Layer;
use rustix::process::Signal;
use rustix::thread::CapabilitySet;

use crate::sys::{self, Cloned};

use super::cgroup::Tree;
use super::image::Spaces;

/// Capabilities of the launcher.
pub(super) const CAPABILITIES: CapabilitySet = CapabilitySet::SYS_ADMIN
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::SYS_PTRACE);

/// What the kernel answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Probe {
    /// Has what a launcher needs to take away uid, namespaces and capabilities.
    pub(super) privileged: bool,
    /// Version of the groups, by controller, and `cgroup.kill`.
    pub(super) groups: [(&'static str, Option<&'static str>); 4],
    /// What the kernel said to a group that is missing.
    pub(super) notes: Vec<String>,
    /// The shared namespaces could be made.
    pub(super) spaces: Result<(), String>,
    /// A child in namespaces of its own could be made.
    pub(super) clone: Result<(), String>,
    /// Version of Landlock; 0: none.
    pub(super) landlock: u8,
    /// Seccomp can kill a whole process.
    pub(super) seccomp: bool,
    /// Pressure can be read.
    pub(super) pressure: bool,
}

/// Namespaces that are made anew for each process.
pub(super) const FRESH: u64 =
    (libc::CLONE_NEWPID | libc::CLONE_NEWNS | libc::CLONE_NEWUTS | libc::CLONE_NEWCGROUP) as u64;

impl Probe {
    /// Asks the kernel.
    pub(super) fn ask(privileged: bool, tree: &Tree, spaces: &Result<Option<Spaces>, String>) -> Self {
        Self {
            privileged,
            groups: tree.facts(),
            notes: tree.notes.clone(),
            spaces: match spaces {
                Ok(Some(_)) => Ok(()),
                Ok(None) => Err("needs root".into()),
                Err(error) => Err(error.clone()),
            },
            clone: if privileged { try_clone() } else { Err("needs root".into()) },
            landlock: sys::landlock_abi(),
            seccomp: sys::seccomp_knows(libc::SECCOMP_RET_KILL_PROCESS),
            pressure: std::fs::read("/proc/pressure/memory").is_ok(),
        }
    }
}

/// Whether this process holds every capability that the launcher needs.
pub(super) fn privileged() -> bool {
    rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(CAPABILITIES))
}

/// Makes one child with all namespaces and lets it end.
fn try_clone() -> Result<(), String> {
    match sys::clone3(FRESH, None) {
        Ok(Cloned::Child) => sys::exit(0),
        Ok(Cloned::Parent(_, pidfd)) => {
            let mut ready = [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)];
            let wall = rustix::time::Timespec { tv_sec: 5, tv_nsec: 0 };
            if rustix::event::poll(&mut ready, Some(&wall)) != Ok(1) {
                let _ = rustix::process::pidfd_send_signal(&pidfd, Signal::KILL);
            }
            match sys::reap(std::os::fd::AsFd::as_fd(&pidfd)) {
                Ok(Some(exit)) if exit.code == 0 => Ok(()),
                other => Err(format!("a first child ended with {other:?}")),
            }
        }
        Err(error) => Err(error.to_string()),
    }
}

/// A layer, and whether apps may run without it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Judged {
    pub(super) layer: Layer,
    pub(super) need: Need,
}

/// How much a layer is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Never to be lifted.
    Always,
    /// To be lifted by name in config.toml, or by `--dev` of an ordinary user.
    Named,
    /// A wall more where the kernel has it; two others stand.
    Extra,
}

/// Every layer, in the order in which it is put on.
pub(super) fn judge(probe: &Probe) -> Vec<Judged> {
    let mut all = Vec::new();
    let mut add = |need, name: &str, present: bool, detail: String, fix: &str| {
        all.push(Judged {
            layer: Layer {
                name: name.into(),
                present,
                detail,
                fix: if present { String::new() } else { fix.into() },
            },
            need,
        });
    };
    let notes = || probe.notes.join("; ");
    // An ordinary user lacks these by being one; a root that lacks them has had them taken away.
    let root = if probe.privileged { Need::Always } else { Need::Named };
    for (controller, version) in probe.groups {
        let fix = match controller {
            "memory" => {
                "boot with the memory controller (cgroup_enable=memory), or use a server whose host delegates it; start `fazt proc start` as root or as a unit with Delegate=yes"
            }
            "kill" => {
                "use Linux 5.14 or newer with a cgroup v2 tree mounted; start as root or as a unit with Delegate=yes"
            }
            _ => "start as root, or as a unit with `Delegate=cpu memory pids io`",
        };
        let detail = version.map_or_else(&notes, str::to_owned);
        add(Need::Named, &format!("{controller}.cgroup"), version.is_some(), detail, fix);
    }
    // The switch of user happens inside them: root without one would run apps as itself.
    let told = |result: &Result<(), String>| result.as_ref().err().cloned().unwrap_or_else(|| "own".into());
    let namespaces =
        "start as root; in a container, allow CAP_SYS_ADMIN; in a unit, set no RestrictNamespaces=";
    add(root, "namespace.net", probe.spaces.is_ok(), told(&probe.spaces), namespaces);
    add(root, "namespace.ipc", probe.spaces.is_ok(), told(&probe.spaces), namespaces);
    add(root, "namespace.pid", probe.clone.is_ok(), told(&probe.clone), namespaces);
    add(root, "namespace.mount", probe.clone.is_ok(), told(&probe.clone), namespaces);
    let rights = "start as root, or with CAP_SYS_ADMIN CAP_SETUID CAP_SETGID CAP_SETPCAP CAP_SYS_PTRACE";
    let held = |what: &str| if probe.privileged { what.to_owned() } else { "needs root".to_owned() };
    add(root, "uid", probe.privileged, held("one for each process"), rights);
    add(root, "capabilities", probe.privileged, held("none left"), rights);
    add(root, "verification", probe.privileged, held("from outside, whole"), rights);
    let abi = probe.landlock;
    let detail = if abi == 0 { "none".into() } else { format!("ABI {abi}") };
    let newer = "boot a kernel with Landlock (5.13 or newer, `landlock` in the lsm= list)";
    add(Need::Named, "landlock.fs", abi >= 1, detail.clone(), newer);
    let walls = if probe.privileged { Need::Extra } else { Need::Named };
    add(walls, "landlock.net", abi >= 4, detail.clone(), "use Linux 6.7 or newer (Landlock ABI 4)");
    add(walls, "landlock.scope", abi >= 6, detail, "use Linux 6.12 or newer (Landlock ABI 6)");
    let seccomp = if probe.seccomp { "16 system calls, else killed" } else { "none" };
    add(
        Need::Always,
        "seccomp",
        probe.seccomp,
        seccomp.into(),
        "boot a kernel with CONFIG_SECCOMP_FILTER, 4.14 or newer",
    );
    let pressure = if probe.pressure { "/proc/pressure" } else { "none" };
    add(
        Need::Extra,
        "pressure",
        probe.pressure,
        pressure.into(),
        "boot with psi=1; without it only the budget reaps workers",
    );
    all
}

/// Refuses names in `sandbox.allow_missing` that are no layer, or one that may never be missing: whoever wrote
/// them believes in something that will not happen.
pub(super) fn check_names(judged: &[Judged], allowed: &[String]) -> Result<(), String> {
    for name in allowed {
        match judged.iter().find(|one| one.layer.name == *name) {
            Some(one) if one.need != Need::Always => {}
            Some(_) => return Err(format!("`{name}` may never be missing; remove it from the list")),
            None => {
                let known = judged.iter().filter(|one| one.need != Need::Always);
                let known: Vec<&str> = known.map(|one| one.layer.name.as_str()).collect();
                let name = name.escape_debug();
                return Err(format!(
                    "`{name}` is no layer that may be missing; those are {}",
                    known.join(", ")
                ));
            }
        }
    }
    Ok(())
}

/// Whether apps may run: the names of the layers that are missing and allowed to be, or the refusal in words.
pub(super) fn decide(
    judged: &[Judged],
    dev: bool,
    privileged: bool,
    allowed: &[String],
) -> Result<Vec<String>, String> {
    let mut borne = Vec::new();
    let mut refused = String::new();
    for Judged { layer, need } in judged {
        if layer.present {
            continue;
        }
        let named = allowed.contains(&layer.name);
        let bearable = match need {
            Need::Always => false,
            Need::Named => named || (dev && !privileged),
            Need::Extra => true,
        };
        if bearable {
            borne.push(layer.name.clone());
        } else {
            let why = if layer.detail.is_empty() { String::new() } else { format!(" ({})", layer.detail) };
            refused.push_str(&format!("  {}{why}: {}\n", layer.name, layer.fix));
        }
    }
    if refused.is_empty() {
        return Ok(borne);
    }
    if privileged {
        let liftable = |one: &&Judged| !one.layer.present && one.need == Need::Named;
        refused.push_str(if judged.iter().any(|one| liftable(&one)) {
            "To run without a cgroup or Landlock at your own risk, name the layer in `sandbox.allow_missing` of config.toml; no other may be missing."
        } else {
            "None of them may be missing: `sandbox.allow_missing` of config.toml cannot name them."
        });
    } else {
        refused.push_str(
            "Start as root for the whole sandbox, or with --dev to develop on this machine without it.",
        );
    }
    Err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> Probe {
        Probe {
            privileged: true,
            groups: [
                ("memory", Some("cgroup v2")),
                ("pids", Some("cgroup v2")),
                ("cpu", Some("cgroup v2")),
                ("kill", Some("cgroup.kill")),
            ],
            notes: Vec::new(),
            spaces: Ok(()),
            clone: Ok(()),
            landlock: 7,
            seccomp: true,
            pressure: true,
        }
    }

    fn ordinary() -> Probe {
        Probe {
            privileged: false,
            groups: [("memory", None), ("pids", None), ("cpu", None), ("kill", None)],
            spaces: Err("needs root".into()),
            clone: Err("needs root".into()),
            ..whole()
        }
    }

    #[test]
    fn a_whole_sandbox_runs_with_nothing_to_tell() {
        assert_eq!(decide(&judge(&whole()), false, true, &[]), Ok(vec![]));
    }

    type Fake = fn(&mut Probe);
    const MISSING: [(&str, Fake); 11] = [
        ("memory.cgroup", |p| p.groups[0].1 = None),
        ("pids.cgroup", |p| p.groups[1].1 = None),
        ("cpu.cgroup", |p| p.groups[2].1 = None),
        ("kill.cgroup", |p| p.groups[3].1 = None),
        ("namespace.net", |p| p.spaces = Err("EPERM".into())),
        ("namespace.ipc", |p| p.spaces = Err("EPERM".into())),
        ("namespace.pid", |p| p.clone = Err("ENOSYS".into())),
        ("namespace.mount", |p| p.clone = Err("ENOSYS".into())),
        ("landlock.fs", |p| p.landlock = 0),
        ("seccomp", |p| p.seccomp = false),
        ("uid", |p| p.privileged = false),
    ];

    /// Faked one by one: root refuses, names the layer and the fix.
    #[test]
    fn root_refuses_each_missing_layer_by_name_and_says_what_to_do() {
        for (name, fake) in MISSING {
            let mut probe = whole();
            fake(&mut probe);
            let judged = judge(&probe);
            for dev in [false, true] {
                let text = decide(&judged, dev, true, &[]).expect_err(name);
                let line = text.lines().find(|line| line.trim_start().starts_with(name)).expect(name);
                assert!(line.split_once(": ").is_some_and(|(_, fix)| fix.len() > 15), "{line}");
            }
        }
    }

    #[test]
    fn only_the_named_layer_is_lifted_and_never_one_that_must_be() {
        for (name, fake) in MISSING {
            let mut probe = whole();
            fake(&mut probe);
            let judged = judge(&probe);
            let missing: Vec<String> =
                judged.iter().filter(|one| !one.layer.present).map(|one| one.layer.name.clone()).collect();
            let always = judged.iter().any(|one| !one.layer.present && one.need == Need::Always);
            let other = vec!["pressure".to_owned()];
            assert!(decide(&judged, false, true, &other).is_err(), "{name} by another name");
            match decide(&judged, false, true, &missing) {
                Ok(borne) => assert!(!always && borne == missing, "{name}"),
                Err(text) => assert!(always || name == "uid", "{name}: {text}"),
            }
        }
    }

    /// The switch of user hangs on the namespaces: without them root would run apps as root.
    #[test]
    fn root_never_runs_without_a_namespace_even_when_it_is_named() {
        for (name, fake) in MISSING.iter().filter(|(name, _)| name.starts_with("namespace.")) {
            let mut probe = whole();
            fake(&mut probe);
            let judged = judge(&probe);
            let named: Vec<String> =
                ["net", "ipc", "pid", "mount"].map(|which| format!("namespace.{which}")).into();
            let text = decide(&judged, false, true, &named).expect_err(name);
            assert!(text.contains("None of them may be missing"), "{text}");
        }
    }

    #[test]
    fn a_list_with_a_strange_or_a_forbidden_name_is_refused_though_nothing_is_missing() {
        let names = |name: &str| check_names(&judge(&whole()), &[name.to_owned()]);
        for name in ["memory.cgroup", "kill.cgroup", "landlock.fs", "pressure"] {
            assert_eq!(names(name), Ok(()), "{name}");
        }
        for name in ["seccomp", "uid", "capabilities", "verification", "namespace.net", "namespace.mount"] {
            assert!(names(name).is_err_and(|text| text.contains("never be missing")), "{name}");
        }
        for name in ["", "cgroup.memory", "Seccomp", "\u{1b}[2J"] {
            let text = names(name).expect_err(name);
            assert!(text.contains("no layer") && text.contains("memory.cgroup"), "{text}");
            assert!(!text.contains('\u{1b}'), "{text:?}");
        }
    }

    #[test]
    fn an_ordinary_user_runs_only_in_development_and_is_told_what_is_missing() {
        let judged = judge(&ordinary());
        assert!(decide(&judged, false, false, &[]).expect_err("no --dev").contains("--dev"));
        let borne = decide(&judged, true, false, &[]).expect("--dev");
        for name in ["memory.cgroup", "uid", "namespace.net", "namespace.mount", "capabilities"] {
            assert!(borne.iter().any(|one| one == name), "{name} in {borne:?}");
        }
        let blind = Probe { seccomp: false, ..ordinary() };
        assert!(decide(&judge(&blind), true, false, &["seccomp".into()]).is_err(), "seccomp is never lifted");
    }

    #[test]
    fn an_old_landlock_is_told_but_does_not_stop_root() {
        let judged = judge(&Probe { landlock: 2, ..whole() });
        assert_eq!(
            decide(&judged, false, true, &[]),
            Ok(vec!["landlock.net".into(), "landlock.scope".into()])
        );
    }

    #[test]
    fn every_layer_that_is_missing_has_a_fix_and_no_present_one_has() {
        let nothing = Probe { landlock: 0, seccomp: false, pressure: false, ..ordinary() };
        for Judged { layer, .. } in judge(&nothing) {
            assert!(!layer.present && layer.fix.len() > 15, "{layer:?}");
        }
        assert!(judge(&whole()).iter().all(|one| one.layer.present && one.layer.fix.is_empty()));
    }
}
