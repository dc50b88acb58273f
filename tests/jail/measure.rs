//! What a process costs: printed, never asserted.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use fazt_ipc::launch::{Order, Profile};

use crate::rig::{LIMITS, Rig};

pub(crate) fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:?}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut rig = Rig::start("obedient")?;
    let (mut spawn, mut kill) = (Vec::new(), Vec::new());
    for _ in 0..300 {
        let began = Instant::now();
        let mut worker = rig.spawn(Profile::Worker, LIMITS)?;
        worker.hello()?;
        spawn.push(began.elapsed().as_micros());
        let began = Instant::now();
        rig.order(Order::Kill { generation: worker.generation })?;
        rig.exited(worker.generation)?;
        kill.push(began.elapsed().as_micros());
    }
    for (what, mut times) in [("order to verified and readable", spawn), ("kill to reaped, leaf gone", kill)]
    {
        times.sort_unstable();
        let at = |part: usize| times[times.len() * part / 100];
        println!("{what}: min {} p50 {} p90 {} p99 {} µs", times[0], at(50), at(90), at(99));
    }
    rig.stop()
}
