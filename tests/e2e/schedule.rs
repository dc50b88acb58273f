//! What apps do without a request: `cron`, runs and jobs for later.

use std::process::{Command, Stdio};

use fazt_tests::{Server, ServerOptions, fazt_path};
use serde_json::Value;

/// An app that writes down what it does, and does what it is asked to.
const APP: &str = r#"
    const { kv } = fazt.storage.space("app");
    // Each is a key of its own, in the order of their times: several may be written at once.
    const note = (what) => kv.set(`seen/${Date.now()}-${crypto.randomUUID()}`, what);
    const seen = async () => Promise.all((await kv.list({ prefix: "seen/" })).keys.map(({ key }) => kv.get(key)));
    export default {
        async fetch(request, env) {
            const url = new URL(request.url), body = request.method === "POST" ? await request.json() : null;
            try {
                switch (url.pathname) {
                    case "/seen": return Response.json(await seen());
                    case "/schedule": return Response.json(await fazt.proc.schedule(body.when, body.payload));
                    case "/enqueue": return Response.json(await fazt.proc.enqueue("work", body.payload, body.options));
                    case "/send": return Response.json((await env.WORK.sendBatch(body)) ?? null);
                    case "/kept": return Response.json([await env.KV.get("kept"), await env.DB.prepare("SELECT n FROM kept").first("n")]);
                    case "/cancel": return Response.json(await fazt.proc.cancel(body));
                    case "/list": return Response.json(await fazt.proc.list());
                }
            } catch (error) {
                return Response.json({ name: error.name, message: error.message, permission: error.permission }, { status: 500 });
            }
            return new Response("hello");
        },
        async scheduled(event, env, ctx) {
            await note({ run: event.name, cron: event.cron, payload: event.payload ?? null, tries: event.attempts, user: ctx.user });
            if (event.payload?.keep) {
                await env.KV.put("kept", event.payload.keep);
                await env.DB.exec("CREATE TABLE IF NOT EXISTS kept(n INTEGER)");
                ctx.waitUntil(env.DB.prepare("INSERT INTO kept(n) VALUES(?)").bind(7).run());
            }
            if (event.payload?.final) event.noRetry();
            if (event.name === "broken" || event.payload?.throws) throw new Error("as it was told");
            if (event.payload?.holds && event.attempts === 1) await new Promise((done) => setTimeout(done, 20000));
        },
        async queue(batch) {
            for (const message of batch.messages) {
                await note({ job: batch.queue, body: message.body, tries: message.attempts });
                if (message.attempts <= message.body.throws) throw new Error(`try ${message.attempts}`);
                if (message.body.again) message.retry({ delaySeconds: 0 });
            }
        },
    };
"#;

/// Entries that never come by themselves while a test runs, unless it runs at the end of a year.
const MANIFEST: &str = r#"{
    "permissions": { "schedule": true, "spaces": true, "sql": true },
    "bindings": { "WORK": "queue", "KV": "kv", "DB": "d1" },
    "cron": [
        { "name": "digest", "schedule": "59 23 31 12 *", "timezone": "Europe/Berlin", "missed": "run-once" },
        { "name": "broken", "schedule": "59 23 31 12 *" }
    ]
}"#;

const DENIED: &str = r#"{ "permissions": { "spaces": true } }"#;

fn deploy(server: &Server, name: &str, manifest: &str) {
    server.deploy_files(name, &[("app.json", manifest), ("server.js", APP)]);
}

fn ask(server: &Server, path: &str, body: &str) -> Value {
    let answer = server
        .client("app")
        .request("POST", path, &[("content-type", "application/json")], body.as_bytes())
        .expect("an answer");
    serde_json::from_str(&answer.text()).expect("JSON")
}

fn seen(server: &Server) -> Vec<Value> {
    let seen: Value = serde_json::from_str(&server.get("app", "/seen").text()).expect("JSON");
    seen.as_array().expect("a list").clone()
}

fn rows(server: &Server, arguments: &[&str]) -> Vec<Value> {
    let arguments = [arguments, &["--json"]].concat();
    server.fazt(&arguments).ok().json().as_array().expect("a list").clone()
}

#[test]
fn an_entry_of_cron_runs_when_somebody_says_so_and_tells_what_became_of_it() {
    let server = Server::start();
    deploy(&server, "app", MANIFEST);
    let listed = || rows(&server, &["proc", "schedules"]);
    server.wait("the entries", |_| listed().len() == 2);
    let ran = server.fazt(&["proc", "run", "app", "digest", "--json"]).ok().json();
    assert_eq!((ran["outcome"].as_str(), ran["attempt"].as_u64()), (Some("ok"), Some(1)), "{ran}");
    assert_eq!(
        seen(&server),
        [
            serde_json::json!({ "run": "digest", "cron": "59 23 31 12 *", "payload": null, "tries": 1, "user": null })
        ],
        "as the app itself, in its own space"
    );
    let broken = server.fazt(&["proc", "run", "app", "broken"]);
    assert_eq!(broken.code, 1, "{broken:?}");
    assert!(broken.stdout.contains("Error: as it was told"), "{broken:?}");
    let logs = server.fazt(&["proc", "logs", "app"]).ok();
    assert!(
        logs.stdout.contains("Error: as it was told") && logs.stdout.contains("server.js:"),
        "{}",
        logs.stdout
    );
    assert_eq!(server.fazt(&["proc", "run", "app", "none"]).code, 3);
    assert_eq!(server.fazt(&["proc", "run", "none", "digest"]).code, 3);
    let rows = listed();
    let digest = rows.iter().find(|row| row["name"] == "digest").expect("listed");
    assert_eq!((&digest["timezone"], &digest["missed"]), (&"Europe/Berlin".into(), &"run-once".into()));
    assert_eq!((&digest["last"]["outcome"], &digest["paused"]), (&"ok".into(), &"".into()));
    assert!(digest["next_unix_ms"].as_u64().is_some_and(|next| next > 0));
    let outcomes: Vec<_> = self::rows(&server, &["proc", "runs", "app"])
        .iter()
        .map(|run| {
            format!("{} {}", run["name"].as_str().unwrap_or(""), run["outcome"].as_str().unwrap_or(""))
        })
        .collect();
    assert_eq!(outcomes, ["broken failed", "digest ok"]);
    // Another version has other entries; one of old has its own again.
    deploy(&server, "app", &MANIFEST.replace("broken", "weekly"));
    let names = |server: &Server| -> Vec<String> {
        rows_of(server).iter().map(|row| row["name"].as_str().unwrap_or("").to_owned()).collect()
    };
    server.wait("the new entries", |server| names(server) == ["digest", "weekly"]);
    server.fazt(&["app", "rollback", "app"]).ok();
    server.wait("the old entries", |server| names(server) == ["broken", "digest"]);
    server.fazt(&["app", "remove", "app", "--yes"]).ok();
    assert_eq!(rows_of(&server), Vec::<Value>::new());
}

fn rows_of(server: &Server) -> Vec<Value> {
    rows(server, &["proc", "schedules"])
}

#[test]
fn a_run_that_is_due_wakes_an_app_that_sleeps() {
    let server =
        Server::with(ServerOptions { config: "[workers]\nidle_s = 1\n".into(), ..ServerOptions::default() });
    deploy(&server, "app", MANIFEST);
    let id = ask(&server, "/schedule", r#"{ "when": { "inS": 3 }, "payload": { "to": ["anna"] } }"#);
    assert!(id.as_str().is_some_and(|id| id.starts_with("job_")), "{id}");
    let listed = ask(&server, "/list", "null");
    assert_eq!(
        (&listed[0]["id"], &listed[0]["state"], &listed[0]["kind"]),
        (&id, &"waiting".into(), &"run".into())
    );
    server.fazt(&["proc", "hibernate", "app"]).ok();
    server.wait("sleep", |server| server.processes("app").is_empty());
    server.wait("the run", |server| rows(server, &["proc", "runs", "app"]).len() == 1);
    let principals: Vec<_> = server
        .processes("app")
        .iter()
        .map(|row| row["principal"].as_str().unwrap_or("").to_owned())
        .collect();
    assert!(principals.iter().all(|who| who == "service"), "{principals:?}");
    assert_eq!(seen(&server)[0]["payload"], serde_json::json!({ "to": ["anna"] }));
    // What was taken back does not come.
    let id = ask(&server, "/schedule", r#"{ "when": { "inS": 3600 } }"#);
    assert_eq!(ask(&server, "/cancel", &id.to_string()), true);
    assert_eq!(ask(&server, "/cancel", &id.to_string()), false);
    assert_eq!(rows(&server, &["proc", "jobs", "app"]), Vec::<Value>::new());
    // A time that has passed is now.
    ask(&server, "/schedule", r#"{ "when": 5, "payload": "late" }"#);
    server.wait("the late run", |server| seen(server).len() == 2);
}

#[test]
fn a_job_that_throws_is_tried_again_and_one_that_goes_on_throwing_is_a_dead_letter() {
    let server = Server::start();
    deploy(&server, "app", MANIFEST);
    ask(&server, "/enqueue", r#"{ "payload": { "name": "twice", "throws": 2 } }"#);
    ask(&server, "/enqueue", r#"{ "payload": { "name": "ever", "again": true } }"#);
    ask(&server, "/schedule", r#"{ "when": 0, "payload": { "throws": true, "final": true } }"#);
    let tries = |server: &Server, name: &str| -> Vec<u64> {
        let all = seen(server);
        let mine = all.iter().filter(|row| row["body"]["name"] == name);
        let mut tries: Vec<u64> = mine.filter_map(|row| row["tries"].as_u64()).collect();
        tries.sort_unstable();
        tries
    };
    server.wait("the third try", |server| tries(server, "twice") == [1, 2, 3]);
    server.wait("the dead letters", |server| rows(server, &["proc", "jobs", "app", "--dead"]).len() == 2);
    assert_eq!(tries(&server, "ever"), [1, 2, 3, 4, 5]);
    let dead = rows(&server, &["proc", "jobs", "app", "--dead"]);
    let of = |kind: &str| dead.iter().find(|row| row["kind"] == kind).cloned().expect("a letter");
    assert_eq!((&of("run")["error"], &of("run")["attempts"]), (&"Error: as it was told".into(), &1.into()));
    let id = of("job")["id"].as_str().expect("an id").to_owned();
    server.fazt(&["proc", "jobs", "app", "--retry", &id]).ok();
    server.wait("tries of somebody's word", |server| tries(server, "ever").len() == 10);
    server.wait("the letter", |server| rows(server, &["proc", "jobs", "app", "--dead"]).len() == 2);
    server.fazt(&["proc", "jobs", "app", "--discard", &id]).ok();
    assert_eq!(server.fazt(&["proc", "jobs", "app", "--discard", &id]).code, 3);
    assert_eq!(rows(&server, &["proc", "jobs", "app", "--dead"]).len(), 1);
}

#[test]
fn the_shapes_of_workers_are_there_for_what_nobody_asked_over_http() {
    let server = Server::start();
    deploy(&server, "app", MANIFEST);
    ask(&server, "/schedule", r#"{ "when": 0, "payload": { "keep": "it" } }"#);
    server.wait("the run", |server| {
        rows(server, &["proc", "runs", "app"]).first().is_some_and(|run| run["outcome"] == "ok")
    });
    assert_eq!(ask(&server, "/kept", "null"), serde_json::json!(["it", 7]));
    ask(&server, "/send", r#"[{ "body": { "n": 1 } }, { "body": { "n": 2 }, "delaySeconds": 1 }]"#);
    let jobs = |server: &Server| -> Vec<(String, u64)> {
        let all = seen(server);
        let jobs =
            all.iter().filter_map(|row| Some((row["job"].as_str()?.to_owned(), row["body"]["n"].as_u64()?)));
        jobs.collect()
    };
    server.wait("both", |server| jobs(server).len() == 2);
    assert_eq!(jobs(&server), [("WORK".to_owned(), 1), ("WORK".to_owned(), 2)]);
}

#[test]
fn a_run_goes_on_again_when_the_supervisor_alone_dies() {
    let server = Server::start();
    deploy(&server, "app", MANIFEST);
    ask(&server, "/schedule", r#"{ "when": 0, "payload": { "holds": true } }"#);
    let tries = |server: &Server| -> Vec<u64> {
        seen(server).iter().filter_map(|row| row["tries"].as_u64()).collect()
    };
    server.wait("the run", |server| tries(server) == [1]);
    let supervisor = server.status()["pid"].clone();
    assert!(Command::new("kill").args(["-KILL", &supervisor.to_string()]).status().expect("kill").success());
    server.wait("another supervisor", |server| {
        let status = server.fazt(&["proc", "status", "--json"]);
        status.code == 0 && status.json()["pid"] != supervisor
    });
    server.wait("the run again", |server| tries(server) == [1, 2]);
    server.wait("its end", |server| rows(server, &["proc", "jobs", "app"]).is_empty());
}

#[test]
fn a_run_that_the_server_did_not_see_to_its_end_runs_again() {
    let mut server = Server::start();
    deploy(&server, "app", MANIFEST);
    ask(&server, "/schedule", r#"{ "when": 0, "payload": { "holds": true } }"#);
    let tries = |server: &Server| -> Vec<u64> {
        seen(server).iter().filter_map(|row| row["tries"].as_u64()).collect()
    };
    server.wait("the run", |server| tries(server) == [1]);
    server.kill_hard();
    server.start_again();
    server.wait("the run again", |server| tries(server) == [1, 2]);
    server.wait("its end", |server| rows(server, &["proc", "jobs", "app"]).is_empty());
    let outcomes: Vec<_> =
        rows(&server, &["proc", "runs", "app"]).iter().map(|run| run["outcome"].clone()).collect();
    assert_eq!(outcomes, ["ok", "interrupted"]);
    // Somebody who waits for a run hears of it when the server is told to stop.
    let wait = Command::new(fazt_path())
        .args(["proc", "run", "app", "digest", "--data"])
        .arg(server.data())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    assert!(wait.wait_with_output().expect("ends").status.success());
}

#[test]
fn what_is_not_granted_is_refused_by_its_name_and_what_was_granted_stops_and_goes_on() {
    let server = Server::start();
    deploy(&server, "app", MANIFEST);
    ask(&server, "/schedule", r#"{ "when": { "inS": 3 }, "payload": "later" }"#);
    server.wait("the entries", |server| rows_of(server).len() == 2);
    server.fazt(&["app", "revoke", "app", "schedule"]).ok();
    for path in ["/enqueue", "/schedule", "/cancel", "/list"] {
        let refused = ask(&server, path, r#"{ "when": 0, "payload": 1 }"#);
        assert_eq!(
            (&refused["name"], &refused["permission"]),
            (&"PermissionDenied".into(), &"schedule".into())
        );
        let message = refused["message"].as_str().expect("a message");
        assert!(
            message.contains("permissions") && message.contains("fazt app grant app schedule"),
            "{message}"
        );
    }
    let run = server.fazt(&["proc", "run", "app", "digest"]);
    assert_eq!(run.code, 4, "{run:?}");
    assert!(run.stderr.contains("fazt app grant app schedule"), "{run:?}");
    // What waits stays, says why it does not run, and does not.
    let paused = |rows: Vec<Value>| rows.iter().filter(|row| row["paused"] != "").count();
    assert_eq!((paused(rows(&server, &["proc", "jobs", "app"])), paused(rows_of(&server))), (1, 2));
    server.wait("its time", |server| {
        let job = &rows(server, &["proc", "jobs", "app"])[0];
        job["due_unix_ms"].as_u64().is_some_and(|due| due < now_ms())
    });
    assert_eq!(seen(&server), Vec::<Value>::new());
    server.fazt(&["app", "grant", "app", "schedule"]).ok();
    server.wait("the run", |server| seen(server).len() == 1);
    // A version that does not ask for it has nothing of it.
    deploy(&server, "app", DENIED);
    assert_eq!(ask(&server, "/enqueue", r#"{ "payload": 1 }"#)["name"], "PermissionDenied");
    server.wait("no entries", |server| rows_of(server).is_empty());
    assert_eq!(server.fazt(&["proc", "run", "app", "digest"]).code, 3);
}

fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_millis()).expect("small")
}

#[test]
fn a_schedule_that_cannot_be_is_refused_when_deploying() {
    let server = Server::start();
    for (entry, why) in [
        (r#""schedule": "0 8 * * *", "timezone": "Europe/Atlantis""#, "time zone"),
        (r#""schedule": "0 8 30 2 *""#, "never comes"),
        (r#""schedule": "0 8 * * *", "perUser": true"#, "perUser"),
        (r#""schedule": "0 8 * * *", "overlap": "maybe""#, "overlap"),
    ] {
        let manifest =
            format!(r#"{{ "permissions": {{ "schedule": true }}, "cron": [{{ "name": "a", {entry} }}] }}"#);
        let folder = fazt_tests::Folder::with(&[("app.json", &*manifest), ("server.js", APP)]);
        let refused = server.fazt(&["app", "deploy", folder.arg(), "--name", "app", "--yes"]);
        assert_ne!(refused.code, 0);
        assert!(refused.stderr.contains("app.json:1") && refused.stderr.contains(why), "{}", refused.stderr);
    }
}
