//! How a policy becomes a filter: a small assembler for seccomp's BPF that runs while the program is compiled.
//!
//! ```text
//! load architecture · other than ours → kill · load number
//! for each rule:  number differs → next rule
//!                 for each condition: load word of argument · test → kill
//!                 allow
//! kill
//! ```

/// One instruction, laid out as the kernel's `sock_filter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Op {
    /// What to do.
    pub code: u16,
    /// Instructions to skip when a test holds.
    pub then: u8,
    /// Instructions to skip when it does not.
    pub or_else: u8,
    /// Constant.
    pub k: u32,
}

/// A processor that the policy is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arch {
    /// 64-bit x86. Calls of 32-bit and x32 programs are killed.
    X86_64,
    /// 64-bit ARM. Calls of 32-bit programs are killed.
    Aarch64,
}

impl Arch {
    /// The one that this program runs on.
    pub const HERE: Self = if cfg!(target_arch = "aarch64") { Self::Aarch64 } else { Self::X86_64 };

    /// `AUDIT_ARCH_*`
    #[must_use]
    pub const fn audit(self) -> u32 {
        match self {
            Self::X86_64 => 0xc000_003e,
            Self::Aarch64 => 0xc000_00b7,
        }
    }
}

/// Number of a call on each processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// Name, for people.
    pub name: &'static str,
    /// On [`Arch::X86_64`].
    pub x86_64: u32,
    /// On [`Arch::Aarch64`].
    pub aarch64: u32,
}

impl Call {
    /// Its number.
    #[must_use]
    pub const fn number(self, arch: Arch) -> u32 {
        match arch {
            Arch::X86_64 => self.x86_64,
            Arch::Aarch64 => self.aarch64,
        }
    }
}

/// How wide the kernel takes an argument: bits above are not looked at by the kernel, so neither here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// `int`
    Word,
    /// `long`: the high half must be zero.
    Long,
}

/// What an argument must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Test {
    /// One of these.
    OneOf(&'static [u32]),
    /// At most this, unsigned.
    AtMost(u32),
    /// No bit but these.
    Within(u32),
}

/// A condition on one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// Which argument, from 0.
    pub argument: u8,
    /// How wide.
    pub width: Width,
    /// What it must be.
    pub test: Test,
}

/// One call that is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Which call.
    pub call: Call,
    /// All must hold.
    pub conditions: &'static [Condition],
    /// Why it is allowed.
    pub reason: &'static str,
}

const OPS_MAX: usize = 192;

/// `BPF_LD | BPF_W | BPF_ABS`
pub const LOAD: u16 = 0x20;
/// `BPF_JMP | BPF_JEQ | BPF_K`
pub const EQUAL: u16 = 0x15;
/// `BPF_JMP | BPF_JGT | BPF_K`
pub const ABOVE: u16 = 0x25;
/// `BPF_JMP | BPF_JSET | BPF_K`
pub const ANY_BIT: u16 = 0x45;
/// `BPF_RET | BPF_K`
pub const RETURN: u16 = 0x06;
/// `SECCOMP_RET_KILL_PROCESS`
pub const KILL: u32 = 0x8000_0000;
/// `SECCOMP_RET_ALLOW`
pub const ALLOW: u32 = 0x7fff_0000;

/// A filter.
#[derive(Debug, Clone)]
pub struct Filter {
    ops: [Op; OPS_MAX],
    len: usize,
}

impl Filter {
    /// Compiles a policy. Whatever it does not name kills the process.
    #[must_use]
    pub const fn compile(policy: &[Rule], arch: Arch) -> Self {
        let nothing = Op { code: RETURN, then: 0, or_else: 0, k: KILL };
        let mut filter = Self { ops: [nothing; OPS_MAX], len: 0 };
        filter.push(LOAD, 0, 0, 4);
        filter.push(EQUAL, 1, 0, arch.audit());
        filter.push(RETURN, 0, 0, KILL);
        filter.push(LOAD, 0, 0, 0);
        let mut at = 0;
        while at < policy.len() {
            filter.rule(&policy[at], arch);
            at += 1;
        }
        filter.push(RETURN, 0, 0, KILL);
        filter
    }

    /// Its instructions.
    #[must_use]
    pub const fn as_slice(&self) -> &[Op] {
        self.ops.split_at(self.len).0
    }

    const fn push(&mut self, code: u16, then: u8, or_else: u8, k: u32) {
        self.ops[self.len] = Op { code, then, or_else, k };
        self.len += 1;
    }

    const fn rule(&mut self, rule: &Rule, arch: Arch) {
        let mut body = 1;
        let mut at = 0;
        while at < rule.conditions.len() {
            body += size(&rule.conditions[at]);
            at += 1;
        }
        if !rule.conditions.is_empty() {
            body += 1;
        }
        self.push(EQUAL, 0, body, rule.call.number(arch));
        // Each condition falls through when it holds and else jumps to the kill at the end of the rule.
        let end = self.len + body as usize - 1;
        at = 0;
        while at < rule.conditions.len() {
            self.condition(&rule.conditions[at], end);
            at += 1;
        }
        self.push(RETURN, 0, 0, ALLOW);
        if !rule.conditions.is_empty() {
            self.push(RETURN, 0, 0, KILL);
        }
    }

    const fn condition(&mut self, condition: &Condition, kill: usize) {
        // Offset of the low half of an argument in `seccomp_data`; both processors are little-endian.
        let low = 16 + 8 * condition.argument as u32;
        if matches!(condition.width, Width::Long) {
            self.push(LOAD, 0, 0, low + 4);
            self.push(EQUAL, 0, (kill - self.len - 1) as u8, 0);
        }
        self.push(LOAD, 0, 0, low);
        match condition.test {
            Test::AtMost(most) => self.push(ABOVE, (kill - self.len - 1) as u8, 0, most),
            Test::Within(bits) => self.push(ANY_BIT, (kill - self.len - 1) as u8, 0, !bits),
            Test::OneOf(values) => {
                let mut at = 0;
                while at < values.len() {
                    let last = at + 1 == values.len();
                    let miss = if last { (kill - self.len - 1) as u8 } else { 0 };
                    self.push(EQUAL, (values.len() - 1 - at) as u8, miss, values[at]);
                    at += 1;
                }
            }
        }
    }
}

const fn size(condition: &Condition) -> u8 {
    let test = match condition.test {
        Test::OneOf(values) => 1 + values.len() as u8,
        Test::AtMost(_) | Test::Within(_) => 2,
    };
    match condition.width {
        Width::Word => test,
        Width::Long => test + 2,
    }
}
