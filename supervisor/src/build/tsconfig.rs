//! What the compiler's settings of an app mean here: how it wants its JSX, and what its imports may be short for.
//! `compilerOptions` of its `tsconfig.json` or `jsconfig.json`. The text is whoever deployed it; a comment in a script
//! wins over what stands there.

use serde::Deserialize;

use super::jsonc::without_comments;
use super::{Diagnostic, Jsx};

/// Where to look, the first that is there.
pub(crate) const CONFIGS: [&str; 2] = ["tsconfig.json", "jsconfig.json"];
/// Bytes of the file.
pub(crate) const CONFIG_BYTES_MAX: u64 = 256 << 10;
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
pub(crate) fn settings(path: &str, text: &str) -> Result<(Jsx, Option<String>), Diagnostic> {
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

/// What imports may be short for: `paths` and where they begin, as a file of settings that holds nothing else and
/// extends nothing. None where there are none. `read`: the text of another file of the app.
pub(crate) fn paths(text: &str, read: impl Fn(&str) -> Option<String>) -> Option<String> {
    let mut text = text.to_owned();
    // The nearest file that has them counts; so many of them extend each other.
    for _ in 0..4 {
        let plain = without_comments(&text);
        let whole: serde_json::Value = serde_json::from_str(plain.trim_start_matches('\u{feff}')).ok()?;
        let options = &whole["compilerOptions"];
        if options["paths"].is_object() || options["baseUrl"].is_string() {
            let mut kept = serde_json::Map::new();
            for key in ["paths", "baseUrl"] {
                if !options[key].is_null() {
                    kept.insert(key.into(), options[key].clone());
                }
            }
            return Some(serde_json::json!({ "compilerOptions": kept }).to_string());
        }
        // Only beside it: paths of another folder would begin somewhere else.
        let next = whole["extends"].as_str()?.strip_prefix("./")?.to_owned();
        text = read(&next).or_else(|| read(&format!("{next}.json")))?;
    }
    None
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
