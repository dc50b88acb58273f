//! `fazt completions SHELL`, `fazt man DIR`.

use std::path::PathBuf;

use clap::{CommandFactory as _, Subcommand};

use crate::Cli;
use crate::error::{Context as _, Done};
use crate::output::Out;

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Print completions for a shell
    #[command(after_help = "Example:\n  fazt completions bash > /etc/bash_completion.d/fazt")]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Write the man pages into a folder
    #[command(after_help = "Example:\n  fazt man /usr/local/share/man/man1")]
    Man {
        /// The folder; made if it is not there
        dir: PathBuf,
    },
}

#[derive(serde::Serialize)]
struct Text {
    text: String,
}

#[derive(serde::Serialize)]
struct Pages {
    dir: PathBuf,
    pages: usize,
}

pub(crate) fn run(verb: &Verb, out: Out) -> Done {
    match verb {
        Verb::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "fazt", &mut text);
            let text = Text { text: String::from_utf8_lossy(&text).into_owned() };
            out.show(&text, |text| out.raw(text.text.as_bytes()))
        }
        Verb::Man { dir } => {
            let writing = || format!("write man pages into {}", dir.display());
            std::fs::create_dir_all(dir).context(writing)?;
            clap_mangen::generate_to(Cli::command(), dir).context(writing)?;
            // The folder may be one that holds other programs' pages too.
            let ours = |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with("fazt");
            let pages = std::fs::read_dir(dir).context(writing)?.flatten().filter(ours).count();
            out.show(&Pages { dir: dir.clone(), pages }, |pages| {
                out.line(format!("{} pages are in {}", pages.pages, pages.dir.display()));
            })
        }
    }
}
