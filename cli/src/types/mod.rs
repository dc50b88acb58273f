//! What an app's author sees of the runtime: TypeScript declarations, the page `apps/README.md`, the JSON Schema
//! of `app.json`. Made from the table of system calls, the shape of manifests and the texts in this folder;
//! a test compares them with what is committed, and writes them anew with `FAZT_UPDATE=1`.

/// `apps/types/fazt.d.ts`, which a new TypeScript app is given.
pub(crate) const DECLARATIONS: &str = include_str!("../../../apps/types/fazt.d.ts");

/// `apps/types/app.schema.json`, with which editors check a new app's manifest.
pub(crate) const SCHEMA: &str = include_str!("../../../apps/types/app.schema.json");

#[cfg(test)]
mod tests {
    use std::path::Path;

    use fazt_ipc::limits;
    use fazt_ipc::syscall::{ErrorCode, generate};

    fn names(quote: &str, between: &str) -> String {
        let names = ErrorCode::ALL.map(|code| format!("{quote}{code}{quote}"));
        names.join(between)
    }

    fn declarations() -> String {
        let runtime = include_str!("runtime.d.ts").replace("@ERROR_NAMES@", &names("\"", " | "));
        format!("{runtime}{}", generate::typescript())
    }

    fn page() -> String {
        let mib = |bytes: u64| format!("{} MiB", bytes / 1024 / 1024);
        let rows = [
            ("files of a version", limits::FILES_MAX.to_string(), String::new()),
            ("one file", mib(limits::FILE_BYTES_MAX), String::new()),
            ("all files", mib(limits::VERSION_BYTES_MAX), String::new()),
            ("one module", mib(limits::MODULE_BYTES_MAX as u64), String::new()),
            (
                "JavaScript heap",
                format!("{} MiB", limits::MEMORY_MIB_DEFAULT),
                format!("`memoryMiB`, {} to {}", limits::MEMORY_MIB_MIN, limits::MEMORY_MIB_MAX),
            ),
            (
                "CPU time of a request",
                format!("{} ms", limits::CPU_MS_DEFAULT),
                format!("`cpuMs`, at most {}", limits::CPU_MS_MAX),
            ),
            (
                "wall time of a request",
                format!("{} s", limits::WALL_S_DEFAULT),
                format!("`wallS`, at most {}", limits::WALL_S_MAX),
            ),
            (
                "storage",
                format!("{} MiB", limits::STORAGE_MIB_DEFAULT),
                format!("`storageMiB`, at most {}", limits::STORAGE_MIB_MAX),
            ),
        ];
        let rows = rows.map(|(what, bound, field)| format!("| {what} | {bound} | {field} |\n")).concat();
        let table = format!("| what | bound | `limits` in `app.json` |\n|---|---|---|\n{rows}");
        let head = include_str!("api.md")
            .replace("@LIMITS@", table.trim_end())
            .replace("@ERROR_NAMES@", &names("`", ", "));
        format!("{head}{}", generate::api_page())
    }

    fn check(path: &str, made: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../apps").join(path);
        if std::env::var_os("FAZT_UPDATE").is_some_and(|value| value == "1") {
            std::fs::write(&path, made).expect("writable");
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == made, "{} is out of date: run the tests with FAZT_UPDATE=1", path.display());
    }

    #[test]
    fn the_declarations_are_those_of_the_table() {
        check("types/fazt.d.ts", &declarations());
    }

    #[test]
    fn the_api_page_is_that_of_the_table() {
        check("README.md", &page());
    }

    #[test]
    fn the_schema_is_that_of_the_manifest() {
        check("types/app.schema.json", &fazt_supervisor::kernel::fs::manifest::json_schema());
    }
}
