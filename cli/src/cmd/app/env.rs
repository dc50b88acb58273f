//! `fazt app env`: variables and secrets of an app. A value is taken from where no history keeps it: a terminal
//! that does not show it, standard input, a file. On the command line it may stand too, for what is no secret.

use std::collections::BTreeMap;
use std::io::Read as _;

use clap::Subcommand;
use fazt_ipc::control::{EnvChange, EnvList};
use fazt_ipc::limits::ENV_VALUE_BYTES_MAX;

use crate::client::{Client, part};
use crate::error::{Context as _, Done, invalid};
use crate::output::{Colour, Out};
use crate::secret;
use crate::table::Table;
use crate::text;

#[derive(Subcommand)]
pub(crate) enum Change {
    /// Set variables; the app's processes are replaced
    ///
    /// Of `NAME=VALUE` the shell keeps the value in its history. With NAME alone the value is asked for without
    /// showing it.
    #[command(
        after_help = "Examples:\n  fazt app env notes set GREETING=hello\n  fazt app env notes set API_KEY\n  fazt app env notes set API_KEY --stdin\n  fazt app env notes set --file TLS_KEY=key.pem"
    )]
    Set {
        /// NAME=VALUE, or NAME to be asked for the value
        #[arg(value_name = "NAME=VALUE", required_unless_present = "files")]
        variables: Vec<String>,
        /// Read the value of the one NAME from standard input, to its end; a last line break is left out
        #[arg(long)]
        stdin: bool,
        /// Read a value from a file, to its end; a last line break is left out
        #[arg(long = "file", value_name = "NAME=PATH")]
        files: Vec<String>,
    },
    /// Take variables away; the app's processes are replaced
    #[command(after_help = "Example:\n  fazt app env notes unset API_KEY")]
    Unset {
        /// Their names
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
}

pub(super) async fn run(client: &Client, app: &str, change: Option<Change>, out: Out) -> Done {
    let url = format!("/api/apps/{}/env", part(app));
    let change = match change {
        None => {
            let list: EnvList = client.get(&url).await?;
            return out.show(&list, |list| print(list, out));
        }
        Some(Change::Set { variables, stdin, files }) => set(variables, stdin, &files)?,
        Some(Change::Unset { names }) => EnvChange { unset: names, ..EnvChange::default() },
    };
    let list: EnvList = client.post(&url, &change).await?;
    out.show(&list, |list| {
        let names = |names: Vec<&str>| text::clean(&names.join(", ")).into_owned();
        if !change.set.is_empty() {
            let set = names(change.set.keys().map(String::as_str).collect());
            out.line(format!("{} {set}", out.paint(Colour::Green, "set")));
        }
        if !change.unset.is_empty() {
            let unset = names(change.unset.iter().map(String::as_str).collect());
            out.line(format!("{} {unset}", out.paint(Colour::Yellow, "removed")));
        }
        notes(list, out);
    })
}

fn notes(list: &EnvList, out: Out) {
    for note in &list.notes {
        out.line(format!("  {} {}", out.paint(Colour::Yellow, "note:"), text::clean(note)));
    }
}

fn print(list: &EnvList, out: Out) {
    if list.variables.is_empty() {
        let app = text::clean(&list.app);
        out.line(format!("{app} has no variables. Set one: fazt app env {app} set NAME=VALUE"));
        return;
    }
    let mut table = Table::new(&["NAME", "VALUE", "SET", "ABOUT"]);
    let now = text::now_ms();
    for variable in &list.variables {
        let value = match (variable.set, variable.secret) {
            (true, true) => "(secret)".to_owned(),
            (true, false) => short(variable.value.as_deref().unwrap_or_default()),
            (false, _) => match &variable.default {
                Some(default) => format!("{} (default)", short(default)),
                None if variable.required => "MISSING".to_owned(),
                None => "-".to_owned(),
            },
        };
        let set = variable.set_unix_ms.map_or_else(|| "-".to_owned(), |at| text::ago(at, now));
        let about =
            if variable.declared { variable.description.clone() } else { "not in app.json".to_owned() };
        table.row([variable.name.clone(), value, set, about]);
    }
    out.table(&table);
    notes(list, out);
}

/// The first line of a value, as far as a table has room.
fn short(value: &str) -> String {
    let line = value.lines().next().unwrap_or_default();
    let cut: String = line.chars().take(40).collect();
    if cut.len() < value.len() { format!("{cut}…") } else { cut }
}

/// What is to be set, its values read from wherever they are.
fn set(variables: Vec<String>, stdin: bool, files: &[String]) -> Done<EnvChange> {
    let mut set = BTreeMap::new();
    let mut bare = Vec::new();
    for variable in variables {
        match variable.split_once('=') {
            Some((name, value)) => put(&mut set, name, value.to_owned())?,
            // Before anybody is asked for a value that would not be taken.
            None if !EnvChange::is_name(&variable) => {
                return Err(invalid(
                    format!("{} is neither NAME=VALUE nor the name of a variable", text::clean(&variable)),
                    "a name is 1 to 63 letters a to z, digits and underscores, beginning with a letter",
                ));
            }
            None => bare.push(variable),
        }
    }
    for file in files {
        let (name, path) = file
            .split_once('=')
            .ok_or_else(|| invalid(format!("--file {file} names no variable"), "say --file NAME=PATH"))?;
        let file = std::fs::File::open(path).context(|| format!("read {path}"))?;
        put(&mut set, name, whole(file, path)?)?;
    }
    if stdin {
        let [name] = &bare[..] else {
            return Err(invalid(
                "standard input is the value of one variable",
                "say its name alone: fazt app env APP set NAME --stdin",
            ));
        };
        put(&mut set, name, whole(std::io::stdin().lock(), "standard input")?)?;
    } else {
        for name in &bare {
            let asked = secret::ask(&format!("Value of {}: ", text::clean(name)))?;
            let value = asked.ok_or_else(|| {
                invalid(
                    format!("{name} has no value, and there is no terminal to ask for it on"),
                    format!("say {name}=VALUE, or pass the value with --stdin or --file {name}=PATH"),
                )
            })?;
            put(&mut set, name, value)?;
        }
    }
    Ok(EnvChange { set, unset: Vec::new() })
}

fn put(set: &mut BTreeMap<String, String>, name: &str, value: String) -> Done {
    match set.insert(name.to_owned(), value) {
        None => Ok(()),
        Some(_) => Err(invalid(format!("{name} is given two values"), "")),
    }
}

/// A value to its end, without the line break that editors and `echo` put there.
fn whole(from: impl std::io::Read, what: &str) -> Done<String> {
    let mut bytes = Vec::new();
    // One more for a line break and one to see that it is too long.
    let most = ENV_VALUE_BYTES_MAX as u64 + 3;
    from.take(most).read_to_end(&mut bytes).context(|| format!("read {what}"))?;
    let mut value = String::from_utf8(bytes).map_err(|_| {
        invalid(format!("{what} is not UTF-8 text"), "encode bytes as base64, and decode them in the app")
    })?;
    if value.ends_with('\n') {
        value.pop();
        if value.ends_with('\r') {
            value.pop();
        }
    }
    if value.len() > ENV_VALUE_BYTES_MAX {
        return Err(invalid(format!("{what} is longer than {ENV_VALUE_BYTES_MAX} bytes"), ""));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_from_the_command_line_and_from_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        std::fs::write(&path, "a\nb=c\r\n").expect("a file");
        let file = format!("KEY={}", path.display());
        let change = set(vec!["A=b=c".into(), "EMPTY=".into()], false, &[file]).expect("a change");
        let expect = [("A", "b=c"), ("EMPTY", ""), ("KEY", "a\nb=c")];
        assert_eq!(change.set, expect.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    }

    #[test]
    fn what_is_unclear_is_refused() {
        let set = |variables: &[&str], files: &[&str]| {
            let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
            set(owned(variables), false, &owned(files)).map_err(|problem| problem.message)
        };
        for (variables, files, part) in [
            (&["A=1", "A=2"][..], &[][..], "two values"),
            (&["A=1"], &["A"], "names no variable"),
            (&["A=1"], &["B=/nowhere/at/all"], "cannot read"),
        ] {
            let refused = set(variables, files).expect_err("refused");
            assert!(refused.contains(part), "{refused}");
        }
        let long = "x".repeat(ENV_VALUE_BYTES_MAX + 1);
        assert!(whole(long.as_bytes(), "it").is_err());
        assert!(whole(&b"\xff"[..], "it").is_err());
    }
}
