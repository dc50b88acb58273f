//! Whatever text comes from outside, it is taken or refused, and nobody falls over.

use proptest::prelude::*;

use super::super::asset::Index;
use super::super::{code, media, name, path};
use super::*;
use crate::kernel::storage::FileRow;

/// Text made of the pieces that parsers trip over.
fn nasty() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("{".to_owned()),
        Just("}".to_owned()),
        Just("[".to_owned()),
        Just("]".to_owned()),
        Just("\"".to_owned()),
        Just("\\".to_owned()),
        Just("\\u12".to_owned()),
        Just("\"\\u001b[2J\":0,".to_owned()),
        Just(":".to_owned()),
        Just(",".to_owned()),
        Just("\"name\":".to_owned()),
        Just("\"permissions\": {\"net\": [\"a.b\"]}".to_owned()),
        Just("\"cron\"".to_owned()),
        Just("-1e999".to_owned()),
        Just("true".to_owned()),
        Just("\u{feff}".to_owned()),
        Just("é".to_owned()),
        Just("server.ts:1:".to_owned()),
        Just("/".to_owned()),
        Just("..".to_owned()),
        any::<char>().prop_map(String::from),
        "[a-z0-9.-]{1,12}",
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_manifest_is_read_or_refused_with_a_place_in_it(text in nasty()) {
        for text in [text.clone(), format!("{{{text}}}"), format!("{{\"name\": \"{text}\"}}")] {
            if let Err(error) = Manifest::parse(text.as_bytes()) {
                prop_assert!(error.line >= 1 && error.line as usize <= text.matches('\n').count() + 1);
                prop_assert!(error.column >= 1 && error.column as usize <= text.chars().count() + 2);
                prop_assert!(!error.message.contains('\u{1b}'), "nothing moves a terminal's cursor");
            }
        }
    }

    #[test]
    fn any_bytes_are_a_manifest_or_not(bytes: Vec<u8>) {
        let _ = Manifest::parse(&bytes);
    }

    #[test]
    fn a_path_that_is_taken_is_one_that_every_system_can_hold(paths in proptest::collection::vec(nasty(), 1..6)) {
        if path::check_all(paths.iter().map(|path| (path.as_str(), 1))).is_ok() {
            for one in &paths {
                prop_assert!(one.split('/').all(|part| !part.is_empty() && part != "." && part != ".."), "{one:?}");
                prop_assert!(!one.chars().any(char::is_control) && !one.contains('\\'), "{one:?}");
                let twins = paths.iter().filter(|other| other.to_lowercase() == one.to_lowercase()).count();
                prop_assert_eq!(twins, 1, "{:?}", one);
            }
        }
        for one in &paths {
            let _ = (media::media_type(one), media::has_hash(one), code::module_kind(one), name::check(one));
        }
    }

    #[test]
    fn any_url_path_finds_only_what_is_served(url in nasty()) {
        let row = |path: &str| FileRow {
            path: path.into(), sha256: Sha256::of(path.as_bytes()), bytes: 1, encodings: Encodings::default(), built: None,
        };
        let index = Index::new(["app.json", "public/index.html", "public/.env", "server.js"].map(row).to_vec());
        let served = Sha256::of(b"public/index.html");
        for url in [format!("/{url}"), url] {
            for (assets, spa) in [(Some("public"), true), (Some("public"), false), (None, true)] {
                match asset::find(&index, assets, spa, &url) {
                    AssetMatch::Found(file) | AssetMatch::Spa(file) | AssetMatch::NotFoundPage(file) => {
                        prop_assert_eq!(file.sha256, served, "{}", url);
                    }
                    AssetMatch::Folder | AssetMatch::Page | AssetMatch::None => {}
                }
            }
        }
    }

    #[test]
    fn any_text_can_be_mapped(text in nasty(), map: Vec<u8>) {
        let code = Code { maps: [("server.ts".to_owned(), map)].into(), ..Code::default() };
        let _ = code.map_text(&text);
        let _ = code.map_position("server.ts", 1, 0);
        let _ = code.map_position("server.ts", 0, u32::MAX);
    }

    #[test]
    fn any_script_is_stripped_or_refused(text in nasty(), kind in 0usize..4) {
        let path = ["a.js", "a.ts", "a.tsx", "a.jsx"][kind].to_owned();
        let _ = build::strip(&Source { path, text, ..Source::default() });
    }
}
