//! A control server that answers from a table and remembers what it was asked.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

type Answers = Vec<(String, u16, String)>;
type Seen = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// A server on a data folder of its own.
pub(crate) struct Fake {
    data: tempfile::TempDir,
    seen: Seen,
}

impl Fake {
    /// Starts one: for each request line, a status and a body. It lives as long as the test.
    pub(crate) fn start(answers: Vec<(&str, u16, String)>) -> Self {
        let data = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(data.path().join("run")).expect("a folder");
        let listener = UnixListener::bind(data.path().join("run/control.sock")).expect("a socket");
        let seen = Seen::default();
        let answers: Arc<Answers> = Arc::new(
            answers.into_iter().map(|(line, status, body)| (line.to_owned(), status, body)).collect(),
        );
        let remembered = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answers, seen) = (Arc::clone(&answers), Arc::clone(&remembered));
                std::thread::spawn(move || serve(stream, &answers, &seen));
            }
        });
        Self { data, seen }
    }

    /// Its data folder.
    pub(crate) fn data(&self) -> &Path {
        self.data.path()
    }

    /// Request lines and bodies so far.
    pub(crate) fn seen(&self) -> Vec<(String, Vec<u8>)> {
        self.seen.lock().expect("not poisoned").clone()
    }
}

/// Answers the requests of one connection until it ends.
fn serve(stream: UnixStream, answers: &Answers, seen: &Seen) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut first = String::new();
        reader.read_line(&mut first).ok().filter(|read| *read > 0)?;
        let asked = first.trim_end().strip_suffix(" HTTP/1.1")?.to_owned();
        let mut length = 0;
        loop {
            let mut field = String::new();
            reader.read_line(&mut field).ok()?;
            match field.trim_end().to_ascii_lowercase().split_once(": ") {
                Some(("content-length", value)) => length = value.parse().ok()?,
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        seen.lock().expect("not poisoned").push((asked.clone(), body));
        let answer = answers.iter().find(|(line, ..)| *line == asked);
        let (status, body) = answer.map_or((501, "not in the table"), |(_, status, body)| (*status, body));
        let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", body.len());
        reader.get_mut().write_all(head.as_bytes()).ok()?;
        reader.get_mut().write_all(body.as_bytes()).ok()?;
    }
}
