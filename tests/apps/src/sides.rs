//! The two that are asked the same: Fazt and workerd.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use fazt_tests::{Client, Response};
use serde_json::{Value, json};

use crate::list::{App, Ask};

/// Whoever asks one of them: a browser with cookies, and what it has kept of answers.
pub struct Visitor {
    address: SocketAddr,
    host: String,
    /// What it is sent in every request and never compared: who is signed in.
    own: BTreeMap<String, String>,
    cookies: BTreeMap<String, String>,
    saved: BTreeMap<String, String>,
}

impl Visitor {
    pub fn new(address: SocketAddr, host: &str, own: BTreeMap<String, String>) -> Self {
        Self { address, host: host.to_owned(), own, cookies: BTreeMap::new(), saved: BTreeMap::new() }
    }

    /// Sends a request and keeps what it says is to be kept.
    pub fn ask(&mut self, ask: &Ask) -> Result<Response> {
        let body = match &ask.body {
            Value::Null => String::new(),
            Value::String(text) => self.fill(text),
            other => self.fill(&other.to_string()),
        };
        let mut fields: Vec<(String, String)> =
            ask.headers.iter().map(|(name, value)| (name.clone(), self.fill(value))).collect();
        if !matches!(ask.body, Value::Null | Value::String(_)) && !ask.headers.contains_key("content-type") {
            fields.push(("content-type".into(), "application/json".into()));
        }
        let cookies: Vec<String> =
            self.own.iter().chain(&self.cookies).map(|(name, value)| format!("{name}={value}")).collect();
        if !cookies.is_empty() {
            fields.push(("cookie".into(), cookies.join("; ")));
        }
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut client = Client::connect(self.address, &self.host)?;
        let response = client.request(&ask.method, &self.fill(&ask.path), &fields, body.as_bytes())?;
        for cookie in response.all("set-cookie") {
            if let Some((name, value)) = cookie.split(';').next().and_then(|pair| pair.split_once('=')) {
                self.cookies.insert(name.trim().to_owned(), value.trim().to_owned());
            }
        }
        for (name, from) in &ask.save {
            let found = match from.strip_prefix("field:") {
                Some(field) => response.field(field).map(str::to_owned),
                None if from == "body" => Some(response.text()),
                None => {
                    let json: Value = serde_json::from_slice(&response.body).unwrap_or_default();
                    json.pointer(from)
                        .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
                }
            };
            self.saved.insert(name.clone(), found.unwrap_or_default());
        }
        Ok(response)
    }

    fn fill(&self, text: &str) -> String {
        self.saved
            .iter()
            .fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    }

    /// What was kept, as its name: both sides make up values of their own.
    pub fn unfill(&self, text: &str) -> String {
        self.saved
            .iter()
            .filter(|(_, value)| value.len() >= 4)
            .fold(text.to_owned(), |text, (name, value)| text.replace(value, &format!("{{{name}}}")))
    }
}

/// A repository that workerd runs.
pub struct Workerd {
    child: Child,
    said: BufReader<ChildStdout>,
    /// Where it answers.
    pub address: SocketAddr,
}

impl Workerd {
    pub fn start(app: &App, folder: &Path, state: &Path) -> Result<Self> {
        let cache = fazt_tests::npm("apps");
        // Beside its packages, where node looks for them.
        let script = cache.join(format!("workerd-{}.mjs", std::process::id()));
        std::fs::write(&script, include_str!("../workerd.mjs"))?;
        let names = ["wrangler.json", "wrangler.jsonc", "wrangler.toml"];
        let config = names.iter().find(|name| folder.join(name).exists()).context("no configuration")?;
        let given = json!({ "config": config, "main": app.main, "vars": app.vars });
        let mut child = Command::new("node")
            .arg(&script)
            .args([folder, state])
            .arg(given.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut said = BufReader::new(child.stdout.take().context("piped")?);
        let port: u16 = answer(&mut said, "port ")?.parse()?;
        Ok(Self { child, said, address: SocketAddr::from(([127, 0, 0, 1], port)) })
    }

    /// Runs a schedule.
    pub fn run(&mut self, schedule: &str) -> Result<()> {
        let stdin = self.child.stdin.as_mut().context("piped")?;
        writeln!(stdin, "{schedule}")?;
        let outcome = answer(&mut self.said, "outcome ")?;
        ensure!(outcome == "ok", "workerd: the schedule ended with {outcome:?}");
        Ok(())
    }
}

/// The line for us, among those of Wrangler and the app.
fn answer(said: &mut BufReader<ChildStdout>, prefix: &str) -> Result<String> {
    loop {
        let mut line = String::new();
        ensure!(said.read_line(&mut line)? > 0, "workerd ended");
        if let Some(rest) = line.strip_prefix(prefix) {
            return Ok(rest.trim().to_owned());
        }
    }
}

impl Drop for Workerd {
    fn drop(&mut self) {
        // The end of its input ends it, and workerd with it.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
