//! `fazt` as a command.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// The binary under test: `FAZT_BIN`, else the one that lies beside this test.
///
/// # Panics
/// When there is none: build it first.
#[must_use]
pub fn fazt_path() -> PathBuf {
    if let Some(path) = std::env::var_os("FAZT_BIN") {
        return path.into();
    }
    let me = std::env::current_exe().expect("path of the test");
    let beside = me.ancestors().skip(1).take(3).map(|dir| dir.join("fazt")).find(|path| path.is_file());
    beside.expect("no `fazt` beside the tests: run `cargo build -p fazt`, or set FAZT_BIN")
}

/// What a command did.
#[derive(Debug)]
pub struct Outcome {
    /// Exit code, -1 if a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Outcome {
    pub(crate) fn new(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Of a command, run to its end.
    ///
    /// # Panics
    /// When the program cannot be started.
    #[must_use]
    pub fn of(command: &mut Command) -> Self {
        Self::new(command.output().expect("fazt starts"))
    }

    /// Demands success.
    ///
    /// # Panics
    /// When the command failed.
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "fazt failed\n--- out\n{}\n--- err\n{}", self.stdout, self.stderr);
        self
    }

    /// Standard output as one JSON document.
    ///
    /// # Panics
    /// When it is not one.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| {
            panic!("not one JSON document: {error}\n{}\n{}", self.stdout, self.stderr)
        })
    }

    /// The error that `--json` prints on standard error.
    ///
    /// # Panics
    /// When it is not one.
    #[must_use]
    pub fn error(&self) -> Value {
        let value: Value = serde_json::from_str(self.stderr.trim())
            .unwrap_or_else(|error| panic!("not a JSON error: {error}\n{}", self.stderr));
        value["error"].clone()
    }
}

/// `fazt` for somebody whose home folder this is, and who has set nothing else.
#[must_use]
pub fn fazt_command(home: &Path) -> Command {
    let mut command = Command::new(fazt_path());
    command.env("HOME", home);
    for name in ["FAZT_DATA", "FAZT_HOST", "FAZT_TOKEN", "XDG_CONFIG_HOME", "DISPLAY", "WAYLAND_DISPLAY"] {
        command.env_remove(name);
    }
    command
}

/// Runs `fazt` on a data folder.
///
/// # Panics
/// When the program cannot be started.
#[must_use]
pub fn fazt(data: &Path, arguments: &[&str]) -> Outcome {
    let output = Command::new(fazt_path())
        .args(arguments)
        .arg("--data")
        .arg(data)
        .env_remove("FAZT_DATA")
        .output()
        .expect("fazt starts");
    Outcome::new(output)
}
