//! The worker program: fd 3 is the kernel's socket, and there is nothing else.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: fazt_worker::sandbox::RustAllocator = fazt_worker::sandbox::RustAllocator;

fn main() -> ExitCode {
    // The default hook writes to standard error, which the sandbox answers as it answers an attack.
    std::panic::set_hook(Box::new(|_| fazt_worker::sys::exit_now(fazt_ipc::launch::EXIT_PANIC)));
    // Only the launcher gives this argument, and such a process is never sent an app.
    if let Some(argument) = std::env::args_os().nth(1) {
        if argument == fazt_worker::sandbox::escape::ARGUMENT {
            fazt_worker::sandbox::escape::serve();
        }
        if argument == fazt_worker::sandbox::escape::ARGUMENT_WALLS {
            fazt_worker::sandbox::escape::serve_walls();
        }
    }
    fazt_worker::sandbox::end_at_stack_overflow();
    fazt_worker::sys::keep_heap_small();
    // Never closed by hand: a locked worker may not close anything, and its end closes it.
    let socket = std::mem::ManuallyDrop::new(fazt_worker::sys::kernel_socket());
    match fazt_worker::link::serve(&socket, || {
        fazt_worker::sandbox::lock().map_err(|error| error.to_string())
    }) {
        Ok(()) => ExitCode::SUCCESS,
        // Nobody reads what a worker prints: the exit code says that it did not end well, the kernel has been
        // told the rest.
        Err(_) => ExitCode::FAILURE,
    }
}
