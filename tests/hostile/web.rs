//! A server on loopback that answers as each row wants it: Git server, registry, and whatever a redirect leads to.

use std::collections::HashMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Answers one request; given its head.
type Answer = Arc<dyn Fn(&mut TcpStream, &str) -> io::Result<()> + Send + Sync>;

#[derive(Default)]
struct Shared {
    answers: Mutex<HashMap<String, Answer>>,
    asked: Mutex<Vec<String>>,
}

/// The server.
pub(crate) struct Web {
    port: u16,
    shared: Arc<Shared>,
}

impl Web {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::<Shared>::default();
        let with = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let with = Arc::clone(&with);
                // Who goes away in the middle is no failure of the test.
                thread::spawn(move || serve(stream, &with));
            }
        });
        Self { port, shared }
    }

    /// Where it is, without a slash at its end.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Answers a path, whatever the question behind it is.
    pub(crate) fn on(
        &self,
        path: &str,
        answer: impl Fn(&mut TcpStream, &str) -> io::Result<()> + Send + Sync + 'static,
    ) {
        let mut answers = self.shared.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.insert(path.to_owned(), Arc::new(answer));
    }

    /// Answers a path with these bytes, head and all.
    pub(crate) fn says(&self, path: &str, answer: Vec<u8>) {
        self.on(path, move |stream, _| stream.write_all(&answer));
    }

    /// Heads of requests for a path.
    pub(crate) fn asked(&self, path: &str) -> Vec<String> {
        let asked = self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.iter().filter(|head| target(head) == path).cloned().collect()
    }
}

fn target(head: &str) -> &str {
    let target = head.split(' ').nth(1).unwrap_or_default();
    target.split('?').next().unwrap_or_default()
}

fn serve(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut head, mut length, mut chunked) = (String::new(), 0, false);
    loop {
        let from = head.len();
        if reader.read_line(&mut head)? <= 2 {
            break;
        }
        if let Some((name, value)) = head[from..].split_once(':') {
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().unwrap_or(0),
                "transfer-encoding" => chunked = true,
                _ => {}
            }
        }
    }
    io::copy(&mut (&mut reader).take(length), &mut io::sink())?;
    while chunked {
        let mut size = String::new();
        reader.read_line(&mut size)?;
        let size = u64::from_str_radix(size.trim(), 16).unwrap_or(0);
        io::copy(&mut (&mut reader).take(size + 2), &mut io::sink())?;
        chunked = size > 0;
    }
    let answer = shared.answers.lock().unwrap_or_else(PoisonError::into_inner).get(target(&head)).cloned();
    shared.asked.lock().unwrap_or_else(PoisonError::into_inner).push(head.clone());
    let mut stream = stream;
    match answer {
        Some(answer) => answer(&mut stream, &head),
        None => stream.write_all(&response("404 Not Found", "", b"")),
    }
}

/// An answer with its length. `fields`: further lines, each with its end.
pub(crate) fn response(status: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{fields}connection: close\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// The head of an answer that lasts as long as its connection.
pub(crate) fn open(kind: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n").into_bytes()
}
