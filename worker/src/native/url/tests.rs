//! Every vector of the URL standard's test data.

use serde_json::Value;

use super::record::Record;
use super::{apply, host};

fn vectors(name: &str) -> Value {
    let path = format!("{}/../tests/vectors/url/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&well_formed(&text)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Puts U+FFFD for escapes of lone surrogates, as the conversion to USVString does before parsing.
fn well_formed(json: &str) -> String {
    let unit = |at: usize| {
        let digits = json.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let mut out = String::with_capacity(json.len());
    let mut at = 0;
    while let Some(c) = json[at..].chars().next() {
        let length = match unit(at) {
            Some(0xd800..0xdc00) if matches!(unit(at + 6), Some(0xdc00..0xe000)) => 12,
            Some(0xd800..0xe000) => {
                out.push('\u{fffd}');
                at += 6;
                continue;
            }
            Some(_) => 6,
            None => c.len_utf8(),
        };
        out.push_str(&json[at..at + length]);
        at += length;
    }
    out
}

/// One part of a serialised URL, as the JavaScript getter cuts it.
fn part(url: &Record, name: &str) -> String {
    let serialized = url.serialize();
    let at = |index: usize| serialized.places[index] as usize;
    let href = &serialized.href;
    let non_trivial = |text: &str| if text.len() > 1 { text.to_owned() } else { String::new() };
    match name {
        "href" => href.clone(),
        "protocol" => href[..=at(0)].to_owned(),
        "username" => href[at(1)..at(2)].to_owned(),
        "password" => href[at(3)..at(4)].to_owned(),
        "host" => href[at(5)..at(7)].to_owned(),
        "hostname" => href[at(5)..at(6)].to_owned(),
        "port" => href[at(6)..at(7)].trim_start_matches(':').to_owned(),
        "pathname" => href[at(8)..at(9)].to_owned(),
        "search" => non_trivial(&href[at(9)..at(10)]),
        "hash" => non_trivial(&href[at(10)..]),
        "origin" => url.origin(),
        other => panic!("no such part: {other}"),
    }
}

const PARTS: [&str; 11] = [
    "href", "protocol", "username", "password", "host", "hostname", "port", "pathname", "search", "hash", "origin",
];

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} vectors are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_parsing_vector_comes_out_as_the_standard_says() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for case in vectors("urltestdata").as_array().into_iter().flatten().filter(|case| case.is_object()) {
        count += 1;
        let (input, base) = (text(&case["input"]), case["base"].as_str());
        let label = format!("<{input}> against {base:?}");
        let base = match base.map(|base| Record::parse(base, None)) {
            Some(Ok(base)) => Some(base),
            Some(Err(_)) => {
                if case["failure"] != true {
                    wrong.push(format!("{label}: the base does not parse"));
                }
                continue;
            }
            None => None,
        };
        match Record::parse(input, base.as_ref()) {
            Err(_) if case["failure"] == true => {}
            Err(_) => wrong.push(format!("{label}: fails")),
            Ok(url) if case["failure"] == true => wrong.push(format!("{label}: gives {}", part(&url, "href"))),
            Ok(url) => {
                for name in PARTS {
                    if let Some(expected) = case[name].as_str().filter(|expected| *expected != part(&url, name)) {
                        wrong.push(format!("{label}: {name} is {}, not {expected}", part(&url, name)));
                    }
                }
                let again = Record::parse(&part(&url, "href"), None).map(|url| part(&url, "href"));
                if again.ok() != Some(part(&url, "href")) {
                    wrong.push(format!("{label}: does not parse to itself"));
                }
            }
        }
    }
    assert!(count > 800, "only {count} vectors");
    none(&wrong);
}

#[test]
fn every_setter_vector_comes_out_as_the_standard_says() {
    let mut wrong = Vec::new();
    for (setter, cases) in vectors("setters_tests").as_object().into_iter().flatten() {
        if setter == "comment" || setter == "href" {
            continue;
        }
        for case in cases.as_array().into_iter().flatten() {
            let (href, value) = (text(&case["href"]), text(&case["new_value"]));
            let Ok(mut url) = Record::parse(href, None) else {
                wrong.push(format!("<{href}> does not parse"));
                continue;
            };
            apply(&mut url, setter, value);
            for (name, expected) in case["expected"].as_object().into_iter().flatten() {
                let got = part(&url, name);
                if got != text(expected) {
                    wrong.push(format!("<{href}>.{setter} = {value:?}: {name} is {got}, not {expected}"));
                }
            }
        }
    }
    none(&wrong);
}

/// The vectors are of Unicode 15.0. Unicode 16 maps or ignores characters (Georgian capitals, Hangul fillers, …)
/// that were disallowed then, so these many names that had to fail are names now.
const IDNA_NEWER: usize = 55;

#[test]
fn every_idna_vector_comes_out_as_the_standard_says() {
    let mut wrong = Vec::new();
    let mut newer = 0;
    for file in ["toascii", "IdnaTestV2"] {
        for case in vectors(file).as_array().into_iter().flatten().filter(|case| case.is_object()) {
            let (input, expected) = (text(&case["input"]), case["output"].as_str());
            if input.is_empty() {
                continue; // A host cannot be empty, whatever IDNA makes of it.
            }
            let got = host::parse(input, false);
            if file == "IdnaTestV2" && got.is_some() && expected.is_none() {
                newer += 1;
            } else if got.as_deref() != expected {
                wrong.push(format!("{file}: {input:?} gives {got:?}, not {expected:?} ({})", text(&case["comment"])));
            }
        }
    }
    none(&wrong);
    assert_eq!(newer, IDNA_NEWER);
}

#[test]
fn every_utf8_percent_encoding_vector_comes_out_as_the_standard_says() {
    let mut wrong = Vec::new();
    for case in vectors("percent-encoding").as_array().into_iter().flatten().filter(|case| case.is_object()) {
        let (input, expected) = (text(&case["input"]), text(&case["output"]["utf-8"]));
        let url = Record::parse(&format!("http://doesnotmatter.invalid/?{input}#{input}"), None);
        let Ok(url) = url else { panic!("does not parse") };
        let search = part(&url, "search");
        if search != format!("?{expected}") {
            wrong.push(format!("{input:?} gives {search}, not {expected}"));
        }
    }
    none(&wrong);
}
