//! The fast `JSON` against the engine's own: random values and texts, broken ones too. Prints its seed;
//! `FAZT_TEST_SEED` replays one.

use rquickjs::{CatchResultExt, Context, Function, Runtime};

#[test]
fn the_fast_json_is_the_engines_json() {
    // The worker's main thread has this much.
    let thread = std::thread::Builder::new().stack_size(8 << 20).spawn(compare).expect("a thread");
    thread.join().expect("no difference");
}

fn compare() {
    let seed: u32 = std::env::var("FAZT_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| std::time::UNIX_EPOCH.elapsed().map_or(1, |since| since.subsec_nanos()));
    println!("FAZT_TEST_SEED={seed}");
    let runtime = Runtime::new().expect("memory");
    let context = Context::full(&runtime).expect("memory");
    context.with(|ctx| {
        let run = || -> rquickjs::Result<()> {
            ctx.eval::<(), _>("globalThis.own = { parse: JSON.parse, stringify: JSON.stringify };")?;
            fazt_worker::native::json::install(&ctx)?;
            ctx.globals().set("seed", seed)?;
            ctx.globals().set("rounds", 2000)?;
            let fail = |message: String| eprintln!("{message}");
            ctx.globals().set("report", Function::new(ctx.clone(), fail)?)?;
            ctx.eval::<(), _>(
                "globalThis.fail = (message) => { report(message); throw new Error(message); };",
            )?;
            ctx.eval(include_str!("json.js"))
        };
        if let Err(error) = run().catch(&ctx) {
            panic!("FAZT_TEST_SEED={seed}: {error}");
        }
    });
    // A leaked or twice freed value aborts here.
    drop(context);
    drop(runtime);
}

#[test]
fn memory_that_json_needs_counts_against_the_limit() {
    let engine = fazt_worker::Engine::new().expect("an engine");
    engine.heap().set_limit_bytes(16 << 20);
    for script in [
        "let x = 'x'.repeat(1000); for (let i = 0; i < 40; i++) x = [x, x]; JSON.stringify(x)",
        "JSON.parse('[' + '0,'.repeat(1500000) + '0]')",
    ] {
        let threw = engine.with(|ctx| ctx.eval::<(), _>(script).catch(&ctx).is_err());
        assert!(threw, "{script}");
    }
}
