//! URLs: parsing, setters, form encoding. Stateless: the JavaScript side keeps the serialised URL and where
//! its parts lie, so that getters are substrings.
//!
//! Strings arrive well-formed; their content is hostile. The parser follows the URL standard state by state
//! (the crate `url` differs from it for `file:` and panics on some URLs with an empty host); domains go
//! through the crate `idna`.

mod host;
mod percent;
mod record;

use form_urlencoded as form;
use rquickjs::{Ctx, Function, Object, Result, String as JsString, Value};

use self::record::{Path, Record, State};
use crate::sys::{with_bytes, with_bytes_mut};

/// How many places `parse` and `set` report.
const PLACES: usize = 11;

pub(crate) fn init<'js>(ctx: &Ctx<'js>, natives: &Object<'js>) -> Result<()> {
    natives.set("parse", Function::new(ctx.clone(), parse)?)?;
    natives.set("set", Function::new(ctx.clone(), set)?)?;
    natives.set("canParse", Function::new(ctx.clone(), can_parse)?)?;
    natives.set("origin", Function::new(ctx.clone(), origin)?)?;
    natives.set("formParse", Function::new(ctx.clone(), form_parse)?)?;
    natives.set("formParseBytes", Function::new(ctx.clone(), form_parse_bytes)?)?;
    natives.set("formSerialize", Function::new(ctx.clone(), form_serialize)?)?;
    natives.set("domainToAscii", Function::new(ctx.clone(), domain_to_ascii)?)
}

fn read<'js>(input: JsString<'js>, base: Option<JsString<'js>>) -> Result<Option<Record>> {
    let input = input.to_cstring()?;
    let base = match base {
        Some(base) => match Record::parse(base.to_cstring()?.as_str(), None) {
            Ok(base) => Some(base),
            Err(_) => return Ok(None),
        },
        None => None,
    };
    Ok(Record::parse(input.as_str(), base.as_ref()).ok())
}

/// Writes where the parts of `url` lie into a Uint32Array and gives its serialisation.
fn report<'js>(ctx: Ctx<'js>, url: &Record, places: &Value<'js>) -> Result<Option<JsString<'js>>> {
    let serialized = url.serialize();
    with_bytes_mut(places, |bytes| {
        for (to, place) in bytes.chunks_exact_mut(4).zip(serialized.places) {
            to.copy_from_slice(&place.to_ne_bytes());
        }
    });
    JsString::from_str(ctx, &serialized.href).map(Some)
}

fn parse<'js>(
    ctx: Ctx<'js>,
    input: JsString<'js>,
    base: Option<JsString<'js>>,
    places: Value<'js>,
) -> Result<Option<JsString<'js>>> {
    match read(input, base)? {
        Some(url) => report(ctx, &url, &places),
        None => Ok(None),
    }
}

fn can_parse<'js>(input: JsString<'js>, base: Option<JsString<'js>>) -> Result<bool> {
    Ok(read(input, base)?.is_some())
}

/// Runs a setter on a serialised URL. Nothing: there is no such part.
fn set<'js>(
    ctx: Ctx<'js>,
    href: JsString<'js>,
    part: String,
    value: JsString<'js>,
    places: Value<'js>,
) -> Result<Option<JsString<'js>>> {
    let Ok(mut url) = Record::parse(href.to_cstring()?.as_str(), None) else { return Ok(None) };
    let value = value.to_cstring()?;
    apply(&mut url, &part, value.as_str());
    report(ctx, &url, &places)
}

fn apply(url: &mut Record, part: &str, value: &str) {
    match part {
        "protocol" => url.set(&format!("{value}:"), State::SchemeStart),
        "username" | "password" if url.lacks_authority() => {}
        "username" | "password" => {
            let mut encoded = String::new();
            percent::encode(value, percent::USERINFO, &mut encoded);
            *(if part == "username" { &mut url.username } else { &mut url.password }) = encoded;
        }
        "host" if !url.is_opaque() => url.set(value, State::Host),
        "hostname" if !url.is_opaque() => url.set(value, State::Hostname),
        "port" if url.lacks_authority() => {}
        "port" if value.is_empty() => url.port = None,
        "port" => url.set(value, State::Port),
        "pathname" if !url.is_opaque() => {
            url.path = Path::default();
            url.set(value, State::PathStart);
        }
        "search" => {
            url.query = None;
            if value.is_empty() {
                url.strip_opaque_spaces();
            } else {
                url.set(value.strip_prefix('?').unwrap_or(value), State::Query);
            }
        }
        "hash" => {
            url.fragment = None;
            if value.is_empty() {
                url.strip_opaque_spaces();
            } else {
                url.fragment = Some(String::new());
                url.set(value.strip_prefix('#').unwrap_or(value), State::Fragment);
            }
        }
        _ => {}
    }
}

fn origin(href: String) -> Option<String> {
    Record::parse(&href, None).ok().map(|url| url.origin())
}

fn domain_to_ascii(domain: String) -> Option<String> {
    host::to_ascii(&domain)
}

/// Names and values in turn.
fn pairs(text: &[u8]) -> Vec<String> {
    form::parse(text).flat_map(|(name, value)| [name.into_owned(), value.into_owned()]).collect()
}

fn form_parse(text: JsString<'_>) -> Result<Vec<String>> {
    Ok(pairs(text.to_cstring()?.as_str().as_bytes()))
}

fn form_parse_bytes(bytes: Value<'_>) -> Vec<String> {
    with_bytes(&bytes, pairs).unwrap_or_default()
}

fn form_serialize(list: Vec<String>) -> String {
    let mut out = form::Serializer::new(String::new());
    for pair in list.chunks_exact(2) {
        out.append_pair(&pair[0], &pair[1]);
    }
    out.finish()
}

#[cfg(test)]
mod tests;
