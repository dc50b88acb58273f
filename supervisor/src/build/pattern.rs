//! Patterns of paths, as configurations have them.

/// Whether a path is like a pattern, where `*` is anything, slashes too: so Wrangler means it.
pub(crate) fn like(pattern: &str, path: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = path.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::like;

    #[test]
    fn a_star_is_anything() {
        for (pattern, path, expect) in [
            ("**/*.html", "/app/src/a.html", true),
            ("*/frontend/**", "/app/frontend/x/index.js", true),
            ("*/frontend/**", "/app/src/index.js", false),
            ("src/a.txt", "src/a.txt", true),
            ("src/a.txt", "src/a.txt.js", false),
            ("a*b*c", "abc", true),
            ("a*b*b", "ab", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(like(pattern, path), expect, "{pattern} {path}");
        }
    }
}
