//! What the engine's heap holds at each step of starting.
fn main() {
    let engine = fazt_worker::Engine::new().expect("an engine");
    println!("engine and globals: {} bytes", engine.heap().used_bytes());
    for name in [
        "fazt:stack",
        "fazt:headers",
        "fazt:body",
        "fazt:fetch",
        "fazt:main",
        "fazt:console",
        "fazt:url",
        "fazt:streams",
    ] {
        engine.load_prelude(name).expect("loads");
        engine.runtime().run_gc();
        println!("with {name}: {} bytes", engine.heap().used_bytes());
        let u = engine.runtime().memory_usage();
        println!(
            "  atoms {}/{} strings {}/{} objects {}/{} properties {}/{} shapes {}/{} functions {}/{} code {} lines {}/{} C functions {}",
            u.atom_count,
            u.atom_size,
            u.str_count,
            u.str_size,
            u.obj_count,
            u.obj_size,
            u.prop_count,
            u.prop_size,
            u.shape_count,
            u.shape_size,
            u.js_func_count,
            u.js_func_size,
            u.js_func_code_size,
            u.js_func_pc2line_count,
            u.js_func_pc2line_size,
            u.c_func_count
        );
    }
}
