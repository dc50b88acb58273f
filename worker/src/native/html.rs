//! The streaming HTML rewriter: crate lol_html under `HTMLRewriter`. HTML and handlers are the app's.
//!
//! A handler is called once for each unit (element, text, …) with what there is to know about it, and answers a list
//! of changes `[name, first, second]`, which are made when it returns. lol_html has no way to wait, so a handler that
//! returns a promise is waited for by running promise jobs inside the call (`settle`).

use std::cell::RefCell;
use std::error::Error;
use std::rc::Rc;

use lol_html::html_content::{Comment, ContentType, Doctype, DocumentEnd, Element, EndTag, TextChunk};
use lol_html::{
    DocumentContentHandlers, ElementContentHandlers, HtmlRewriter, MemorySettings, Selector, Settings,
};
use rquickjs::promise::PromiseState;
use rquickjs::{
    Array, Ctx, Exception, Function, IntoJs, Object, Persistent, Promise, Result, TypedArray, Value,
};

use crate::engine::Shared;
use crate::sys;

/// Memory of one rewriter: open elements and the unfinished token.
const MEMORY_BYTES_MAX: usize = 4 << 20;
/// Handlers of one rewriter.
const HANDLERS_MAX: usize = 1000;

/// Length of a selector: what it costs for each element grows with it.
const SELECTOR_BYTES_MAX: usize = 4096;
/// How deep `:not(…)` may be nested in it: its parser calls itself.
const SELECTOR_DEPTH_MAX: usize = 64;
/// Bytes of HTML between two looks at the CPU budget.
const CHUNK_BYTES: usize = 4 << 10;

/// The selector that a text means.
fn selector_of(text: &str) -> std::result::Result<Selector, String> {
    let mut open = 0_usize;
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => open += 1,
            b')' | b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        if open > SELECTOR_DEPTH_MAX {
            return Err("it is nested too deep".to_owned());
        }
    }
    if text.len() > SELECTOR_BYTES_MAX {
        return Err("it is too long".to_owned());
    }
    text.parse().map_err(|error: lol_html::errors::SelectorError| error.to_string())
}

type Handled = std::result::Result<(), Box<dyn Error + Send + Sync>>;
type Failure = Rc<RefCell<Option<Persistent<Value<'static>>>>>;

/// A handler threw; the exception is in the [`Failure`].
#[derive(Debug, thiserror::Error)]
#[error("a handler failed")]
struct Failed;

pub(crate) fn init<'js>(ctx: &Ctx<'js>, natives: &Object<'js>) -> Result<()> {
    natives.set("rewriter", Function::new(ctx.clone(), rewriter)?)?;
    natives.set("settle", Function::new(ctx.clone(), settle)?)?;
    natives.set("isSelector", Function::new(ctx.clone(), |text: String| selector_of(&text).is_ok())?)
}

/// Runs promise jobs until the promise is settled. False: it waits for something that no job brings, such as a timer.
fn settle<'js>(ctx: Ctx<'js>, promise: Promise<'js>) -> bool {
    let Ok(shared) = Shared::of(&ctx) else { return false };
    shared.port.new_step();
    while promise.state() == PromiseState::Pending {
        shared.port.next_step();
        if !ctx.execute_pending_job() {
            return false;
        }
    }
    true
}

/// Changes that a handler asked for: `[name, first, second]` each.
type Changes = Vec<(String, String, String)>;

/// Calls the handler `index` of `kind` with the facts, in the order that the prelude expects.
fn ask(
    failure: &Failure,
    kind: &str,
    index: usize,
    facts: impl for<'js> FnOnce(&Ctx<'js>) -> Result<Object<'js>>,
) -> std::result::Result<Changes, Failed> {
    let asked = sys::call_active(|ctx, function| -> Result<Changes> {
        let answer =
            facts(ctx).and_then(|facts| function.call::<_, Option<Vec<Array<'_>>>>((kind, index, facts)));
        let read = |lists: Option<Vec<Array<'_>>>| {
            let change = |list: Array<'_>| Ok((list.get(0)?, list.get(1)?, list.get(2)?));
            lists.unwrap_or_default().into_iter().map(change).collect()
        };
        answer.and_then(read).inspect_err(|_| {
            *failure.borrow_mut() = Some(Persistent::save(ctx, ctx.catch()));
        })
    });
    asked.and_then(Result::ok).ok_or(Failed)
}

/// Makes the error of a change that is not possible into an exception.
fn refuse(failure: &Failure, error: &dyn Error) -> Failed {
    sys::call_active(|ctx, _| {
        let _ = Exception::throw_type(ctx, &error.to_string());
        *failure.borrow_mut() = Some(Persistent::save(ctx, ctx.catch()));
    });
    Failed
}

fn content_type(second: &str) -> ContentType {
    if second == "html" { ContentType::Html } else { ContentType::Text }
}

/// The changes that every unit with a place in the document has.
macro_rules! placed {
    ($unit:expr, $name:expr, $first:expr, $second:expr) => {
        match $name {
            "before" => $unit.before($first, content_type($second)),
            "after" => $unit.after($first, content_type($second)),
            "replace" => $unit.replace($first, content_type($second)),
            "remove" => $unit.remove(),
            _ => {}
        }
    };
}

fn on_element(failure: &Failure, index: usize, element: &mut Element<'_, '_>) -> Handled {
    let changes = ask(failure, "element", index, |ctx| {
        let facts = Object::new(ctx.clone())?;
        facts.set("tagName", element.tag_name())?;
        facts.set("namespaceURI", element.namespace_uri())?;
        facts.set("removed", element.removed())?;
        facts.set("canHaveContent", element.can_have_content())?;
        let attributes: Vec<Vec<String>> =
            element.attributes().iter().map(|attribute| vec![attribute.name(), attribute.value()]).collect();
        facts.set("attributes", attributes)?;
        Ok(facts)
    })?;
    for (name, first, second) in &changes {
        match name.as_str() {
            "tagName" => element.set_tag_name(first).map_err(|error| refuse(failure, &error))?,
            "setAttribute" => {
                element.set_attribute(first, second).map_err(|error| refuse(failure, &error))?
            }
            "removeAttribute" => element.remove_attribute(first),
            "prepend" => element.prepend(first, content_type(second)),
            "append" => element.append(first, content_type(second)),
            "setInnerContent" => element.set_inner_content(first, content_type(second)),
            "removeAndKeepContent" => element.remove_and_keep_content(),
            "onEndTag" => {
                let (failure, index) = (Rc::clone(failure), first.parse().unwrap_or(0));
                if let Some(handlers) = element.end_tag_handlers() {
                    handlers.push(Box::new(move |tag: &mut EndTag<'_>| on_end_tag(&failure, index, tag)));
                }
            }
            name => placed!(element, name, first, second),
        }
    }
    Ok(())
}

fn on_end_tag(failure: &Failure, index: usize, tag: &mut EndTag<'_>) -> Handled {
    let changes = ask(failure, "endTag", index, |ctx| {
        let facts = Object::new(ctx.clone())?;
        facts.set("name", tag.name())?;
        Ok(facts)
    })?;
    for (name, first, second) in &changes {
        match name.as_str() {
            "name" => tag.set_name_str(first.clone()),
            name => placed!(tag, name, first, second),
        }
    }
    Ok(())
}

fn on_text(failure: &Failure, kind: &str, index: usize, text: &mut TextChunk<'_>) -> Handled {
    let changes = ask(failure, kind, index, |ctx| {
        let facts = Object::new(ctx.clone())?;
        facts.set("text", text.as_str())?;
        facts.set("lastInTextNode", text.last_in_text_node())?;
        facts.set("removed", text.removed())?;
        Ok(facts)
    })?;
    for (name, first, second) in &changes {
        placed!(text, name.as_str(), first, second);
    }
    Ok(())
}

fn on_comment(failure: &Failure, kind: &str, index: usize, comment: &mut Comment<'_>) -> Handled {
    let changes = ask(failure, kind, index, |ctx| {
        let facts = Object::new(ctx.clone())?;
        facts.set("text", comment.text())?;
        facts.set("removed", comment.removed())?;
        Ok(facts)
    })?;
    for (name, first, second) in &changes {
        match name.as_str() {
            "text" => comment.set_text(first).map_err(|error| refuse(failure, &error))?,
            name => placed!(comment, name, first, second),
        }
    }
    Ok(())
}

fn on_doctype(failure: &Failure, index: usize, doctype: &mut Doctype<'_>) -> Handled {
    ask(failure, "doctype", index, |ctx| {
        let facts = Object::new(ctx.clone())?;
        facts.set("name", doctype.name())?;
        facts.set("publicId", doctype.public_id())?;
        facts.set("systemId", doctype.system_id())?;
        Ok(facts)
    })?;
    Ok(())
}

fn on_end(failure: &Failure, index: usize, end: &mut DocumentEnd<'_>) -> Handled {
    for (name, first, second) in &ask(failure, "end", index, |ctx| Object::new(ctx.clone()))? {
        if name == "append" {
            end.append(first, content_type(second));
        }
    }
    Ok(())
}

/// Makes a function that takes the callback and bytes and answers the rewritten bytes so far; without bytes it ends
/// the document. `handlers`: `[selector, parts]` each, the parts being letters: element, comments, text, doctype,
/// end (`d` for doctype, `z` for end); an empty selector means the document.
fn rewriter<'js>(ctx: Ctx<'js>, handlers: Vec<Array<'js>>) -> Result<Function<'js>> {
    let failure = Failure::default();
    let out = Rc::new(RefCell::new(Vec::new()));
    let mut settings = Settings::new();
    if handlers.len() > HANDLERS_MAX {
        return Err(Exception::throw_range(&ctx, "an HTMLRewriter takes at most 1000 handlers"));
    }
    for (index, handler) in handlers.iter().enumerate() {
        let (selector, parts): (String, String) = (handler.get(0)?, handler.get(1)?);
        let has = |letter| parts.contains(letter);
        let kept = || Rc::clone(&failure);
        if selector.is_empty() {
            let mut made = DocumentContentHandlers::default();
            if has('d') {
                let failure = kept();
                made = made.doctype(move |unit: &mut Doctype<'_>| on_doctype(&failure, index, unit));
            }
            if has('c') {
                let failure = kept();
                made = made
                    .comments(move |unit: &mut Comment<'_>| on_comment(&failure, "comments", index, unit));
            }
            if has('t') {
                let failure = kept();
                made = made.text(move |unit: &mut TextChunk<'_>| on_text(&failure, "text", index, unit));
            }
            if has('z') {
                let failure = kept();
                made = made.end(move |unit: &mut DocumentEnd<'_>| on_end(&failure, index, unit));
            }
            settings = settings.append_document_content_handler(made);
            continue;
        }
        let parsed: Selector = selector_of(&selector).map_err(|error| {
            Exception::throw_type(&ctx, &format!("the selector \"{selector}\" is not understood: {error}"))
        })?;
        let mut made = ElementContentHandlers::default();
        if has('e') {
            let failure = kept();
            made = made.element(move |unit: &mut Element<'_, '_>| on_element(&failure, index, unit));
        }
        if has('c') {
            let failure = kept();
            made = made.comments(move |unit: &mut Comment<'_>| on_comment(&failure, "comments", index, unit));
        }
        if has('t') {
            let failure = kept();
            made = made.text(move |unit: &mut TextChunk<'_>| on_text(&failure, "text", index, unit));
        }
        settings = settings.append_element_content_handler((std::borrow::Cow::Owned(parsed), made));
    }
    let memory = MemorySettings::new().with_max_allowed_memory_usage(MEMORY_BYTES_MAX);
    let settings = settings.with_memory_settings(memory);
    let sink = Rc::clone(&out);
    let made = HtmlRewriter::new(settings, move |bytes: &[u8]| sink.borrow_mut().extend_from_slice(bytes));
    let rewriter = RefCell::new(Some(made));
    Function::new(
        ctx,
        move |ctx: Ctx<'js>, call: Function<'js>, bytes: rquickjs::function::Opt<Value<'js>>| {
            let taken = rewriter.try_borrow_mut().ok().and_then(|mut slot| slot.take());
            let Some(mut live) = taken else {
                return Err(Exception::throw_type(
                    &ctx,
                    "the document is at its end, or a handler writes to it",
                ));
            };
            let result = sys::with_active(&ctx, call, || -> Result<_> {
                match bytes.0 {
                    Some(bytes) => {
                        // A copy, since a handler may detach the buffer.
                        let bytes = sys::with_bytes(&bytes, <[u8]>::to_vec).unwrap_or_default();
                        for part in bytes.chunks(CHUNK_BYTES) {
                            if let Err(error) = Shared::costly(&ctx, || live.write(part))? {
                                return Ok(Err(error));
                            }
                        }
                        Ok(Ok(Some(live)))
                    }
                    None => Ok(live.end().map(|()| None)),
                }
            })?;
            match result {
                Ok(live) => *rewriter.borrow_mut() = live,
                Err(error) => {
                    return Err(match failure.borrow_mut().take() {
                        Some(thrown) => ctx.throw(thrown.restore(&ctx)?),
                        None => Exception::throw_type(&ctx, &error.to_string()),
                    });
                }
            }
            let bytes = std::mem::take(&mut *out.borrow_mut());
            TypedArray::<u8>::new_copy(ctx.clone(), bytes)?.into_js(&ctx)
        },
    )
}
