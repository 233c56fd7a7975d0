//! What is measured with: this process's clocks, and the encoding of its messages.

use std::time::Duration;

use serde::Serialize;
use veilflow_secagg::simulation::Instruments;

use crate::console::Log;
use crate::usage;

/// This process's clocks, and CBOR.
pub(crate) struct Here {
    log: Option<Log>,
}

impl Here {
    /// Tells nobody what goes on.
    pub(crate) fn quiet() -> Self {
        Self { log: None }
    }

    /// Says which phase begins.
    pub(super) fn telling(log: Log) -> Self {
        Self { log: Some(log) }
    }
}

impl Instruments for Here {
    fn thread_cpu(&self) -> Duration {
        usage::thread_cpu()
    }

    fn process_cpu(&self) -> Duration {
        usage::process_cpu()
    }

    fn wire_bytes<M: Serialize>(&self, message: &M) -> u64 {
        let mut count = Count(0);
        // Writing to a counter cannot fail, and the messages have nothing that CBOR lacks.
        let _ = ciborium::into_writer(message, &mut count);
        count.0
    }

    fn entered(&self, phase: &str) {
        if let Some(log) = &self.log {
            log.line(format_args!("{phase} …"));
        }
    }
}

/// Counts what is written.
struct Count(u64);

impl std::io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
