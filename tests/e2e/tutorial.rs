//! The tutorial of the README, done as it says: its commands, two people in two browsers, and what it promises.

use fazt_tests::{Browser, Folder, Outcome, PASSWORD, Server, fazt_command};

const README: &str = include_str!("../../README.md");

/// The guestbook: whoever runs the tests may not be able to read the checkout.
fn hello() -> Folder {
    Folder::with(&[
        ("app.json", include_str!("../../apps/hello/app.json")),
        ("server.js", include_str!("../../apps/hello/server.js")),
        ("public/style.css", include_str!("../../apps/hello/public/style.css")),
        ("public/icon.svg", include_str!("../../apps/hello/public/icon.svg")),
    ])
}

/// The lines of code in the tutorial, in order.
fn commands() -> Vec<String> {
    let section = README.split("\n## A guestbook in ten minutes\n").nth(1).expect("the tutorial");
    let section = section.split("\n## ").next().expect("its end");
    let code = section.split("```").skip(1).step_by(2);
    code.flat_map(str::lines).map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

/// Follows a link out of a page: the first whose text this is.
fn follow(browser: &mut Browser, app: &str, page: &str, text: &str) -> String {
    let before = page.split(&format!("\">{text}</a>")).next().expect("a part");
    let to = before.rsplit("href=\"").next().expect("a link");
    assert!(to.starts_with('/') && page.len() > before.len(), "no link {text} in {page}");
    let page = browser.open(&browser.url(app, to));
    assert_eq!(page.status(), 200, "{}", page.text());
    page.text()
}

/// Writes into one of the three parts with its form, and gives the page that comes back.
fn write(browser: &mut Browser, app: &str, part: &str, fields: &str) -> String {
    let own = browser.url(app, "");
    let form = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("origin", own.as_str()),
        ("sec-fetch-site", "same-origin"),
    ];
    let answer = browser.send("POST", &browser.url(app, &format!("/{part}")), &form, fields.as_bytes());
    assert_eq!(
        (answer.status, answer.field("location")),
        (303, Some(format!("/#{part}").as_str())),
        "{}",
        answer.text()
    );
    open(browser, app)
}

fn open(browser: &mut Browser, app: &str) -> String {
    let page = browser.open(&browser.url(app, "/"));
    assert_eq!(page.status(), 200, "{}", page.text());
    page.text()
}

#[test]
fn the_guestbook_is_short() {
    let lines = include_str!("../../apps/hello/server.js").lines().count();
    assert!(lines < 100 && README.contains(&format!("a guestbook in {lines} lines")), "{lines}");
}

#[test]
fn the_tutorial_is_followed_word_by_word() {
    let commands = commands();
    assert_eq!(
        commands,
        ["fazt user add anna", "fazt proc ps", "fazt app new guests", "cd guests", "fazt app deploy . --yes"],
        "whoever changes the tutorial follows it here"
    );
    let server = Server::start();
    // What ./run does.
    assert!(include_str!("../../run").contains("app deploy apps/hello --yes"));
    server.fazt(&["app", "deploy", hello().arg(), "--yes"]).ok();
    let work = tempfile::tempdir().expect("a folder");
    let run = |line: &str, inside: &str| {
        let mut command = fazt_command(work.path());
        command.env("FAZT_DATA", server.data()).current_dir(work.path().join(inside));
        command.args(line.strip_prefix("fazt ").expect("a command").split(' '));
        Outcome::of(&mut command).ok()
    };

    // 1: the owner, by the first link.
    let mut owner = server.owner();
    // 2: as a stranger first.
    let page = open(&mut owner, "hello");
    assert!(page.contains("Hello, stranger") && page.contains("Nobody has signed yet."), "{page}");
    assert!(
        !page.contains("Members&#39; wall") && !page.contains("Your notes") && !page.contains("<script"),
        "{page}"
    );
    let page = write(&mut owner, "hello", "entries", "by=Ada&text=I+was+here");
    assert!(page.contains("I was here") && page.contains("Ada, 20"), "{page}");
    let page = follow(&mut owner, "hello", &page, "Sign in");
    assert!(page.contains("Hello, olga") && page.contains("You have written nothing down yet."), "{page}");
    assert!(page.contains("Members&#39; wall") && page.contains("The wall is still bare."), "{page}");
    write(&mut owner, "hello", "wall", "text=Welcome,+members");
    let page = write(&mut owner, "hello", "notes", "text=Buy+milk");
    assert!(page.contains("Buy milk") && page.contains("Welcome, members"), "{page}");

    // 3: somebody else.
    let added = run(&commands[0], "").stdout;
    let link = added.split_whitespace().find(|word| word.contains("/join/")).expect("a link");
    let mut anna = server.browser();
    let page = anna.open(link);
    let page = anna.submit(&page, &[("password", PASSWORD), ("again", PASSWORD)]);
    assert_eq!(page.status(), 200, "{}", page.text());
    let page = open(&mut anna, "hello");
    let page = follow(&mut anna, "hello", &page, "Sign in");
    assert!(
        page.contains("Hello, anna") && page.contains("I was here") && page.contains("Welcome, members"),
        "{page}"
    );
    assert!(!page.contains("Buy milk") && page.contains("You have written nothing down yet."), "{page}");
    let page = write(&mut anna, "hello", "notes", "text=Call+mother");
    assert!(page.contains("Call mother") && !page.contains("Buy milk"), "{page}");
    write(&mut anna, "hello", "wall", "text=Thank+you");
    let page = open(&mut owner, "hello");
    assert!(
        page.contains("Thank you") && page.contains("Buy milk") && !page.contains("Call mother"),
        "{page}"
    );

    // 4: each has a process.
    let processes = run(&commands[1], "").stdout;
    for name in ["anna", "olga"] {
        assert!(
            processes.lines().any(|line| line.starts_with("hello") && line.contains(name)),
            "{processes}"
        );
    }
    // 5: a copy, with data of its own.
    run(&commands[2], "");
    run(&commands[4], commands[3].strip_prefix("cd ").expect("a folder"));
    let page = open(&mut anna, "guests");
    assert!(page.contains("Nobody has signed yet.") && !page.contains("I was here"), "{page}");
    let changed = work.path().join("guests/server.js");
    let text = std::fs::read_to_string(&changed).expect("server.js").replace("Hello, stranger", "Good day");
    write(&mut anna, "guests", "entries", "text=First");
    std::fs::write(&changed, text).expect("written");
    assert!(run(&commands[4], "guests").stdout.contains("1 of"), "one file travels");
    let page = open(&mut server.browser(), "guests");
    assert!(page.contains("Good day") && page.contains("First"), "{page}");
}

#[test]
fn the_guestbook_takes_what_strangers_send() {
    let server = Server::start();
    server.fazt(&["app", "deploy", hello().arg(), "--yes"]).ok();
    let mut browser = server.browser();
    let hostile = "%3Cscript%3Ealert(1)%3C/script%3E+%22%27%26";
    let page = write(&mut browser, "hello", "entries", &format!("by={hostile}&text={hostile}"));
    assert!(!page.contains("<script") && page.contains("&#60;script&#62;alert(1)"), "{page}");
    let long = "x".repeat(2_000);
    let page = write(&mut browser, "hello", "entries", &format!("text={long}"));
    assert!(
        page.contains(&"x".repeat(500)) && !page.contains(&"x".repeat(501)) && page.contains("somebody, 20"),
        "{page}"
    );
    write(&mut browser, "hello", "entries", "text=++");
    write(&mut browser, "hello", "entries", "nonsense");
    let page = open(&mut browser, "hello");
    assert_eq!(page.matches("<li>").count(), 2, "nothing is written of nothing: {page}");
    // The parts of those who are signed in are not a stranger's, and other sites write nothing.
    let post = |path: &str, fields: &[(&str, &str)], body: &[u8]| {
        server.client("hello").request("POST", path, fields, body).expect("an answer")
    };
    let form = ("content-type", "application/x-www-form-urlencoded");
    for part in ["/wall", "/notes"] {
        let answer = post(part, &[form], b"text=x");
        assert_eq!(answer.status, 303);
        assert!(answer.field("location").is_some_and(|to| to.ends_with("/_fazt/sign-in?to=/")), "{answer:?}");
    }
    assert_eq!(post("/entries", &[form, ("sec-fetch-site", "cross-site")], b"text=x").status, 403);
    assert_eq!(post("/entries", &[form, ("sec-fetch-site", "same-site")], b"text=x").status, 403);
    assert_eq!(
        post("/entries", &[("content-type", "multipart/form-data; boundary=x")], b"nonsense").status,
        303
    );
    for path in ["/constructor", "/__proto__", "/toString"] {
        assert_eq!(post(path, &[form], b"text=x").status, 404, "{path}");
        assert_eq!(server.get("hello", path).status, 404, "{path}");
    }
    assert_eq!(server.get("hello", "/style.css").status, 200);
}
