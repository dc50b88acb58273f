//! workerd as the oracle: the same bundle and the same requests to both; status, header fields and body must
//! be the same. Bundles are made by esbuild from `fixtures/` and libraries of the npm registry at test time.
//!
//! A difference that is meant has a line in `known.txt` with its reason; a line that no longer differs fails.

mod peer;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use fazt_tests::{Client, Folder, Response, Server};
use serde_json::Value;

/// Fields that the two servers set for themselves.
const OWN_FIELDS: [&str; 9] = [
    "date",
    "server",
    "content-length",
    "transfer-encoding",
    "connection",
    "x-request-id",
    "permissions-policy",
    "x-content-type-options",
    "vary",
];

fn fields(response: &Response) -> BTreeMap<String, Vec<String>> {
    let mut fields = BTreeMap::<_, Vec<_>>::new();
    for (name, value) in &response.fields {
        if !OWN_FIELDS.contains(&name.as_str()) {
            fields.entry(name.clone()).or_default().push(value.clone());
        }
    }
    fields
}

/// One line for each way in which two answers differ.
fn differences(name: &str, ours: &Response, theirs: &Response) -> Vec<String> {
    let mut found = Vec::new();
    if ours.status != theirs.status {
        found.push(format!("{name} status: {} is not {}", ours.status, theirs.status));
    }
    let (mine, other) = (fields(ours), fields(theirs));
    for key in mine.keys().chain(other.keys().filter(|key| !mine.contains_key(*key))) {
        if mine.get(key) != other.get(key) {
            found.push(format!("{name} field {key}: {:?} is not {:?}", mine.get(key), other.get(key)));
        }
    }
    match (serde_json::from_slice::<Value>(&ours.body), serde_json::from_slice::<Value>(&theirs.body)) {
        (Ok(Value::Object(ours)), Ok(Value::Object(theirs))) => {
            for key in theirs.keys() {
                let (ours, theirs) = (ours.get(key), theirs.get(key));
                if ours != theirs {
                    found.push(format!(
                        "{name} {key}: {} is not {}",
                        ours.map_or("nothing".into(), ToString::to_string),
                        theirs.map_or("nothing".into(), ToString::to_string)
                    ));
                }
            }
        }
        _ if ours.body != theirs.body => {
            found.push(format!("{name} body: {:?} is not {:?}", ours.text(), theirs.text()));
        }
        _ => {}
    }
    found
}

struct Ask {
    method: String,
    path: String,
    fields: Vec<(String, String)>,
    body: String,
}

impl Ask {
    fn get(path: &str) -> Self {
        Self { method: "GET".into(), path: path.into(), fields: Vec::new(), body: String::new() }
    }

    fn read(row: &Value) -> Self {
        let text = |at: usize| row[at].as_str().unwrap_or_default().to_owned();
        let fields = row[2].as_object().into_iter().flatten();
        let fields =
            fields.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()));
        Self { method: text(0), path: text(1), fields: fields.collect(), body: text(3) }
    }

    fn send(&self, client: &mut Client) -> Response {
        let fields: Vec<_> =
            self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        client
            .request(&self.method, &self.path, &fields, self.body.as_bytes())
            .unwrap_or_else(|error| panic!("{} {}: {error}", self.method, self.path))
    }
}

/// Serves a bundle as an app that asks for these permissions.
fn serve(fixture: &str, bundle: &std::path::Path, permissions: &str) -> Server {
    let server = Server::start();
    let folder = Folder::new();
    let manifest =
        format!("{{\"name\": \"{fixture}\", \"access\": \"public\", \"permissions\": {{{permissions}}}}}");
    folder.write("app.json", manifest);
    folder.write("server.js", std::fs::read(bundle).expect("bundle"));
    server.deploy(&folder, fixture);
    server
}

/// Compares a fixture; the requests are its own list of cases, or those of `requests.json`.
fn compare(fixture: &str) {
    let bundle = peer::bundle(fixture);
    let server = serve(fixture, &bundle, "");
    let workerd = peer::Workerd::start(&bundle, fixture == "oldstyle");
    // The same authority for both, so that URLs in answers are the same.
    let host = format!("{fixture}.localhost:{}", server.address.port());
    let ours = || Client::connect(server.address, &host).expect("fazt");
    let theirs = || Client::connect(workerd.address, &host).expect("workerd");

    let listed: Value = serde_json::from_str(include_str!("requests.json")).expect("requests.json");
    let asks: Vec<Ask> = match listed[fixture].as_array() {
        Some(rows) => rows.iter().map(Ask::read).collect(),
        None => {
            let names = theirs().get("/").expect("cases").text();
            let names: Vec<String> = serde_json::from_str(&names).expect("names of cases");
            names.iter().map(|name| Ask::get(&format!("/{name}"))).collect()
        }
    };
    assert!(!asks.is_empty());
    let mut found = Vec::new();
    for ask in &asks {
        let name = format!("{fixture} {} {}", ask.method, ask.path);
        found.extend(differences(&name, &ask.send(&mut ours()), &ask.send(&mut theirs())));
    }
    judge(&format!("{fixture} "), &found);
}

/// Holds what differs against what is known to.
fn judge(prefix: &str, found: &[String]) {
    let lines = include_str!("known.txt").lines().filter(|line| line.starts_with(prefix));
    let known: Vec<&str> = lines.filter_map(|line| line.split(" # ").next()).collect();
    let mut report = String::new();
    for line in found {
        if !known.iter().any(|known| line.starts_with(known)) {
            let _ = writeln!(report, "{line}");
        }
    }
    for known in &known {
        if !found.iter().any(|line| line.starts_with(known)) {
            let _ = writeln!(report, "no longer differs, take it out of known.txt: {known}");
        }
    }
    assert!(report.is_empty(), "{report}");
}

/// Compares what is stored through bindings, call by call: the same sequences on fresh storage on both sides.
fn compare_bindings(kind: &str) {
    let (seed, _) = fazt_tests::seed();
    println!("FAZT_SEED={seed}");
    let seed = (seed & 0x7fff_ffff) as u32;
    let fixture = "bindings";
    let bundle = peer::bundle(fixture);
    let server = serve(fixture, &bundle, "\"spaces\": true");
    let miniflare = peer::Miniflare::start(&bundle);
    let host = format!("{fixture}.localhost:{}", server.address.port());
    let ours = || Client::connect(server.address, &host).expect("fazt");
    let theirs = || Client::connect(miniflare.address, &host).expect("miniflare");
    let names = theirs().get("/").expect("cases").text();
    let names: Vec<String> = serde_json::from_str(&names).expect("names of cases");
    let mut found = Vec::new();
    for name in names.iter().filter(|name| name.starts_with(kind)) {
        // What is random goes on from what the round before has left.
        for round in 0..if name.ends_with("random") { 5 } else { 1 } {
            let ask = Ask::get(&format!("/{name}?seed={}", seed.wrapping_add(round)));
            let expected = ask.send(&mut theirs());
            let steps: Value = serde_json::from_slice(&expected.body).expect("a transcript");
            assert!(
                expected.status == 200 && steps.as_object().is_some_and(|steps| steps.len() >= 8),
                "{name}"
            );
            found.extend(differences(&format!("{fixture} {name}"), &ask.send(&mut ours()), &expected));
        }
    }
    judge(&format!("{fixture} {kind}"), &found);
}

/// D1: scripted cases, then sequences of random calls that both make from the same seed.
#[test]
fn d1_is_the_same() {
    let (seed, _) = fazt_tests::seed();
    println!("FAZT_SEED={seed}");
    let bundle = peer::bundle("d1");
    let server = serve("d1", &bundle, "\"spaces\": true, \"sql\": true");
    let miniflare = peer::Miniflare::start(&bundle);
    let host = format!("d1.localhost:{}", server.address.port());
    let ours = || Client::connect(server.address, &host).expect("fazt");
    let theirs = || Client::connect(miniflare.address, &host).expect("miniflare");
    let names = theirs().get("/").expect("cases").text();
    let names: Vec<String> = serde_json::from_str(&names).expect("names of cases");
    let scripted = names.into_iter().map(|name| format!("/{name}"));
    let random = (0..8).map(|round| format!("/random?seed={}&steps=60", (seed & 0xffff_ff00) + round));
    let mut found = Vec::new();
    for path in scripted.chain(random) {
        let ask = Ask::get(&path);
        found.extend(differences(&format!("d1 {path}"), &ask.send(&mut ours()), &ask.send(&mut theirs())));
    }
    judge("d1 ", &found);
}

#[test]
fn workers_kv_is_the_same() {
    compare_bindings("kv_");
}

#[test]
fn r2_is_the_same() {
    compare_bindings("r2_");
}

#[test]
fn hono_runs_unchanged() {
    compare("hono");
}

#[test]
fn itty_router_runs_unchanged() {
    compare("itty");
}

#[test]
fn the_service_worker_syntax_is_the_same() {
    compare("oldstyle");
}

#[test]
fn fetch_classes_are_the_same() {
    compare("fetch");
}

#[test]
fn the_web_platform_is_the_same() {
    compare("platform");
}

#[test]
fn node_modules_are_the_same() {
    compare("node");
}
