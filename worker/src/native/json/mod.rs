//! `JSON.parse` and `JSON.stringify`, two to three times as fast as the engine's own.
//!
//! Called by apps through the global `JSON` after [`install`]; the text and the values are hostile. What is unusual (a
//! reviver, a replacer, indentation) goes to the engine's function, and so does text that is not JSON, for its error.
//! The result is the engine's in every other case too: the tests compare the two over random values.
//!
//! Depth is bounded by [`DEPTH_MAX`], memory by the engine's limit (buffers that grow with the input come from its
//! allocator), and time by both: at most a fraction of a second for what fits in an app's memory.

mod parse;
mod scan;
mod sys;
mod write;

use sys::{Engine, Owned, Thrown};

/// Nesting of arrays and objects that is followed; deeper is a `RangeError`, as a full stack is.
pub const DEPTH_MAX: usize = 4000;

/// Replaces `JSON.parse` and `JSON.stringify` of the context's global object.
pub fn install(context: &rquickjs::Ctx<'_>) -> rquickjs::Result<()> {
    sys::install(context).map_err(|Thrown| rquickjs::Error::Exception)
}

fn parse(engine: Engine, value: &Owned) -> Result<Owned, Thrown> {
    let text = value.to_text()?;
    match parse::document(engine, text.bytes()) {
        Ok(value) => Ok(value),
        Err(parse::Fail::Thrown) => Err(Thrown),
        Err(parse::Fail::Syntax) => engine.engine_parse(&text),
    }
}

fn stringify(engine: Engine, value: Owned) -> Result<Owned, Thrown> {
    write::document(engine, value)
}
