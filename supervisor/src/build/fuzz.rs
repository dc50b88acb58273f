//! What fuzzers run: everything in this folder that reads bytes from elsewhere, on the same bytes. The role runs it in a
//! jail; here it only has to end, within its bounds, and give nothing that leads elsewhere.

use super::archive::{self, Room};
use super::job::{RepoFile, Unpack};
use super::map::Positions;
use super::{inspect, pack};

const ROOM: Room = Room { entries: 1_000, file_bytes: 1 << 20, bytes: 8 << 20 };
/// Files whose text is looked at, each with the same bytes in it.
const NAMES: [&str; 6] =
    ["wrangler.toml", "package-lock.json", "bun.lock", "pnpm-lock.yaml", "tsconfig.json", "package.json"];

/// Reads the bytes in every way. Says whether one way took them.
///
/// # Panics
/// When what comes out breaks a rule.
pub fn read_everything(bytes: &[u8]) -> bool {
    let mut taken = false;
    let job = Unpack { commit: "0".repeat(40), folder: String::new() };
    let archive =
        [archive::tar_gz(bytes, ROOM, false), archive::tar(bytes, ROOM, true), archive::zip(bytes, ROOM)];
    let unpacked = pack::unpack(bytes, &job).map(|(_, files)| files);
    for files in archive.into_iter().chain([unpacked]) {
        let Ok(files) = files else { continue };
        taken = true;
        assert!(files.iter().map(|file| file.bytes.len()).sum::<usize>() <= ROOM.bytes.max(50 << 20));
        for RepoFile { path, .. } in files {
            let inside = path.split('/').all(|name| !matches!(name, "" | "." | ".."));
            assert!(inside && !path.contains(['\\', '\0']), "{path:?}");
        }
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        taken |= Positions::from_source_map(text).is_ok();
    }
    for name in NAMES {
        let files = vec![
            RepoFile { path: "index.js".into(), bytes: b"export default 1".to_vec() },
            RepoFile { path: name.into(), bytes: bytes.to_vec() },
        ];
        taken |= inspect::read_texts(&files);
    }
    taken
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// SplitMix64: small, seedable, good enough to mutate bytes.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }

        fn below(&mut self, bound: usize) -> usize {
            (self.next() % bound as u64) as usize
        }
    }

    /// Something good of each kind to start from.
    fn corpus() -> Vec<Vec<u8>> {
        let mut tar = vec![0u8; 1024];
        tar[..4].copy_from_slice(b"p/ab");
        tar[124..136].copy_from_slice(b"00000000005\0");
        tar[156] = b'0';
        tar[148..156].fill(b' ');
        let sum: u32 = tar[..512].iter().map(|byte| u32::from(*byte)).sum();
        tar[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        tar[512..517].copy_from_slice(b"hello");
        tar.extend([0; 1024]);
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(&tar).expect("memory");
        let toml = "name = \"a\"\nmain = \"index.js\"\n[[kv_namespaces]]\nbinding = \"KV\"\n[triggers]\ncrons = [\"0 0 * * 1\"]\n";
        let json = "{\"name\": \"a\", \"main\": \"index.js\", \"vars\": {\"A\": 1}, \"lockfileVersion\": 3, \"packages\": {\"node_modules/a\": {\"version\": \"1.0.0\"}}, \"compilerOptions\": {\"paths\": {\"@/*\": [\"./*\"]}}}";
        let map = r#"{"version":3,"sources":["a.ts","b.ts"],"mappings":"AAAA,IAAE;;ACCF"}"#;
        vec![
            tar,
            gz.finish().expect("memory"),
            toml.into(),
            json.into(),
            map.into(),
            b"PACK\0\0\0\x02".to_vec(),
        ]
    }

    #[test]
    fn mutated_bytes_are_refused_or_stay_inside() {
        let seed = std::env::var("FAZT_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| {
            std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(1, |now| now.as_nanos() as u64)
        });
        let rounds: u64 =
            std::env::var("FAZT_FUZZ_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(20_000);
        println!("FAZT_SEED={seed} FAZT_FUZZ_ROUNDS={rounds}");
        let mut random = Random(seed);
        let corpus = corpus();
        let mut taken = 0u64;
        for _ in 0..rounds {
            let mut bytes = corpus[random.below(corpus.len())].clone();
            for _ in 0..random.below(4) {
                let at = random.below(bytes.len());
                match random.below(4) {
                    0 => bytes[at] ^= 1 << random.below(8),
                    1 => bytes[at] = random.next() as u8,
                    2 => bytes.truncate(at.max(1)),
                    _ => {
                        let byte = bytes[random.below(bytes.len())];
                        bytes.insert(at, byte);
                    }
                }
            }
            taken += u64::from(read_everything(&bytes));
        }
        assert!(taken > 0, "nothing good came through: the corpus is none");
    }
}
