//! Streams, piled up at random: none may wait for ever.

use fazt_ipc::wire::kernel::ModuleKind;
use fazt_worker::Engine;

/// Chains in one run: a few seconds in a build without optimisation.
const ROUNDS: u32 = 300;

#[test]
fn every_chain_of_streams_ends() {
    let seed = std::env::var("FAZT_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u32 = seed.unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock");
        now.subsec_nanos()
    });
    println!("FAZT_SEED={seed}");
    let engine = Engine::new().expect("an engine");
    engine.modules().add("main.js", ModuleKind::Script, include_bytes!("streams.js").to_vec());
    let start = format!(
        "globalThis.SEED = {seed}; globalThis.ROUNDS = {ROUNDS}; globalThis.WHERE = ''; globalThis.END = false;
         globalThis.WRONG = ''; import('/main.js').catch((error) => {{ WRONG = `${{error}}\n${{error.stack}}`; }})"
    );
    engine.with(|ctx| ctx.eval::<(), _>(start).expect("the import starts"));
    loop {
        engine.run_jobs();
        match engine.run_due_timer() {
            Some(0) => {}
            Some(wait_ns) => std::thread::sleep(std::time::Duration::from_nanos(wait_ns)),
            None => break,
        }
    }
    engine.with(|ctx| {
        let text = |name: &str| ctx.globals().get::<_, String>(name).expect("text");
        assert_eq!(text("WRONG"), "", "{} of seed {seed}", text("WHERE"));
        assert!(
            ctx.globals().get::<_, bool>("END").expect("a flag"),
            "{} of seed {seed} never ends",
            text("WHERE")
        );
    });
}
