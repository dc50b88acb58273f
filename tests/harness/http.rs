//! An HTTP/1.1 client that shows the bytes and does nothing on its own: no redirects, no cookies, no pool.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// A response.
#[derive(Debug)]
pub struct Response {
    /// Status.
    pub status: u16,
    /// Header fields in order, names in lower case.
    pub fields: Vec<(String, String)>,
    /// Body, without its framing.
    pub body: Vec<u8>,
}

impl Response {
    /// The first field of that name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// Every field of that name.
    #[must_use]
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(field, _)| field == name).map(|(_, value)| value.as_str()).collect()
    }

    /// Body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// One connection.
pub struct Client<S = TcpStream> {
    stream: BufReader<S>,
    host: String,
}

impl Client {
    /// Connects; `host` goes into the Host field.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn connect(address: SocketAddr, host: &str) -> io::Result<Self> {
        Self::over(TcpStream::connect_timeout(&address, Duration::from_secs(10))?, host)
    }

    /// Over a connection that is there.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn over(stream: TcpStream, host: &str) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self { stream: BufReader::new(stream), host: host.to_owned() })
    }
}

impl Client<UnixStream> {
    /// Connects to the control socket of a data folder.
    ///
    /// # Errors
    /// When nothing listens there.
    pub fn control(data: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(data.join("run/control.sock"))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self { stream: BufReader::new(stream), host: "fazt".into() })
    }
}

impl<S: Read + Write> Client<S> {
    /// Sends a request with a body of known length and reads the answer.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn request(
        &mut self,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        let mut head = format!("{method} {target} HTTP/1.1\r\nhost: {}\r\n", self.host);
        for (name, value) in fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH") {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        // In one piece, as clients do: a server may refuse by the head alone and close.
        self.send(&[head.as_bytes(), body].concat())?;
        self.response(method == "HEAD")
    }

    /// `GET`.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn get(&mut self, target: &str) -> io::Result<Response> {
        self.request("GET", target, &[], &[])
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Reads a head: status and fields.
    ///
    /// # Errors
    /// When the connection breaks or the head is malformed.
    pub fn head(&mut self) -> io::Result<Response> {
        let malformed = |line: &str| io::Error::other(format!("malformed head: {line:?}"));
        let line = self.line()?;
        let status = line
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3))
            .and_then(|code| code.parse().ok())
            .ok_or_else(|| malformed(&line))?;
        let mut fields = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(Response { status, fields, body: Vec::new() });
            }
            let (name, value) = line.split_once(':').ok_or_else(|| malformed(&line))?;
            fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    /// Reads one chunk of a chunked body; empty at its end.
    ///
    /// # Errors
    /// When the connection breaks or the framing is malformed.
    pub fn chunk(&mut self) -> io::Result<Vec<u8>> {
        let line = self.line()?;
        let size = usize::from_str_radix(line.split(';').next().unwrap_or_default(), 16)
            .map_err(|error| io::Error::other(format!("chunk size {line:?}: {error}")))?;
        let mut chunk = vec![0; size];
        self.stream.read_exact(&mut chunk)?;
        self.line()?;
        Ok(chunk)
    }

    /// Reads a whole answer.
    ///
    /// # Errors
    /// When the connection breaks or the answer is malformed.
    pub fn response(&mut self, head_only: bool) -> io::Result<Response> {
        let mut response = self.head()?;
        if head_only || response.status == 204 || response.status == 304 {
            return Ok(response);
        }
        if response.field("transfer-encoding") == Some("chunked") {
            loop {
                let chunk = self.chunk()?;
                if chunk.is_empty() {
                    return Ok(response);
                }
                response.body.extend_from_slice(&chunk);
            }
        }
        if let Some(length) = response.field("content-length") {
            let length: usize = length.parse().map_err(io::Error::other)?;
            response.body = vec![0; length];
            self.stream.read_exact(&mut response.body)?;
        } else {
            self.stream.read_to_end(&mut response.body)?;
        }
        Ok(response)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line.truncate(line.trim_end_matches(['\r', '\n']).len());
        Ok(line)
    }
}
