//! What a command prints: tables and sentences for people, one JSON document for `--json`. The only place
//! that writes to standard output and standard error.

use std::io::{self, IsTerminal as _, Write as _};

use fazt_ipc::control::{Failed, Problem};
use serde::Serialize;

use crate::error::{Done, failed};
use crate::table::Table;
use crate::text;

/// Colours of the few things that have one.
#[derive(Clone, Copy)]
pub(crate) enum Colour {
    /// Well.
    Green,
    /// Worth a look.
    Yellow,
    /// Broken.
    Red,
    /// Less important.
    Dim,
    /// More important.
    Bold,
}

/// Where and how to print.
#[derive(Clone, Copy)]
pub(crate) struct Out {
    /// One JSON document instead of words.
    pub(crate) json: bool,
    /// Standard output is a terminal.
    pub(crate) terminal: bool,
    colour: bool,
}

impl Out {
    /// Looks at standard output. Colours only on a terminal, and never against `NO_COLOR`.
    pub(crate) fn new(json: bool) -> Self {
        let terminal = io::stdout().is_terminal();
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let colour = terminal && !dumb && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { json, terminal, colour }
    }

    /// Prints a line of our own words. Foreign text in it must have been cleaned.
    pub(crate) fn line(self, line: impl AsRef<str>) {
        self.raw(format!("{}\n", line.as_ref()).as_bytes());
    }

    /// Prints bytes as they are.
    pub(crate) fn raw(self, bytes: &[u8]) {
        let mut stdout = io::stdout().lock();
        if stdout.write_all(bytes).and_then(|()| stdout.flush()).is_err() {
            // The reader went away (`| head`): nobody is left to be told.
            std::process::exit(0);
        }
    }

    /// Prints one JSON document.
    pub(crate) fn document(self, value: &impl Serialize) -> Done {
        let text =
            if self.terminal { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
        let text = text.map_err(|error| failed(format!("cannot write JSON: {error}")))?;
        self.line(text::clean_json(&text));
        Ok(())
    }

    /// Prints one of several JSON documents, each on a line of its own.
    pub(crate) fn document_line(self, value: &impl Serialize) -> Done {
        let text = serde_json::to_string(value);
        let text = text.map_err(|error| failed(format!("cannot write JSON: {error}")))?;
        self.line(text::clean_json(&text));
        Ok(())
    }

    /// Prints the document with `--json`, else what `words` prints.
    pub(crate) fn show<T: Serialize>(self, value: &T, words: impl FnOnce(&T)) -> Done {
        if self.json {
            return self.document(value);
        }
        words(value);
        Ok(())
    }

    /// Prints a table.
    pub(crate) fn table(self, table: &Table) {
        for (index, line) in table.lines().iter().enumerate() {
            if index == 0 { self.line(self.paint(Colour::Dim, line)) } else { self.line(line) }
        }
    }

    /// Colours text where there are colours.
    pub(crate) fn paint(self, colour: Colour, text: &str) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let code = match colour {
            Colour::Green => 32,
            Colour::Yellow => 33,
            Colour::Red => 31,
            Colour::Dim => 2,
            Colour::Bold => 1,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// Says something beside the answer, on standard error; not with `--json`.
    pub(crate) fn note(self, line: impl AsRef<str>) {
        if !self.json {
            let _ = writeln!(io::stderr(), "{}", line.as_ref());
        }
    }
}

/// Prints a failure on standard error: what happened and why, then what to do.
pub(crate) fn print_problem(problem: &Problem, json: bool) {
    let mut stderr = io::stderr().lock();
    if json {
        let failed = Failed { error: problem.clone() };
        let text = serde_json::to_string(&failed).unwrap_or_default();
        let _ = writeln!(stderr, "{}", text::clean_json(&text));
        return;
    }
    let red = stderr.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let label = if red { "\x1b[31merror:\x1b[0m" } else { "error:" };
    let _ = writeln!(stderr, "{label} {}", text::clean_lines(&problem.message));
    if !problem.hint.is_empty() {
        let _ = writeln!(stderr, "  try: {}", text::clean_lines(&problem.hint));
    }
}

/// Asks a yes-or-no question on a terminal; `None` where nobody can answer.
pub(crate) fn confirm(question: &str) -> Option<bool> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return None;
    }
    let _ = write!(io::stderr(), "{question} [y/N] ");
    let _ = io::stderr().flush();
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).ok()?;
    Some(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// A bar on standard error that shows how far long work has come; nothing where that is no terminal.
pub(crate) struct Progress {
    shown: bool,
    total: u64,
    done: u64,
    percent: u64,
}

impl Progress {
    /// A bar for `total` bytes.
    pub(crate) fn new(out: Out, total: u64) -> Self {
        Self { shown: !out.json && io::stderr().is_terminal(), total, done: 0, percent: u64::MAX }
    }

    /// More is done.
    pub(crate) fn add(&mut self, bytes: u64) {
        self.done += bytes;
        let percent = (self.done * 100).checked_div(self.total).unwrap_or(100).min(100);
        if self.shown && percent != self.percent {
            self.percent = percent;
            let filled = "#".repeat(percent as usize * 30 / 100);
            let of = format!("{} of {}", text::bytes(self.done), text::bytes(self.total));
            let _ = write!(io::stderr(), "\r[{filled:<30}] {percent:3} %  {of}\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown && self.percent != u64::MAX {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
