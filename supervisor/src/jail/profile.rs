//! What differs between the kinds of jailed processes. Everything else is the same for all.

use std::ffi::CStr;
use std::time::Duration;

use fazt_ipc::launch::{Limits, Profile, WALLS_MAX, WALLS_MS_MAX};
use fazt_ipc::limits::ADDRESS_SPACE_BYTES_MAX;

use super::limits::{
    BUILD_ADDRESS_SPACE_BYTES_MAX, BUILD_MEMORY_BYTES_MAX, CPU_PERMILLE_MAX, EGRESS_FILES,
    EGRESS_MEMORY_BYTES_MAX, JAIL_FILES, STORE_FILE_BYTES_MAX, STORE_MEMORY_BYTES_MAX,
    WALLS_MEMORY_BYTES_MAX, WORKER_MEMORY_BYTES_MAX, WORKER_PIDS,
};

/// Which program a profile runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Image {
    /// The embedded worker program.
    Worker,
    /// This program again.
    Own,
}

/// The differences.
#[derive(Debug, Clone, Copy)]
pub(super) struct Jail {
    pub(super) image: Image,
    pub(super) arguments: &'static [&'static CStr],
    pub(super) memory_bytes_max: u64,
    pub(super) address_space_bytes: u64,
    pub(super) pids: u32,
    /// Largest file that it may write, if it is handed one.
    pub(super) file_bytes_max: u64,
    /// It locks itself with seccomp before it is handed over. The look from outside demands what stands here: a
    /// process that has a filter and must not is as wrong as the other way round.
    pub(super) seccomp: bool,
    /// How long it may live, and how many of its kind at once.
    pub(super) brief: Option<(Duration, usize)>,
    /// An ordinary user's launcher may make it: what holds it back there suffices.
    pub(super) ordinary: bool,
    /// Descriptors that it may open.
    pub(super) files: u64,
    /// It opens connections to elsewhere: it stays in the machine's network, has the user that is kept for it, is
    /// handed what names and certificates are checked by, and there is one at a time.
    pub(super) outward: bool,
}

/// The jail of a profile; `None` where nothing uses it.
pub(super) const fn jail(profile: Profile) -> Option<Jail> {
    const WORKER: Jail = Jail {
        image: Image::Worker,
        arguments: &[c"fazt-worker"],
        memory_bytes_max: WORKER_MEMORY_BYTES_MAX,
        address_space_bytes: ADDRESS_SPACE_BYTES_MAX,
        pids: WORKER_PIDS,
        file_bytes_max: 0,
        seccomp: true,
        brief: None,
        ordinary: true,
        files: JAIL_FILES,
        outward: false,
    };
    match profile {
        Profile::Worker => Some(WORKER),
        Profile::Doctor => Some(Jail { arguments: &[c"fazt-worker", c"--doctor"], ..WORKER }),
        // The one process without a filter. What runs in it is chosen here and by nobody else: the worker program
        // takes another way at its very start, on which it reads two bytes, makes one system call of its own list
        // and ends. Not for an ordinary user, whose other processes only seccomp protects from it.
        Profile::Walls => Some(Jail {
            arguments: &[c"fazt-worker", c"--doctor-walls"],
            memory_bytes_max: WALLS_MEMORY_BYTES_MAX,
            seccomp: false,
            brief: Some((Duration::from_millis(WALLS_MS_MAX), WALLS_MAX)),
            ordinary: false,
            ..WORKER
        }),
        Profile::Build => Some(Jail {
            image: Image::Own,
            arguments: &[c"fazt", c"__build"],
            memory_bytes_max: BUILD_MEMORY_BYTES_MAX,
            address_space_bytes: BUILD_ADDRESS_SPACE_BYTES_MAX,
            ..WORKER
        }),
        // The supervisor hands it two descriptors once it is locked; the launcher knows no file.
        Profile::Store => Some(Jail {
            image: Image::Own,
            arguments: &[c"fazt", c"__store"],
            memory_bytes_max: STORE_MEMORY_BYTES_MAX,
            file_bytes_max: STORE_FILE_BYTES_MAX,
            ..WORKER
        }),
        // Arguments follow that the launcher has from the configuration, not from the supervisor.
        Profile::Egress => Some(Jail {
            image: Image::Own,
            arguments: &[c"fazt", c"__egress"],
            memory_bytes_max: EGRESS_MEMORY_BYTES_MAX,
            files: EGRESS_FILES,
            outward: true,
            ..WORKER
        }),
    }
}

/// The caps of a new process: what the order says, where it says nothing those of the profile. `None`: the order
/// asks for more than the profile may have.
pub(super) fn first(jail: &Jail, asked: Limits) -> Option<Limits> {
    let memory_bytes = if asked.memory_bytes == 0 { jail.memory_bytes_max } else { asked.memory_bytes };
    let fits = memory_bytes <= jail.memory_bytes_max
        && asked.cpu_permille <= CPU_PERMILLE_MAX
        && asked.cpu_weight <= 10_000;
    fits.then_some(Limits { memory_bytes, ..asked })
}

/// The caps after a LIMIT; `None`: one would become wider.
pub(super) fn tighter(now: Limits, asked: Limits) -> Option<Limits> {
    // Zero in the order: leave it. Zero in force (CPU only): none so far, so every cap is tighter.
    let narrow = |now: u64, asked: u64| match (now, asked) {
        (now, 0) => Some(now),
        (0, asked) => Some(asked),
        (now, asked) => (asked <= now).then_some(asked),
    };
    let narrow32 = |now: u32, asked: u32| {
        narrow(u64::from(now), u64::from(asked)).and_then(|value| u32::try_from(value).ok())
    };
    if asked.cpu_weight > 10_000 || asked.cpu_permille > CPU_PERMILLE_MAX {
        return None;
    }
    Some(Limits {
        memory_bytes: narrow(now.memory_bytes, asked.memory_bytes)?,
        cpu_permille: narrow32(now.cpu_permille, asked.cpu_permille)?,
        cpu_weight: narrow32(now.cpu_weight, asked.cpu_weight)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn limits(memory_bytes: u64, cpu_permille: u32, cpu_weight: u32) -> Limits {
        Limits { memory_bytes, cpu_permille, cpu_weight }
    }

    #[test]
    fn caps_only_become_tighter() {
        let now = limits(40, 500, 100);
        for (asked, then) in [
            (limits(0, 0, 0), Some(now)),
            (limits(39, 0, 0), Some(limits(39, 500, 100))),
            (limits(40, 500, 100), Some(now)),
            (limits(41, 0, 0), None),
            (limits(0, 501, 0), None),
            (limits(0, 0, 101), None),
            (limits(1, 1, 1), Some(limits(1, 1, 1))),
        ] {
            assert_eq!(tighter(now, asked), then, "{asked:?}");
        }
        assert_eq!(tighter(limits(40, 0, 0), limits(0, 900, 50)), Some(limits(40, 900, 50)));
        assert_eq!(tighter(limits(40, 0, 0), limits(0, 0, 10_001)), None);
    }

    #[test]
    fn a_first_cap_is_bounded_by_the_profile() {
        let worker = jail(Profile::Worker).expect("a worker's jail");
        assert_eq!(first(&worker, Limits::default()).map(|l| l.memory_bytes), Some(WORKER_MEMORY_BYTES_MAX));
        assert_eq!(first(&worker, limits(WORKER_MEMORY_BYTES_MAX + 1, 0, 0)), None);
        assert_eq!(first(&worker, limits(1 << 20, CPU_PERMILLE_MAX + 1, 0)), None);
    }

    /// Whatever is added: one profile is without seccomp, it is brief, and no other takes its way.
    #[test]
    fn only_the_doctors_second_walls_are_without_seccomp_and_they_are_brief() {
        let all = [
            Profile::Worker,
            Profile::Build,
            Profile::Store,
            Profile::Doctor,
            Profile::Walls,
            Profile::Egress,
        ];
        for (profile, jail) in all.into_iter().filter_map(|profile| Some((profile, jail(profile)?))) {
            let walls = profile == Profile::Walls;
            assert_eq!(jail.seccomp, !walls, "{profile:?}");
            assert_eq!(jail.brief.is_some(), walls, "{profile:?}");
            assert_eq!(jail.ordinary, !walls, "{profile:?}");
            assert_eq!(jail.file_bytes_max > 0, profile == Profile::Store, "{profile:?}");
            assert_eq!(jail.arguments.contains(&c"--doctor-walls"), walls, "{profile:?}");
            assert_eq!(jail.outward, profile == Profile::Egress, "{profile:?}");
        }
    }
}
