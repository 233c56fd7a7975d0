//! What a run used: time, processors, memory.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// What a run used. Processor time and memory are those of the process, `None` where the system does not say.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub(crate) struct Usage {
    /// Seconds that passed.
    pub(crate) wall_s: f64,
    /// Seconds that processors worked, for the program and for the system on its behalf.
    pub(crate) cpu_s: Option<f64>,
    /// The most memory that the process ever had at once.
    pub(crate) peak_rss_bytes: Option<u64>,
}

/// Measures from its start.
pub(crate) struct Meter {
    started: Instant,
    cpu: Option<Duration>,
}

impl Meter {
    pub(crate) fn start() -> Self {
        Self { started: Instant::now(), cpu: process().map(|(cpu, _)| cpu) }
    }

    pub(crate) fn usage(&self) -> Usage {
        let now = process();
        let cpu = now.zip(self.cpu).map(|((now, _), start)| now.saturating_sub(start));
        Usage {
            wall_s: self.started.elapsed().as_secs_f64(),
            cpu_s: cpu.map(|cpu| cpu.as_secs_f64()),
            peak_rss_bytes: now.map(|(_, bytes)| bytes),
        }
    }
}

/// The processor time that the calling thread has used so far; where the system does not say, what a clock shows.
pub(crate) fn thread_cpu() -> Duration {
    #[cfg(unix)]
    {
        use nix::time::{ClockId, clock_gettime};

        if let Ok(time) = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID) {
            return Duration::from(time);
        }
    }
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

/// The processor time that all threads of this process have used so far; where the system does not say, the calling
/// thread's.
pub(crate) fn process_cpu() -> Duration {
    process().map_or_else(thread_cpu, |(cpu, _)| cpu)
}

/// The most memory that this process ever had at once.
pub(crate) fn peak_rss_bytes() -> Option<u64> {
    process().map(|(_, bytes)| bytes)
}

/// The processor time and the peak memory of this process so far.
#[cfg(unix)]
fn process() -> Option<(Duration, u64)> {
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::TimeVal;

    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let duration = |time: TimeVal| {
        let micros = u64::try_from(time.tv_usec()).unwrap_or(0);
        Duration::from_secs(u64::try_from(time.tv_sec()).unwrap_or(0)) + Duration::from_micros(micros)
    };
    // Kilobytes everywhere but on Apple's systems.
    let unit = if cfg!(target_vendor = "apple") { 1 } else { 1024 };
    let bytes = u64::try_from(usage.max_rss()).ok()? * unit;
    // Linux carries the maximum over when a process becomes another program, so under `cargo run` it would be
    // cargo's. What the kernel says of the memory itself starts anew.
    let status = std::fs::read_to_string("/proc/self/status").ok();
    let bytes = status.as_deref().and_then(high_water_mark).unwrap_or(bytes);
    Some((duration(usage.user_time()) + duration(usage.system_time()), bytes))
}

/// The line `VmHWM:     1234 kB` of Linux's `/proc/self/status`, in bytes.
#[cfg(unix)]
fn high_water_mark(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(not(unix))]
fn process() -> Option<(Duration, u64)> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read_from_linuxs_status() {
        assert_eq!(high_water_mark("VmPeak:\t 9 kB\nVmHWM:\t   1234 kB\nVmRSS:\t 7 kB\n"), Some(1234 * 1024));
        for other in ["", "VmRSS:\t 7 kB", "VmHWM:\t many kB", "VmHWM:\t 7"] {
            assert_eq!(high_water_mark(other), None, "{other:?}");
        }
    }
}
