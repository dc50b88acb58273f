//! The client's side of Git's protocol, version 2, over HTTP: which requests to send, and what the answers mean.
//! Answers are cut into lines and looked at here; the pack itself is not, it goes to a jail as it is.

use bytes::Bytes;

use super::pkt::{DELIMITER, FLUSH, Pkt, Pkts, line};
use super::spec::{Origin, is_commit};
use crate::build::limits::{PACKED_BYTES_MAX, PIECE_BYTES_MAX};

/// Bytes of the first answer: a few lines.
const CAPABILITIES_BYTES_MAX: usize = 64 * 1024;
/// Bytes of the list of references, which is asked for with the name wanted. A server may send others too.
const REFS_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of an answer with a pack: lines of 64 KiB have five bytes of head each, and there is some text beside it.
const ANSWER_BYTES_MAX: usize = PACKED_BYTES_MAX + PACKED_BYTES_MAX / 512 + 1024 * 1024;
/// Characters of what a server says.
const SAYS_CHARS_MAX: usize = 300;
/// Who asks. Some hosts answer no client whose name does not begin as that of Git.
const AGENT: &str = "git/2.48.0 (fazt)";

/// One request. The body is empty for a `GET`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// Where to.
    pub url: String,
    /// Fields; who sends it adds what HTTP needs, and `Authorization` for a private repository.
    pub headers: Vec<(&'static str, &'static str)>,
    /// What is sent.
    pub body: Vec<u8>,
    /// Media type that the answer must have: anything else is a web page, not a Git server.
    pub expect: &'static str,
    /// Bytes that the answer may have.
    pub answer_bytes_max: usize,
    /// What is said of one that has more.
    pub too_large: GitError,
}

/// Why a server's answer is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GitError {
    /// Not Git's protocol.
    #[error("the server does not speak Git's protocol as it should: {0}")]
    Protocol(&'static str),
    /// It has an old one.
    #[error("the server speaks only an old version of Git's protocol; version 2 is needed")]
    Old,
    /// Its hashes are of another kind.
    #[error("the repository has `{0}` hashes; only SHA-1 is understood")]
    Hashes(String),
    /// There is no such branch or tag.
    #[error("there is no branch or tag `{0}`; a commit needs all of its 40 digits")]
    NoReference(String),
    /// There is no commit at all.
    #[error("the repository is empty")]
    Empty,
    /// Too much came.
    #[error("{0}")]
    TooLarge(String),
    /// What the server said, without control characters.
    #[error("the server says: {0}")]
    Server(String),
    /// It stopped in the middle.
    #[error("the answer ended too early")]
    Short,
}

/// A commit and under which name it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// 40 digits.
    pub commit: String,
    /// `refs/heads/main`, `refs/tags/v1`; empty for a commit that was named itself.
    pub name: String,
}

impl Reference {
    /// Whether it is a tag: what it names should never change.
    #[must_use]
    pub fn is_tag(&self) -> bool {
        self.name.starts_with("refs/tags/")
    }
}

/// A conversation with one server about one repository.
#[derive(Debug, Clone)]
pub struct Client {
    url: String,
    reference: Option<String>,
}

impl Client {
    /// About the repository of `origin`.
    #[must_use]
    pub fn new(origin: &Origin) -> Self {
        Self { url: origin.url(), reference: origin.reference().map(str::to_owned) }
    }

    /// The first request: what the server can do.
    #[must_use]
    pub fn advertisement(&self) -> Request {
        Request {
            method: "GET",
            url: format!("{}{SERVICE}", self.url),
            headers: vec![("git-protocol", "version=2"), ("user-agent", AGENT)],
            body: Vec::new(),
            expect: "application/x-git-upload-pack-advertisement",
            answer_bytes_max: CAPABILITIES_BYTES_MAX,
            too_large: endless_capabilities(),
        }
    }

    /// Takes the first answer. `url`: where it came from, after redirects; a repository that was renamed is asked at
    /// its new place from here on.
    ///
    /// # Errors
    /// When it is no Git server that this client can talk to.
    pub fn advertised(&mut self, url: &str, body: &[u8]) -> Result<(), GitError> {
        if body.len() > CAPABILITIES_BYTES_MAX {
            return Err(endless_capabilities());
        }
        let mut pkts = Pkts::default();
        pkts.push(body);
        let mut lines = Vec::new();
        while let Some(pkt) = pkts.next()? {
            if let Pkt::Line(line) = pkt {
                lines.push(text(line));
            }
        }
        let mut lines = lines.iter().map(String::as_str).skip_while(|line| line.starts_with("# service="));
        match lines.next() {
            Some("version 2") => {}
            Some(line) => return Err(said(line).unwrap_or(GitError::Old)),
            None => return Err(GitError::Short),
        }
        let (mut refs, mut fetch) = (false, false);
        for line in lines {
            let (name, value) = line.split_once('=').unwrap_or((line, ""));
            match name {
                "ls-refs" => refs = true,
                "fetch" => fetch = value.split(' ').any(|feature| feature == "shallow"),
                "object-format" if value != "sha1" => return Err(GitError::Hashes(shown(value))),
                _ => {}
            }
        }
        if !refs || !fetch {
            return Err(GitError::Protocol("it cannot send single commits"));
        }
        if let Some(base) = url.strip_suffix(SERVICE) {
            base.clone_into(&mut self.url);
        }
        Ok(())
    }

    /// The commit, where no server has to be asked for it.
    #[must_use]
    pub fn known(&self) -> Option<Reference> {
        let commit = self.reference.as_ref().filter(|text| is_commit(text))?;
        Some(Reference { commit: commit.clone(), name: String::new() })
    }

    /// Asks which commit the branch or tag is.
    #[must_use]
    pub fn refs(&self) -> Request {
        let mut body = Vec::new();
        line(&mut body, "command=ls-refs");
        line(&mut body, &format!("agent={AGENT}"));
        line(&mut body, "object-format=sha1");
        body.extend_from_slice(DELIMITER);
        line(&mut body, "peel");
        line(&mut body, "symrefs");
        for name in self.names() {
            line(&mut body, &format!("ref-prefix {name}"));
        }
        body.extend_from_slice(FLUSH);
        self.post(body, REFS_BYTES_MAX, large_list())
    }

    /// Names that the reference may have, the first that is there counts.
    fn names(&self) -> Vec<String> {
        match self.reference.as_deref() {
            None => vec!["HEAD".into()],
            Some(name) if name.starts_with("refs/") => vec![name.to_owned()],
            Some(name) => vec![format!("refs/tags/{name}"), format!("refs/heads/{name}")],
        }
    }

    /// Reads the answer to [`Self::refs`].
    #[must_use]
    pub fn read_refs(&self) -> RefsReader {
        let names = self.names();
        RefsReader {
            pkts: Pkts::default(),
            found: vec![None; names.len()],
            names,
            reference: self.reference.clone(),
            bytes: 0,
            done: false,
        }
    }

    /// Asks for one commit with all its files and nothing before it.
    #[must_use]
    pub fn fetch(&self, commit: &Reference) -> Request {
        let mut body = Vec::new();
        line(&mut body, "command=fetch");
        line(&mut body, &format!("agent={AGENT}"));
        line(&mut body, "object-format=sha1");
        body.extend_from_slice(DELIMITER);
        line(&mut body, "no-progress");
        line(&mut body, "ofs-delta");
        line(&mut body, "deepen 1");
        line(&mut body, &format!("want {}", commit.commit));
        line(&mut body, "done");
        body.extend_from_slice(FLUSH);
        self.post(body, ANSWER_BYTES_MAX, large_pack())
    }

    fn post(&self, body: Vec<u8>, answer_bytes_max: usize, too_large: GitError) -> Request {
        Request {
            method: "POST",
            url: format!("{}/git-upload-pack", self.url),
            headers: vec![
                ("git-protocol", "version=2"),
                ("user-agent", AGENT),
                ("content-type", "application/x-git-upload-pack-request"),
                ("accept", "application/x-git-upload-pack-result"),
            ],
            body,
            expect: "application/x-git-upload-pack-result",
            answer_bytes_max,
            too_large,
        }
    }
}

fn endless_capabilities() -> GitError {
    GitError::Protocol("a list of capabilities without end")
}

fn large_list() -> GitError {
    GitError::TooLarge(format!("the list of references has more than {} MiB", REFS_BYTES_MAX >> 20))
}

fn large_pack() -> GitError {
    GitError::TooLarge(format!("the repository has more than {} MiB, packed", PACKED_BYTES_MAX >> 20))
}

const SERVICE: &str = "/info/refs?service=git-upload-pack";

/// Finds one reference in a list that may be long, and keeps nothing else of it.
#[derive(Debug)]
pub struct RefsReader {
    pkts: Pkts,
    names: Vec<String>,
    found: Vec<Option<Reference>>,
    reference: Option<String>,
    bytes: usize,
    done: bool,
}

impl RefsReader {
    /// Takes the next bytes of the answer.
    ///
    /// # Errors
    /// When they are not what was asked for.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), GitError> {
        self.bytes += bytes.len();
        if self.bytes > REFS_BYTES_MAX {
            return Err(large_list());
        }
        self.pkts.push(bytes);
        while let Some(pkt) = self.pkts.next()? {
            let line = match pkt {
                Pkt::Line(line) => line,
                Pkt::Flush => {
                    self.done = true;
                    continue;
                }
                Pkt::Delimiter => return Err(GitError::Protocol("a section among references")),
            };
            let line = text(line);
            if let Some(error) = said(&line) {
                return Err(error);
            }
            let mut words = line.split(' ');
            let (Some(id), Some(name)) = (words.next(), words.next()) else {
                return Err(GitError::Protocol("a reference without a name"));
            };
            let Some(at) = self.names.iter().position(|wanted| wanted == name) else { continue };
            let (mut commit, mut shown) = (id, name);
            for word in words {
                if let Some(peeled) = word.strip_prefix("peeled:") {
                    commit = peeled;
                }
                if let Some(target) = word.strip_prefix("symref-target:") {
                    shown = target;
                }
            }
            if commit == "unborn" {
                return Err(GitError::Empty);
            }
            if !is_commit(commit) || shown.len() > 400 {
                return Err(GitError::Protocol("a reference to nothing"));
            }
            self.found[at] = Some(Reference { commit: commit.to_owned(), name: self::shown(shown) });
        }
        Ok(())
    }

    /// The commit, after the last byte.
    ///
    /// # Errors
    /// When it is not there.
    pub fn finish(self) -> Result<Reference, GitError> {
        if !self.done || !self.pkts.is_empty() {
            return Err(GitError::Short);
        }
        match (self.found.into_iter().flatten().next(), self.reference) {
            (Some(found), _) => Ok(found),
            (None, Some(reference)) => Err(GitError::NoReference(reference)),
            (None, None) => Err(GitError::Empty),
        }
    }
}

/// Takes the pack out of the lines that it comes in, and looks at nothing of it.
#[derive(Debug, Default)]
pub struct PackReader {
    pkts: Pkts,
    state: Section,
    pack: Vec<Bytes>,
    /// What is not yet a piece: a server may send its bytes one by one.
    piece: Vec<u8>,
    pack_bytes: usize,
    bytes: usize,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Section {
    /// Before the pack: what is shallow.
    #[default]
    Before,
    Pack,
    Done,
}

impl PackReader {
    /// Takes the next bytes of the answer.
    ///
    /// # Errors
    /// When they are not what was asked for, the server says why not, or it is too much.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), GitError> {
        self.bytes += bytes.len();
        if self.bytes > ANSWER_BYTES_MAX {
            return Err(large_pack());
        }
        self.pkts.push(bytes);
        while let Some(pkt) = self.pkts.next()? {
            match (&self.state, pkt) {
                (Section::Done, _) => return Err(GitError::Protocol("more behind the end")),
                (Section::Before, Pkt::Line(line)) => {
                    let line = text(line);
                    if let Some(error) = said(&line) {
                        return Err(error);
                    }
                    if line == "packfile" {
                        self.state = Section::Pack;
                    }
                }
                (Section::Before, Pkt::Delimiter) => {}
                (Section::Before, Pkt::Flush) => return Err(GitError::Protocol("no pack")),
                (Section::Pack, Pkt::Line([1, data @ ..])) => {
                    self.pack_bytes += data.len();
                    if self.pack_bytes > PACKED_BYTES_MAX {
                        return Err(large_pack());
                    }
                    self.piece.extend_from_slice(data);
                    if self.piece.len() >= PIECE_BYTES_MAX {
                        self.pack.push(std::mem::take(&mut self.piece).into());
                    }
                }
                (Section::Pack, Pkt::Line([2, ..])) => {}
                (Section::Pack, Pkt::Line([3, why @ ..])) => return Err(GitError::Server(shown(&text(why)))),
                (Section::Pack, Pkt::Flush) => self.state = Section::Done,
                (Section::Pack, _) => return Err(GitError::Protocol("a line of no band")),
            }
        }
        Ok(())
    }

    /// Bytes of the pack so far, for a progress bar.
    #[must_use]
    pub fn packed_bytes(&self) -> usize {
        self.pack_bytes
    }

    /// The pack, after the last byte.
    ///
    /// # Errors
    /// When it is not whole.
    pub fn finish(mut self) -> Result<Vec<Bytes>, GitError> {
        if self.state != Section::Done || !self.pkts.is_empty() {
            return Err(GitError::Short);
        }
        if !self.piece.is_empty() {
            self.pack.push(self.piece.into());
        }
        Ok(self.pack)
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line)).into_owned()
}

/// What the server says instead of an answer.
fn said(line: &str) -> Option<GitError> {
    line.strip_prefix("ERR ").map(|why| GitError::Server(shown(why)))
}

fn shown(text: &str) -> String {
    let visible = |c: char| if c.is_control() { ' ' } else { c };
    text.trim().chars().take(SAYS_CHARS_MAX).map(visible).collect()
}
