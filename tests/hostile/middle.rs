//! What ends in the middle: processes that are killed, whoever typed goes away, installs that meet.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use fazt_tests::noise;
use rustix::process::{Pid, Signal, kill_process};

use crate::pack::{ADVERTISEMENT, RESULT, line};
use crate::stage::{Stage, check_on, row};
use crate::web::open;

/// Starts an install in a process of its own.
fn start(stage: &Stage, source: &str, name: &str) -> Child {
    let mut command = fazt_tests::fazt_command(stage.server.data());
    command.args(["app", "install", source, "--yes", "--name", name, "--data"]).arg(stage.server.data());
    command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("fazt starts")
}

fn interrupt(child: &mut Child) {
    kill_process(Pid::from_child(child), Signal::INT).expect("sent");
    child.wait().expect("ended");
}

/// Processes of the server that build and are at work: they have more in memory than any that only begins.
fn builders(stage: &Stage) -> Vec<u32> {
    let builds = |pid: &u32| {
        let read = |what: &str| std::fs::read_to_string(format!("/proc/{pid}/{what}")).unwrap_or_default();
        let status = read("status");
        let memory = status.lines().find_map(|line| line.strip_prefix("RssAnon:")?.trim().split(' ').next());
        let kib = memory.and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0);
        read("cmdline").contains("build") && kib > 10 << 10
    };
    stage.server.descendants().into_iter().filter(builds).collect()
}

/// A repository that takes a while to be unpacked.
fn slow(stage: &Stage) -> String {
    let content: Vec<Vec<u8>> = (0..4).map(|part| noise(4_500_000 + part)).collect();
    stage.files(&[
        ("index.html", b"x"),
        ("a", &content[0]),
        ("b", &content[1]),
        ("c", &content[2]),
        ("d", &content[3]),
    ])
}

#[test]
fn a_process_that_unpacks_and_is_killed_is_an_ordinary_error() {
    let stage = Stage::start();
    let source = slow(&stage);
    let child = start(&stage, &source, "victim");
    let start = Instant::now();
    let pid = loop {
        if let Some(pid) = builders(&stage).first() {
            break *pid;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "nothing unpacks it");
    };
    kill_process(Pid::from_raw(pid.cast_signed()).expect("a process"), Signal::KILL).expect("killed");
    let output = child.wait_with_output().expect("ended");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("the build process failed"), "{said}");
    // The next one is not the worse for it.
    check_on(
        &stage,
        &[row("the same once more", 0, &["live as version 1"], move |_: &Stage| source.clone())],
    );
}

#[test]
fn a_server_that_trickles_is_left_when_whoever_typed_goes_and_others_wait_meanwhile() {
    let stage = Stage::start();
    let (began, begins) = channel();
    let source = stage.sends(&[]);
    let (below, _) =
        source.strip_prefix(&stage.web.url()).and_then(|rest| rest.split_once('@')).expect("a place");
    stage.web.on(&format!("{below}.git/git-upload-pack"), move |stream, _| {
        stream.write_all(&open(RESULT))?;
        stream.write_all(&line(b"packfile\n"))?;
        let _ = began.send(());
        // Until nobody reads it.
        loop {
            stream.write_all(&line(&[1, 0]))?;
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let mut first = start(&stage, &source, "victim");
    begins.recv().expect("it is asked");
    let honest = stage.files(&[("index.html", b"x")]);
    let mut second = start(&stage, &honest, "second");
    let mut lines = BufReader::new(second.stderr.take().expect("piped")).lines();
    let said = lines.next().expect("a line").expect("text");
    assert_eq!(said, "waiting for 1 other app to be fetched");
    interrupt(&mut first);
    assert!(second.wait().expect("ended").success());
    assert_eq!(stage.server.get("good", "/").text(), "hello");
    stage.server.fazt(&["app", "remove", "second", "--yes"]).ok();
    check_on(
        &stage,
        &[row("after that", 2, &["2000 files"], |stage: &Stage| {
            let names: Vec<String> = (0..2_100).map(|number| format!("f{number}")).collect();
            let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
            stage.files(&files)
        })],
    );
}

#[test]
fn whoever_goes_away_at_any_step_leaves_nothing() {
    let stage = Stage::start();
    let asked = |what: &str| {
        let source = stage.sends(&[]);
        let (below, _) =
            source.strip_prefix(&stage.web.url()).and_then(|rest| rest.split_once('@')).expect("a place");
        let (began, begins) = channel();
        let kind = if what == "info/refs" { ADVERTISEMENT } else { RESULT };
        stage.web.on(&format!("{below}.git/{what}"), move |stream, _| {
            stream.write_all(&open(kind))?;
            let _ = began.send(());
            std::thread::sleep(Duration::from_secs(30));
            Ok(())
        });
        (source, begins)
    };
    for what in ["info/refs", "git-upload-pack"] {
        let (source, begins) = asked(what);
        let mut child = start(&stage, &source, "victim");
        begins.recv().expect("it is asked");
        interrupt(&mut child);
    }
    // While it is unpacked.
    let source = slow(&stage);
    let mut child = start(&stage, &source, "victim");
    let start = Instant::now();
    while builders(&stage).is_empty() {
        assert!(start.elapsed() < Duration::from_secs(30), "nothing unpacks it");
    }
    interrupt(&mut child);
    check_on(
        &stage,
        &[row("after that", 0, &["live as version 1"], |stage: &Stage| stage.files(&[("index.html", b"x")]))],
    );
}
