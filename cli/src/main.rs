//! The one program `fazt`: a command line, and the roles in which the server re-executes it.
//!
//! | task | file |
//! |---|---|
//! | add or change a command | `cmd/<noun>/` |
//! | change what is sent to the server, or how it is reached | `client/`, and `control/` of the crate `ipc` |
//! | change which server is meant | `data.rs`, `hosts.rs` |
//! | change how answers look | `output.rs`, `table.rs`, `text.rs` |
//! | change which files a deploy takes | `walk.rs`, `ignore.rs` |
//! | change what an app's author sees as types | `types/` |

mod client;
mod cmd;
mod data;
mod error;
mod hosts;
mod ignore;
mod output;
mod secret;
mod table;
mod text;
mod types;
mod walk;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use fazt_ipc::control::ErrorKind;

use crate::error::{Done, failed, problem};

/// The program `fazt-worker`, compressed by zstd; empty in a build that skipped it.
static WORKER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/fazt-worker"));

/// A personal cloud in one file.
///
/// Any number of apps, each in a locked process of its own, on your machine. Start it, deploy a folder, open
/// the URL.
#[derive(Parser)]
#[command(
    name = "fazt",
    version,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Examples:\n  fazt proc start --dev\n  fazt app new hello\n  fazt app deploy hello"
)]
struct Cli {
    /// Data folder [default: FAZT_DATA, else /var/lib/fazt for root, ~/.local/share/fazt for others]
    #[arg(long, global = true, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// A server elsewhere: its address, or the name it was saved under by `fazt host add` [default: FAZT_HOST]
    #[arg(long, global = true, value_name = "NAME|URL")]
    host: Option<String>,
    /// Token for --host; in FAZT_TOKEN other users of this machine do not see it [default: FAZT_TOKEN, or the one
    /// that was saved]
    #[arg(long, global = true, value_name = "TOKEN")]
    token: Option<String>,
    /// Answer with one JSON document
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    noun: cmd::Noun,
}

fn main() -> ExitCode {
    // Roles come before anything of the command line: they run confined, with descriptors they inherited.
    if let Some(role) = std::env::args_os().nth(1).and_then(|role| role.into_string().ok())
        && let Some(code) = cmd::role(&role)
    {
        return code;
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let json = cli.json;
    match run(cli) {
        Ok(code) => code,
        Err(problem) => {
            output::print_problem(&problem, json);
            ExitCode::from(problem.code.exit_code())
        }
    }
}

fn run(cli: Cli) -> Done<ExitCode> {
    let out = output::Out::new(cli.json);
    // Which server is meant does not matter to what is saved about servers.
    let remote = match &cli.noun {
        cmd::Noun::Host(_) => None,
        _ => hosts::chosen(cli.host.as_deref(), cli.token.as_deref(), cli.data.as_deref())?,
    };
    let data = data::folder(cli.data.as_deref())?;
    // What needs no server and must find one thread is done here.
    let noun = match cmd::alone(cli.noun, &data, remote.as_ref(), out)? {
        Ok(code) => return Ok(code),
        Err(noun) => noun,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| failed(format!("cannot start: {error}")))?;
    let client = remote.map_or_else(|| client::Client::here(&data), client::Client::there);
    runtime.block_on(cmd::run(noun, &client, cli.token, out))
}

/// What clap has to say: help on standard output, mistakes on standard error with exit code 2.
fn usage(error: &clap::Error) -> ExitCode {
    let json = std::env::args_os().any(|argument| argument == "--json");
    if error.use_stderr() && json {
        let text = error.render().to_string();
        let (message, hint) = text.split_once("\n\n").unwrap_or((&text, ""));
        let message = message.strip_prefix("error: ").unwrap_or(message);
        output::print_problem(&problem(ErrorKind::Invalid, message.trim(), hint.trim()), true);
    } else {
        let _ = error.print();
    }
    ExitCode::from(if error.use_stderr() { ErrorKind::Invalid.exit_code() } else { 0 })
}

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory as _};

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_shows_an_example_that_parses() {
        fn check(command: &Command, path: &str) {
            let path = format!("{path} {}", command.get_name()).trim().to_owned();
            if command.has_subcommands() {
                command.get_subcommands().for_each(|command| check(command, &path));
                return;
            }
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples: Vec<_> = help.lines().filter_map(|line| line.strip_prefix("  ")).collect();
            assert!(!examples.is_empty(), "{path}: no example in its help");
            assert!(command.get_about().is_some(), "{path}: no description");
            for example in examples {
                // A verb may have what it is about before it: `app env APP set`.
                let mut words = example.split_whitespace();
                let own = path.split(' ').all(|word| words.any(|other| other == word));
                assert!(own, "{path}: the example is of another command: {example}");
                let words =
                    example.split(" | ").next().unwrap_or(example).split(" > ").next().unwrap_or(example);
                if let Err(error) = Cli::try_parse_from(words.split_whitespace()) {
                    panic!("{example}: {error}");
                }
            }
        }
        check(&Cli::command(), "");
    }

    /// `cli/COMMANDS.md`: what every command says of itself. Scripts and people depend on it, so a change shows.
    #[test]
    fn the_command_reference_is_what_the_help_says() {
        fn write(command: &mut Command, path: &str, page: &mut String) {
            let path = format!("{path} {}", command.get_name()).trim().to_owned();
            let help = command.clone().bin_name(&path).term_width(100).render_long_help().to_string();
            let depth = "#".repeat(path.split(' ').count() + 1);
            let help: Vec<&str> = help.lines().map(str::trim_end).collect();
            page.push_str(&format!("\n{depth} {path}\n\n```\n{}\n```\n", help.join("\n").trim_end()));
            for verb in command.get_subcommands_mut().filter(|verb| !verb.is_hide_set()) {
                if verb.get_name() != "help" {
                    write(verb, &path, page);
                }
            }
        }
        let mut page = String::from(
            "# Commands\n\nMade from the program's own help; a test compares them (`FAZT_UPDATE=1` writes it anew).\n\n\
             Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 permission denied, 5 conflict, 6 server unreachable.\n\
             With `--json` an answer is one JSON document on standard output, and a failure is\n\
             `{\"error\": {\"code\", \"message\", \"hint\"}}` on standard error.\n",
        );
        let mut whole = Cli::command();
        // What the options of all commands say is told with each of them.
        whole.build();
        write(&mut whole, "", &mut page);
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("COMMANDS.md");
        if std::env::var_os("FAZT_UPDATE").is_some_and(|value| value == "1") {
            std::fs::write(&path, &page).expect("writable");
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == page, "{} is out of date: run the tests with FAZT_UPDATE=1", path.display());
    }

    #[test]
    fn json_and_data_are_taken_before_and_after_the_verb() {
        for words in ["fazt --json --data /d proc ps", "fazt proc ps --json --data /d"] {
            let cli = Cli::try_parse_from(words.split(' ')).unwrap_or_else(|error| panic!("{error}"));
            assert!(cli.json);
            assert_eq!(cli.data, Some(PathBuf::from("/d")));
        }
    }
}
