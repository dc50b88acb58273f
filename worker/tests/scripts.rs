//! Scripts run as modules in a real engine; what they print is compared with a file beside them.
//! `FAZT_BLESS=1` writes those files anew.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

use fazt_ipc::wire::kernel::ModuleKind;
use fazt_worker::Engine;
use rquickjs::{Coerced, Function};

fn output(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts").join(format!("{name}.js"));
    let source = std::fs::read(&path).expect("the script");
    let engine = Engine::new().expect("an engine");
    engine.modules().add("main.js", ModuleKind::Script, source);
    let lines = Rc::new(RefCell::new(String::new()));
    let kept = Rc::clone(&lines);
    engine.with(|ctx| {
        let print = move |line: Coerced<String>| {
            kept.borrow_mut().push_str(&line.0);
            kept.borrow_mut().push('\n');
        };
        ctx.globals().set("print", Function::new(ctx.clone(), print).expect("memory")).expect("memory");
        let script = "import('/main.js').then(() => print('done'), (error) => print(`failed: ${error}\\n${error?.stack}`))";
        ctx.eval::<(), _>(script).expect("the import starts");
    });
    loop {
        engine.run_jobs();
        match engine.run_due_timer() {
            Some(0) => {}
            Some(wait_ns) => std::thread::sleep(std::time::Duration::from_nanos(wait_ns)),
            None => break,
        }
    }
    drop(engine);
    lines.take()
}

fn check(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts").join(format!("{name}.txt"));
    let printed = output(name);
    let printed = printed.strip_suffix("done\n").unwrap_or_else(|| panic!("{name} did not end:\n{printed}"));
    if std::env::var_os("FAZT_BLESS").is_some() {
        std::fs::write(&path, printed).expect("the file");
    }
    let expected = std::fs::read_to_string(&path).expect("the expected output");
    for (index, (expected, printed)) in expected.lines().zip(printed.lines()).enumerate() {
        assert_eq!(expected, printed, "{name}.txt line {}", index + 1);
    }
    assert_eq!(expected.len(), printed.len(), "{name}.txt in length");
}

#[test]
fn nodes_modules_answer_as_node_does() {
    assert_eq!(output("modules"), "done\n");
}

#[test]
fn nodes_streams_flow_as_nodes_own() {
    assert_eq!(output("node_streams"), "done\n");
}

#[test]
fn a_context_is_carried_over_everything_that_waits() {
    assert_eq!(output("context"), "done\n");
}

#[test]
fn values_are_shown_as_node_shows_them() {
    check("inspect");
}

#[test]
fn every_family_of_keys_is_made_exported_imported_and_used() {
    check("crypto");
}

#[test]
fn html_is_rewritten_and_a_failing_handler_fails_the_body() {
    check("html");
}
