//! An authority that issues certificates over ACME, on loopback: Let's Encrypt's own for tests, and a name server that
//! finds every host here.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

/// The authority. Dropping it ends it.
pub struct Authority {
    /// Where its directory is.
    pub directory: String,
    folder: TempDir,
    child: Child,
    /// Where it looks for proofs, once it is said where that is.
    pub http: Door,
    /// The same over TLS.
    pub tls: Door,
}

impl Authority {
    /// Starts one that lets orders wait for nothing, and whose certificates are good for so many seconds.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start(good_s: u64) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate");
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("authority.pem"), made.cert.pem()).expect("a file");
        std::fs::write(path("key.pem"), made.signing_key.serialize_pem()).expect("a file");
        let (http, tls) = (Door::new(), Door::new());
        let names = names();
        // It takes a port of its own by number only: one that was free just now.
        let free = || TcpListener::bind("127.0.0.1:0").and_then(|one| one.local_addr()).expect("a port");
        for _ in 0..5 {
            let (listen, manage) = (free(), free());
            let config = json!({ "pebble": {
                "listenAddress": listen.to_string(), "managementListenAddress": manage.to_string(),
                "certificate": path("authority.pem"), "privateKey": path("key.pem"),
                "httpPort": http.address.port(), "tlsPort": tls.address.port(),
                "ocspResponderURL": "", "certificateValidityPeriod": good_s, "externalAccountBindingRequired": false,
            } });
            std::fs::write(path("config.json"), config.to_string()).expect("a file");
            let mut child = Command::new("pebble")
                .args(["-dnsserver", &names.to_string(), "-config"])
                .arg(path("config.json"))
                .env("PEBBLE_VA_NOSLEEP", "1")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("pebble starts: packaging/need.sh test installs it");
            let deadline = Instant::now() + Duration::from_secs(15);
            while Instant::now() < deadline && child.try_wait().is_ok_and(|ended| ended.is_none()) {
                if TcpStream::connect(listen).is_ok() {
                    return Self { directory: format!("https://{listen}/dir"), folder, child, http, tls };
                }
                thread::sleep(Duration::from_millis(20));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        panic!("pebble does not come up");
    }

    /// The file that its clients must trust.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that leads to another one. Whoever comes before it is known where to waits.
pub struct Door {
    /// Where it listens.
    pub address: SocketAddr,
    leads: Arc<Leads>,
}

#[derive(Default)]
struct Leads {
    /// None: nobody has said yet. Inside, none: nowhere.
    to: Mutex<Option<Option<SocketAddr>>>,
    said: Condvar,
}

impl Door {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let leads = Arc::<Leads>::default();
        let shared = Arc::clone(&leads);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let leads = Arc::clone(&shared);
                thread::spawn(move || pass(&stream, &leads));
            }
        });
        Self { address, leads }
    }

    /// Leads there from now on; none: nowhere, and whoever comes is turned away.
    ///
    /// # Panics
    /// Never.
    pub fn lead(&self, to: Option<SocketAddr>) {
        *self.leads.to.lock().expect("whole") = Some(to);
        self.leads.said.notify_all();
    }
}

fn pass(stream: &TcpStream, leads: &Leads) {
    let to = leads.said.wait_while(leads.to.lock().expect("whole"), |to| to.is_none()).expect("whole");
    let Some(Some(to)) = *to else { return };
    let Ok(server) = TcpStream::connect(to) else { return };
    thread::scope(|scope| {
        for (mut from, mut to) in [(stream, &server), (&server, stream)] {
            scope.spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(std::net::Shutdown::Write);
            });
        }
    });
}

/// A name server for which every host has the address 127.0.0.1, and no other record.
fn names() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("an address");
    thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((bytes, from)) = socket.recv_from(&mut query) {
            if let Some(answer) = answer(&query[..bytes]) {
                let _ = socket.send_to(&answer, from);
            }
        }
    });
    address
}

/// RFC 1035, section 4: the query's id and question, and one A record when it is asked for.
fn answer(query: &[u8]) -> Option<Vec<u8>> {
    let mut end = 12;
    while *query.get(end)? != 0 {
        end += 1 + usize::from(query[end]);
    }
    let question = query.get(12..end + 5)?;
    let is_address = question[question.len() - 4..question.len() - 2] == [0, 1];
    let count = u8::from(is_address);
    let mut answer = [&query[..2], &[0x81, 0x80, 0, 1, 0, count, 0, 0, 0, 0], question].concat();
    if is_address {
        answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
        answer.extend_from_slice(&Ipv4Addr::LOCALHOST.octets());
    }
    Some(answer)
}
