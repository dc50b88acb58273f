//! The stand-in for the worker program: the real lock-down, and then what the test wants of it. Which behaviour is
//! written into the image before it is given to the launcher, since a worker gets neither arguments nor
//! environment nor files.

use std::time::Duration;

use fazt_worker::sandbox;
use rustix::io::{read, write};

use crate::sys::{replace_standard_output, socket};

/// Replaced in the image; the rest of the name is padding.
#[used]
static BEHAVIOUR: [u8; 40] = *b"FAZT-TEST-BEHAVIOUR:obedient............";
const MARK: &[u8] = b"FAZT-TEST-BEHAVIOUR:";

/// This program, told to behave so.
pub(crate) fn image(behaviour: &str) -> &'static [u8] {
    let mut program = std::fs::read("/proc/self/exe").expect("this program");
    let places: Vec<usize> = program
        .windows(MARK.len())
        .enumerate()
        .filter(|(_, window)| *window == MARK)
        .map(|(at, _)| at)
        .collect();
    for at in places {
        // The mark itself is a second place, without room behind it.
        let room = &mut program[at + MARK.len()..at + BEHAVIOUR.len()];
        if room.iter().all(|byte| byte.is_ascii_lowercase() || *byte == b'-' || *byte == b'.') {
            room.fill(b'.');
            room[..behaviour.len()].copy_from_slice(behaviour.as_bytes());
        }
    }
    program.leak()
}

fn behaviour() -> String {
    // Read at run time: the compiler must not know what stands there.
    let text = std::hint::black_box(&BEHAVIOUR);
    String::from_utf8_lossy(&text[MARK.len()..]).trim_end_matches('.').to_owned()
}

/// The life of a stand-in.
pub(crate) fn main() {
    match behaviour().as_str() {
        "extra-descriptor" => std::mem::forget(rustix::io::dup(socket())),
        "no-standard-output" => replace_standard_output(),
        "thread" => {
            let (tell, told) = std::sync::mpsc::channel();
            std::thread::spawn(move || {
                let _ = tell.send(());
                loop {
                    std::thread::park();
                }
            });
            told.recv().expect("a second thread that waits");
        }
        "dies" => std::process::exit(7),
        "silent" => std::thread::sleep(Duration::from_secs(600)),
        "unlocked" => {
            let _ = write(socket(), b"ready without lock-down");
            std::thread::sleep(Duration::from_secs(600));
        }
        _ => {}
    }
    sandbox::lock().expect("lock-down");
    let _ = write(socket(), b"locked stand-in.");
    let mut order = [0u8; 1];
    while read(socket(), &mut order) == Ok(1) {
        match order[0] {
            // A native memory bomb: every page is touched.
            b'b' => {
                let mut all = Vec::new();
                loop {
                    all.push(vec![1u8; 1 << 20]);
                    std::hint::black_box(&all);
                }
            }
            b'x' => std::process::exit(5),
            b'e' => drop(write(socket(), b"e")),
            // A loop that burns the processor.
            _ => loop {
                std::hint::black_box(());
            },
        }
    }
}
