//! Parts that run until they are told to end: a director, an envoy.

use std::fmt::{self, Display};
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use veilflow_federated::Level;

use crate::args::Shape;
use crate::clock;
use crate::console::{Console, Log};
use crate::error::CliError;
use crate::interrupt::{self, Guard, Interruptible};

/// The threads of a part.
pub(crate) fn runtime() -> Result<Runtime, CliError> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(CliError::Threads)
}

/// A part's log: lines for people on standard error, or JSON objects for programs on standard output, one a line.
#[derive(Clone)]
pub(crate) struct PartLog {
    to: Log,
    shape: Shape,
}

/// A line as an object. What happened has a name for it, `event`, and says more by its own keys.
#[derive(Serialize)]
struct Record {
    /// In RFC 3339, UTC.
    time: String,
    level: Level,
    #[serde(flatten)]
    what: Map<String, Value>,
    /// The same for people.
    text: String,
}

impl PartLog {
    pub(crate) fn new(console: &Console, shape: Shape) -> Self {
        let to = match shape {
            Shape::Table => console.log(),
            Shape::Json => console.out(),
        };
        Self { to: to.clone(), shape }
    }

    pub(crate) fn write(&self, level: Level, what: &(impl Serialize + Display)) {
        let (now, text) = (clock::now_ms(), what.to_string());
        match self.shape {
            // What others wrote may have lines of its own.
            Shape::Table => {
                let text = text.replace(|c: char| c.is_control(), " ");
                self.to.line(format_args!("{} {text}", clock::utc(now)));
            }
            Shape::Json => {
                // What cannot be written as an object still has its text.
                let what = match serde_json::to_value(what) {
                    Ok(Value::Object(what)) => what,
                    _ => Map::new(),
                };
                let record = Record { time: clock::rfc3339(now), level, what, text };
                self.to.line(serde_json::to_string(&record).unwrap_or_default());
            }
        }
    }

    /// Says that a part is ready, on standard output: whoever started it may wait for that.
    pub(crate) fn ready(&self, console: &mut Console, ready: &Ready) -> Result<(), CliError> {
        match self.shape {
            Shape::Table => console.print(&format!("{ready}\n")),
            Shape::Json => {
                self.write(Level::Info, ready);
                Ok(())
            }
        }
    }
}

/// That a part is ready.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case", rename = "ready")]
pub(crate) struct Ready {
    /// The envoy's name; none for the director.
    pub(crate) name: Option<String>,
    /// Where the director is.
    pub(crate) director: String,
}

impl Ready {
    const MARK: &str = "ready: ";

    /// What a part says that is ready, from the line that it prints.
    pub(crate) fn of(line: &str) -> Option<&str> {
        line.trim_end().strip_prefix(Self::MARK)
    }
}

impl Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::MARK)?;
        match &self.name {
            Some(name) => write!(f, "{name} at {}", self.director),
            None => f.write_str(&self.director),
        }
    }
}

/// Ctrl-C, or what asks a program to end. The first time it drains, the second time it ends at once.
pub(crate) struct Told {
    told: watch::Receiver<bool>,
    _guard: Guard,
}

impl Told {
    fn listen(log: &PartLog) -> Self {
        let (tell, told) = watch::channel(false);
        Self { told, _guard: interrupt::while_running(Arc::new(Draining { log: log.clone(), tell })) }
    }

    /// Returns when the part is to end.
    pub(crate) async fn until_signalled(&mut self) {
        // Fails when nobody can tell any more, which is when this is gone too.
        let _ = self.told.wait_for(|told| *told).await;
    }
}

/// Runs a part until `serve` returns, which has to when it is told.
pub(crate) fn serve<F>(log: &PartLog, serve: impl FnOnce(Told) -> F) -> Result<(), CliError>
where
    F: Future<Output = Result<(), CliError>>,
{
    let told = Told::listen(log);
    let runtime = runtime()?;
    let ended = runtime.block_on(serve(told));
    // A step that does not look at its cancellation is not waited for: an aggregator's is run again.
    runtime.shutdown_background();
    ended
}

struct Draining {
    log: PartLog,
    tell: watch::Sender<bool>,
}

#[derive(Serialize)]
#[serde(tag = "event", rename = "told-to-end")]
struct ToldToEnd {}

impl Display for ToldToEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("told to end: what runs is finished first; told again, it ends at once")
    }
}

impl Interruptible for Draining {
    fn cancel(&self) {
        self.log.write(Level::Info, &ToldToEnd {});
        self.tell.send_replace(true);
    }

    fn abandon(&self) {}
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What both streams have when a line with a name that spans lines was written.
    fn written(shape: Shape) -> [String; 2] {
        let (out, err) = (Written::default(), Written::default());
        let mut console = Console::new(out.clone(), err.clone());
        let log = PartLog::new(&console, shape);
        log.write(Level::Warn, &Ready { name: Some("two\nlines".to_owned()), director: "d".to_owned() });
        log.ready(&mut console, &Ready { name: None, director: "d".to_owned() }).unwrap();
        [out, err].map(|stream| String::from_utf8(stream.0.lock().unwrap().clone()).unwrap())
    }

    #[test]
    fn a_line_is_one_line_for_people_and_one_object_for_programs() {
        let [out, err] = written(Shape::Table);
        assert_eq!(out, "ready: d\n");
        assert!(err.ends_with(" ready: two lines at d\n") && err.lines().count() == 1, "{err}");

        let [out, err] = written(Shape::Json);
        let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((lines.len(), err.as_str()), (2, ""));
        let expected = [("level", "warn"), ("event", "ready"), ("name", "two\nlines"), ("director", "d")];
        for (key, value) in expected {
            assert_eq!(lines[0][key], value, "{key}");
        }
        assert_eq!(lines[0]["text"], "ready: two\nlines at d");
        assert!(lines[0]["time"].as_str().unwrap().ends_with('Z'));
        assert_eq!((&lines[1]["level"], &lines[1]["name"]), (&"info".into(), &Value::Null));
    }
}
