//! Fazt beside its peers, in one run: `cargo run --release -p fazt-bench`, or with the names of sections.
//! Prints a table with ratios; asserts nothing about time.
//!
//! | what | file |
//! |---|---|
//! | starting, pinning and measuring processes | `process.rs` |
//! | the servers that are compared | `peers.rs` |
//! | `wrk`, and a generator with a fixed arrival rate | `load.rs` |
//! | the sections of the table | `sections/` |
//! | the page that is written | `report.rs` |

mod load;
mod peers;
mod process;
mod report;
mod sections;

use anyhow::Result;

fn main() -> Result<()> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [role, port] = &arguments[..]
        && role == "__axum"
    {
        return peers::serve_axum(port.parse()?);
    }
    let out = arguments.iter().position(|word| word == "--out").map(|at| {
        arguments.remove(at);
        arguments.remove(at)
    });
    let report = sections::run(&arguments)?;
    print!("{report}");
    if let Some(path) = out {
        std::fs::write(path, report)?;
    }
    Ok(())
}
