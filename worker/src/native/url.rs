//! URLs: parsing, setters, form encoding. Stateless: the JavaScript side keeps the serialised URL and where
//! its parts lie, so that getters are substrings.
//!
//! Strings arrive well-formed; their content is hostile.

use rquickjs::{Ctx, Function, Object, Result, String as JsString, Value};
use url::{Position, Url, form_urlencoded, quirks};

use crate::sys::with_bytes_mut;

/// How many places `parse` and `set` report.
const PLACES: usize = 11;

pub(crate) fn init<'js>(ctx: &Ctx<'js>, natives: &Object<'js>) -> Result<()> {
    natives.set("parse", Function::new(ctx.clone(), parse)?)?;
    natives.set("set", Function::new(ctx.clone(), set)?)?;
    natives.set("canParse", Function::new(ctx.clone(), can_parse)?)?;
    natives.set("origin", Function::new(ctx.clone(), origin)?)?;
    natives.set("formParse", Function::new(ctx.clone(), form_parse)?)?;
    natives.set("formSerialize", Function::new(ctx.clone(), form_serialize)?)?;
    natives.set("domainToAscii", Function::new(ctx.clone(), |domain: String| quirks::domain_to_ascii(&domain))?)?;
    natives.set("domainToUnicode", Function::new(ctx.clone(), |domain: String| quirks::domain_to_unicode(&domain))?)
}

fn read<'js>(input: JsString<'js>, base: Option<JsString<'js>>) -> Result<Option<Url>> {
    let input = input.to_cstring()?;
    let base = match base {
        Some(base) => match Url::parse(base.to_cstring()?.as_str()) {
            Ok(base) => Some(base),
            Err(_) => return Ok(None),
        },
        None => None,
    };
    Ok(Url::options().base_url(base.as_ref()).parse(input.as_str()).ok())
}

/// Writes where the parts of `url` lie into a Uint32Array and gives its serialisation.
fn report<'js>(ctx: Ctx<'js>, url: &Url, places: &Value<'js>) -> Result<Option<JsString<'js>>> {
    let end = |position: Position| url[..position].len() as u32;
    let list: [u32; PLACES] = [
        end(Position::AfterScheme),
        end(Position::BeforeUsername),
        end(Position::AfterUsername),
        end(Position::BeforePassword),
        end(Position::AfterPassword),
        end(Position::BeforeHost),
        end(Position::AfterHost),
        end(Position::AfterPort),
        end(Position::AfterPath),
        end(Position::AfterQuery),
        end(Position::BeforePath),
    ];
    with_bytes_mut(places, |bytes| {
        for (to, place) in bytes.chunks_exact_mut(4).zip(list) {
            to.copy_from_slice(&place.to_ne_bytes());
        }
    });
    JsString::from_str(ctx, url.as_str()).map(Some)
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

/// Runs a setter on a serialised URL. Nothing: the value changes nothing.
fn set<'js>(
    ctx: Ctx<'js>,
    href: JsString<'js>,
    part: String,
    value: JsString<'js>,
    places: Value<'js>,
) -> Result<Option<JsString<'js>>> {
    let Ok(mut url) = Url::parse(href.to_cstring()?.as_str()) else { return Ok(None) };
    let value = value.to_cstring()?;
    let value = value.as_str();
    // A setter that refuses a value may have done a part of its work before, as the standard has it.
    match part.as_str() {
        "protocol" => drop(quirks::set_protocol(&mut url, value)),
        "username" => drop(quirks::set_username(&mut url, value)),
        "password" => drop(quirks::set_password(&mut url, value)),
        "host" => drop(quirks::set_host(&mut url, value)),
        "hostname" => drop(quirks::set_hostname(&mut url, value)),
        "port" => drop(quirks::set_port(&mut url, value)),
        "pathname" => quirks::set_pathname(&mut url, value),
        "search" => quirks::set_search(&mut url, value),
        "hash" => quirks::set_hash(&mut url, value),
        _ => return Ok(None),
    }
    report(ctx, &url, &places)
}

fn origin(href: String) -> Option<String> {
    Url::parse(&href).ok().map(|url| quirks::origin(&url))
}

/// Names and values in turn.
fn form_parse(text: JsString<'_>) -> Result<Vec<String>> {
    let text = text.to_cstring()?;
    let pairs = form_urlencoded::parse(text.as_str().as_bytes());
    Ok(pairs.flat_map(|(name, value)| [name.into_owned(), value.into_owned()]).collect())
}

fn form_serialize(list: Vec<String>) -> String {
    let mut out = form_urlencoded::Serializer::new(String::new());
    for pair in list.chunks_exact(2) {
        out.append_pair(&pair[0], &pair[1]);
    }
    out.finish()
}
