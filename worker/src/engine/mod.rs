//! The JavaScript engine: one runtime, one context, the prelude behind lazy globals, the app's modules.
//!
//! Used by the link and by test runners. It knows nothing of frames. Scripts and their values are hostile.

mod budget;
mod charge;
mod context;
pub(crate) mod convert;
pub(crate) mod globals;
pub(crate) mod modules;
pub(crate) mod sys;

use std::rc::Rc;

use rquickjs::{CatchResultExt, Context, Ctx, Function, Runtime, Value};

use crate::link::{Port, Timers};
use crate::sys::{Heap, HeapAllocator};
pub use budget::Budget;
pub(crate) use charge::Charge;
pub(crate) use context::Contexts;
pub use modules::ModuleTable;

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Runtime, context or prelude could not be made.
    #[error("the engine does not start: {0}")]
    Start(#[from] rquickjs::Error),
}

/// What Rust code called from JavaScript finds through its context.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) modules: Rc<ModuleTable>,
    pub(crate) port: Rc<Port>,
    pub(crate) timers: Rc<Timers>,
    pub(crate) heap: Rc<Heap>,
    pub(crate) contexts: Rc<Contexts>,
    budget: Rc<Budget>,
}

impl Shared {
    /// That of the engine that runs `ctx`.
    pub(crate) fn of(ctx: &Ctx<'_>) -> rquickjs::Result<Self> {
        let shared = ctx.userdata::<Self>().map(|shared| shared.clone());
        shared.ok_or_else(|| rquickjs::Exception::throw_internal(ctx, "the engine is not set up"))
    }

    /// Runs a native function that takes long. The engine asks for the budget every few thousand steps of a script,
    /// and a script that does little else takes few; so it is asked for before and after each such call.
    pub(crate) fn costly<R>(ctx: &Ctx<'_>, run: impl FnOnce() -> R) -> rquickjs::Result<R> {
        let budget = Self::of(ctx)?.budget;
        budget.tick();
        let result = run();
        if budget.tick() { Err(sys::throw_uncatchable(ctx, "the CPU time is used up")) } else { Ok(result) }
    }
}

/// A runtime with one context. Not `Send`: it belongs to its thread.
pub struct Engine {
    // Order matters: the context goes before the runtime, both before what they point to.
    context: Context,
    runtime: Runtime,
    shared: Shared,
    heap: Rc<Heap>,
    budget: Rc<Budget>,
    _watch: Rc<sys::Watch>,
}

impl Engine {
    /// Makes an engine with every global in place and nothing of the prelude loaded.
    ///
    /// # Errors
    /// When memory is short or the prelude does not fit this build.
    pub fn new() -> Result<Self, EngineError> {
        let heap = Rc::new(Heap::default());
        let runtime = Runtime::new_with_alloc(HeapAllocator(Rc::clone(&heap)))?;
        runtime.set_max_stack_size(crate::limits::STACK_BYTES_MAX);
        let context = Context::custom::<Intrinsics>(&runtime)?;
        let budget = Rc::new(Budget::default());
        let watch = Rc::new(sys::Watch { budget: Rc::clone(&budget), heap: Rc::clone(&heap) });
        let port = Rc::new(Port::new(Rc::clone(&heap)));
        let shared = Shared {
            modules: Rc::default(),
            port,
            timers: Rc::default(),
            heap: Rc::clone(&heap),
            contexts: Rc::default(),
            budget: Rc::clone(&budget),
        };
        context.with(|ctx| -> rquickjs::Result<()> {
            sys::set_modules(&ctx, &shared.modules);
            sys::set_watch(&ctx, &watch);
            let _ = ctx.store_userdata(shared.clone());
            crate::native::json::install(&ctx)?;
            globals::install(&ctx)
        })?;
        Ok(Self { context, runtime, shared, heap, budget, _watch: watch })
    }

    /// Runs `f` inside the context.
    pub fn with<R>(&self, f: impl FnOnce(Ctx<'_>) -> R) -> R {
        self.context.with(f)
    }

    /// Runs promise jobs until there is none.
    pub fn run_jobs(&self) {
        self.context.with(|ctx| {
            let contexts = &self.shared.contexts;
            loop {
                contexts.job_ended(&ctx);
                contexts.job_begins();
                if !ctx.execute_pending_job() {
                    break;
                }
            }
            contexts.begin();
        });
    }

    /// Loads a prelude module by its full name: for tests and for warming up.
    ///
    /// # Errors
    /// The exception as text.
    pub fn load_prelude(&self, name: &str) -> Result<(), String> {
        self.with(|ctx| match modules::import_prelude(&ctx, &self.shared.modules, name).catch(&ctx) {
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        })
    }

    /// The JavaScript heap.
    #[must_use]
    pub fn heap(&self) -> &Heap {
        &self.heap
    }

    /// The app's modules.
    #[must_use]
    pub fn modules(&self) -> &ModuleTable {
        &self.shared.modules
    }

    /// CPU time of what runs.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// When timers are due.
    #[must_use]
    pub fn timers(&self) -> &Timers {
        &self.shared.timers
    }

    /// Runs a timer that is due, for test runners, which have no link. Gives the nanoseconds until the next one is
    /// (0: now); nothing if there is none.
    pub fn run_due_timer(&self) -> Option<u64> {
        let now_ns = crate::sys::monotonic_ns();
        let Some(id) = self.shared.timers.take_due(now_ns) else {
            return self.shared.timers.next_ns().map(|due_ns| due_ns.saturating_sub(now_ns));
        };
        self.with(|ctx| {
            let id = Value::new_number(ctx.clone(), f64::from(id));
            if self.call_prelude(&ctx, "fazt:timers", "fire", id).is_err() {
                // What reporting throws has nobody left to tell.
                let _ = self.call_prelude(&ctx, "fazt:events", "reportError", ctx.catch());
            }
        });
        Some(0)
    }

    fn call_prelude<'js>(
        &self,
        ctx: &Ctx<'js>,
        module: &str,
        function: &str,
        argument: Value<'js>,
    ) -> rquickjs::Result<()> {
        let exports = modules::import_prelude(ctx, &self.shared.modules, module)?;
        exports.get::<_, Function<'js>>(function)?.call((argument,))
    }

    pub(crate) fn budget_handle(&self) -> Rc<Budget> {
        Rc::clone(&self.budget)
    }

    pub(crate) fn heap_handle(&self) -> Rc<Heap> {
        Rc::clone(&self.heap)
    }

    /// Tells `fazt:main` of promises that are rejected without a handler, and of handlers that come late.
    pub(crate) fn watch_rejections(&self) {
        let shared = self.shared.clone();
        self.runtime.set_host_promise_rejection_tracker(Some(Box::new(
            move |ctx, promise, reason, handled| {
                let told = modules::import_prelude(&ctx, &shared.modules, "fazt:main")
                    .and_then(|main| main.get::<_, rquickjs::Function<'_>>("rejection"))
                    .and_then(|rejection| rejection.call::<_, ()>((promise, reason, handled)));
                if told.is_ok() {
                    shared.port.rejected.set(true);
                }
            },
        )));
    }

    pub(crate) fn contexts(&self) -> &Rc<Contexts> {
        &self.shared.contexts
    }

    pub(crate) fn port(&self) -> &Rc<Port> {
        &self.shared.port
    }

    /// The runtime.
    #[must_use]
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Its values must not outlive the runtime.
        self.shared.contexts.end();
    }
}

/// What of ECMAScript there is. Not `Performance` and `DOMException`: the prelude has its own. `Atomics` and
/// `SharedArrayBuffer` come with typed arrays and are removed in `globals::install`.
type Intrinsics = (
    rquickjs::context::intrinsic::Date,
    rquickjs::context::intrinsic::Eval,
    rquickjs::context::intrinsic::RegExpCompiler,
    rquickjs::context::intrinsic::RegExp,
    rquickjs::context::intrinsic::Json,
    rquickjs::context::intrinsic::Proxy,
    rquickjs::context::intrinsic::MapSet,
    rquickjs::context::intrinsic::TypedArrays,
    rquickjs::context::intrinsic::Promise,
    rquickjs::context::intrinsic::WeakRef,
);
