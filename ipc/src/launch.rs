//! What the supervisor may ask of the launcher, the only holder of capabilities: four messages of a fixed
//! size over a `SOCK_SEQPACKET` pair. Nothing in them has a length, a name or a path.
//!
//! | message | answer |
//! |---|---|
//! | SPAWN profile, generation, limits | `Spawned` with pidfd and socket, after the launcher looked at the child from outside; or `Refused` |
//! | LIMIT generation, limits | `Done` or `Refused`; limits can only become tighter |
//! | KILL generation | `Done`; `Exited` follows |
//! | STAT generation | `Stat` |
//!
//! `Exited` comes unasked, once for each spawned process, when it has been reaped and its leaf is gone.

use crate::ids::Generation;
use crate::limits::LAUNCH_BYTES;

/// What a [`Profile::Doctor`] process says when it is locked.
pub const DOCTOR_READY: &[u8; 16] = b"fazt doctor 1\0\0\0";
/// Its exit code for a number that names no escape.
pub const DOCTOR_NO_SUCH: i32 = 3;

/// Exit code of a worker: a fault of its own, not of the app.
pub const EXIT_PANIC: i32 = 101;
/// Exit code of a worker: memory outside the JavaScript heap is used up.
pub const EXIT_MEMORY: i32 = 102;
/// Exit code of a worker: the stack outside the engine's own check is used up.
pub const EXIT_STACK: i32 = 103;

/// Life of a [`Profile::Walls`] process, from its birth on, whoever holds its socket.
pub const WALLS_MS_MAX: u64 = 10_000;
/// Such processes at once.
pub const WALLS_MAX: usize = 4;

/// What the process is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Profile {
    /// QuickJS for one app and principal.
    Worker = 1,
    /// Strips types, compiles bytecode: threads allowed, no network, files only in memory.
    Build = 2,
    /// Raw `sql`: descriptors of one folder only.
    Store = 3,
    /// The worker program in the worker's jail, told to try escapes (`proc doctor`). Never sent an app.
    Doctor = 4,
    /// As [`Profile::Doctor`], but not locked by seccomp: tries one escape against all other layers, reads two
    /// bytes in its life, and is killed when [`WALLS_MS_MAX`] are over. Only a launcher that has every other layer
    /// makes one, [`WALLS_MAX`] at once.
    Walls = 5,
    /// Opens connections to elsewhere, for all apps and the kernel: the one process in the machine's own network. It
    /// has a user of its own that is always the same, no file, and one is alive at a time.
    Egress = 6,
}

/// Caps of one leaf. Zero means: leave as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// `memory.max`
    pub memory_bytes: u64,
    /// `cpu.max`, in thousandths of one CPU.
    pub cpu_permille: u32,
    /// `cpu.weight`, 1 to 10,000.
    pub cpu_weight: u32,
}

/// From the supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Make a locked process.
    Spawn {
        /// What for.
        profile: Profile,
        /// Its number, higher than any before.
        generation: Generation,
        /// Its first caps.
        limits: Limits,
    },
    /// Tighten its caps.
    Limit {
        /// Which process.
        generation: Generation,
        /// The new caps.
        limits: Limits,
    },
    /// Kill it and all that is in its leaf.
    Kill {
        /// Which process.
        generation: Generation,
    },
    /// Say what it uses.
    Stat {
        /// Which process.
        generation: Generation,
    },
}

/// Why the launcher did not do as it was told. The number of the step is that of `jail/child.rs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Refusal {
    /// No process of that generation lives.
    Unknown = 1,
    /// The generation was used before, or is lower than one that was.
    Reused = 2,
    /// The caps would become wider.
    Wider = 3,
    /// The leaf could not be made or written.
    Cgroup = 4,
    /// The process could not be made.
    Clone = 5,
    /// The child stopped at a step of its set-up.
    Setup = 6,
    /// The child did not become ready in time.
    Deadline = 7,
    /// The look from outside found something that must not be.
    Verdict = 8,
    /// No uid is free, or too many processes live.
    Exhausted = 9,
}

/// From the launcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Locked, verified. Two descriptors ride along: pidfd, socket.
    Spawned {
        /// Which process.
        generation: Generation,
        /// As the host sees it.
        pid: u32,
        /// Its user.
        uid: u32,
    },
    /// Done.
    Done {
        /// Which process.
        generation: Generation,
    },
    /// Not done.
    Refused {
        /// Which process.
        generation: Generation,
        /// Why.
        refusal: Refusal,
        /// Step of the set-up or of the look from outside; 0 where there is none.
        step: u8,
        /// `errno`, or 0.
        errno: i32,
    },
    /// What it uses.
    Stat {
        /// Which process.
        generation: Generation,
        /// `memory.current`
        memory_bytes: u64,
        /// `memory.max`
        memory_bytes_max: u64,
        /// `cpu.stat` `usage_usec`
        cpu_us: u64,
    },
    /// Reaped; its leaf is gone.
    Exited {
        /// Which process.
        generation: Generation,
        /// Exit code, or -1 if a signal ended it.
        code: i32,
        /// Signal, or 0.
        signal: i32,
        /// The kernel killed it for memory.
        oom: bool,
        /// CPU time over its life.
        cpu_us: u64,
        /// Highest use of memory where the kernel counts it.
        memory_bytes_peak: u64,
    },
}

/// A launcher message that is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed launcher message")]
pub struct Malformed;

/// A message on its way.
pub type Packet = [u8; LAUNCH_BYTES];

struct Writer(Packet, usize);

impl Writer {
    fn new(tag: u8) -> Self {
        let mut packet = [0; LAUNCH_BYTES];
        packet[0] = tag;
        Self(packet, 8)
    }
    fn byte(mut self, at: usize, value: u8) -> Self {
        self.0[at] = value;
        self
    }
    fn put(mut self, value: u64) -> Self {
        self.0[self.1..self.1 + 8].copy_from_slice(&value.to_le_bytes());
        self.1 += 8;
        self
    }
    fn limits(self, limits: Limits) -> Self {
        self.put(limits.memory_bytes).put(u64::from(limits.cpu_permille)).put(u64::from(limits.cpu_weight))
    }
}

struct Reader<'a>(&'a Packet, usize);

impl Reader<'_> {
    fn take(&mut self) -> u64 {
        let mut word = [0; 8];
        word.copy_from_slice(&self.0[self.1..self.1 + 8]);
        self.1 += 8;
        u64::from_le_bytes(word)
    }
    fn take32(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.take()).map_err(|_| Malformed)
    }
    fn take_signed(&mut self) -> Result<i32, Malformed> {
        i32::try_from(self.take().cast_signed()).map_err(|_| Malformed)
    }
    fn generation(&mut self) -> Generation {
        Generation(self.take())
    }
    fn limits(&mut self) -> Result<Limits, Malformed> {
        Ok(Limits { memory_bytes: self.take(), cpu_permille: self.take32()?, cpu_weight: self.take32()? })
    }
    fn done<T>(self, value: T) -> Result<T, Malformed> {
        if self.0[self.1..].iter().all(|&byte| byte == 0) { Ok(value) } else { Err(Malformed) }
    }
}

fn header(packet: &Packet, used: usize) -> Result<(), Malformed> {
    if packet[used..8].iter().all(|&byte| byte == 0) { Ok(()) } else { Err(Malformed) }
}

impl Order {
    /// Writes the message.
    #[must_use]
    pub fn encode(&self) -> Packet {
        match *self {
            Self::Spawn { profile, generation, limits } => {
                Writer::new(1).byte(1, profile as u8).put(generation.0).limits(limits).0
            }
            Self::Limit { generation, limits } => Writer::new(2).put(generation.0).limits(limits).0,
            Self::Kill { generation } => Writer::new(3).put(generation.0).0,
            Self::Stat { generation } => Writer::new(4).put(generation.0).0,
        }
    }

    /// Reads a message. The launcher stops when it cannot: the supervisor is broken or hostile.
    ///
    /// # Errors
    /// When the packet is not exactly one order.
    pub fn decode(packet: &Packet) -> Result<Self, Malformed> {
        let mut reader = Reader(packet, 8);
        header(packet, if packet[0] == 1 { 2 } else { 1 })?;
        let generation = reader.generation();
        let order = match packet[0] {
            1 => Self::Spawn {
                profile: match packet[1] {
                    1 => Profile::Worker,
                    2 => Profile::Build,
                    3 => Profile::Store,
                    4 => Profile::Doctor,
                    5 => Profile::Walls,
                    6 => Profile::Egress,
                    _ => return Err(Malformed),
                },
                generation,
                limits: reader.limits()?,
            },
            2 => Self::Limit { generation, limits: reader.limits()? },
            3 => Self::Kill { generation },
            4 => Self::Stat { generation },
            _ => return Err(Malformed),
        };
        reader.done(order)
    }
}

impl Answer {
    /// Writes the message.
    #[must_use]
    pub fn encode(&self) -> Packet {
        let signed = |value: i32| i64::from(value).cast_unsigned();
        match *self {
            Self::Spawned { generation, pid, uid } => {
                Writer::new(0x81).put(generation.0).put(u64::from(pid)).put(u64::from(uid)).0
            }
            Self::Done { generation } => Writer::new(0x82).put(generation.0).0,
            Self::Refused { generation, refusal, step, errno } => {
                Writer::new(0x83).byte(1, refusal as u8).byte(2, step).put(generation.0).put(signed(errno)).0
            }
            Self::Stat { generation, memory_bytes, memory_bytes_max, cpu_us } => {
                Writer::new(0x84).put(generation.0).put(memory_bytes).put(memory_bytes_max).put(cpu_us).0
            }
            Self::Exited { generation, code, signal, oom, cpu_us, memory_bytes_peak } => {
                Writer::new(0x85)
                    .byte(1, u8::from(oom))
                    .put(generation.0)
                    .put(signed(code))
                    .put(signed(signal))
                    .put(cpu_us)
                    .put(memory_bytes_peak)
                    .0
            }
        }
    }

    /// Reads a message.
    ///
    /// # Errors
    /// When the packet is not exactly one answer.
    pub fn decode(packet: &Packet) -> Result<Self, Malformed> {
        let mut reader = Reader(packet, 8);
        header(
            packet,
            match packet[0] {
                0x83 => 3,
                0x85 => 2,
                _ => 1,
            },
        )?;
        let generation = reader.generation();
        let answer = match packet[0] {
            0x81 => Self::Spawned { generation, pid: reader.take32()?, uid: reader.take32()? },
            0x82 => Self::Done { generation },
            0x83 => Self::Refused {
                generation,
                refusal: refusal(packet[1])?,
                step: packet[2],
                errno: reader.take_signed()?,
            },
            0x84 => Self::Stat {
                generation,
                memory_bytes: reader.take(),
                memory_bytes_max: reader.take(),
                cpu_us: reader.take(),
            },
            0x85 => Self::Exited {
                generation,
                oom: match packet[1] {
                    0 => false,
                    1 => true,
                    _ => return Err(Malformed),
                },
                code: reader.take_signed()?,
                signal: reader.take_signed()?,
                cpu_us: reader.take(),
                memory_bytes_peak: reader.take(),
            },
            _ => return Err(Malformed),
        };
        reader.done(answer)
    }
}

fn refusal(byte: u8) -> Result<Refusal, Malformed> {
    use Refusal as R;
    [R::Unknown, R::Reused, R::Wider, R::Cgroup, R::Clone, R::Setup, R::Deadline, R::Verdict, R::Exhausted]
        .into_iter()
        .find(|&refusal| refusal as u8 == byte)
        .ok_or(Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn messages_survive_the_wire() {
        let generation = Generation(9);
        let limits = Limits { memory_bytes: 40 << 20, cpu_permille: 500, cpu_weight: 100 };
        for order in [
            Order::Spawn { profile: Profile::Build, generation, limits },
            Order::Limit { generation, limits },
            Order::Kill { generation },
            Order::Stat { generation },
        ] {
            assert_eq!(Order::decode(&order.encode()), Ok(order));
        }
        for answer in [
            Answer::Spawned { generation, pid: 7, uid: 2_000_009 },
            Answer::Done { generation },
            Answer::Refused { generation, refusal: Refusal::Verdict, step: 15, errno: -1 },
            Answer::Stat { generation, memory_bytes: 1, memory_bytes_max: 2, cpu_us: 3 },
            Answer::Exited { generation, code: -1, signal: 31, oom: true, cpu_us: 5, memory_bytes_peak: 6 },
        ] {
            assert_eq!(Answer::decode(&answer.encode()), Ok(answer));
        }
    }

    proptest! {
        #[test]
        fn any_packet_is_refused_or_survives(tag in 0u8..8, head: [u8; 3], words: [u64; 7]) {
            let mut packet = [0; LAUNCH_BYTES];
            packet[0] = tag;
            packet[1..4].copy_from_slice(&head);
            for (i, word) in words.iter().enumerate() {
                packet[8 + i * 8..16 + i * 8].copy_from_slice(&word.to_le_bytes());
            }
            if let Ok(order) = Order::decode(&packet) {
                prop_assert_eq!(order.encode(), packet);
            }
        }
    }
}
