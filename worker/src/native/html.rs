//! The streaming HTML rewriter: crate lol_html under `HTMLRewriter`. HTML and handlers are the app's.
//!
//! lol_html calls a handler in the middle of its parse and has no way to wait for it, while a handler of the app's
//! may be async. So each piece of a document goes through two parsers with the same selectors: the *scout* makes a
//! list of the units (element, text, …) that handlers want to see; the prelude calls the handlers one after another
//! and waits as long as they need; then the *rewriter* parses the same piece and makes the changes that they asked
//! for, `[name, first, second]` each. What a handler changes has no influence on which units come next, so both
//! parsers meet the same units in the same order. No JavaScript runs while either is on the stack.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::error::Error;
use std::rc::Rc;

use lol_html::html_content::{
    Comment, ContentType, Doctype, DocumentEnd, Element, EndTag, TextChunk, UserData,
};
use lol_html::{
    DocumentContentHandlers, ElementContentHandlers, HtmlRewriter, MemorySettings, OutputSink, Selector,
    Settings,
};
use rquickjs::function::Opt;
use rquickjs::{Array, Ctx, Exception, Function, IntoJs, Object, Result, TypedArray, Value};

use crate::engine::{Charge, Shared};
use crate::sys;

/// Memory of one parser: open elements and the unfinished token.
const MEMORY_BYTES_MAX: usize = 4 << 20;
/// What a pair of parsers costs before it has seen anything, with its selectors.
const PAIR_BYTES: usize = 32 << 10;
/// Handlers of one rewriter.
const HANDLERS_MAX: usize = 1000;

/// Length of a selector: what it costs for each element grows with it.
const SELECTOR_BYTES_MAX: usize = 4096;
/// How deep `:not(…)` may be nested in it: its parser calls itself.
const SELECTOR_DEPTH_MAX: usize = 64;

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

pub(crate) fn init<'js>(ctx: &Ctx<'js>, natives: &Object<'js>) -> Result<()> {
    natives.set("pair", Function::new(ctx.clone(), pair)?)?;
    natives.set("isSelector", Function::new(ctx.clone(), |text: String| selector_of(&text).is_ok())?)
}

type Handled = std::result::Result<(), Box<dyn Error + Send + Sync>>;
/// Changes that a handler asked for: `[name, first, second]` each.
type Changes = Vec<(String, String, String)>;

/// The two parsers disagree, or the caller gave fewer lists of changes than there are units.
#[derive(Debug, thiserror::Error)]
#[error("there are no changes for a unit")]
struct Unprepared;

/// What a handler is told of a unit.
#[derive(Debug)]
enum Facts {
    Element { tag: String, namespace: &'static str, content: bool, attributes: Vec<(String, String)> },
    EndTag { name: String },
    Text { text: String, last: bool },
    Comment { text: String },
    Doctype { name: Option<String>, public: Option<String>, system: Option<String> },
    End,
}

/// A unit that a handler wants to see.
#[derive(Debug)]
struct Seen {
    /// Which handler; of an end tag, which element.
    index: usize,
    /// Number of the unit: several handlers may see the same one.
    unit: usize,
    /// Nothing: the handler before this one was told.
    facts: Option<Facts>,
}

/// What a parser and its callbacks share.
#[derive(Debug)]
enum Pass {
    Scout { seen: Vec<Seen>, units: usize },
    Rewrite { changes: VecDeque<Changes>, units: usize },
}

/// Number of a unit, kept at the unit itself.
struct Number(usize);

type Shareable = Rc<RefCell<Pass>>;

impl Pass {
    /// The number of a unit, and whether it is new.
    fn number(&mut self, unit: &mut impl UserData) -> (usize, bool) {
        if let Some(Number(known)) = unit.user_data().downcast_ref() {
            return (*known, false);
        }
        let number = self.next();
        unit.set_user_data(Number(number));
        (number, true)
    }

    fn next(&mut self) -> usize {
        let (Self::Scout { units, .. } | Self::Rewrite { units, .. }) = self;
        *units += 1;
        *units
    }

    /// The scout notes the unit; the rewriter gets the changes for it.
    fn meet(
        &mut self,
        index: usize,
        unit: usize,
        facts: impl FnOnce() -> Option<Facts>,
    ) -> std::result::Result<Changes, Unprepared> {
        match self {
            Self::Scout { seen, .. } => {
                seen.push(Seen { index, unit, facts: facts() });
                Ok(Vec::new())
            }
            Self::Rewrite { changes, .. } => changes.pop_front().ok_or(Unprepared),
        }
    }
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

fn on_element(pass: &Shareable, index: usize, element: &mut Element<'_, '_>) -> Handled {
    let (unit, new) = pass.borrow_mut().number(element);
    if new && let Some(handlers) = element.end_tag_handlers() {
        // Whether a handler will ask for the end tag is not known yet, and both parsers must meet the same units.
        let pass = Rc::clone(pass);
        handlers.push(Box::new(move |tag: &mut EndTag<'_>| on_end_tag(&pass, unit, tag)));
    }
    let content = element.can_have_content();
    let changes = pass.borrow_mut().meet(index, unit, || {
        new.then(|| Facts::Element {
            tag: element.tag_name(),
            namespace: element.namespace_uri(),
            content,
            attributes: element.attributes().iter().map(|each| (each.name(), each.value())).collect(),
        })
    })?;
    for (name, first, second) in &changes {
        match name.as_str() {
            "tagName" => element.set_tag_name(first)?,
            "setAttribute" => element.set_attribute(first, second)?,
            "removeAttribute" => element.remove_attribute(first),
            "prepend" => element.prepend(first, content_type(second)),
            "append" => element.append(first, content_type(second)),
            "setInnerContent" => element.set_inner_content(first, content_type(second)),
            "removeAndKeepContent" => element.remove_and_keep_content(),
            name => placed!(element, name, first, second),
        }
    }
    Ok(())
}

fn on_end_tag(pass: &Shareable, element: usize, tag: &mut EndTag<'_>) -> Handled {
    let mut pass = pass.borrow_mut();
    let unit = pass.next();
    let changes = pass.meet(element, unit, || Some(Facts::EndTag { name: tag.name() }))?;
    for (name, first, second) in &changes {
        match name.as_str() {
            "name" => tag.set_name_str(first.clone()),
            name => placed!(tag, name, first, second),
        }
    }
    Ok(())
}

fn on_text(pass: &Shareable, index: usize, text: &mut TextChunk<'_>) -> Handled {
    let mut pass = pass.borrow_mut();
    let (unit, new) = pass.number(text);
    let changes = pass.meet(index, unit, || {
        new.then(|| Facts::Text { text: text.as_str().to_owned(), last: text.last_in_text_node() })
    })?;
    for (name, first, second) in &changes {
        placed!(text, name.as_str(), first, second);
    }
    Ok(())
}

fn on_comment(pass: &Shareable, index: usize, comment: &mut Comment<'_>) -> Handled {
    let mut pass = pass.borrow_mut();
    let (unit, new) = pass.number(comment);
    let changes = pass.meet(index, unit, || new.then(|| Facts::Comment { text: comment.text() }))?;
    for (name, first, second) in &changes {
        match name.as_str() {
            "text" => comment.set_text(first)?,
            name => placed!(comment, name, first, second),
        }
    }
    Ok(())
}

fn on_doctype(pass: &Shareable, index: usize, doctype: &mut Doctype<'_>) -> Handled {
    let mut pass = pass.borrow_mut();
    let (unit, new) = pass.number(doctype);
    pass.meet(index, unit, || {
        new.then(|| Facts::Doctype {
            name: doctype.name(),
            public: doctype.public_id(),
            system: doctype.system_id(),
        })
    })?;
    Ok(())
}

fn on_end(pass: &Shareable, index: usize, end: &mut DocumentEnd<'_>) -> Handled {
    let mut pass = pass.borrow_mut();
    let unit = pass.next();
    for (name, first, second) in &pass.meet(index, unit, || Some(Facts::End))? {
        if name == "append" {
            end.append(first, content_type(second));
        }
    }
    Ok(())
}

/// A handler of the app's: its selector (empty: the document), and the units that it wants to see as letters:
/// element, comments, text, `d` for doctype, `z` for the end.
struct Wish {
    selector: String,
    letters: String,
}

/// A parser with a callback for each wish.
fn parser<S: OutputSink>(
    wishes: &[Wish],
    pass: &Shareable,
    sink: S,
) -> std::result::Result<HtmlRewriter<'static, S>, String> {
    let mut settings = Settings::new();
    for (index, Wish { selector, letters }) in wishes.iter().enumerate() {
        let has = |letter| letters.contains(letter);
        let kept = || Rc::clone(pass);
        if selector.is_empty() {
            let mut made = DocumentContentHandlers::default();
            if has('d') {
                let pass = kept();
                made = made.doctype(move |unit: &mut Doctype<'_>| on_doctype(&pass, index, unit));
            }
            if has('c') {
                let pass = kept();
                made = made.comments(move |unit: &mut Comment<'_>| on_comment(&pass, index, unit));
            }
            if has('t') {
                let pass = kept();
                made = made.text(move |unit: &mut TextChunk<'_>| on_text(&pass, index, unit));
            }
            if has('z') {
                let pass = kept();
                made = made.end(move |unit: &mut DocumentEnd<'_>| on_end(&pass, index, unit));
            }
            settings = settings.append_document_content_handler(made);
            continue;
        }
        let parsed = selector_of(selector)
            .map_err(|error| format!("the selector \"{selector}\" is not understood: {error}"))?;
        let mut made = ElementContentHandlers::default();
        if has('e') {
            let pass = kept();
            made = made.element(move |unit: &mut Element<'_, '_>| on_element(&pass, index, unit));
        }
        if has('c') {
            let pass = kept();
            made = made.comments(move |unit: &mut Comment<'_>| on_comment(&pass, index, unit));
        }
        if has('t') {
            let pass = kept();
            made = made.text(move |unit: &mut TextChunk<'_>| on_text(&pass, index, unit));
        }
        settings = settings.append_element_content_handler((std::borrow::Cow::Owned(parsed), made));
    }
    let memory = MemorySettings::new().with_max_allowed_memory_usage(MEMORY_BYTES_MAX);
    Ok(HtmlRewriter::new(settings.with_memory_settings(memory), sink))
}

/// A parser until the document ends or an error ends it.
struct Parser<S: OutputSink>(RefCell<Option<HtmlRewriter<'static, S>>>);

impl<S: OutputSink> Parser<S> {
    /// Parses a piece; without one, ends the document.
    fn run<'js>(&self, ctx: &Ctx<'js>, bytes: &Opt<Value<'js>>) -> Result<()> {
        let Some(mut live) = self.0.borrow_mut().take() else {
            return Err(Exception::throw_type(ctx, "the document is at its end"));
        };
        let bytes = bytes.0.as_ref().filter(|bytes| !bytes.is_undefined());
        let result = Shared::costly(ctx, || match bytes {
            Some(bytes) => {
                sys::with_bytes(bytes, |bytes| live.write(bytes)).unwrap_or(Ok(())).map(|()| Some(live))
            }
            None => live.end().map(|()| None),
        })?;
        match result {
            Ok(live) => {
                *self.0.borrow_mut() = live;
                Ok(())
            }
            Err(error) => Err(Exception::throw_type(ctx, &error.to_string())),
        }
    }
}

/// `[kind, index, unit, facts]` of each unit, as the prelude expects them.
fn told<'js>(ctx: &Ctx<'js>, seen: Seen) -> Result<Array<'js>> {
    let facts = Object::new(ctx.clone())?;
    let kind = match seen.facts {
        None => "",
        Some(Facts::Element { tag, namespace, content, attributes }) => {
            facts.set("tagName", tag)?;
            facts.set("namespaceURI", namespace)?;
            facts.set("canHaveContent", content)?;
            let pairs: Vec<Vec<String>> =
                attributes.into_iter().map(|(name, value)| vec![name, value]).collect();
            facts.set("attributes", pairs)?;
            "element"
        }
        Some(Facts::EndTag { name }) => {
            facts.set("name", name)?;
            "endTag"
        }
        Some(Facts::Text { text, last }) => {
            facts.set("text", text)?;
            facts.set("lastInTextNode", last)?;
            "text"
        }
        Some(Facts::Comment { text }) => {
            facts.set("text", text)?;
            "comments"
        }
        Some(Facts::Doctype { name, public, system }) => {
            facts.set("name", name)?;
            facts.set("publicId", public)?;
            facts.set("systemId", system)?;
            "doctype"
        }
        Some(Facts::End) => "end",
    };
    let told = Array::new(ctx.clone())?;
    told.set(0, kind)?;
    told.set(1, seen.index)?;
    told.set(2, seen.unit)?;
    told.set(3, facts)?;
    Ok(told)
}

/// Makes `[scout, rewrite]` for handlers `[selector, letters]` (see [`Wish`]):
/// - `scout(bytes)`: the units of the piece, `[kind, index, unit, facts]` each, the kind empty where it is the unit
///   before once more;
/// - `rewrite(changes, bytes)`: the piece rewritten with one list of changes for each of those units.
///
/// Without bytes the document ends.
fn pair<'js>(ctx: Ctx<'js>, handlers: Vec<Array<'js>>) -> Result<Array<'js>> {
    if handlers.len() > HANDLERS_MAX {
        return Err(Exception::throw_range(&ctx, "an HTMLRewriter takes at most 1000 handlers"));
    }
    let wish = |each: Array<'js>| Ok(Wish { selector: each.get(0)?, letters: each.get(1)? });
    let wishes: Vec<Wish> = handlers.into_iter().map(wish).collect::<Result<_>>()?;
    let refuse = |text: String| Exception::throw_type(&ctx, &text);
    let charge = Rc::new(Charge::new(&ctx, PAIR_BYTES)?);

    let pass = Rc::new(RefCell::new(Pass::Scout { seen: Vec::new(), units: 0 }));
    let parser_of = parser(&wishes, &pass, |_: &[u8]| {}).map_err(refuse)?;
    let scout = Parser(RefCell::new(Some(parser_of)));
    let kept = Rc::clone(&charge);
    let scout = Function::new(ctx.clone(), move |ctx: Ctx<'js>, bytes: Opt<Value<'js>>| {
        let _ = &kept;
        scout.run(&ctx, &bytes)?;
        let seen = match &mut *pass.borrow_mut() {
            Pass::Scout { seen, .. } => std::mem::take(seen),
            Pass::Rewrite { .. } => Vec::new(),
        };
        seen.into_iter().map(|seen| told(&ctx, seen)).collect::<Result<Vec<_>>>()
    })?;

    let pass = Rc::new(RefCell::new(Pass::Rewrite { changes: VecDeque::new(), units: 0 }));
    let out = Rc::new(RefCell::new(Vec::new()));
    let sink = Rc::clone(&out);
    let parser_of = parser(&wishes, &pass, move |bytes: &[u8]| sink.borrow_mut().extend_from_slice(bytes))
        .map_err(refuse)?;
    let rewriter = Parser(RefCell::new(Some(parser_of)));
    let rewrite = Function::new(
        ctx.clone(),
        move |ctx: Ctx<'js>, lists: Vec<Vec<Array<'js>>>, bytes: Opt<Value<'js>>| {
            let _ = &charge;
            let change = |list: Array<'js>| Ok((list.get(0)?, list.get(1)?, list.get(2)?));
            let lists = lists.into_iter().map(|list| list.into_iter().map(change).collect::<Result<_>>());
            let lists = lists.collect::<Result<_>>()?;
            if let Pass::Rewrite { changes, .. } = &mut *pass.borrow_mut() {
                *changes = lists;
            }
            rewriter.run(&ctx, &bytes)?;
            let bytes = std::mem::take(&mut *out.borrow_mut());
            TypedArray::<u8>::new_copy(ctx.clone(), bytes)?.into_js(&ctx)
        },
    )?;
    let made = Array::new(ctx)?;
    made.set(0, scout)?;
    made.set(1, rewrite)?;
    Ok(made)
}
