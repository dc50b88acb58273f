//! `.faztignore` at the top of an app's folder: what a deploy leaves out beside what it always leaves out, in
//! the syntax of `.gitignore`. `.gitignore` itself is not read: what a build makes is kept out of version
//! control and yet is what an app consists of.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use crate::error::{Context as _, Done, invalid};

/// The file's name.
pub(crate) const NAME: &str = ".faztignore";
/// Its largest size.
const BYTES_MAX: u64 = 64 * 1024;

/// The lines of the file that say something.
#[derive(Debug, Default)]
pub(crate) struct Rules(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    /// Names between slashes; `**` stands for any number of folders.
    names: Vec<String>,
    /// Only folders.
    folder: bool,
    /// `!`: takes back what a line above left out.
    keep: bool,
}

impl Rules {
    /// Reads the file in `folder`; no file, no rules.
    pub(crate) fn load(folder: &Path) -> Done<Self> {
        let path = folder.join(NAME);
        let reading = || format!("read {}", path.display());
        let file = match File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            file => file.context(reading)?,
        };
        let mut text = String::new();
        file.take(BYTES_MAX + 1).read_to_string(&mut text).context(reading)?;
        if text.len() as u64 > BYTES_MAX {
            let message = format!("{} has more than {BYTES_MAX} bytes", path.display());
            return Err(invalid(message, "leave out whole folders instead of single files"));
        }
        Ok(Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let rules = text.lines().filter_map(|line| {
            let line = line.trim_end();
            let line = line.trim_start_matches('\u{feff}');
            if line.is_empty() || line.starts_with('#') {
                return None;
            }
            let (keep, line) = line.strip_prefix('!').map_or((false, line), |line| (true, line));
            let line = line.strip_prefix('\\').unwrap_or(line);
            let (folder, line) = line.strip_suffix('/').map_or((false, line), |line| (true, line));
            // A slash anywhere but at the end ties the line to the top.
            let anchored = line.contains('/');
            let line = line.strip_prefix('/').unwrap_or(line);
            if line.is_empty() {
                return None;
            }
            let mut names: Vec<String> = line.split('/').map(ToOwned::to_owned).collect();
            if !anchored {
                names.insert(0, "**".into());
            }
            Some(Rule { names, folder, keep })
        });
        Self(rules.collect())
    }

    /// Whether the file or folder at `path`, relative to the top and with `/` between names, is left out. The
    /// caller does not go into folders that are.
    pub(crate) fn leave_out(&self, path: &str, folder: bool) -> bool {
        let names: Vec<&str> = path.split('/').collect();
        let applies = |rule: &&Rule| (folder || !rule.folder) && whole(&rule.names, &names);
        // The last line that applies decides.
        self.0.iter().rev().find(applies).is_some_and(|rule| !rule.keep)
    }

    /// The same for a path inside any number of folders, each of which may be left out.
    pub(crate) fn leave_out_deep(&self, path: &str, folder: bool) -> bool {
        path.match_indices('/').any(|(end, _)| self.leave_out(&path[..end], true))
            || self.leave_out(path, folder)
    }
}

/// Matches names against a pattern's names.
fn whole(pattern: &[String], names: &[&str]) -> bool {
    // `reached[n]`: the pattern so far can stand for the first `n` names. No backtracking, whatever the pattern.
    let mut reached = vec![false; names.len() + 1];
    reached[0] = true;
    for (at, part) in pattern.iter().enumerate() {
        let last = at + 1 == pattern.len();
        let mut next = vec![false; names.len() + 1];
        for from in (0..=names.len()).filter(|from| reached[*from]) {
            if part == "**" {
                // At the end it stands for everything inside, and not for the folder itself.
                next[from + usize::from(last).min(names.len() - from)..].fill(true);
                next[from] &= !last;
            } else if names.get(from).is_some_and(|name| one(part, name)) {
                next[from + 1] = true;
            }
        }
        reached = next;
    }
    reached[names.len()]
}

/// Matches one name: `*`, `?`, `[abc]`, `[a-z]`, `[!a]`, `\` before a character that means itself.
fn one(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where the last `*` stood, and how much of the name it took.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        let step = match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
                continue;
            }
            Some('?') => Some(p + 1),
            Some('[') => set(&pattern, p, name[n]),
            Some('\\') if pattern.get(p + 1) == Some(&name[n]) => Some(p + 2),
            Some(letter) if *letter == name[n] => Some(p + 1),
            _ => None,
        };
        match (step, star) {
            (Some(next), _) => (p, n) = (next, n + 1),
            (None, Some((at, taken))) => {
                star = Some((at, taken + 1));
                (p, n) = (at + 1, taken + 1);
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|letter| *letter == '*')
}

/// Where the pattern goes on behind the set that begins at `at`, if `letter` is in it. A set that is not closed
/// is a bracket.
fn set(pattern: &[char], at: usize, letter: char) -> Option<usize> {
    let negated = matches!(pattern.get(at + 1), Some('!' | '^'));
    let first = at + 1 + usize::from(negated);
    // A closing bracket that comes first is a member.
    let Some(end) = (first + 1..pattern.len()).find(|end| pattern[*end] == ']') else {
        return (letter == '[').then_some(at + 1);
    };
    let mut found = false;
    let mut member = first;
    while member < end {
        if pattern.get(member + 1) == Some(&'-') && member + 2 < end {
            found |= (pattern[member]..=pattern[member + 2]).contains(&letter);
            member += 3;
        } else {
            found |= pattern[member] == letter;
            member += 1;
        }
    }
    (found != negated).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_mean_what_they_mean_to_git() {
        let table: &[(&str, &[&str], &[&str])] = &[
            ("*.map", &["a.map", "x/y/b.map"], &["a.mapx", "map"]),
            ("/notes.md", &["notes.md"], &["docs/notes.md"]),
            ("docs/*.md", &["docs/a.md"], &["a/docs/a.md", "docs/x/a.md"]),
            ("build/", &["build/", "x/build/", "build/a"], &["build"]),
            ("**/tmp", &["tmp", "a/b/tmp"], &["tmpx"]),
            ("a/**", &["a/b", "a/b/c"], &["a/", "b/a"]),
            ("a/**/b", &["a/b", "a/x/b", "a/x/y/b"], &["a/c"]),
            ("*.log\n!keep.log", &["x.log"], &["keep.log", "a/keep.log"]),
            ("src/\n!src/a", &["src/a"], &[]),
            ("# no\n\n  \n", &[], &["# no", "a"]),
            ("\\#yes", &["#yes"], &[]),
            ("file[0-9].t?t", &["file1.txt"], &["filex.txt", "file12.txt"]),
            ("[!a]x", &["bx"], &["ax"]),
            ("[]x", &["[]x"], &["]x"]),
            ("[", &["["], &["a"]),
            ("a\\*b", &["a*b"], &["axb"]),
            ("/", &[], &["a"]),
            ("*a*a*a*a*b", &["xaxaxaab"], &["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]),
        ];
        for (rules, out, kept) in table {
            let parsed = Rules::parse(rules);
            for (paths, expect) in [(out, true), (kept, false)] {
                for path in *paths {
                    let (path, folder) = path.strip_suffix('/').map_or((*path, false), |path| (path, true));
                    assert_eq!(parsed.leave_out_deep(path, folder), expect, "{rules:?}: {path}");
                }
            }
        }
    }

    #[test]
    fn a_file_that_is_too_large_is_refused_and_none_is_no_rule() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(Rules::load(folder.path()).expect("none").0.is_empty());
        std::fs::write(folder.path().join(NAME), "x\n".repeat(40_000)).expect("a file");
        let problem = Rules::load(folder.path()).expect_err("too large");
        assert!(problem.message.contains(NAME), "{problem}");
    }
}
