//! From a commit to its files. A folder may be named from many places, so what is counted is what is walked.

use fazt_ipc::limits::PATH_BYTES_MAX;

use super::super::job::{Refusal, RepoFile, Tree, Unpack};
use super::super::limits::{
    DEPTH_MAX, FOLDERS_MAX, NAME_BYTES_MAX, REPOSITORY_BYTES_MAX, REPOSITORY_FILE_BYTES_MAX,
    REPOSITORY_FILES_MAX,
};
use super::read::{Kind, Objects};
use super::{Id, hex, parse_id};

/// How a pointer to a file that lies elsewhere begins.
const LFS: &[u8] = b"version https://git-lfs.github.com/spec/";

fn damaged(what: &str) -> Refusal {
    Refusal(format!("the repository is damaged: {what}"))
}

/// An entry of a folder.
struct Entry<'a> {
    mode: u32,
    name: &'a [u8],
    id: Id,
}

pub(super) fn walk(objects: Objects, commit: Id, folder: &str) -> Result<(Tree, Vec<RepoFile>), Refusal> {
    let (root, committed_unix_s) = match objects.get(&commit) {
        Some((Kind::Commit, text)) => head(text)?,
        Some(_) => return Err(Refusal(format!("{} is not a commit", hex(&commit)))),
        None => return Err(Refusal(format!("the commit {} is not in what was sent", hex(&commit)))),
    };
    let mut top = root;
    for name in folder.split('/').filter(|name| !name.is_empty()) {
        let found = entries(tree(&objects, top)?)
            .find(|entry| !matches!(entry, Ok(entry) if entry.name != name.as_bytes()))
            .transpose()?;
        top = match found {
            Some(entry) if entry.mode == 0o40_000 => entry.id,
            Some(_) => return Err(Refusal(format!("`{folder}` is no folder of the repository"))),
            None => return Err(Refusal(format!("there is no folder `{folder}` in the repository"))),
        };
    }
    let mut files = Vec::new();
    let (mut bytes, mut folders) = (0, 0);
    let mut stack = vec![(top, String::new(), 0)];
    while let Some((id, below, depth)) = stack.pop() {
        folders += 1;
        if folders + stack.len() > FOLDERS_MAX || depth > DEPTH_MAX {
            return Err(Refusal(format!(
                "more than {FOLDERS_MAX} folders, or folders more than {DEPTH_MAX} deep"
            )));
        }
        for entry in entries(tree(&objects, id)?) {
            let entry = entry?;
            let path = join(&below, entry.name)?;
            match entry.mode {
                0o40_000 if stack.len() < FOLDERS_MAX => stack.push((entry.id, path, depth + 1)),
                0o40_000 => return Err(Refusal(format!("more than {FOLDERS_MAX} folders"))),
                // Regular, executable, and as old versions of Git wrote it.
                0o100_644 | 0o100_755 | 0o100_664 => {
                    if files.len() == REPOSITORY_FILES_MAX {
                        return Err(Refusal(format!("more than {REPOSITORY_FILES_MAX} files")));
                    }
                    let content = file(&objects, entry.id, &path)?;
                    bytes += content.len();
                    if bytes > REPOSITORY_BYTES_MAX {
                        let max = REPOSITORY_BYTES_MAX >> 20;
                        return Err(Refusal(format!("the files have more than {max} MiB together")));
                    }
                    files.push(RepoFile { path, bytes: content.to_vec() });
                }
                0o120_000 => {
                    return Err(Refusal(format!("`{path}` is a symbolic link; an app has none")));
                }
                0o160_000 => {
                    return Err(Refusal(format!(
                        "`{path}` is a submodule: a repository inside the repository is not fetched"
                    )));
                }
                mode => return Err(Refusal(format!("`{path}` has the mode {mode:o}; it is no file"))),
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let tree = Tree { tree: hex(&root), committed_unix_s, files: files.len() as u32 };
    Ok((tree, files))
}

/// Tree and time of a commit.
fn head(text: &[u8]) -> Result<(Id, u64), Refusal> {
    let tree = text
        .strip_prefix(b"tree ")
        .and_then(|rest| rest.get(..40).filter(|_| rest.get(40) == Some(&b'\n')))
        .and_then(parse_id)
        .ok_or_else(|| damaged("its commit names no tree"))?;
    let time = text
        .split(|byte| *byte == b'\n')
        .take_while(|line| !line.is_empty())
        .find_map(|line| line.strip_prefix(b"committer "))
        // `Name <address> seconds zone`
        .and_then(|line| std::str::from_utf8(line).ok()?.rsplit(' ').nth(1)?.parse().ok());
    Ok((tree, time.unwrap_or(0)))
}

fn tree(objects: &Objects, id: Id) -> Result<&[u8], Refusal> {
    match objects.get(&id) {
        Some((Kind::Tree, entries)) => Ok(entries),
        _ => Err(damaged(&format!("the folder {} is not in it", hex(&id)))),
    }
}

fn file<'a>(objects: &'a Objects, id: Id, path: &str) -> Result<&'a [u8], Refusal> {
    let Some((Kind::Blob, content)) = objects.get(&id) else {
        return Err(damaged(&format!("the content of `{path}` is not in it")));
    };
    if content.len() > REPOSITORY_FILE_BYTES_MAX {
        let max = REPOSITORY_FILE_BYTES_MAX >> 20;
        return Err(Refusal(format!("`{path}` has {} bytes; a file may have {max} MiB", content.len())));
    }
    if content.starts_with(LFS) {
        return Err(Refusal(format!("`{path}` is kept elsewhere (Git LFS), and is not fetched from there")));
    }
    Ok(content)
}

/// Reads `mode name\0id` again and again.
fn entries(mut rest: &[u8]) -> impl Iterator<Item = Result<Entry<'_>, Refusal>> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let one = |rest: &mut &'_ [u8]| -> Option<(u32, usize, usize)> {
            let space = rest.iter().take(8).position(|byte| *byte == b' ')?;
            let mode = u32::from_str_radix(std::str::from_utf8(&rest[..space]).ok()?, 8).ok()?;
            let name = rest[space + 1..].iter().position(|byte| *byte == 0)?;
            (rest.len() >= space + 1 + name + 1 + 20).then_some((mode, space + 1, name))
        };
        let Some((mode, start, name_bytes)) = one(&mut rest) else {
            rest = &[];
            return Some(Err(damaged("a folder of it cannot be read")));
        };
        let name = &rest[start..start + name_bytes];
        let (id, tail) = rest[start + name_bytes + 1..].split_at(20);
        rest = tail;
        let id: Option<Id> = id.try_into().ok();
        Some(id.map(|id| Entry { mode, name, id }).ok_or_else(|| damaged("a folder of it cannot be read")))
    })
}

/// What no name in a folder may be, whatever the rules for paths say of the whole.
fn join(below: &str, name: &[u8]) -> Result<String, Refusal> {
    if name.len() > NAME_BYTES_MAX || below.len() + 1 + name.len() > PATH_BYTES_MAX {
        return Err(Refusal(format!(
            "a name in `{below}/` is too long: {NAME_BYTES_MAX} bytes at most, {PATH_BYTES_MAX} with its folders"
        )));
    }
    let text = std::str::from_utf8(name)
        .map_err(|_| Refusal(format!("a name in `{below}/` is not UTF-8: {}", name.escape_ascii())))?;
    let forbidden =
        text.is_empty() || matches!(text, "." | "..") || text.contains(['/', '\\', '\0']) || is_git(text);
    if forbidden {
        return Err(Refusal(format!("`{text}` cannot be a name in `{below}/`")));
    }
    Ok(if below.is_empty() { text.to_owned() } else { format!("{below}/{text}") })
}

/// Whether a name is that of Git's own folder on some system: Macs leave out letters that are not seen, Windows leaves
/// out dots and spaces at the end and has a short name for it, and a colon begins another stream of the same file.
fn is_git(name: &str) -> bool {
    let unseen = |c: &char| matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}');
    let seen: String = name.chars().filter(|c| !unseen(c)).collect();
    let file = seen.split(':').next().unwrap_or_default().trim_end_matches(['.', ' ']);
    file.eq_ignore_ascii_case(".git") || file.eq_ignore_ascii_case("git~1")
}

impl Unpack {
    /// Whether the commit is 40 digits and the folder a plain path.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        parse_id(self.commit.as_bytes()).is_some()
            && (self.folder.is_empty()
                || self
                    .folder
                    .split('/')
                    .all(|name| !matches!(name, "" | "." | "..") && !name.contains('\\')))
    }
}
