//! Runs scenarios side by side and says what became of each.

use std::panic::catch_unwind;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

/// A scenario, and what it is called.
pub(crate) type Scenario = (&'static str, fn());

/// How many scenarios run at the same time: most of the time they wait for each other's processes.
const SIDE_BY_SIDE: usize = 3;

/// Runs those whose names hold one of the arguments, or all. `--list` names them; other flags are the test harness's own
/// and are passed over.
pub(crate) fn run(scenarios: &[Scenario]) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let filters: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |(name, _): &&Scenario| {
        filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()))
    };
    let chosen: Vec<_> = scenarios.iter().filter(wanted).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        chosen.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                while let Some((name, scenario)) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let started = Instant::now();
                    let passed = catch_unwind(scenario).is_ok();
                    let outcome = if passed { "ok" } else { "FAILED" };
                    println!("test {name} ... {outcome} ({:.1} s)", started.elapsed().as_secs_f64());
                    if !passed {
                        failed.lock().unwrap().push(*name);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    if !failed.is_empty() {
        println!("failed: {}", failed.join(", "));
    }
    // As the test harness says it, for who counts.
    let outcome = if failed.is_empty() { "ok" } else { "FAILED" };
    let (passed, failures) = (chosen.len() - failed.len(), failed.len());
    println!("test result: {outcome}. {passed} passed; {failures} failed; 0 ignored");
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
