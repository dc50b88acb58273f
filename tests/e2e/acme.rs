//! Certificates from an authority: Let's Encrypt's own server for tests, which refuses one nonce in twenty.

use std::net::SocketAddr;
use std::process::{Command, Output};

use fazt_tests::acme::Authority;
use fazt_tests::{Client, Server, ServerOptions};
use serde_json::Value;

const APP: &str = "export default { fetch: () => new Response('hello') };";
const MANIFEST: &str = r#"{ "name": "app", "main": "server.js", "access": "public" }"#;

const DAY_S: u64 = 24 * 60 * 60;

/// A server that gets its certificates from the authority.
fn start(authority: &Authority) -> Server {
    let config = format!(
        "domain = \"cloud.example\"\n[tls]\nmode = \"auto\"\nlisten = [\"127.0.0.1:0\"]\nemail = \"me@cloud.example\"\n\
         directory = \"{}\"\n[egress]\ntest_network = true\n",
        authority.directory
    );
    let trust = format!("SSL_CERT_FILE={}", authority.authority().display());
    let through = ["env".to_owned(), trust];
    let server = Server::with(ServerOptions { config, through: through.into(), ..ServerOptions::default() });
    server.deploy_files("app", &[("app.json", MANIFEST), ("server.js", APP)]);
    server
}

fn https(server: &Server) -> SocketAddr {
    server.status()["listen"][1].as_str().expect("an address for HTTPS").parse().expect("an address")
}

fn lead(authority: &Authority, server: &Server) {
    authority.http.lead(Some(server.address));
    authority.tls.lead(Some(https(server)));
}

/// `curl` to a host that is this server, whoever signed its certificate.
fn curl(server: &Server, host: &str, more: &[&str]) -> Output {
    let address = https(server);
    let resolve = format!("{host}:{}:127.0.0.1", address.port());
    let url = format!("https://{host}:{}/", address.port());
    let mut command = Command::new("curl");
    command.args(["-sSk", "--resolve", &resolve]).args(more).arg(url).output().expect("curl")
}

/// Who signed the certificate that a host shows.
fn issuer(server: &Server, host: &str) -> String {
    let output = curl(server, host, &["-v", "-o", "/dev/null"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("*  issuer: "));
    line.unwrap_or_else(|| panic!("no issuer: {text}")).to_owned()
}

fn certificate(server: &Server, host: &str) -> Value {
    let list = server.fazt(&["net", "certs", "--json"]).ok().json();
    assert_eq!((&list["mode"], &list["root_pem"]), (&"auto".into(), &Value::Null));
    let all = list["certificates"].as_array().expect("a list");
    all.iter().find(|one| one["host"] == host).cloned().unwrap_or_default()
}

#[test]
fn hosts_get_certificates_when_they_are_asked_for_and_keep_them() {
    let authority = Authority::start(DAY_S);
    let mut server = start(&authority);
    lead(&authority, &server);
    // Before anybody asks.
    server.wait("the domain's certificate", |server| certificate(server, "cloud.example")["issued"] == true);
    assert!(issuer(&server, "cloud.example").contains("Pebble"));
    // The first client of an app waits for it, and is told to come so from now on.
    let first = curl(&server, "app.cloud.example", &["-i"]);
    let text = String::from_utf8_lossy(&first.stdout).into_owned();
    assert!(
        text.contains("strict-transport-security: max-age=31536000") && text.ends_with("hello"),
        "{first:?}"
    );
    assert!(issuer(&server, "app.cloud.example").contains("Pebble"));
    let before = certificate(&server, "app.cloud.example");
    assert!(before["expires_unix_ms"].as_u64() > before["renew_unix_ms"].as_u64(), "{before}");
    // Nothing is asked for a host that does not route.
    assert_eq!(curl(&server, "nobody.cloud.example", &[]).status.code(), Some(35));
    assert_eq!(certificate(&server, "nobody.cloud.example"), Value::Null);
    // It lies in the store: the authority may be gone.
    drop(authority);
    server.kill_hard();
    server.start_again();
    assert!(issuer(&server, "app.cloud.example").contains("Pebble"));
    assert_eq!(certificate(&server, "app.cloud.example")["expires_unix_ms"], before["expires_unix_ms"]);
}

#[test]
fn the_proof_goes_the_other_way_when_one_is_closed() {
    let authority = Authority::start(DAY_S);
    let server = start(&authority);
    // Only plain HTTP leads here: the proof over TLS is not found.
    authority.tls.lead(None);
    authority.http.lead(Some(server.address));
    server.wait("the domain's certificate", |server| certificate(server, "cloud.example")["issued"] == true);
    // What no authority asked for is not there.
    let mut client = Client::connect(server.address, "cloud.example").expect("connection");
    let nothing = client.get("/.well-known/acme-challenge/guess").expect("an answer");
    assert_eq!(nothing.status, 308);
}

#[test]
fn without_the_authority_a_certificate_of_our_own_is_shown_and_the_owner_told_why() {
    let authority = Authority::start(DAY_S);
    // No proof is found.
    authority.http.lead(None);
    authority.tls.lead(None);
    let server = start(&authority);
    let trouble = |server: &Server, host: &str| {
        certificate(server, host)["trouble"].as_str().unwrap_or_default().to_owned()
    };
    server.wait("a refusal", |server| trouble(server, "cloud.example").contains("challenge"));
    let answer = curl(&server, "cloud.example", &["-i"]);
    let text = String::from_utf8_lossy(&answer.stdout).into_owned();
    assert!(text.starts_with("HTTP/2 ") && !text.contains("strict-transport-security"), "{answer:?}");
    assert!(issuer(&server, "cloud.example").contains("Fazt root"));
    let table = server.fazt(&["net", "certs"]).ok().stdout;
    assert!(table.contains("cloud.example") && table.contains("the authority says"), "{table}");
    assert!(certificate(&server, "cloud.example")["try_unix_ms"].is_u64());
    // It gives up for now, not for good: later it would be asked again.
    drop(authority);
    assert!(curl(&server, "app.cloud.example", &[]).status.success());
}

#[test]
fn a_certificate_is_renewed_before_it_ends() {
    let authority = Authority::start(9);
    let server = start(&authority);
    lead(&authority, &server);
    let ends =
        |server: &Server| certificate(server, "cloud.example")["expires_unix_ms"].as_u64().unwrap_or(0);
    server.wait("the first certificate", |server| ends(server) > 0);
    let first = ends(&server);
    // Nobody asks for the host meanwhile.
    server.wait("the second one", |server| ends(server) > first);
    let table = server.fazt(&["net", "certs"]).ok().stdout;
    assert!(table.contains("the authority") && !table.contains("no certificate"), "{table}");
    assert!(issuer(&server, "cloud.example").contains("Pebble"));
}
