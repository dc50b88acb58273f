//! What is typed on the terminal and not shown there: passwords, values of secrets.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::error::{Done, failed};

/// Asks on the terminal without showing what is typed. None: there is no terminal.
pub(crate) fn ask(question: &str) -> Done<Option<String>> {
    let stdin = io::stdin();
    if !stdin.is_terminal() || !io::stderr().is_terminal() {
        return Ok(None);
    }
    let trouble = |error: &dyn std::fmt::Display| failed(format!("cannot read from the terminal: {error}"));
    let shown = tcgetattr(&stdin).map_err(|error| trouble(&error))?;
    let mut unseen = shown.clone();
    unseen.local_modes.remove(LocalModes::ECHO);
    let _ = write!(io::stderr(), "{question}");
    let _ = io::stderr().flush();
    tcsetattr(&stdin, OptionalActions::Flush, &unseen).map_err(|error| trouble(&error))?;
    let mut line = String::new();
    let read = stdin.lock().read_line(&mut line);
    let restored = tcsetattr(&stdin, OptionalActions::Flush, &shown);
    let _ = writeln!(io::stderr());
    read.map_err(|error| trouble(&error))?;
    restored.map_err(|error| trouble(&error))?;
    Ok(Some(line.trim_end_matches(['\r', '\n']).to_owned()))
}
