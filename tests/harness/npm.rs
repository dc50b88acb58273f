//! Programs and libraries of the npm registry, which some tests compare with or drive.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder with what `tests/NAME/package.json` asks for, installed into `tests/.cache/NAME` on first use; other
/// test processes wait for the first.
///
/// # Panics
/// When it cannot be installed.
#[must_use]
pub fn npm(name: &str) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cache = here.join(".cache").join(name);
    fs::create_dir_all(&cache).expect("cache");
    let lock = fs::File::create(cache.join("lock")).expect("lock");
    lock.lock().expect("lock");
    let wanted = fs::read(here.join(name).join("package.json")).expect("package.json");
    if fs::read(cache.join("installed.json")).ok().as_ref() != Some(&wanted) {
        fs::write(cache.join("package.json"), &wanted).expect("package.json");
        let status = Command::new("npm")
            .args(["install", "--no-audit", "--no-fund", "--silent"])
            .env("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1")
            .current_dir(&cache)
            .status()
            .expect("npm");
        assert!(status.success(), "npm install failed");
        fs::write(cache.join("installed.json"), &wanted).expect("installed.json");
    }
    cache
}
