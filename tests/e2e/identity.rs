//! People: the first link, users, sign-in across origins, who reaches what, sessions and their end, tokens.

use fazt_tests::{Browser, PASSWORD, Server};
use serde_json::Value;

/// Says who is asked for, and what fields arrived.
pub const WHO: &str = "export default { fetch(request, env, ctx) {
    return Response.json({ user: ctx.user, path: new URL(request.url).pathname,
        cookie: request.headers.get('cookie'), authorization: request.headers.get('authorization') });
} };";

/// An app that says who asks, with this access.
pub fn deploy(server: &Server, name: &str, access: &str) {
    let manifest = format!(r#"{{ "name": "{name}", "main": "server.js", "access": "{access}" }}"#);
    server.deploy_files(name, &[("app.json", &manifest), ("server.js", WHO), ("public/page.txt", "page")]);
}

/// What an app says of the user at this path, after whatever redirects it takes.
pub fn who(browser: &mut Browser, app: &str) -> Value {
    let page = browser.open(&browser.url(app, "/who?x=1"));
    assert_eq!(page.status(), 200, "{} {:?} {}", page.url, page.hops, page.text());
    assert!(page.url.ends_with("/who?x=1"), "back where it began: {}", page.url);
    serde_json::from_str(&page.text()).expect("json")
}

#[test]
fn the_owner_gets_in_once_by_the_first_link() {
    let mut server = Server::start();
    let link = server.sign_in_url.clone().expect("a link");
    let mut browser = server.browser();
    // Looking does not spend it.
    for _ in 0..2 {
        assert_eq!(browser.open(&link).status(), 200);
    }
    let page = browser.open(&link);
    for (fields, message) in [
        ([("name", "Olga!"), ("password", PASSWORD), ("again", PASSWORD)], "a name is"),
        ([("name", "olga"), ("password", "short"), ("again", "short")], "at least 10"),
        ([("name", "olga"), ("password", PASSWORD), ("again", "other horse battery")], "not the same"),
    ] {
        let answer = browser.submit(&page, &fields);
        assert_eq!(answer.status(), 422);
        assert!(answer.text().contains(message), "{}", answer.text());
    }
    let home = browser.submit(&page, &[("name", "olga"), ("password", PASSWORD), ("again", PASSWORD)]);
    assert_eq!(home.status(), 200);
    assert!(home.text().contains("olga") && home.text().contains("owner"), "{}", home.text());
    assert_eq!(server.browser().open(&link).status(), 410, "spent");
    let users = server.fazt(&["user", "list", "--json"]).ok().json();
    assert_eq!(
        (&users[0]["name"], &users[0]["role"], &users[0]["sessions"]),
        (&"olga".into(), &"owner".into(), &1.into())
    );
    // The next start prints no link, and the session goes on.
    server.kill_hard();
    server.start_again();
    assert_eq!(server.sign_in_url, None);
    let cookies = std::mem::take(&mut browser.cookies);
    let mut again = server.browser();
    for (host, jar) in cookies {
        let host = format!("{}:{}", host.split(':').next().expect("host"), server.address.port());
        again.cookies.insert(host, jar);
    }
    assert!(again.open(&again.url("", "/")).text().contains("olga"));
}

#[test]
fn who_reaches_what_and_as_whom() {
    let server = Server::start();
    for access in ["public", "members", "owner"] {
        deploy(&server, access, access);
    }
    let mut owner = server.owner();
    let mut anna = server.user("anna", &[]);
    let mut guest = server.user("guest", &["--app", "public"]);
    let mut admin = server.user("bo", &["--role", "admin"]);
    for (name, role, browser) in
        [("olga", "owner", &mut owner), ("anna", "member", &mut anna), ("bo", "admin", &mut admin)]
    {
        let said = who(browser, "members");
        assert_eq!((&said["user"]["name"], &said["user"]["role"]), (&name.into(), &role.into()));
        assert!(said["user"]["id"].as_str().is_some_and(|id| id.starts_with("user_")), "{said}");
        assert_eq!((&said["cookie"], &said["authorization"]), (&Value::Null, &Value::Null));
    }
    assert_eq!(who(&mut owner, "owner")["user"]["name"], "olga");
    for browser in [&mut anna, &mut admin, &mut guest] {
        let page = browser.open(&browser.url("owner", "/"));
        assert_eq!(page.status(), 403);
        assert!(page.text().contains("owner of this server alone"), "{}", page.text());
    }
    assert_eq!(guest.open(&guest.url("members", "/")).status(), 403);
    // A public app asks nobody; whoever wants to be known says so.
    assert_eq!(who(&mut anna, "public")["user"], Value::Null);
    anna.open(&anna.url("public", "/_fazt/sign-in?to=/page.txt"));
    assert_eq!(who(&mut anna, "public")["user"]["name"], "anna");
    let user: Value =
        serde_json::from_str(&anna.open(&anna.url("public", "/_fazt/user")).text()).expect("json");
    assert_eq!(user["user"]["name"], "anna");
    // Each has a worker of their own.
    let principals: Vec<_> = server.processes("members").iter().map(|row| row["principal"].clone()).collect();
    assert_eq!(principals, ["anna", "bo", "olga"]);
}

#[test]
fn strangers_sign_in_first_and_programs_are_told_so() {
    let server = Server::start();
    deploy(&server, "notes", "members");
    let _owner = server.owner();
    let mut browser = server.browser();
    let page = browser.open(&browser.url("notes", "/who?x=1"));
    assert!(page.url.contains("/sign-in?next="), "{}", page.url);
    let page = browser.submit(&page, &[("name", "olga"), ("password", PASSWORD)]);
    assert_eq!((page.status(), page.url.as_str()), (200, browser.url("notes", "/who?x=1").as_str()));
    // Files of the app are for members too, and for no cache between.
    for path in ["/who", "/page.txt"] {
        let answer = server.get("notes", path);
        assert_eq!((answer.status, answer.field("www-authenticate").is_some()), (401, true), "{path}");
        let error: Value = serde_json::from_str(&answer.text()).expect("json");
        assert_eq!(error["error"]["status"], 401);
    }
    let file = browser.open(&browser.url("notes", "/page.txt"));
    assert_eq!(
        (file.text().as_str(), file.response.field("cache-control")),
        ("page", Some("private, no-cache"))
    );
    assert!(
        server.processes("notes").iter().all(|row| row["principal"] == "olga"),
        "no stranger woke a worker"
    );
}

#[test]
fn signing_out_anywhere_ends_that_browsers_sessions_and_what_runs_for_them() {
    let server = Server::start();
    for app in ["one", "two"] {
        deploy(&server, app, "members");
    }
    let mut owner = server.owner();
    let mut anna = server.user("anna", &[]);
    for app in ["one", "two"] {
        who(&mut anna, app);
        who(&mut owner, app);
    }
    let sessions = server.fazt(&["user", "sessions", "anna", "--json"]).ok().json();
    assert_eq!(sessions.as_array().map(Vec::len), Some(3), "{sessions}");
    let page = anna.open(&anna.url("one", "/_fazt/sign-out"));
    let page = anna.submit(&page, &[]);
    assert_eq!(page.url, anna.url("", "/"));
    assert!(!page.text().contains("anna"), "{}", page.text());
    assert_eq!(server.fazt(&["user", "sessions", "anna", "--json"]).ok().json(), Value::Array(vec![]));
    for app in ["one", "two"] {
        let page = anna.open(&anna.url(app, "/who?x=1"));
        assert!(page.url.contains("/sign-in"), "{}", page.url);
        server.wait("anna's worker to be gone", |server| {
            server.processes(app).iter().all(|row| row["principal"] == "olga")
        });
        assert_eq!(who(&mut owner, app)["user"]["name"], "olga", "nobody else notices");
    }
}

#[test]
fn the_console_ends_a_session_and_removes_a_user() {
    let server = Server::start();
    deploy(&server, "notes", "members");
    let _owner = server.owner();
    let mut anna = server.user("anna", &[]);
    who(&mut anna, "notes");
    let sessions = server.fazt(&["user", "sessions", "anna", "--json"]).ok().json();
    let home = sessions.as_array().expect("list").iter().find(|row| row["app"].is_null()).expect("one");
    let id = home["id"].as_str().expect("id").to_owned();
    server.fazt(&["user", "revoke-session", &id]).ok();
    assert_eq!(server.fazt(&["user", "revoke-session", &id]).code, 3, "gone");
    assert!(anna.open(&anna.url("notes", "/who?x=1")).url.contains("/sign-in"));
    server.wait("her worker to be gone", |server| server.processes("notes").is_empty());

    server.sign_in(&mut anna, "anna");
    who(&mut anna, "notes");
    server.fazt(&["user", "apps", "anna", "notes"]).ok();
    assert_eq!(who(&mut anna, "notes")["user"]["name"], "anna", "still admitted");
    server.deploy_files("other", &[("server.js", crate::HELLO)]);
    server.fazt(&["user", "apps", "anna", "other"]).ok();
    assert_eq!(anna.open(&anna.url("notes", "/who")).status(), 403, "admitted no more");
    let own = anna.url("notes", "");
    let same = [("origin", own.as_str()), ("sec-fetch-site", "same-origin")];
    let token = anna.send("POST", &anna.url("notes", "/_fazt/token"), &same, b"");
    assert_eq!(token.status, 403, "nor a token about her for that app: {}", token.text());

    assert_eq!(server.fazt(&["user", "remove", "anna"]).code, 2, "asks first");
    server.fazt(&["user", "remove", "anna", "--yes"]).ok();
    assert!(anna.open(&anna.url("", "/")).text().contains("Sign in"));
    let page = anna.open(&anna.url("", "/sign-in"));
    assert_eq!(anna.submit(&page, &[("name", "anna"), ("password", PASSWORD)]).status(), 403);
    assert_eq!(server.fazt(&["user", "remove", "anna", "--yes"]).code, 3);
    assert_eq!(server.fazt(&["user", "remove", "olga", "--yes"]).code, 5, "the owner stays");
    let audit = server.fazt(&["security", "audit", "--json"]).ok().json();
    let lines: Vec<String> = audit
        .as_array()
        .expect("lines")
        .iter()
        .map(|line| format!("{} {} {}", line["who"], line["action"], line["ok"]).replace('"', ""))
        .collect();
    for line in [
        "olga user.enter true",
        "console user.add true",
        "anna session.open true",
        "console session.revoke true",
        "anna sign-in true",
        "anna app.enter false",
        "console user.remove true",
        "anna sign-in false",
    ] {
        assert!(lines.iter().any(|found| found == line), "{line} is missing in {lines:#?}");
    }
}

#[test]
fn an_invitation_makes_one_user_however_many_try_at_once() {
    let server = Server::start();
    let _owner = server.owner();
    let invite = server.fazt(&["user", "invite", "--json"]).ok().json();
    let url = invite["url"].as_str().expect("url").to_owned();
    let joined: Vec<u16> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|at| {
                let (url, server) = (&url, &server);
                scope.spawn(move || {
                    let mut browser = server.browser();
                    let page = browser.open(url);
                    if page.status() == 410 {
                        return 410;
                    }
                    let name = format!("user{at}");
                    let fields = [("name", name.as_str()), ("password", PASSWORD), ("again", PASSWORD)];
                    browser.submit(&page, &fields).status()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("thread")).collect()
    });
    assert_eq!(joined.iter().filter(|status| **status == 200).count(), 1, "{joined:?}");
    assert_eq!(joined.iter().filter(|status| **status == 410).count(), 7, "{joined:?}");
    let users = server.fazt(&["user", "list", "--json"]).ok().json();
    assert_eq!(users.as_array().map(Vec::len), Some(2), "{users}");
}

#[test]
fn passwords_are_set_and_recovered_on_the_console() {
    let server = Server::start();
    deploy(&server, "notes", "members");
    let _owner = server.owner();
    let mut anna = server.user("anna", &[]);
    who(&mut anna, "notes");
    let link = server.fazt(&["user", "passwd", "anna", "--json"]).ok().json();
    let mut other = server.browser();
    let page = other.open(link["url"].as_str().expect("url"));
    assert!(page.text().contains("A password for anna"));
    let new = "another horse battery";
    assert_eq!(other.submit(&page, &[("password", new), ("again", new)]).status(), 200);
    assert!(
        anna.open(&anna.url("notes", "/who?x=1")).url.contains("/sign-in"),
        "the old sessions have ended"
    );
    let page = anna.open(&anna.url("", "/sign-in"));
    assert_eq!(anna.submit(&page, &[("name", "anna"), ("password", PASSWORD)]).status(), 403);
    assert_eq!(anna.submit(&page, &[("name", "anna"), ("password", new)]).status(), 200);
    assert_eq!(server.fazt(&["user", "passwd", "nobody"]).code, 3);
    assert_eq!(server.fazt(&["user", "passwd", "anna", "--stdin"]).code, 2, "an empty password");
    assert_eq!(server.fazt(&["user", "add", "anna"]).code, 5, "taken");
    assert_eq!(server.fazt(&["user", "add", "An na"]).code, 2);
    assert_eq!(server.fazt(&["user", "add", "x", "--role", "owner"]).code, 5);
}

#[test]
fn a_role_holds_at_once_and_the_owner_stays() {
    let server = Server::start();
    deploy(&server, "notes", "members");
    let _owner = server.owner();
    let mut anna = server.user("anna", &[]);
    assert_eq!(who(&mut anna, "notes")["user"]["role"], "member");
    let user = server.fazt(&["user", "role", "anna", "admin", "--json"]).ok().json();
    assert_eq!((&user["name"], &user["role"]), (&"anna".into(), &"admin".into()));
    assert_eq!(who(&mut anna, "notes")["user"]["role"], "admin", "in the session and the worker she has");
    for (name, role) in [("anna", "owner"), ("olga", "member")] {
        assert_eq!(server.fazt(&["user", "role", name, role]).code, 5, "{name} {role}");
    }
    assert_eq!(server.fazt(&["user", "role", "nobody", "admin"]).code, 3);
    assert_eq!(server.fazt(&["user", "role", "anna", "king"]).code, 2);
    let invite = server.fazt(&["user", "invite", "--role", "admin", "--json"]).ok().json();
    let mut bo = server.browser();
    let page = bo.open(invite["url"].as_str().expect("url"));
    bo.submit(&page, &[("name", "bo"), ("password", PASSWORD), ("again", PASSWORD)]);
    assert_eq!(who(&mut bo, "notes")["user"]["role"], "admin");
}

#[test]
fn a_token_acts_for_its_user_on_one_app() {
    let server = Server::start();
    for app in ["notes", "other"] {
        deploy(&server, app, "members");
    }
    let _owner = server.owner();
    let _anna = server.user("anna", &[]);
    let made = server
        .fazt(&["security", "token", "new", "--user", "anna", "--scope", "app:notes", "--json"])
        .ok()
        .json();
    let bearer = format!("Bearer {}", made["token"].as_str().expect("token"));
    let ask = |app: &str, bearer: &str| {
        server.client(app).request("GET", "/who", &[("authorization", bearer)], b"").expect("answer")
    };
    let said: Value = serde_json::from_str(&ask("notes", &bearer).text()).expect("json");
    assert_eq!((&said["user"]["name"], &said["authorization"]), (&"anna".into(), &Value::Null));
    assert_eq!(ask("other", &bearer).status, 401, "not its app");
    assert_eq!(ask("notes", &format!("{bearer}x")).status, 401);
    assert_eq!(ask("notes", "Bearer fazt_").status, 401);
    let admin = server.fazt(&["security", "token", "new", "--scope", "admin", "--json"]).ok().json();
    let admin = format!("Bearer {}", admin["token"].as_str().expect("token"));
    assert_eq!(ask("notes", &admin).status, 401, "commands the server, acts in no app");
    assert_eq!(server.fazt(&["security", "token", "new", "--user", "anna", "--scope", "admin"]).code, 4);
    assert_eq!(server.fazt(&["security", "token", "new", "--scope", "all"]).code, 2);
    let id = made["info"]["id"].as_str().expect("id");
    server.fazt(&["security", "token", "rm", id]).ok();
    assert_eq!(ask("notes", &bearer).status, 401, "worthless at once");
    assert_eq!(server.fazt(&["security", "token", "rm", id]).code, 3);
    let listed = server.fazt(&["security", "tokens", "--json"]).ok();
    assert!(!listed.stdout.contains("fazt_"), "no list shows a token");
}

#[test]
fn an_app_gets_a_signed_token_about_its_user() {
    let server = Server::start();
    deploy(&server, "notes", "members");
    let mut owner = server.owner();
    who(&mut owner, "notes");
    let own = owner.url("notes", "");
    let url = owner.url("notes", "/_fazt/token");
    let same = [("origin", own.as_str()), ("sec-fetch-site", "same-origin")];
    let answer = owner.send("POST", &url, &same, b"");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let made: Value = serde_json::from_str(&answer.text()).expect("json");
    assert_eq!(made["token"].as_str().expect("token").split('.').count(), 3);
    let other = owner.url("other", "");
    let foreign = [("origin", other.as_str()), ("sec-fetch-site", "same-site")];
    assert_eq!(owner.send("POST", &url, &foreign, b"").status, 403, "a sibling's page");
    let mut stranger = server.browser();
    assert_eq!(stranger.send("POST", &url, &same, b"").status, 401);
    let keys = stranger.open(&stranger.url("", "/.well-known/jwks.json"));
    let keys: Value = serde_json::from_str(&keys.text()).expect("json");
    assert_eq!((&keys["keys"][0]["alg"], &keys["keys"][0]["d"]), (&"EdDSA".into(), &Value::Null));
}

#[test]
fn everybody_minds_their_own_sessions_tokens_and_password_at_home() {
    let server = Server::start();
    deploy(&server, "notes", "members");
    deploy(&server, "mine", "owner");
    let mut owner = server.owner();
    let mut anna = server.user("anna", &[]);
    let mut second = server.browser();
    server.sign_in(&mut second, "anna");
    let home = anna.open(&anna.url("", "/"));
    assert!(home.text().contains(">notes</a>") && !home.text().contains(">mine</a>"), "{}", home.text());
    let word = home.text().split("name=\"form\" value=\"").nth(1).expect("a word")[..43].to_owned();
    let own = anna.url("", "");
    let post = |browser: &mut Browser, path: &str, fields: &str| {
        let kind = ("content-type", "application/x-www-form-urlencoded");
        let body = format!("form={word}&{fields}");
        browser.send(
            "POST",
            &format!("{own}/account/{path}"),
            &[kind, ("origin", own.as_str())],
            body.as_bytes(),
        )
    };
    // A token of her own, for an app of hers.
    let made = post(&mut anna, "token-new", "app=notes&note=a+test");
    let token = made.text().split("<code>").nth(1).expect("shown once")[..48].to_owned();
    let bearer = format!("Bearer {token}");
    let ask =
        || server.client("notes").request("GET", "/who", &[("authorization", &bearer)], b"").expect("answer");
    let said: Value = serde_json::from_str(&ask().text()).expect("json");
    assert_eq!(said["user"]["name"], "anna");
    assert_eq!(post(&mut anna, "token-new", "app=mine").status, 422, "not an app of hers");
    // Nobody else's: the owner's session is not there for her.
    let theirs = server.fazt(&["user", "sessions", "olga", "--json"]).ok().json();
    let theirs = theirs[0]["id"].as_str().expect("id").to_owned();
    assert_eq!(post(&mut anna, "session-end", &format!("id={theirs}")).status, 422);
    assert!(owner.open(&owner.url("", "/")).text().contains("olga"));
    let hers = server.fazt(&["security", "tokens", "--json"]).ok().json();
    let hers = hers[0]["id"].as_str().expect("id").to_owned();
    assert_eq!(post(&mut owner, "token-remove", &format!("id={hers}")).status, 403, "another's word");
    assert_eq!(ask().status, 200);
    // Her other browser is signed out from here.
    let sessions = server.fazt(&["user", "sessions", "anna", "--json"]).ok().json();
    assert_eq!(sessions.as_array().map(Vec::len), Some(2));
    let other = sessions[1]["id"].as_str().expect("id").to_owned();
    assert_eq!(post(&mut anna, "session-end", &format!("id={other}")).status, 303);
    assert!(second.open(&second.url("", "/")).text().contains("Sign in"));
    assert_eq!(post(&mut anna, "token-remove", &format!("id={hers}")).status, 303);
    assert_eq!(ask().status, 401);
    // Confirming that it is she, which a moment after signing in nothing asks for yet.
    let page = anna.open(&anna.url("", "/confirm"));
    assert_eq!(anna.submit(&page, &[("password", "wrong horse battery")]).status(), 403);
    assert_eq!(anna.submit(&page, &[("password", PASSWORD)]).url, anna.url("", "/"));
    // The password.
    assert_eq!(post(&mut anna, "password", "new=another+horse+battery&again=other").status, 422);
    assert_eq!(
        post(&mut anna, "password", "new=another+horse+battery&again=another+horse+battery").status,
        303
    );
    assert!(anna.open(&anna.url("", "/")).text().contains("anna"), "this browser goes on");
    let page = second.open(&second.url("", "/sign-in"));
    assert_eq!(second.submit(&page, &[("name", "anna"), ("password", PASSWORD)]).status(), 403);
    assert_eq!(
        second.submit(&page, &[("name", "anna"), ("password", "another horse battery")]).status(),
        200
    );
}

/// What a browser's script would be told; that a passkey works is tested where there is one in software.
#[test]
fn passkeys_are_offered_by_a_script_and_asked_for_by_our_own_pages_only() {
    let server = Server::start();
    let mut owner = server.owner();
    let home = owner.open(&owner.url("", "/"));
    let word = home.text().split("data-form=\"").nth(1).expect("a place for it")[..43].to_owned();
    assert!(home.text().contains("data-passkey=\"add\" ") && home.text().contains("hidden><button"));
    let script = owner.open(&owner.url("", "/passkey.js"));
    assert_eq!(script.response.field("content-type"), Some("text/javascript; charset=utf-8"));
    let own = owner.url("", "");
    let begin = owner.url("", "/passkey/begin");
    let body = format!("{{\"form\":\"{word}\"}}");
    let same = [("origin", own.as_str()), ("sec-fetch-site", "same-origin")];
    let answer = owner.send("POST", &begin, &same, body.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let said: Value = serde_json::from_str(&answer.text()).expect("json");
    let key = &said["options"]["publicKey"];
    assert_eq!((&key["rp"]["id"], &key["user"]["name"]), (&"localhost".into(), &"olga".into()));
    assert_eq!(key["authenticatorSelection"]["residentKey"], "required");
    let sibling = owner.url("notes", "");
    let foreign = [("origin", sibling.as_str()), ("sec-fetch-site", "same-site")];
    assert_eq!(owner.send("POST", &begin, &foreign, body.as_bytes()).status, 403);
    assert_eq!(owner.send("POST", &begin, &same, b"{\"form\":\"x\"}").status, 403);
    assert_eq!(owner.send("POST", &begin, &same, b"nonsense").status, 400);
    let add = owner.url("", "/passkey/add");
    let ticket = said["ticket"].as_str().expect("ticket");
    let forged = format!("{{\"form\":\"{word}\",\"ticket\":\"{ticket}\",\"answer\":{{\"id\":\"x\"}}}}");
    assert_eq!(owner.send("POST", &add, &same, forged.as_bytes()).status, 403);
    let mut stranger = server.browser();
    assert!(stranger.open(&stranger.url("", "/sign-in")).text().contains("data-passkey=\"enter\""));
    assert_eq!(stranger.send("POST", &begin, &same, body.as_bytes()).status, 403);
}
