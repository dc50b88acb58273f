//! The decoders against hostile bytes, for a bounded number of rounds. `FAZT_FUZZ_ROUNDS` sets how many,
//! `FAZT_SEED` replays a run; the seed is printed. `ipc/fuzz` holds the same target for cargo-fuzz.

#[path = "../fuzz/target.rs"]
mod target;

use fazt_ipc::frame::Header;
use fazt_ipc::limits::FRAME_HEADER_BYTES;

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

/// Valid frames to start from: the golden bodies under the golden types.
fn corpus() -> Vec<Vec<u8>> {
    let golden = include_str!("golden.txt");
    let unhex = |hex: &str| -> Vec<u8> {
        (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("hex")).collect()
    };
    let bodies: Vec<_> =
        golden.lines().filter_map(|line| line.rsplit_once(' ')).map(|(_, hex)| unhex(hex)).collect();
    let mut corpus = Vec::new();
    for body in &bodies {
        for kind in (1..=0x30).chain(0x81..=0xb0) {
            let header = Header { body_bytes: body.len() as u32, kind, end: kind & 1 == 0, stream: 3 };
            corpus.push([&header.encode()[..], body].concat());
        }
        corpus.push(body.clone());
    }
    corpus
}

#[test]
fn mutated_frames_never_panic_and_never_decode_twice_differently() {
    let seed = std::env::var("FAZT_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(1, |now| now.as_nanos() as u64)
    });
    let rounds: u64 =
        std::env::var("FAZT_FUZZ_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3_000_000);
    println!("FAZT_SEED={seed} FAZT_FUZZ_ROUNDS={rounds}");
    let mut random = Random(seed);
    let corpus = corpus();
    let mut accepted = 0u64;
    for _ in 0..rounds {
        let mut bytes = corpus[random.below(corpus.len())].clone();
        for _ in 0..random.below(4) {
            let at = random.below(bytes.len().max(1));
            match random.below(5) {
                0 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
                1 if !bytes.is_empty() => bytes[at] = random.next() as u8,
                2 => bytes.insert(at.min(bytes.len()), random.next() as u8),
                3 if !bytes.is_empty() => drop(bytes.drain(at..)),
                _ => bytes.extend_from_slice(&corpus[random.below(corpus.len())]),
            }
        }
        // The header should often be right about the length, or the body is never reached.
        if random.below(2) == 0 && bytes.len() >= FRAME_HEADER_BYTES {
            let length = (bytes.len() - FRAME_HEADER_BYTES) as u32;
            bytes[..4].copy_from_slice(&length.to_le_bytes());
        }
        accepted += u64::from(target::decode_everything(&bytes));
    }
    assert!(accepted > rounds / 100, "the mutations must reach the bodies: {accepted} of {rounds}");
}
