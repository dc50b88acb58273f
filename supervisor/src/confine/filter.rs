//! How a policy becomes a filter for seccomp. Some calls are decided by rules, all others by one last word.
//!
//! A filter reads from the top: `number differs → next rule; condition fails → next rule; else the rule's action`.
//! Several rules may name one call: the first whose condition holds decides.

use crate::sys::Op;

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// It is made.
    Allow,
    /// The process dies.
    Kill,
    /// It fails with this number.
    Fail(u16),
}

impl Action {
    const fn code(self) -> u32 {
        match self {
            Self::Allow => 0x7fff_0000,
            Self::Kill => 0x8000_0000,
            Self::Fail(errno) => 0x0005_0000 | errno as u32,
        }
    }
}

/// When a rule holds. Arguments are compared by their low half, which is what the kernel takes of an `int`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// Always.
    Always,
    /// The argument is one of these.
    OneOf(u8, &'static [u32]),
    /// The argument has one of these bits.
    AnyBit(u8, u32),
}

/// One rule.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    pub(super) number: libc::c_long,
    pub(super) when: When,
    pub(super) action: Action,
    /// Why; a test asks for it.
    #[cfg_attr(not(test), expect(dead_code, reason = "for readers and the test that every rule has one"))]
    pub(super) reason: &'static str,
}

const LOAD: u16 = 0x20;
const EQUAL: u16 = 0x15;
const ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

/// `AUDIT_ARCH_*` of this processor.
const ARCH: u32 = if cfg!(target_arch = "aarch64") { 0xc000_00b7 } else { 0xc000_003e };

/// Compiles; `other` is what becomes of a call that no rule decides.
pub(super) fn compile(rules: &[Rule], other: Action) -> Vec<Op> {
    let op = |code, then, or_else, k| Op { code, then, or_else, k };
    let stop = |action: Action| op(RETURN, 0, 0, action.code());
    let mut ops = vec![op(LOAD, 0, 0, 4), op(EQUAL, 1, 0, ARCH), stop(Action::Kill)];
    // Numbers of x32 programs have this bit; nobody here makes them.
    ops.extend([op(LOAD, 0, 0, 0), op(ANY_BIT, 0, 1, 0x4000_0000), stop(Action::Kill)]);
    for rule in rules {
        let load = |argument: u8| op(LOAD, 0, 0, 16 + 8 * u32::from(argument));
        let mut body = match rule.when {
            When::Always => Vec::new(),
            When::AnyBit(argument, bits) => vec![load(argument), op(ANY_BIT, 0, 1, bits)],
            When::OneOf(argument, values) => {
                let mut body = vec![load(argument)];
                for (at, value) in values.iter().enumerate() {
                    let left = u8::try_from(values.len() - 1 - at).unwrap_or(u8::MAX);
                    body.push(op(EQUAL, left, u8::from(left == 0), *value));
                }
                body
            }
        };
        body.push(stop(rule.action));
        // The argument that was loaded is not the number any more: the next rule needs it again.
        let reload = rule.when != When::Always;
        if reload {
            body.push(op(LOAD, 0, 0, 0));
        }
        let skip = u8::try_from(body.len()).unwrap_or(u8::MAX);
        ops.push(op(EQUAL, 0, skip, u32::try_from(rule.number).unwrap_or(u32::MAX)));
        ops.append(&mut body);
    }
    ops.push(stop(other));
    ops
}

/// What the kernel would do with a call.
#[cfg(test)]
pub(super) fn run(ops: &[Op], number: libc::c_long, arguments: [u64; 6]) -> u32 {
    let mut data = [0u8; 64];
    data[0..4].copy_from_slice(&u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes());
    data[4..8].copy_from_slice(&ARCH.to_le_bytes());
    for (at, argument) in arguments.iter().enumerate() {
        data[16 + 8 * at..24 + 8 * at].copy_from_slice(&argument.to_le_bytes());
    }
    let (mut at, mut loaded) = (0, 0u32);
    loop {
        let op = ops[at];
        let jump = |holds: bool| at + 1 + usize::from(if holds { op.then } else { op.or_else });
        at = match op.code {
            LOAD => {
                let from = op.k as usize;
                loaded = u32::from_le_bytes([data[from], data[from + 1], data[from + 2], data[from + 3]]);
                at + 1
            }
            EQUAL => jump(loaded == op.k),
            ANY_BIT => jump(loaded & op.k != 0),
            _ => return op.k,
        };
    }
}

#[cfg(test)]
pub(super) const fn code(action: Action) -> u32 {
    action.code()
}
