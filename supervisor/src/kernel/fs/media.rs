//! Media types and cache names, from file names alone.

use crate::build::extension;

/// `Content-Type` of a file. Text carries its charset: files of an app are UTF-8.
#[must_use]
pub fn media_type(path: &str) -> &'static str {
    let lower = extension(path).to_ascii_lowercase();
    match lower.as_str() {
        "html" | "htm" => "text/html; charset=utf-8",
        "js" | "mjs" | "cjs" | "jsx" => "text/javascript; charset=utf-8",
        // Not MPEG transport streams: in an app this is TypeScript.
        "ts" | "mts" | "cts" | "tsx" => "text/plain; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "txt" | "text" | "log" | "sql" | "toml" | "yaml" | "yml" => "text/plain; charset=utf-8",
        "md" | "markdown" => "text/markdown; charset=utf-8",
        "csv" => "text/csv; charset=utf-8",
        "tsv" => "text/tab-separated-values; charset=utf-8",
        "ics" => "text/calendar; charset=utf-8",
        "vcf" => "text/vcard; charset=utf-8",
        "vtt" => "text/vtt; charset=utf-8",
        "xml" | "rss" | "atom" | "xsl" => "application/xml; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "ico" => "image/x-icon",
        "wasm" => "application/wasm",
        "woff2" => "font/woff2",
        "woff" => "font/woff",
        "ttf" => "font/ttf",
        "otf" => "font/otf",
        "avif" => "image/avif",
        "webp" => "image/webp",
        "mp4" => "video/mp4",
        "webm" => "video/webm",
        "mp3" => "audio/mpeg",
        "" => "application/octet-stream",
        _ => mime_guess::from_ext(&lower).first_raw().unwrap_or("application/octet-stream"),
    }
}

/// Whether compressing can gain: what is not compressed by its own format.
#[must_use]
pub fn compressible(path: &str) -> bool {
    let media = media_type(path);
    media.starts_with("text/")
        || media.starts_with("application/json")
        || media.starts_with("application/xml")
        || media.ends_with("+json")
        || media.ends_with("+xml")
        || matches!(
            media,
            "application/wasm" | "image/x-icon" | "image/bmp" | "font/ttf" | "font/otf" | "application/pdf"
        )
        || matches!(extension(path), "bin" | "glb" | "gltf" | "data")
}

/// Whether a name carries a hash of its content, as bundlers write them. When in doubt it does not: a file
/// that is wrongly cached for ever is worse than a question too many.
#[must_use]
pub fn has_hash(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let Some((stem, _)) = name.rsplit_once('.') else { return false };
    // `name.HASH.min.js`, `name-HASH.js.map`
    let stem = ["min", "js", "css", "mjs"]
        .iter()
        .find_map(|middle| stem.strip_suffix(middle).and_then(|rest| rest.strip_suffix('.')))
        .unwrap_or(stem);
    let Some(at) = stem.rfind(['.', '-', '_']).filter(|&at| at > 0) else { return false };
    let last = &stem.as_bytes()[at + 1..];
    let digit = |text: &[u8]| text.iter().any(u8::is_ascii_digit);
    let lower = |text: &[u8]| text.iter().any(u8::is_ascii_lowercase);
    let upper = |text: &[u8]| text.iter().any(u8::is_ascii_uppercase);
    let hex = last.len() >= 8
        && last.iter().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte))
        && digit(last)
        && lower(last);
    let base32 = last.len() >= 8
        && last.iter().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
        && digit(last)
        && upper(last);
    // base64url may hold the separators themselves.
    let base64 = stem.len() > 9 && stem.is_char_boundary(stem.len() - 9) && {
        let (rest, hash) = stem.as_bytes().split_at(stem.len() - 8);
        matches!(rest.last(), Some(b'.' | b'-'))
            && hash.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            && digit(hash)
            && upper(hash)
            && lower(hash)
    };
    hex || base32 || base64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_a_hash_are_told_from_others() {
        for yes in [
            "assets/index-Bk3WKmPZ.js",
            "main.3f2a91bc.js",
            "chunk-5ZQ3KZ7A.js",
            "a/b.0123456789abcdef.css",
            "app-1a2b3c4d.js.map",
            "x-a_-B3cDe.css",
            "main.3f2a91bc.min.js",
        ] {
            assert!(has_hash(yes), "{yes}");
        }
        for no in [
            "index.html",
            "my-component.js",
            "jquery-3.7.1.min.js",
            "photo-20240131.jpg",
            "report.2024final.pdf",
            "app-version2.js",
            "book-Chapter01Intro.pdf",
            "deadbeef.js",
            "a-TestSuite.js",
            "-3f2a91bc",
            "ab",
            "app-facade.js",
            "x.tar.gz",
        ] {
            assert!(!has_hash(no), "{no}");
        }
    }

    #[test]
    fn types_follow_the_extension_whatever_its_case() {
        for (path, media) in [
            ("a.HTML", "text/html; charset=utf-8"),
            ("a.js", "text/javascript; charset=utf-8"),
            ("a/b.png", "image/png"),
            ("x.tar.gz", "application/gzip"),
            ("LICENSE", "application/octet-stream"),
            (".env", "application/octet-stream"),
            ("a.weird", "application/octet-stream"),
        ] {
            assert_eq!(media_type(path), media, "{path}");
        }
    }
}
