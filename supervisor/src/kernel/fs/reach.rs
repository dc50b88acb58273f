//! Which modules of an app its main module leads to. Specifiers are the app's own: any text.

use std::collections::BTreeSet;

use fazt_ipc::wire::kernel::MODULE_ENDINGS;

/// What a module imports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Imports {
    /// Specifiers.
    pub(super) specifiers: Vec<String>,
    /// Whether those are all: nothing is imported by an expression.
    pub(super) complete: bool,
}

impl Imports {
    /// As it is stored beside what was built.
    pub(super) fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(&(&self.specifiers, self.complete)).unwrap_or_default()
    }

    /// Reads what was stored. Scripts that were built before it was known whether the list is complete have none.
    pub(super) fn decode(bytes: &[u8]) -> Self {
        match postcard::from_bytes(bytes) {
            Ok((specifiers, complete)) => Self { specifiers, complete },
            Err(_) => Self { specifiers: postcard::from_bytes(bytes).unwrap_or_default(), complete: false },
        }
    }
}

/// The modules that can be reached.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Reach {
    /// Through imports that can be followed.
    pub(super) paths: BTreeSet<String>,
    /// One of them imports by an expression: it may mean any module.
    pub(super) everything: bool,
}

impl Reach {
    /// Whether a worker needs the module.
    pub(super) fn needs(&self, path: &str) -> bool {
        self.everything || self.paths.contains(path)
    }
}

/// Follows imports from `main`. `there`: whether the app has a module of this path; `imports`: what it imports.
///
/// # Errors
/// Those of `imports`.
pub(super) fn reach<E>(
    main: &str,
    there: impl Fn(&str) -> bool,
    mut imports: impl FnMut(&str) -> Result<Imports, E>,
) -> Result<Reach, E> {
    let mut reach = Reach { paths: BTreeSet::from([main.to_owned()]), everything: false };
    let mut queue = vec![main.to_owned()];
    while let Some(path) = queue.pop() {
        let found = imports(&path)?;
        reach.everything |= !found.complete;
        for import in &found.specifiers {
            if let Some(next) = resolve(&path, import, &there)
                && reach.paths.insert(next.clone())
            {
                queue.push(next);
            }
        }
    }
    Ok(reach)
}

/// Finds what a relative specifier means: the path itself, or with an ending.
pub(super) fn resolve(from: &str, import: &str, there: impl Fn(&str) -> bool) -> Option<String> {
    let mut parts: Vec<&str> =
        if import.starts_with('/') { Vec::new() } else { from.split('/').collect::<Vec<_>>() };
    if !import.starts_with('/') {
        parts.pop();
        if !import.starts_with('.') {
            return None;
        }
    }
    for part in import.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    let path = parts.join("/");
    MODULE_ENDINGS.iter().map(|ending| format!("{path}{ending}")).find(|candidate| there(candidate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specifiers_lead_to_files() {
        let files = ["server.ts", "lib/a.ts", "lib/index.js", "data.json"];
        for (from, import, expect) in [
            ("server.ts", "./lib/a.ts", Some("lib/a.ts")),
            ("server.ts", "./lib/a", Some("lib/a.ts")),
            ("server.ts", "./lib", Some("lib/index.js")),
            ("lib/a.ts", "../data.json", Some("data.json")),
            ("lib/a.ts", "../../data.json", None),
            ("lib/a.ts", "/data", Some("data.json")),
            ("lib/a.ts", "data.json", None),
            ("server.ts", "./missing.js", None),
        ] {
            assert_eq!(
                resolve(from, import, |path| files.contains(&path)).as_deref(),
                expect,
                "{from} {import}"
            );
        }
    }

    #[test]
    fn an_import_by_an_expression_may_mean_anything() {
        let files = ["a.js", "b.js", "c.js", "d.json"];
        let of = |path: &str| match path {
            "a.js" => (vec!["./b.js".to_owned(), "./d.json".to_owned()], true),
            "b.js" => (vec!["./a.js".to_owned()], true),
            _ => (Vec::new(), path == "d.json"),
        };
        let follow = |main: &str| {
            let imports = |path: &str| {
                let (specifiers, complete) = of(path);
                Ok::<_, ()>(Imports { specifiers, complete })
            };
            reach(main, |path| files.contains(&path), imports).expect("no errors")
        };
        let found = follow("a.js");
        assert!(!found.everything && found.needs("d.json") && found.needs("b.js") && !found.needs("c.js"));
        assert!(follow("c.js").needs("a.js"));
    }

    #[test]
    fn what_was_stored_before_is_read_as_incomplete() {
        let old = postcard::to_stdvec(&vec!["./a.js"]).expect("small");
        assert_eq!(Imports::decode(&old), Imports { specifiers: vec!["./a.js".into()], complete: false });
        let new = Imports { specifiers: vec!["./a.js".into(), String::new()], complete: true };
        assert_eq!(Imports::decode(&new.encode()), new);
        assert_eq!(Imports::decode(&[0xff; 9]), Imports::default());
    }
}
