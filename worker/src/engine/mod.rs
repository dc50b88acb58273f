//! The JavaScript engine: one runtime, one context, the prelude behind lazy globals, the app's modules.
//!
//! Used by the link and by test runners. It knows nothing of frames. Scripts and their values are hostile.

pub(crate) mod globals;
pub(crate) mod modules;

use std::rc::Rc;

use rquickjs::{CatchResultExt, Context, Ctx, Runtime};

use crate::sys::{self, Heap, HeapAllocator};
use modules::ModuleTable;

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Runtime, context or prelude could not be made.
    #[error("the engine does not start: {0}")]
    Start(#[from] rquickjs::Error),
}

/// What Rust code called from JavaScript finds through its context.
pub(crate) struct Shared(pub(crate) Rc<ModuleTable>);

/// A runtime with one context. Not `Send`: it belongs to its thread.
pub struct Engine {
    // Order matters: the context goes before the runtime, both before what they point to.
    context: Context,
    runtime: Runtime,
    modules: Rc<ModuleTable>,
    heap: Rc<Heap>,
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
        let modules = Rc::new(ModuleTable::default());
        context.with(|ctx| -> rquickjs::Result<()> {
            sys::set_modules(&ctx, &modules);
            let _ = ctx.store_userdata(Shared(Rc::clone(&modules)));
            crate::native::json::install(&ctx)?;
            globals::install(&ctx)
        })?;
        Ok(Self { context, runtime, modules, heap })
    }

    /// Runs `f` inside the context.
    pub fn with<R>(&self, f: impl FnOnce(Ctx<'_>) -> R) -> R {
        self.context.with(|ctx| f(ctx))
    }

    /// Runs promise jobs until there is none.
    pub fn run_jobs(&self) {
        self.context.with(|ctx| while ctx.execute_pending_job() {});
    }

    /// Loads a prelude module by its full name: for tests and for warming up.
    ///
    /// # Errors
    /// The exception as text.
    pub fn load_prelude(&self, name: &str) -> Result<(), String> {
        self.with(|ctx| match modules::import_prelude(&ctx, &self.modules, name).catch(&ctx) {
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
        &self.modules
    }

    /// The runtime.
    #[must_use]
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
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
