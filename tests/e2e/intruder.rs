//! Attacks on people: forged, planted and stolen cookies, forms of other sites, guesses, codes of others.

use fazt_tests::{Browser, Client, PASSWORD, Server, ServerOptions};
use serde_json::Value;

use crate::identity::{deploy, who};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// The session cookie of a browser at an origin.
fn session(browser: &Browser, app: &str) -> String {
    let url = browser.url(app, "");
    let host = url.strip_prefix("http://").expect("http");
    browser.cookies[host]["fazt_session"].clone()
}

#[test]
fn a_session_counts_at_its_own_origin_only() {
    let server = Server::start();
    for app in ["one", "two"] {
        deploy(&server, app, "members");
    }
    let mut owner = server.owner();
    who(&mut owner, "one");
    let (home, one) = (session(&owner, ""), session(&owner, "one"));
    assert_ne!(home, one);
    let ask = |app: &str, cookie: &str| {
        server.client(app).request("GET", "/who", &[("cookie", cookie)], b"").expect("answer").status
    };
    assert_eq!(ask("one", &format!("fazt_session={one}")), 200);
    assert_eq!(ask("two", &format!("fazt_session={one}")), 401, "an app that steals its user's cookie");
    assert_eq!(ask("one", &format!("fazt_session={home}")), 401);
    let mut thief = server.browser();
    let host = thief.url("", "").replace("http://", "");
    thief.cookies.entry(host).or_default().insert("fazt_session".into(), one.clone());
    assert!(thief.open(&thief.url("", "/")).text().contains("Sign in"), "nor is it one at home");
    // Twice the same cookie: somebody planted one of them.
    assert_eq!(ask("one", &format!("fazt_session={one}; fazt_session={one}")), 400);
    assert_eq!(ask("one", &format!("fazt_session=x; FAZT_SESSION={one}")), 400);
    for forged in ["", "x", &one[1..], &format!("{one}{one}"), &"a".repeat(43), "' OR 1=1 --"] {
        assert_eq!(ask("one", &format!("fazt_session={forged}")), 401, "{forged}");
    }
}

#[test]
fn a_worker_sees_nothing_of_the_session() {
    let server = Server::start();
    deploy(&server, "notes", "members");
    let mut owner = server.owner();
    who(&mut owner, "notes");
    let cookie = format!("mine=1; fazt_session={}; theirs=2", session(&owner, "notes"));
    let answer = server.client("notes").request("GET", "/who", &[("cookie", &cookie)], b"").expect("answer");
    let said: Value = serde_json::from_str(&answer.text()).expect("json");
    assert_eq!(said["cookie"], "mine=1; theirs=2");
}

#[test]
fn a_code_is_good_once_in_the_browser_that_asked() {
    let server = Server::start();
    for app in ["one", "two"] {
        deploy(&server, app, "members");
    }
    let mut owner = server.owner();
    let enter = |browser: &mut Browser| {
        // Up to the code, not further.
        let away = browser.send("GET", &browser.url("one", "/who"), &[("sec-fetch-mode", "navigate")], b"");
        let there = away.field("location").expect("to the OS origin").to_owned();
        let back = browser.send("GET", &there, &[], b"");
        back.field("location").expect("back with a code").to_owned()
    };
    let url = enter(&mut owner);
    assert!(url.starts_with(&owner.url("one", "/_fazt/enter?code=")), "{url}");
    let mut thief = server.browser();
    assert_eq!(thief.open(&url).status(), 400, "a browser that did not ask");
    assert_eq!(owner.open(&url).status(), 400, "and then it is spent");
    let url = enter(&mut owner);
    let elsewhere = url.replace("//one.", "//two.");
    owner.send("GET", &owner.url("two", "/who"), &[("sec-fetch-mode", "navigate")], b"");
    assert_eq!(owner.open(&elsewhere).status(), 400, "another app's");
    let url = enter(&mut owner);
    assert_eq!(owner.open(&url).status(), 200);
    assert_eq!(owner.open(&url).status(), 400, "twice");
    let long = owner.url("one", "/_fazt/enter?code=") + &"a".repeat(4_000);
    assert_eq!(owner.open(&long).status(), 400);
}

#[test]
fn nobody_is_led_elsewhere_by_a_way_back() {
    let server = Server::start();
    deploy(&server, "one", "members");
    let mut owner = server.owner();
    for to in ["https://evil.example/", "//evil.example/", "/%5Cevil.example/", "/\\evil.example"] {
        let url = owner.url("one", &format!("/_fazt/sign-in?to={to}"));
        let page = owner.open(&url);
        assert!(page.url.starts_with(&owner.url("one", "/")), "{to}: {}", page.url);
        let ours = [owner.url("one", "/"), owner.url("", "/")];
        let led = |hop: &String| !ours.iter().any(|origin| hop.starts_with(origin));
        assert!(!page.hops.iter().any(led), "{to}: {:?}", page.hops);
    }
    let page = owner.open(&owner.url("", "/sign-in?next=https://evil.example/"));
    assert_eq!(page.url, owner.url("", "/"));
}

#[test]
fn forms_of_other_sites_change_nothing() {
    let server = Server::start();
    deploy(&server, "evil", "public");
    let mut owner = server.owner();
    let page = owner.open(&owner.url("", "/sign-out"));
    let word = page.text().split("name=\"form\" value=\"").nth(1).expect("a word")[..43].to_owned();
    let body = format!("form={word}");
    let (own, sibling) = (owner.url("", ""), owner.url("evil", ""));
    for fields in [
        vec![FORM],
        vec![FORM, ("origin", sibling.as_str()), ("sec-fetch-site", "same-site")],
        vec![FORM, ("origin", own.as_str()), ("sec-fetch-site", "same-site")],
        vec![FORM, ("origin", own.as_str()), ("sec-fetch-site", "cross-site")],
        vec![FORM, ("sec-fetch-site", "none")],
        vec![FORM, ("origin", "null")],
        vec![FORM, ("origin", "http://localhost")],
        vec![FORM, ("origin", sibling.as_str()), ("sec-fetch-site", "same-origin")],
        vec![("content-type", "text/plain"), ("origin", own.as_str())],
    ] {
        let answer = owner.send("POST", &owner.url("", "/sign-out"), &fields, body.as_bytes());
        assert_eq!(answer.status, 403, "{fields:?}");
    }
    // Ours, without the word or with another's.
    let good = [FORM, ("origin", own.as_str()), ("sec-fetch-site", "same-origin")];
    for body in ["", "form=", "form=AAAA", &format!("form={}", "A".repeat(43))] {
        let answer = owner.send("POST", &owner.url("", "/sign-out"), &good, body.as_bytes());
        assert_eq!(answer.status, 403, "{body}");
    }
    let big = format!("form={word}&x={}", "x".repeat(20_000));
    assert_eq!(owner.send("POST", &owner.url("", "/sign-out"), &good, big.as_bytes()).status, 403);
    assert!(owner.open(&owner.url("", "/")).text().contains("olga"), "still signed in");
    assert_eq!(owner.send("POST", &owner.url("", "/sign-out"), &good, body.as_bytes()).status, 303);
    // Looking changes nothing.
    let mut again = server.owner();
    for path in ["/sign-out", "/sign-in", "/"] {
        again.open(&again.url("", path));
    }
    assert!(again.open(&again.url("", "/")).text().contains("olga"));
}

#[test]
fn guessing_is_slow_and_tells_nothing() {
    let server = Server::start();
    let _owner = server.owner();
    let _anna = server.user("anna", &[]);
    let mut texts = Vec::new();
    for name in ["anna", "nobody"] {
        let mut browser = server.browser();
        let page = browser.open(&browser.url("", "/sign-in"));
        for at in 0..5 {
            let answer = browser.submit(&page, &[("name", name), ("password", "wrong horse battery")]);
            assert_eq!(answer.status(), 403, "{name} {at}");
            let word = answer.text().replace(name, "NAME");
            texts.push(
                word.split("name=\"form\"").map(|part| part.get(50..).unwrap_or("")).collect::<String>(),
            );
        }
        let locked = browser.submit(&page, &[("name", name), ("password", PASSWORD)]);
        assert_eq!(locked.status(), 429, "{name}: even the right one");
        assert!(locked.response.field("retry-after").is_some());
    }
    // The same words for somebody who is there and somebody who is not.
    assert_eq!(texts[0].len(), texts[5].len());
    let audit = server.fazt(&["security", "audit", "--json"]).ok().json();
    let wrong = audit.as_array().expect("lines").iter().filter(|line| line["ok"] == false).count();
    assert_eq!(wrong, 10);
}

/// A page's script asks as often as it likes where only somebody who looks should come by.
#[test]
fn a_script_signs_nobody_in_or_out() {
    let server = Server::start();
    deploy(&server, "one", "members");
    let mut owner = server.owner();
    who(&mut owner, "one");
    let state = "A".repeat(43);
    let authorize = owner.url("", &format!("/authorize?app=one&state={state}&to=/"));
    for url in [owner.url("one", "/_fazt/sign-in"), owner.url("one", "/_fazt/enter?code=x"), authorize] {
        for mode in ["cors", "no-cors", "same-origin", "websocket"] {
            let answer = owner.send("GET", &url, &[("sec-fetch-mode", mode)], b"");
            assert_eq!((answer.status, answer.field("set-cookie")), (403, None), "{mode} {url}");
        }
    }
    // Coming by again and again as somebody who looks keeps one session at that origin.
    for _ in 0..20 {
        owner.open(&owner.url("one", "/_fazt/sign-in"));
    }
    let sessions = server.fazt(&["user", "sessions", "olga", "--json"]).ok().json();
    assert_eq!(sessions.as_array().map(Vec::len), Some(2), "{sessions}");
    assert_eq!(who(&mut owner, "one")["user"]["name"], "olga");
}

#[test]
fn our_pages_run_no_script_and_are_framed_by_nobody() {
    let server = Server::start();
    deploy(&server, "notes", "members");
    let mut owner = server.owner();
    let mut stranger = server.browser();
    let pages = [
        owner.open(&owner.url("", "/")),
        owner.open(&owner.url("", "/sign-out")),
        stranger.open(&stranger.url("", "/")),
        stranger.open(&stranger.url("", "/sign-in")),
        stranger.open(&stranger.url("notes", "/")),
    ];
    for page in pages {
        let field = |name: &str| page.response.field(name).unwrap_or_default().to_owned();
        let policy = field("content-security-policy");
        for part in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"]
        {
            assert!(policy.contains(part), "{}: {policy}", page.url);
        }
        assert!(!policy.contains("unsafe"), "{}: {policy}", page.url);
        // At most the one script, from a file of ours.
        let text = page.text().replace("<script type=\"module\" src=\"/passkey.js\"></script>", "");
        assert!(!text.contains("<script") && !text.contains("onclick"), "{text}");
        assert!(!policy.contains("script-src") || policy.contains("script-src 'self';"), "{policy}");
        assert_eq!(field("cross-origin-opener-policy"), "same-origin");
        assert_eq!(field("cross-origin-resource-policy"), "same-origin");
        assert_eq!(field("cache-control"), "no-store");
        assert_eq!(field("x-content-type-options"), "nosniff");
    }
}

/// A proxy on this machine that nobody named in the configuration speaks for clients elsewhere.
#[test]
fn plain_http_from_elsewhere_signs_nobody_in() {
    let server = Server::start();
    deploy(&server, "notes", "members");
    let mut owner = server.owner();
    let proxied =
        [("x-forwarded-for", "203.0.113.9"), ("accept", "text/html"), ("sec-fetch-mode", "navigate")];
    for (app, path) in [("", "/sign-in"), ("notes", "/"), ("notes", "/_fazt/sign-in")] {
        let answer = owner.send("GET", &owner.url(app, path), &proxied, b"");
        assert_eq!(answer.status, 403, "{app}{path}");
        assert!(answer.text().contains("https"), "{}", answer.text());
        assert!(answer.field("set-cookie").is_none());
    }
    drop(server);
    // One that is named and says https is believed, and the cookie is the stricter one.
    let server = Server::with(ServerOptions {
        config: "trusted_proxies = ['127.0.0.0/8']\n".into(),
        ..ServerOptions::default()
    });
    let mut browser = server.browser();
    let https = [("x-forwarded-for", "203.0.113.9"), ("x-forwarded-proto", "https")];
    let answer = browser.send("GET", &browser.url("", "/sign-in"), &https, b"");
    assert_eq!(answer.status, 200);
    let cookie = answer.field("set-cookie").expect("a cookie");
    assert!(cookie.starts_with("__Host-fazt-form=") && cookie.ends_with("; Secure"), "{cookie}");
}

/// A tunnel that ends at loopback and says nothing of whom it carries: its clients find it by another name than
/// this machine's.
#[test]
fn a_tunnel_to_loopback_signs_nobody_in() {
    let server = Server::with(ServerOptions {
        config: "domain = 'cloud.example'\n".into(),
        ..ServerOptions::default()
    });
    let host = format!("cloud.example:{}", server.address.port());
    for path in ["/sign-in", "/confirm", "/join/x"] {
        let mut client = Client::connect(server.address, &host).expect("connection");
        let answer = client.request("GET", path, &[("accept", "text/html")], b"").expect("answer");
        assert_eq!((answer.status, answer.field("set-cookie")), (403, None), "{path}");
        assert!(answer.text().contains("https"), "{}", answer.text());
    }
}

#[test]
fn no_file_holds_a_secret() {
    let server = Server::start();
    deploy(&server, "notes", "members");
    let mut owner = server.owner();
    who(&mut owner, "notes");
    let made = server.fazt(&["security", "token", "new", "--scope", "app:notes", "--json"]).ok().json();
    let invite = server.fazt(&["user", "invite", "--json"]).ok().json();
    let link = invite["url"].as_str().expect("url").rsplit('/').next().expect("secret").to_owned();
    let token = made["token"].as_str().expect("token").trim_start_matches("fazt_").to_owned();
    let secrets = [session(&owner, ""), session(&owner, "notes"), link, token, PASSWORD.to_owned()];
    let mut folders = vec![server.data().to_owned()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("folder").flatten() {
            let path = entry.path();
            match entry.file_type().expect("type") {
                kind if kind.is_dir() => folders.push(path),
                kind if kind.is_file() => {
                    files += 1;
                    let bytes = std::fs::read(&path).expect("file");
                    for secret in &secrets {
                        let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
                        assert!(!found, "a secret lies in {}", path.display());
                    }
                }
                _ => {}
            }
        }
    }
    assert!(files >= 3, "kernel.db and a cartridge at least: {files}");
}
