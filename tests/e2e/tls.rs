//! HTTPS with certificates of the server's own making.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Output};

use fazt_tests::{Client, Folder, Server, ServerOptions};

/// Says by which URL it was asked, and what it was told of the way there.
const APP: &str = "export default { fetch(request) {
  return Response.json({ url: request.url, proto: request.headers.get('x-forwarded-proto') });
} };";

const MANIFEST: &str = r#"{ "name": "app", "main": "server.js", "access": "public" }"#;

/// A server with TLS, its port, and a folder with its root.
fn start() -> (Server, u16, Folder) {
    let config = "domain = \"cloud.example\"\n[tls]\nmode = \"self-signed\"\nlisten = [\"127.0.0.1:0\"]\n";
    let server = Server::with(ServerOptions { config: config.into(), ..ServerOptions::default() });
    server.deploy_files("app", &[("app.json", MANIFEST), ("server.js", APP)]);
    let port = port(&server);
    let folder = Folder::new();
    folder.write("root.pem", server.fazt(&["net", "certs", "--root"]).ok().stdout);
    (server, port, folder)
}

fn port(server: &Server) -> u16 {
    let listen = server.status()["listen"].clone();
    let address = listen[1].as_str().expect("an address for HTTPS");
    address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port")
}

/// `curl` to a host that is this server, trusting its root.
fn curl(port: u16, root: &Folder, host: &str, more: &[&str]) -> Output {
    let resolve = format!("{host}:{port}:127.0.0.1");
    let url = format!("https://{host}:{port}/x?y=1");
    let root = root.path().join("root.pem");
    let mut command = Command::new("curl");
    command.args(["-sS", "--resolve", &resolve, "--cacert"]).arg(root).args(more).arg(url);
    command.output().expect("curl")
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn hosts_are_served_over_tls_with_a_root_that_stays() {
    let (mut server, port, root) = start();
    let info = server.fazt(&["app", "info", "app", "--json"]).ok().json();
    assert_eq!(info["url"], format!("https://app.cloud.example:{port}"));
    let ask = |port: u16| said(&curl(port, &root, "app.cloud.example", &["-w", " %{http_version}"]));
    let expect = format!("{{\"url\":\"https://app.cloud.example:{port}/x?y=1\",\"proto\":\"https\"}} 2");
    assert_eq!(ask(port), expect);
    let one = said(&curl(port, &root, "app.cloud.example", &["--http1.1", "-w", " %{http_version}"]));
    assert!(one.ends_with(" 1.1"), "{one}");
    // The server's own host, with cookies that only a safe origin may set.
    let page = said(&curl(port, &root, "cloud.example", &["-i", "-L"]));
    assert!(page.starts_with("HTTP/2 "), "{page}");
    let listed = server.fazt(&["net", "certs", "--json"]).ok().json();
    let hosts: Vec<_> = listed["certificates"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|one| one["host"].as_str())
        .collect();
    assert_eq!((&listed["mode"], hosts), (&"self-signed".into(), vec!["app.cloud.example", "cloud.example"]));
    let table = server.fazt(&["net", "certs"]).ok().stdout;
    assert!(table.contains("app.cloud.example"), "{table}");
    // A restart makes no other root: whoever trusts it goes on.
    server.kill_hard();
    server.start_again();
    let port = self::port(&server);
    assert!(ask(port).ends_with(" 2"));
    let pem = std::fs::read_to_string(root.path().join("root.pem")).expect("the root");
    assert_eq!(server.fazt(&["net", "certs", "--root"]).ok().stdout, pem);
}

#[test]
fn without_encryption_whoever_asks_for_a_host_of_ours_is_led_there() {
    let (server, port, _root) = start();
    let mut client = Client::connect(server.address, "app.cloud.example").expect("connection");
    for (method, body) in [("GET", &b""[..]), ("POST", b"form")] {
        let led = client.request(method, "/a?b=c", &[], body).expect("an answer");
        let to = format!("https://app.cloud.example:{port}/a?b=c");
        assert_eq!((led.status, led.field("location")), (308, Some(&*to)), "{method}");
    }
    for host in ["cloud.example.evil.example", "nobody.cloud.example", "127.0.0.1"] {
        let mut client = Client::connect(server.address, host).expect("connection");
        let answer = client.get("/").expect("an answer");
        assert_eq!((answer.status, answer.field("location")), (421, None), "{host}");
    }
    // Whoever looks after the server asks without.
    let mut client = Client::connect(server.address, "127.0.0.1").expect("connection");
    assert_eq!(client.get("/healthz").expect("an answer").status, 200);
}

#[test]
fn a_connection_is_for_the_host_whose_certificate_was_shown() {
    let (server, port, root) = start();
    // No certificate for whoever is not there.
    for host in ["nobody.cloud.example", "evil.example", "a.app.cloud.example"] {
        let refused = curl(port, &root, host, &[]);
        assert_eq!(refused.status.code(), Some(35), "{host}: {refused:?}");
    }
    let other = curl(
        port,
        &root,
        "app.cloud.example",
        &["-o", "/dev/null", "-w", "%{http_code}", "-H", "host: cloud.example"],
    );
    assert_eq!(said(&other), "421");
    // Nor one that is not trusted, nor an old protocol.
    let url = format!("https://app.cloud.example:{port}/");
    let resolve = format!("app.cloud.example:{port}:127.0.0.1");
    let strangers = Command::new("curl").args(["-sS", "--resolve", &resolve, &url]).output().expect("curl");
    assert_eq!(strangers.status.code(), Some(60), "{strangers:?}");
    let old = curl(port, &root, "app.cloud.example", &["--tls-max", "1.1"]);
    assert_eq!(old.status.code(), Some(35), "{old:?}");
    let suite = curl(port, &root, "app.cloud.example", &["--tls-max", "1.2", "--ciphers", "AES128-SHA"]);
    assert!(!suite.status.success(), "{suite:?}");
    assert!(curl(port, &root, "app.cloud.example", &["--tls-max", "1.2"]).status.success());

    // What is no TLS at all ends, and is counted; the server goes on.
    let mut plain = TcpStream::connect(("127.0.0.1", port)).expect("connection");
    plain.write_all(b"GET / HTTP/1.1\r\nHost: app.cloud.example\r\n\r\n").expect("sent");
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/"), "{answer:?}");
    let mut client = Client::connect(server.address, "127.0.0.1").expect("connection");
    server.wait("the handshakes to be counted", |server| {
        let _ = server;
        let mut control = Client::control(server.data()).expect("the control socket");
        let text = control.get("/metrics").expect("an answer").text();
        let count = text.lines().find_map(|line| line.strip_prefix("fazt_handshakes_failed_total "));
        count.and_then(|count| count.parse::<u64>().ok()).is_some_and(|count| count >= 5)
    });
    assert_eq!(client.get("/healthz").expect("an answer").status, 200);
}

#[test]
fn the_configuration_says_what_is_wrong_with_it() {
    let folder = Folder::new();
    for (config, expect) in [
        ("[tls]\nmode = \"on\"\n", "self-signed"),
        ("[tls]\nlisten = []\n", "tls.listen"),
        ("[tls]\nport = 443\n", "port"),
    ] {
        folder.write("config.toml", config);
        let refused = fazt_tests::fazt(folder.path(), &["proc", "start"]);
        assert!(refused.code != 0 && refused.stderr.contains(expect), "{config}: {refused:?}");
    }
}

#[test]
fn init_writes_a_configuration_once_and_changes_none() {
    let folder = Folder::new();
    let data = folder.path().join("cloud");
    let init = |more: &[&str]| fazt_tests::fazt(&data, &[&["proc", "init", "--json"][..], more].concat());
    let wishes = ["--domain", "Me.Example", "--tls", "self-signed", "--email", "me@me.example"];
    let dry = init(&[&wishes[..], &["--dry-run"]].concat()).ok().json();
    assert_eq!((&dry["made"], &dry["steps"][0]["state"]), (&false.into(), &"would be done".into()), "{dry}");
    assert!(!data.exists(), "nothing was done");
    for (wrong, expect) in [
        (&["--domain", "not a host"][..], "host name"),
        (&["--domain", "localhost", "--tls", "auto"], "domain"),
        (&["--domain", "192.0.2.7"], "self-signed"),
        (&["--tls", "auto"], "self-signed"),
        (&["--domain", "me.example", "--email", "nobody"], "tls.email"),
    ] {
        let refused = init(wrong);
        assert!(refused.code == 2 && refused.stderr.contains(expect), "{refused:?}");
        assert!(!data.exists(), "nothing was done");
    }
    let made = init(&wishes).ok().json();
    assert_eq!((&made["made"], &made["service"]), (&true.into(), &false.into()));
    let config = std::fs::read_to_string(data.join("config.toml")).expect("config.toml");
    assert!(
        config.contains("domain = \"me.example\"") && config.contains("mode = \"self-signed\""),
        "{config}"
    );
    let again = init(&wishes).ok().json();
    assert_eq!(again["made"], false);
    let other = init(&["--domain", "you.example"]);
    assert!(other.code == 5 && other.stderr.contains("me.example"), "{other:?}");
    assert_eq!(std::fs::read_to_string(data.join("config.toml")).expect("config.toml"), config);
    let refused = fazt_tests::fazt(&data, &["proc", "uninstall", "--purge", "--yes"]);
    assert_eq!(refused.code, 4, "{refused:?}");
    assert!(data.exists());
}
