//! The basic URL parser of the URL standard, as its state machine is written there. Input is hostile.

use super::host;
use super::percent::{C0, FRAGMENT, PATH, QUERY, SPECIAL_QUERY, USERINFO, encode};

/// A parsed URL.
#[derive(Debug, Clone, Default)]
pub(super) struct Record {
    pub(super) scheme: String,
    pub(super) username: String,
    pub(super) password: String,
    pub(super) host: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) path: Path,
    pub(super) query: Option<String>,
    pub(super) fragment: Option<String>,
}

/// The path of a URL.
#[derive(Debug, Clone)]
pub(super) enum Path {
    /// Of a URL like `mailto:a@b`, which nothing can be relative to.
    Opaque(String),
    List(Vec<String>),
}

impl Default for Path {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

/// Where the parser is; setters start it in the middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    SchemeStart,
    Scheme,
    NoScheme,
    SpecialRelativeOrAuthority,
    PathOrAuthority,
    Relative,
    RelativeSlash,
    SpecialAuthoritySlashes,
    SpecialAuthorityIgnoreSlashes,
    Authority,
    Host,
    Hostname,
    Port,
    File,
    FileSlash,
    FileHost,
    PathStart,
    Path,
    OpaquePath,
    Query,
    Fragment,
}

/// The URL is not valid, or the value changes nothing (more).
#[derive(Debug)]
pub(super) struct Failure;

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        "ftp" => Some(21),
        _ => None,
    }
}

fn is_special(scheme: &str) -> bool {
    scheme == "file" || default_port(scheme).is_some()
}

/// A letter and `:` or `|`.
fn is_drive_letter(text: &str) -> bool {
    matches!(text.as_bytes(), [letter, b':' | b'|'] if letter.is_ascii_alphabetic())
}

fn is_normal_drive_letter(text: &str) -> bool {
    matches!(text.as_bytes(), [letter, b':'] if letter.is_ascii_alphabetic())
}

fn starts_with_drive_letter(rest: &[char]) -> bool {
    matches!(rest, [letter, ':' | '|', tail @ ..] if letter.is_ascii_alphabetic()
        && matches!(tail.first(), None | Some('/' | '\\' | '?' | '#')))
}

fn is_single_dot(segment: &str) -> bool {
    segment == "." || segment.eq_ignore_ascii_case("%2e")
}

fn is_double_dot(segment: &str) -> bool {
    segment == ".." || [".%2e", "%2e.", "%2e%2e"].iter().any(|dots| segment.eq_ignore_ascii_case(dots))
}

impl Record {
    /// Parses `input`, relative to `base` if there is one.
    pub(super) fn parse(input: &str, base: Option<&Self>) -> Result<Self, Failure> {
        let trimmed = input.trim_matches(|c: char| c <= ' ');
        let mut url = Self::default();
        url.run(trimmed, base, State::SchemeStart, None)?;
        Ok(url)
    }

    /// Runs the parser on a value that a setter was given. A failure may leave what was set before it.
    pub(super) fn set(&mut self, value: &str, state: State) {
        // A value that is refused has changed what the standard lets it change.
        let _ = self.run(value, None, state, Some(state));
    }

    pub(super) fn is_special(&self) -> bool {
        is_special(&self.scheme)
    }

    pub(super) fn is_opaque(&self) -> bool {
        matches!(self.path, Path::Opaque(_))
    }

    /// Whether the URL can have no credentials and no port.
    pub(super) fn lacks_authority(&self) -> bool {
        self.host.as_deref().is_none_or(str::is_empty) || self.scheme == "file"
    }

    fn has_credentials(&self) -> bool {
        !self.username.is_empty() || !self.password.is_empty()
    }

    fn push(&mut self, segment: String) {
        if let Path::List(list) = &mut self.path {
            list.push(segment);
        }
    }

    fn shorten(&mut self) {
        let file = self.scheme == "file";
        if let Path::List(list) = &mut self.path
            && !(file && matches!(&list[..], [only] if is_normal_drive_letter(only))) {
                list.pop();
            }
    }

    fn take_authority(&mut self, base: &Self) {
        self.username.clone_from(&base.username);
        self.password.clone_from(&base.password);
        self.host.clone_from(&base.host);
        self.port = base.port;
    }

    #[expect(clippy::too_many_lines, reason = "the standard's state machine, one arm per state")]
    fn run(&mut self, input: &str, base: Option<&Self>, start: State, given: Option<State>) -> Result<(), Failure> {
        let chars: Vec<char> = input.chars().filter(|c| !matches!(c, '\t' | '\n' | '\r')).collect();
        let overridden = given.is_some();
        let mut state = start;
        let mut buffer = String::new();
        let (mut at_seen, mut in_brackets, mut password_seen) = (false, false, false);
        let mut at = 0_usize;
        loop {
            let c = chars.get(at).copied();
            let next = chars.get(at + 1).copied();
            // An arm that wants the same character seen again says `continue`.
            match state {
                State::SchemeStart => match c {
                    Some(letter) if letter.is_ascii_alphabetic() => {
                        buffer.push(letter.to_ascii_lowercase());
                        state = State::Scheme;
                    }
                    _ if overridden => return Err(Failure),
                    _ => {
                        state = State::NoScheme;
                        continue;
                    }
                },
                State::Scheme => match c {
                    Some(letter) if letter.is_ascii_alphanumeric() || matches!(letter, '+' | '-' | '.') => {
                        buffer.push(letter.to_ascii_lowercase());
                    }
                    Some(':') => {
                        if overridden {
                            let loses = (self.has_credentials() || self.port.is_some()) && buffer == "file";
                            let empty_file = self.scheme == "file" && self.host.as_deref() == Some("");
                            if self.is_special() != is_special(&buffer) || loses || empty_file {
                                return Ok(());
                            }
                        }
                        self.scheme = std::mem::take(&mut buffer);
                        if overridden {
                            if self.port == default_port(&self.scheme) {
                                self.port = None;
                            }
                            return Ok(());
                        }
                        state = if self.scheme == "file" {
                            State::File
                        } else if self.is_special() {
                            if base.is_some_and(|base| base.scheme == self.scheme) {
                                State::SpecialRelativeOrAuthority
                            } else {
                                State::SpecialAuthoritySlashes
                            }
                        } else if next == Some('/') {
                            at += 1;
                            State::PathOrAuthority
                        } else {
                            self.path = Path::Opaque(String::new());
                            State::OpaquePath
                        };
                    }
                    _ if overridden => return Err(Failure),
                    _ => {
                        buffer.clear();
                        state = State::NoScheme;
                        at = 0;
                        continue;
                    }
                },
                State::NoScheme => {
                    let base = base.ok_or(Failure)?;
                    if base.is_opaque() {
                        if c != Some('#') {
                            return Err(Failure);
                        }
                        self.scheme.clone_from(&base.scheme);
                        self.path = base.path.clone();
                        self.query.clone_from(&base.query);
                        self.fragment = Some(String::new());
                        state = State::Fragment;
                    } else {
                        state = if base.scheme == "file" { State::File } else { State::Relative };
                        continue;
                    }
                }
                State::SpecialRelativeOrAuthority => {
                    if c == Some('/') && next == Some('/') {
                        at += 1;
                        state = State::SpecialAuthorityIgnoreSlashes;
                    } else {
                        state = State::Relative;
                        continue;
                    }
                }
                State::PathOrAuthority => {
                    if c == Some('/') {
                        state = State::Authority;
                    } else {
                        state = State::Path;
                        continue;
                    }
                }
                State::Relative => {
                    let base = base.ok_or(Failure)?;
                    self.scheme.clone_from(&base.scheme);
                    if c == Some('/') || (self.is_special() && c == Some('\\')) {
                        state = State::RelativeSlash;
                    } else {
                        self.take_authority(base);
                        self.path = base.path.clone();
                        self.query.clone_from(&base.query);
                        match c {
                            Some('?') => {
                                self.query = Some(String::new());
                                state = State::Query;
                            }
                            Some('#') => {
                                self.fragment = Some(String::new());
                                state = State::Fragment;
                            }
                            Some(_) => {
                                self.query = None;
                                self.shorten();
                                state = State::Path;
                                continue;
                            }
                            None => {}
                        }
                    }
                }
                State::RelativeSlash => {
                    if self.is_special() && matches!(c, Some('/' | '\\')) {
                        state = State::SpecialAuthorityIgnoreSlashes;
                    } else if c == Some('/') {
                        state = State::Authority;
                    } else {
                        self.take_authority(base.ok_or(Failure)?);
                        state = State::Path;
                        continue;
                    }
                }
                State::SpecialAuthoritySlashes => {
                    state = State::SpecialAuthorityIgnoreSlashes;
                    if c == Some('/') && next == Some('/') {
                        at += 1;
                    } else {
                        continue;
                    }
                }
                State::SpecialAuthorityIgnoreSlashes => {
                    if !matches!(c, Some('/' | '\\')) {
                        state = State::Authority;
                        continue;
                    }
                }
                State::Authority => match c {
                    Some('@') => {
                        if at_seen {
                            buffer.insert_str(0, "%40");
                        }
                        at_seen = true;
                        for c in buffer.chars() {
                            if c == ':' && !password_seen {
                                password_seen = true;
                                continue;
                            }
                            let part = if password_seen { &mut self.password } else { &mut self.username };
                            encode(c.encode_utf8(&mut [0; 4]), USERINFO, part);
                        }
                        buffer.clear();
                    }
                    None | Some('/' | '?' | '#') => {
                        if at_seen && buffer.is_empty() {
                            return Err(Failure);
                        }
                        at -= buffer.chars().count();
                        buffer.clear();
                        state = State::Host;
                        continue;
                    }
                    Some('\\') if self.is_special() => {
                        if at_seen && buffer.is_empty() {
                            return Err(Failure);
                        }
                        at -= buffer.chars().count();
                        buffer.clear();
                        state = State::Host;
                        continue;
                    }
                    Some(c) => buffer.push(c),
                },
                State::Host | State::Hostname => {
                    let ends = matches!(c, None | Some('/' | '?' | '#')) || (self.is_special() && c == Some('\\'));
                    if overridden && self.scheme == "file" {
                        state = State::FileHost;
                        continue;
                    } else if c == Some(':') && !in_brackets {
                        if buffer.is_empty() || given == Some(State::Hostname) {
                            return Err(Failure);
                        }
                        self.host = Some(host::parse(&buffer, !self.is_special()).ok_or(Failure)?);
                        buffer.clear();
                        state = State::Port;
                    } else if ends {
                        if buffer.is_empty()
                            && (self.is_special() || (overridden && (self.has_credentials() || self.port.is_some())))
                        {
                            return Err(Failure);
                        }
                        self.host = Some(host::parse(&buffer, !self.is_special()).ok_or(Failure)?);
                        buffer.clear();
                        if overridden {
                            return Ok(());
                        }
                        state = State::PathStart;
                        continue;
                    } else if let Some(c) = c {
                        in_brackets = c == '[' || (in_brackets && c != ']');
                        buffer.push(c);
                    }
                }
                State::Port => {
                    let ends = matches!(c, None | Some('/' | '?' | '#')) || (self.is_special() && c == Some('\\'));
                    match c {
                        Some(digit) if digit.is_ascii_digit() => buffer.push(digit),
                        _ if ends || overridden => {
                            if !buffer.is_empty() {
                                let digits = buffer.trim_start_matches('0');
                                let port: u16 = if digits.is_empty() { 0 } else { digits.parse().map_err(|_| Failure)? };
                                self.port = Some(port).filter(|port| Some(*port) != default_port(&self.scheme));
                                buffer.clear();
                                if overridden {
                                    return Ok(());
                                }
                            }
                            if overridden {
                                return Err(Failure);
                            }
                            state = State::PathStart;
                            continue;
                        }
                        _ => return Err(Failure),
                    }
                }
                State::File => {
                    "file".clone_into(&mut self.scheme);
                    self.host = Some(String::new());
                    if matches!(c, Some('/' | '\\')) {
                        state = State::FileSlash;
                    } else if let Some(base) = base.filter(|base| base.scheme == "file") {
                        self.host.clone_from(&base.host);
                        self.path = base.path.clone();
                        self.query.clone_from(&base.query);
                        match c {
                            Some('?') => {
                                self.query = Some(String::new());
                                state = State::Query;
                            }
                            Some('#') => {
                                self.fragment = Some(String::new());
                                state = State::Fragment;
                            }
                            Some(_) => {
                                self.query = None;
                                if starts_with_drive_letter(&chars[at..]) {
                                    self.path = Path::default();
                                } else {
                                    self.shorten();
                                }
                                state = State::Path;
                                continue;
                            }
                            None => {}
                        }
                    } else {
                        state = State::Path;
                        continue;
                    }
                }
                State::FileSlash => {
                    if matches!(c, Some('/' | '\\')) {
                        state = State::FileHost;
                    } else {
                        if let Some(base) = base.filter(|base| base.scheme == "file") {
                            self.host.clone_from(&base.host);
                            if let (Path::List(list), false) =
                                (&base.path, starts_with_drive_letter(chars.get(at..).unwrap_or_default()))
                                && let Some(first) = list.first().filter(|first| is_normal_drive_letter(first)) {
                                    self.push(first.clone());
                                }
                        }
                        state = State::Path;
                        continue;
                    }
                }
                State::FileHost => match c {
                    None | Some('/' | '\\' | '?' | '#') => {
                        if !overridden && is_drive_letter(&buffer) {
                            // The drive letter is the first segment of the path: the buffer stays.
                            state = State::Path;
                        } else if buffer.is_empty() {
                            self.host = Some(String::new());
                            if overridden {
                                return Ok(());
                            }
                            state = State::PathStart;
                        } else {
                            let host = host::parse(&buffer, false).ok_or(Failure)?;
                            self.host = Some(if host == "localhost" { String::new() } else { host });
                            if overridden {
                                return Ok(());
                            }
                            buffer.clear();
                            state = State::PathStart;
                        }
                        continue;
                    }
                    Some(c) => buffer.push(c),
                },
                State::PathStart => {
                    if self.is_special() {
                        state = State::Path;
                        if !matches!(c, Some('/' | '\\')) {
                            continue;
                        }
                    } else if !overridden && c == Some('?') {
                        self.query = Some(String::new());
                        state = State::Query;
                    } else if !overridden && c == Some('#') {
                        self.fragment = Some(String::new());
                        state = State::Fragment;
                    } else if let Some(c) = c {
                        state = State::Path;
                        if c != '/' {
                            continue;
                        }
                    } else if overridden && self.host.is_none() {
                        self.push(String::new());
                    }
                }
                State::Path => {
                    let slash = c == Some('/') || (self.is_special() && c == Some('\\'));
                    if slash || c.is_none() || (!overridden && matches!(c, Some('?' | '#'))) {
                        if is_double_dot(&buffer) {
                            self.shorten();
                            if !slash {
                                self.push(String::new());
                            }
                        } else if is_single_dot(&buffer) {
                            if !slash {
                                self.push(String::new());
                            }
                        } else {
                            let first = matches!(&self.path, Path::List(list) if list.is_empty());
                            if self.scheme == "file" && first && is_drive_letter(&buffer) {
                                buffer.replace_range(1..2, ":");
                            }
                            self.push(std::mem::take(&mut buffer));
                        }
                        buffer.clear();
                        if c == Some('?') {
                            self.query = Some(String::new());
                            state = State::Query;
                        } else if c == Some('#') {
                            self.fragment = Some(String::new());
                            state = State::Fragment;
                        }
                    } else if let Some(c) = c {
                        encode(c.encode_utf8(&mut [0; 4]), PATH, &mut buffer);
                    }
                }
                State::OpaquePath => match c {
                    Some('?') => {
                        self.query = Some(String::new());
                        state = State::Query;
                    }
                    Some('#') => {
                        self.fragment = Some(String::new());
                        state = State::Fragment;
                    }
                    Some(c) => {
                        if let Path::Opaque(path) = &mut self.path {
                            encode(c.encode_utf8(&mut [0; 4]), C0, path);
                        }
                    }
                    None => {}
                },
                State::Query => {
                    if c.is_none() || (!overridden && c == Some('#')) {
                        let set = if self.is_special() { SPECIAL_QUERY } else { QUERY };
                        encode(&buffer, set, self.query.get_or_insert_default());
                        buffer.clear();
                        if c.is_some() {
                            self.fragment = Some(String::new());
                            state = State::Fragment;
                        }
                    } else if let Some(c) = c {
                        buffer.push(c);
                    }
                }
                State::Fragment => {
                    if let Some(c) = c {
                        encode(c.encode_utf8(&mut [0; 4]), FRAGMENT, self.fragment.get_or_insert_default());
                    }
                }
            }
            if c.is_none() {
                return Ok(());
            }
            at += 1;
        }
    }

    /// `scheme://host:port`, or `null`.
    pub(super) fn origin(&self) -> String {
        match (self.scheme.as_str(), &self.path, &self.host) {
            ("blob", Path::Opaque(inner), _) => match Self::parse(inner, None) {
                Ok(url) if matches!(url.scheme.as_str(), "http" | "https") => url.origin(),
                _ => "null".into(),
            },
            ("http" | "https" | "ws" | "wss" | "ftp", _, Some(host)) => match self.port {
                Some(port) => format!("{}://{host}:{port}", self.scheme),
                None => format!("{}://{host}", self.scheme),
            },
            _ => "null".into(),
        }
    }
}

/// A serialised URL and where its parts lie.
pub(super) struct Serialized {
    pub(super) href: String,
    pub(super) places: [u32; super::PLACES],
}

impl Record {
    pub(super) fn serialize(&self) -> Serialized {
        let mut out = String::with_capacity(64);
        let mut places = [0; super::PLACES];
        let mut at = 0;
        let mut mark = |out: &String| {
            places[at] = out.len() as u32;
            at += 1;
        };
        out.push_str(&self.scheme);
        mark(&out); // end of the scheme
        out.push(':');
        if let Some(host) = &self.host {
            out.push_str("//");
            mark(&out); // start of the username
            out.push_str(&self.username);
            mark(&out);
            if !self.password.is_empty() {
                out.push(':');
            }
            mark(&out); // start of the password
            out.push_str(&self.password);
            mark(&out);
            if self.has_credentials() {
                out.push('@');
            }
            mark(&out); // start of the host
            out.push_str(host);
            mark(&out);
            if let Some(port) = self.port {
                out.push(':');
                out.push_str(&port.to_string());
            }
            mark(&out); // end of the port
        } else {
            for _ in 0..7 {
                mark(&out);
            }
            if matches!(&self.path, Path::List(list) if list.len() > 1 && list[0].is_empty()) {
                out.push_str("/.");
            }
        }
        mark(&out); // start of the path
        match &self.path {
            Path::Opaque(path) => out.push_str(path),
            Path::List(list) => {
                for segment in list {
                    out.push('/');
                    out.push_str(segment);
                }
            }
        }
        mark(&out);
        if let Some(query) = &self.query {
            out.push('?');
            out.push_str(query);
        }
        mark(&out); // end of the query
        if let Some(fragment) = &self.fragment {
            out.push('#');
            out.push_str(fragment);
        }
        Serialized { href: out, places }
    }

    /// What taking the query or the fragment away does to an opaque path: it must not end in spaces then.
    pub(super) fn strip_opaque_spaces(&mut self) {
        if self.query.is_none() && self.fragment.is_none()
            && let Path::Opaque(path) = &mut self.path {
                path.truncate(path.trim_end_matches(' ').len());
            }
    }
}
