//! The build role: turns hostile TypeScript and JSX into JavaScript inside a `build` jail.
//!
//! The supervisor spawns `fazt` again under the `build` profile; once locked it calls [`run`], which reads one
//! job from fd 3, answers and returns. It opens no file, reads no environment, knows no app. What comes
//! back is data for the kernel to check like any other bytes from a jail.

/// One script to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Path inside the app; its extension decides the language.
    pub path: String,
    /// UTF-8 text.
    pub text: String,
}

/// A script as the engine can load it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stripped {
    /// JavaScript; empty when the source already is what the engine loads.
    pub code: String,
    /// Original position of each line and column of `code`; empty when `code` is.
    pub map: Vec<Mapping>,
    /// Module specifiers of static `import` and `export … from`, and of `import("literal")`.
    pub imports: Vec<String>,
}

/// From here on in the code, this is the place in the source. All counts are from 0; columns count UTF-16
/// code units, as engines do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mapping {
    /// Line of the code.
    pub line: u32,
    /// Column of the code.
    pub column: u32,
    /// Line of the source.
    pub source_line: u32,
    /// Column of the source.
    pub source_column: u32,
}

/// What is wrong with a script, for its author.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Path inside the app.
    pub path: String,
    /// From 1; 0 when unknown.
    pub line: u32,
    /// From 1; 0 when unknown.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// The line with a mark under the place; may be empty.
    pub frame: String,
}

impl std::fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}: {}", self.path, self.line, self.column, self.message)?;
        if self.frame.is_empty() { Ok(()) } else { write!(f, "\n{}", self.frame) }
    }
}
