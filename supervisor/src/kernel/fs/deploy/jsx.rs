//! How an app wants its JSX: `compilerOptions` of its `tsconfig.json` or `jsconfig.json`. The text is whoever deployed
//! it; a comment in a script wins over what stands there.

use serde::Deserialize;

use super::super::builder::Diagnostic;
use crate::build::Jsx;

/// Where to look, the first that is there.
pub(super) const CONFIGS: [&str; 2] = ["tsconfig.json", "jsconfig.json"];
/// Bytes of the file.
pub(super) const CONFIG_BYTES_MAX: u64 = 256 << 10;
/// Bytes of one name.
const NAME_BYTES_MAX: usize = 200;

#[derive(Deserialize)]
struct Config {
    extends: Option<serde_json::Value>,
    #[serde(rename = "compilerOptions", default)]
    options: Options,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Options {
    jsx: Option<String>,
    jsx_import_source: Option<String>,
    jsx_factory: Option<String>,
    jsx_fragment_factory: Option<String>,
}

/// Reads the settings, and what the author should know of them.
pub(super) fn settings(path: &str, text: &str) -> Result<(Jsx, Option<String>), Diagnostic> {
    let plain = without_comments(text);
    let wrong = |line: usize, column: usize, message: String| Diagnostic {
        path: path.to_owned(),
        line: line as u32,
        column: column as u32,
        message,
        frame: String::new(),
    };
    let config: Config = serde_json::from_str(plain.trim_start_matches('\u{feff}'))
        .map_err(|error| wrong(error.line(), error.column(), plain_message(&error)))?;
    let Options { jsx, jsx_import_source, jsx_factory, jsx_fragment_factory } = config.options;
    // A name that means nothing would show as a syntax error in code that its author never wrote.
    let name = |key: &str, value: Option<String>, more: &str| match value {
        None => Ok(String::new()),
        Some(value) => {
            let fits = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
            if value.is_empty() || value.len() > NAME_BYTES_MAX || !value.chars().all(fits) {
                let (line, column) = place(text, key);
                return Err(wrong(line, column, format!("`{key}` cannot be {value:?}")));
            }
            Ok(value)
        }
    };
    let import_source = name("jsxImportSource", jsx_import_source, "@/_-.:#~")?;
    let factory = name("jsxFactory", jsx_factory, "_$.")?;
    let fragment = name("jsxFragmentFactory", jsx_fragment_factory, "_$.")?;
    let classic = match jsx.as_deref() {
        Some("react") => true,
        None => !factory.is_empty(),
        Some("react-jsx" | "react-jsxdev" | "preserve" | "react-native") => false,
        Some(other) => {
            let (line, column) = place(text, "jsx");
            let known = "react, react-jsx, react-jsxdev, preserve and react-native";
            return Err(wrong(line, column, format!("`jsx` is {other:?}; there are {known}")));
        }
    };
    let jsx = if classic {
        Jsx { classic, factory, fragment, import_source: String::new() }
    } else {
        Jsx { import_source, ..Jsx::default() }
    };
    let unread = config.extends.is_some() && jsx == Jsx::default();
    Ok((
        jsx,
        unread
            .then(|| format!("{path} extends another file, which is not read: JSX settings go into {path}")),
    ))
}

fn plain_message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_owned()
}

/// Line and column, from 1, of a key.
fn place(text: &str, key: &str) -> (usize, usize) {
    let at = text.find(&format!("\"{key}\"")).unwrap_or(0);
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    (text[..at].matches('\n').count() + 1, text[start..at].chars().count() + 1)
}

/// The same text as JSON: comments, and commas before a closing bracket, are spaces.
fn without_comments(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let (mut at, mut comma) = (0, None);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at += 1;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                comma = None;
            }
            b'/' if matches!(bytes.get(at + 1), Some(b'/' | b'*')) => {
                let line = bytes[at + 1] == b'/';
                let rest = &bytes[at..];
                let end = if line {
                    rest.iter().position(|byte| *byte == b'\n')
                } else {
                    rest[2..].windows(2).position(|pair| pair == b"*/").map(|found| found + 4)
                };
                let end = at + end.unwrap_or(rest.len());
                for byte in out[at..end].iter_mut().filter(|byte| **byte != b'\n') {
                    *byte = b' ';
                }
                at = end;
                continue;
            }
            b',' => comma = Some(at),
            b'}' | b']' => {
                if let Some(comma) = comma.take() {
                    out[comma] = b' ';
                }
            }
            byte if byte.is_ascii_whitespace() => {}
            _ => comma = None,
        }
        at += 1;
    }
    // Whole comments became spaces, nothing else changed.
    String::from_utf8(out).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_as_typescript_reads_them() {
        let read = |text: &str| settings("tsconfig.json", text).map(|(jsx, _)| jsx);
        let text = "{\n  // \"jsx\": \"react\",\n  \"compilerOptions\": { \"strict\": true, /* é */ \"jsx\": \"react-jsx\", \"jsxImportSource\": \"hono/jsx\", },\n}";
        let hono = Jsx { import_source: "hono/jsx".into(), ..Jsx::default() };
        assert_eq!(read(text), Ok(hono));
        let text = r#"{"compilerOptions": {"jsx": "react", "jsxFactory": "h", "jsxFragmentFactory": "Fragment", "paths": {"a//b": ["/*x*/,]"]}}}"#;
        let h = Jsx { classic: true, factory: "h".into(), fragment: "Fragment".into(), ..Jsx::default() };
        assert_eq!(read(text), Ok(h));
        for text in ["{}", "{\"compilerOptions\": {}}", "{\"compilerOptions\": {\"jsx\": \"preserve\"}}"] {
            assert_eq!(read(text), Ok(Jsx::default()));
        }
    }

    #[test]
    fn a_wrong_setting_is_located() {
        for (text, line, column, message) in [
            ("{\n  \"compilerOptions\": {\n    \"jsx\": \"solid\"\n  }\n}", 3, 5, "`jsx` is \"solid\""),
            ("{\"compilerOptions\": {\"jsxFactory\": \"a b\"}}", 1, 22, "`jsxFactory` cannot be \"a b\""),
            ("{\n  \"a\": }", 2, 8, "expected value"),
        ] {
            let found = settings("tsconfig.json", text).expect_err("wrong");
            assert_eq!((found.line, found.column), (line, column), "{found}");
            assert!(found.message.starts_with(message), "{found}");
        }
        assert!(
            settings("tsconfig.json", "{\"extends\": \"./base.json\"}").is_ok_and(|(_, told)| told.is_some())
        );
    }
}
