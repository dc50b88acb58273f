//! `fazt app dev`: what an author sees while they write.

use std::fs::File;
use std::process::{Child, Command, Stdio};

use fazt_tests::{Folder, Server, fazt_path};

/// A running `fazt app dev`, ended with the value.
struct Dev {
    child: Child,
    said: tempfile::NamedTempFile,
}

impl Dev {
    fn start(server: &Server, folder: &Folder, name: &str) -> Self {
        let said = tempfile::NamedTempFile::new().expect("a file");
        let output = || Stdio::from(File::options().append(true).open(said.path()).expect("the file"));
        let child = Command::new(fazt_path())
            .args(["app", "dev", folder.arg(), "--name", name, "--data"])
            .arg(server.data())
            .stdin(Stdio::null())
            .stdout(output())
            .stderr(output())
            .spawn()
            .expect("fazt runs");
        Self { child, said }
    }

    fn said(&self, text: &str) -> bool {
        std::fs::read_to_string(self.said.path()).is_ok_and(|said| said.contains(text))
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_save_is_live_and_a_broken_one_is_shown_and_changes_nothing() {
    let server = Server::start();
    let answer = |text: &str| {
        format!(
            "export default {{ fetch() {{ console.log('log of {text}'); return new Response('{text}'); }} }};"
        )
    };
    let folder = Folder::with(&[("server.js", &answer("one")), ("public/a.txt", "a")]);
    let dev = Dev::start(&server, &folder, "app");
    let shows = |path: &'static str, text: &'static str| {
        server.wait(text, |server| server.get("app", path).text() == text);
    };
    shows("/", "one");
    server.wait("the log", |_| dev.said("log of one"));
    server.wait("watching", |_| dev.said("Watching"));

    folder.write("server.js", answer("two"));
    shows("/", "two");

    folder.write("server.js", "export default { fetch( {");
    server.wait("the error with its line", |_| dev.said("error: server.js:1:"));
    assert_eq!(server.get("app", "/").text(), "two");

    // As many editors save: a new file takes the old one's name.
    folder.write(".server.js.swp", answer("three"));
    std::fs::rename(folder.path().join(".server.js.swp"), folder.path().join("server.js")).expect("renamed");
    shows("/", "three");

    folder.write("public/docs/index.html", "docs");
    shows("/docs/", "docs");
    folder.write("public/docs/index.html", "more");
    shows("/docs/", "more");
    folder.remove("public/a.txt");
    shows("/a.txt", "three");
}
