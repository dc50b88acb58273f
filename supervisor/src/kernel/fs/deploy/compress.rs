//! Compressed forms of assets, made once at the deploy instead of for each request.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use super::super::asset::Encoding;
use super::super::error::FsError;

/// Below it a compressed form fits the same packet as the original.
const BYTES_MIN: u64 = 1024;
/// Above it compressing takes longer than a deploy may.
const BYTES_MAX: u64 = 8 * 1024 * 1024;
/// A form must save one twentieth.
const GAIN_MIN: usize = 20;

/// Whether a file of this size is tried.
pub(super) fn worthwhile(bytes: u64) -> bool {
    (BYTES_MIN..=BYTES_MAX).contains(&bytes)
}

/// Makes the forms that gain enough. `total` bytes are compressed in this deploy: the more, the less effort.
pub(super) fn compress(
    bytes: &[u8],
    total: u64,
    path: impl Fn(Encoding) -> PathBuf,
) -> Result<Vec<(Encoding, PathBuf)>, FsError> {
    // Brotli takes most of the time: on text about 6 MB/s at 9, 20 at 6, 60 at 4. These keep all three forms
    // under half a second on one core up to 8 MB.
    let (brotli, zstd, gzip) = match total {
        0..=256_000 => (9, 12, 9),
        256_001..=2_000_000 => (6, 9, 6),
        2_000_001..=8_000_000 => (4, 6, 5),
        _ => (2, 3, 3),
    };
    let mut forms = Vec::new();
    for encoding in Encoding::COMPRESSED {
        let form = match encoding {
            Encoding::Gzip => {
                let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(gzip));
                out.write_all(bytes).and_then(|()| out.finish())
            }
            Encoding::Brotli => {
                let mut out = Vec::new();
                let mut writer = brotli::CompressorWriter::new(&mut out, 16 * 1024, brotli, 22);
                let written = writer.write_all(bytes);
                drop(writer);
                written.map(|()| out)
            }
            Encoding::Zstd => zstd::bulk::compress(bytes, zstd),
            Encoding::Identity => continue,
        }
        .map_err(FsError::io("compressing a file of the deploy"))?;
        if form.len() > bytes.len() - bytes.len() / GAIN_MIN {
            continue;
        }
        let target = path(encoding);
        // A commit that failed may have left one.
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&target)
            .map_err(FsError::io("keeping a compressed file"))?;
        file.write_all(&form).map_err(FsError::io("keeping a compressed file"))?;
        forms.push((encoding, target));
    }
    Ok(forms)
}
