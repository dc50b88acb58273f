//! Control groups: one fresh leaf `pool/<generation>` for each jailed process, and `sup` for the supervisor.
//!
//! Two layouts. Unified: every controller in the v2 tree. Hybrid: the v2 tree holds membership and `cgroup.kill`,
//! the controllers lie in v1 hierarchies beside it. A leaf is used once: after `cgroup.kill` has been written,
//! whatever is born into that group is killed at birth.
//!
//! Called by the launcher only. Names of groups are made of numbers; nothing here takes a name from outside.

mod place;

use std::fs;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use fazt_ipc::ids::Generation;
use fazt_ipc::launch::Limits;

use super::limits::{CPU_PERIOD_US, CPU_QUOTA_US_MIN, POOL_MEMORY_PERCENT};
use super::profile::Jail;

pub(super) use place::Place;

/// `memory.min` of the supervisor: what it and the launcher use at their busiest.
const SUPERVISOR_MEMORY_BYTES_MIN: &str = "67108864";

/// Where one controller lies.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Controller {
    /// In the v2 tree.
    unified: bool,
    /// The group that holds the leaves.
    pool: PathBuf,
}

/// The launcher's part of the tree.
#[derive(Debug)]
pub(super) struct Tree {
    /// Group that holds the leaves in the v2 tree.
    pool: Option<PathBuf>,
    /// The supervisor's group in the v2 tree.
    supervisor: Option<PathBuf>,
    memory: Option<Controller>,
    pids: Option<Controller>,
    cpu: Option<Controller>,
    /// Weighs disk access. No layer: a worker opens no file, so this bears on what the kernel does for it.
    io: Option<Controller>,
    /// Whether `cgroup.kill` is there.
    kill: bool,
    /// Where hierarchies are mounted, and which group of them.
    tops: Vec<(PathBuf, String)>,
    /// What the kernel said to a controller that is missing.
    pub(super) notes: Vec<String>,
}

/// Use of one leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Use {
    pub(super) memory_bytes: Option<u64>,
    pub(super) memory_bytes_peak: Option<u64>,
    pub(super) cpu_us: Option<u64>,
    pub(super) oom: bool,
}

/// Writes a control file that is there. Never makes one.
fn put(group: &Path, file: &str, value: &str) -> io::Result<()> {
    fs::OpenOptions::new().write(true).open(group.join(file))?.write_all(value.as_bytes())
}

fn number(group: &Path, file: &str) -> Option<u64> {
    fs::read_to_string(group.join(file)).ok()?.trim().parse().ok()
}

/// A number behind a name, as in `memory.events`.
fn field(group: &Path, file: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(group.join(file)).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

fn make(group: &Path) -> io::Result<()> {
    match fs::create_dir(group) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

impl Tree {
    /// No groups: an ordinary user.
    pub(super) fn none() -> Self {
        Self {
            pool: None,
            supervisor: None,
            memory: None,
            pids: None,
            cpu: None,
            io: None,
            kill: false,
            tops: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Makes the tree at `place`, clears what an earlier life left there and bounds all processes together.
    pub(super) fn make(place: &Place, machine_bytes: u64) -> Self {
        let mut tree = Self::none();
        tree.tops.clone_from(&place.tops);
        if let Some(base) = &place.unified {
            match tree.make_unified(base) {
                Ok(()) => {}
                Err(error) => tree.notes.push(format!("{}: {error}", base.display())),
            }
        }
        for (name, base) in &place.v1 {
            let pool = base.join("pool");
            let made = fs::create_dir_all(base).and_then(|()| {
                clear(&pool);
                make(&pool)
            });
            match made {
                Ok(()) => tree.set(name, Controller { unified: false, pool }),
                Err(error) => tree.notes.push(format!("{}: {error}", base.display())),
            }
        }
        if let Some(memory) = &tree.memory
            && machine_bytes > 0
        {
            let most = (machine_bytes / 100 * POOL_MEMORY_PERCENT).to_string();
            let file = if memory.unified { "memory.max" } else { "memory.limit_in_bytes" };
            if let Err(error) = put(&memory.pool, file, &most) {
                tree.notes.push(format!("{file} of all processes: {error}"));
            }
        }
        tree
    }

    fn make_unified(&mut self, base: &Path) -> io::Result<()> {
        fs::create_dir_all(base)?;
        let (pool, supervisor) = (base.join("pool"), base.join("sup"));
        clear(&pool);
        remove(&supervisor);
        make(&pool)?;
        make(&supervisor)?;
        self.kill = pool.join("cgroup.kill").exists();
        for name in ["memory", "pids", "cpu", "io"] {
            // From the parent down: a group passes on only what it was given.
            let enable = format!("+{name}");
            if place::is_own(base) {
                for above in [base.parent().and_then(Path::parent), base.parent()].into_iter().flatten() {
                    let _ = put(above, "cgroup.subtree_control", &enable);
                }
            }
            let there = put(base, "cgroup.subtree_control", &enable)
                .and_then(|()| put(&pool, "cgroup.subtree_control", &enable));
            match there {
                Ok(()) => self.set(name, Controller { unified: true, pool: pool.clone() }),
                // Not every kernel has it, and nothing hangs on it.
                Err(_) if name == "io" => {}
                Err(error) => self.notes.push(format!("{name} in {}: {error}", base.display())),
            }
        }
        protect(base, &supervisor);
        self.pool = Some(pool);
        self.supervisor = Some(supervisor);
        Ok(())
    }

    fn set(&mut self, name: &str, controller: Controller) {
        let slot = match name {
            "memory" => &mut self.memory,
            "pids" => &mut self.pids,
            "io" => &mut self.io,
            _ => &mut self.cpu,
        };
        if slot.is_none() {
            *slot = Some(controller);
        }
    }

    /// How the layers lie, for people: `v2`, `v1`, or nothing.
    pub(super) fn facts(&self) -> [(&'static str, Option<&'static str>); 4] {
        let version = |controller: &Option<Controller>| {
            controller.as_ref().map(|controller| if controller.unified { "cgroup v2" } else { "cgroup v1" })
        };
        [
            ("memory", version(&self.memory)),
            ("pids", version(&self.pids)),
            ("cpu", version(&self.cpu)),
            ("kill", self.kill.then_some("cgroup.kill")),
        ]
    }

    fn controllers(&self) -> impl Iterator<Item = &Controller> {
        [&self.memory, &self.pids, &self.cpu].into_iter().flatten()
    }

    /// Every folder of a leaf, the v2 one first, none twice.
    fn folders(&self, generation: Generation) -> Vec<PathBuf> {
        let name = generation.to_string();
        let mut folders: Vec<PathBuf> = Vec::with_capacity(4);
        for pool in self.pool.iter().chain(self.controllers().map(|controller| &controller.pool)) {
            let folder = pool.join(&name);
            if !folders.contains(&folder) {
                folders.push(folder);
            }
        }
        folders
    }

    /// Makes the leaf of a process. Returns a descriptor of its v2 group, for clone3.
    pub(super) fn leaf(
        &self,
        generation: Generation,
        jail: &Jail,
        caps: Limits,
    ) -> io::Result<Option<OwnedFd>> {
        for folder in self.folders(generation) {
            // A leaf that is there already would be one in which something may have been killed.
            fs::create_dir(folder)?;
        }
        let name = generation.to_string();
        if let Some(pids) = &self.pids {
            put(&pids.pool.join(&name), "pids.max", &jail.pids.to_string())?;
        }
        if let Some(memory) = &self.memory {
            let leaf = memory.pool.join(&name);
            if memory.unified {
                // One process of the group dying alone would leave half a build behind.
                put(&leaf, "memory.oom.group", "1")?;
                // Kernels without swap have no such file.
                let _ = put(&leaf, "memory.swap.max", "0");
            } else {
                let _ = put(&leaf, "memory.swappiness", "0");
            }
        }
        self.limit(generation, caps)?;
        let Some(pool) = &self.pool else { return Ok(None) };
        let leaf = pool.join(&name);
        put(&leaf, "cgroup.max.descendants", "0")?;
        let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
        Ok(Some(rustix::fs::open(leaf, flags, rustix::fs::Mode::empty())?))
    }

    /// Writes the caps that are not zero.
    pub(super) fn limit(&self, generation: Generation, caps: Limits) -> io::Result<()> {
        let name = generation.to_string();
        if let (Some(memory), true) = (&self.memory, caps.memory_bytes > 0) {
            let file = if memory.unified { "memory.max" } else { "memory.limit_in_bytes" };
            put(&memory.pool.join(&name), file, &caps.memory_bytes.to_string())?;
        }
        let Some(cpu) = &self.cpu else { return Ok(()) };
        let leaf = cpu.pool.join(&name);
        if caps.cpu_permille > 0 {
            let quota = (u64::from(caps.cpu_permille) * CPU_PERIOD_US / 1_000).max(CPU_QUOTA_US_MIN);
            if cpu.unified {
                put(&leaf, "cpu.max", &format!("{quota} {CPU_PERIOD_US}"))?;
            } else {
                put(&leaf, "cpu.cfs_period_us", &CPU_PERIOD_US.to_string())?;
                put(&leaf, "cpu.cfs_quota_us", &quota.to_string())?;
            }
        }
        if caps.cpu_weight > 0 {
            if cpu.unified {
                put(&leaf, "cpu.weight", &caps.cpu_weight.to_string())?;
            } else {
                // 100 is v2's default, 1024 v1's; 2 is v1's least.
                put(&leaf, "cpu.shares", &(u64::from(caps.cpu_weight) * 1_024 / 100).max(2).to_string())?;
            }
            // One weight for both, on the same scale. The file is there only where a scheduler honours it.
            if let Some(io) = &self.io {
                match put(&io.pool.join(&name), "io.weight", &caps.cpu_weight.to_string()) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Whether a child must wait until it has been put into v1 groups.
    pub(super) fn joins_late(&self) -> bool {
        self.controllers().any(|controller| !controller.unified)
    }

    /// Puts a new process into the v1 groups of its leaf.
    pub(super) fn join(&self, generation: Generation, pid: u32) -> io::Result<()> {
        let name = generation.to_string();
        for controller in self.controllers().filter(|controller| !controller.unified) {
            put(&controller.pool.join(&name), "cgroup.procs", &pid.to_string())?;
        }
        Ok(())
    }

    /// Kills all that is in a leaf. `false`: there is no `cgroup.kill`.
    pub(super) fn kill(&self, generation: Generation) -> io::Result<bool> {
        match &self.pool {
            Some(pool) if self.kill => {
                put(&pool.join(generation.to_string()), "cgroup.kill", "1").map(|()| true)
            }
            _ => Ok(false),
        }
    }

    /// What a leaf uses.
    pub(super) fn used(&self, generation: Generation) -> Use {
        let name = generation.to_string();
        let mut used = Use::default();
        if let Some(memory) = &self.memory {
            let leaf = memory.pool.join(&name);
            if memory.unified {
                used.memory_bytes = number(&leaf, "memory.current");
                used.memory_bytes_peak = number(&leaf, "memory.peak");
                used.oom = field(&leaf, "memory.events", "oom_kill").is_some_and(|count| count > 0);
            } else {
                used.memory_bytes = number(&leaf, "memory.usage_in_bytes");
                used.memory_bytes_peak = number(&leaf, "memory.max_usage_in_bytes");
                used.oom = field(&leaf, "memory.oom_control", "oom_kill").is_some_and(|count| count > 0);
            }
        }
        // The v2 tree counts CPU time whether or not it holds the controller.
        if let Some(pool) = &self.pool {
            used.cpu_us = field(&pool.join(&name), "cpu.stat", "usage_usec");
        }
        used
    }

    /// Removes a leaf. `false`: something is in it still; try again.
    pub(super) fn remove(&self, generation: Generation) -> bool {
        self.folders(generation).iter().all(|folder| match fs::remove_dir(folder) {
            Ok(()) => true,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        })
    }

    /// A leaf's groups as `/proc/PID/cgroup` has them, by controller; the v2 tree's is empty.
    pub(super) fn expected(&self, generation: Generation) -> Vec<(&'static str, String)> {
        let name = generation.to_string();
        let v1 = [("memory", &self.memory), ("pids", &self.pids), ("cpu", &self.cpu)];
        let v1 = v1.into_iter().filter_map(|(controller, place)| match place {
            Some(Controller { unified: false, pool }) => Some((controller, pool)),
            _ => None,
        });
        let all = self.pool.iter().map(|pool| ("", pool)).chain(v1);
        // A group that cannot be named is one that no process is in: the look from outside then fails.
        all.map(|(controller, pool)| {
            (controller, place::group(&self.tops, &pool.join(&name)).unwrap_or_default())
        })
        .collect()
    }

    /// A descriptor of the supervisor's group.
    pub(super) fn supervisor(&self) -> Option<OwnedFd> {
        let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
        rustix::fs::open(self.supervisor.as_ref()?, flags, rustix::fs::Mode::empty()).ok()
    }

    /// Makes the supervisor's group anew: in one where something was killed, nothing can be born.
    pub(super) fn renew_supervisor(&self) {
        if let Some(group) = &self.supervisor {
            remove(group);
            let _ = make(group);
            let _ = put(group, "memory.min", SUPERVISOR_MEMORY_BYTES_MIN);
        }
    }

    /// Removes everything, at the end of the launcher's life.
    pub(super) fn clear(&self) {
        for pool in self.pool.iter().chain(self.controllers().map(|controller| &controller.pool)) {
            clear(pool);
        }
        if let Some(group) = &self.supervisor {
            remove(group);
        }
        // The base is ours to remove unless it is a unit of the service manager.
        for pool in self.pool.iter().chain(self.controllers().map(|controller| &controller.pool)) {
            let base = pool.parent().filter(|base| place::is_own(base));
            let _ = base.map(fs::remove_dir);
        }
    }
}

/// The supervisor must not be squeezed out by the processes that it serves. What a group is promised holds only
/// as far as the groups above it are promised as much: above a unit that is the service manager's to write.
fn protect(base: &Path, supervisor: &Path) {
    let own = [base.parent(), Some(base)].into_iter().flatten().filter(|_| place::is_own(base));
    for group in own.chain([supervisor]) {
        let _ = put(group, "memory.min", SUPERVISOR_MEMORY_BYTES_MIN);
    }
}

/// Kills what lives in a group and removes it.
fn remove(group: &Path) {
    if !group.exists() {
        return;
    }
    if put(group, "cgroup.kill", "1").is_err() {
        // A v1 group. Its processes are in the v2 leaf too; where there is none, they are killed one by one.
        for pid in fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default().lines() {
            if let Some(pid) = pid.parse().ok().and_then(rustix::process::Pid::from_raw) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }
    // Killed processes leave within milliseconds; a group that never empties is reported by the next mkdir.
    for _ in 0..400 {
        match fs::remove_dir(group) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                std::thread::sleep(super::limits::SWEEP);
            }
            _ => return,
        }
    }
}

/// Removes the leaves of an earlier life, orphans in them killed, and the pool itself.
fn clear(pool: &Path) {
    for entry in fs::read_dir(pool).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    let _ = fs::remove_dir(pool);
}
