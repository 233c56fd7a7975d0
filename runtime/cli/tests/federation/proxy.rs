//! A TCP proxy between two parts, with a fault at the moment that a test chooses. It knows nothing of what passes.
//!
//! Its address stays the same when what is behind it starts again on another port.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

use crate::wait::{PATIENCE, wait};

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// From who dialled to what is behind the proxy.
    Up,
    /// Back.
    Down,
}

/// What happens to the next bytes that come, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// They are passed on twice.
    Duplicate,
    /// Their second half is passed on before their first.
    Reorder,
    /// Half of them are passed on, then the connection ends.
    Truncate,
}

/// A proxy. Its connections end with it.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    target: SocketAddr,
    cut: bool,
    over: bool,
    lines: [Line; 2],
    open: Vec<[TcpStream; 2]>,
    /// How many connections were ever made through it.
    made: usize,
}

#[derive(Debug, Default)]
struct Line {
    /// Nothing is read any more: the sender's buffers fill.
    held: bool,
    /// All is read, and nothing is passed on.
    lost: bool,
    next: Option<Fault>,
    /// How many bytes came.
    bytes: u64,
}

impl Proxy {
    /// A proxy in front of this address.
    pub(crate) fn new(target: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let lines = [Line::default(), Line::default()];
        let state = State { target, cut: false, over: false, lines, open: Vec::new(), made: 0 };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for connection in listener.incoming() {
                let Ok(connection) = connection else { continue };
                if accepting.state().over {
                    return;
                }
                accepting.connect(connection);
            }
        });
        Self { address, shared }
    }

    /// Where to dial.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What is behind it.
    pub(crate) fn target(&self) -> SocketAddr {
        self.shared.state().target
    }

    /// What is behind the proxy has another address from now on.
    pub(crate) fn retarget(&self, target: SocketAddr) {
        self.change(|state| state.target = target);
    }

    /// Ends all connections and refuses new ones.
    pub(crate) fn cut(&self) {
        self.change(|state| {
            state.cut = true;
            state.end_all();
        });
    }

    /// Everything passes again. What was held goes on; what was lost stays lost, and its connections end.
    pub(crate) fn heal(&self) {
        self.change(|state| {
            if state.lines.iter().any(|line| line.lost) {
                state.end_all();
            }
            state.cut = false;
            for line in &mut state.lines {
                (line.held, line.lost) = (false, false);
            }
        });
    }

    /// Delays all that goes this way until [`heal`](Self::heal).
    pub(crate) fn hold(&self, way: Way) {
        self.change(|state| state.lines[way as usize].held = true);
    }

    /// Drops all that goes this way, and nobody is told, until [`heal`](Self::heal).
    pub(crate) fn lose(&self, way: Way) {
        self.change(|state| state.lines[way as usize].lost = true);
    }

    /// A fault in the next bytes that go this way.
    pub(crate) fn next(&self, way: Way, fault: Fault) {
        self.change(|state| state.lines[way as usize].next = Some(fault));
    }

    /// Waits until the fault has happened.
    pub(crate) fn happened(&self, way: Way) {
        self.until("the fault", |state| state.lines[way as usize].next.is_none());
    }

    /// Waits until so many connections were made in all.
    pub(crate) fn made(&self, connections: usize) {
        self.until("connections through the proxy", |state| state.made >= connections);
    }

    /// How many connections were ever made.
    pub(crate) fn count(&self) -> usize {
        self.shared.state().made
    }

    /// How many bytes came this way.
    pub(crate) fn bytes(&self, way: Way) -> u64 {
        self.shared.state().lines[way as usize].bytes
    }

    /// Waits until more bytes came this way than that.
    pub(crate) fn more(&self, way: Way, than: u64) {
        self.until("bytes", |state| state.lines[way as usize].bytes > than);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.shared.state());
        self.shared.changed.notify_all();
    }

    fn until(&self, what: &str, mut done: impl FnMut(&State) -> bool) {
        let state = self.shared.state();
        wait(&self.shared.changed, state, PATIENCE, what, |state| done(state).then_some(()));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.change(|state| {
            state.over = true;
            state.end_all();
        });
        // Its own thread looks up once more.
        let _woken = TcpStream::connect(self.address);
    }
}

impl State {
    fn end_all(&mut self) {
        for stream in self.open.drain(..).flatten() {
            // It may be over already.
            let _over = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn connect(self: &Arc<Self>, near: TcpStream) {
        let target = self.state().target;
        let Ok(far) = TcpStream::connect(target) else { return };
        for stream in [&near, &far] {
            stream.set_nodelay(true).unwrap();
        }
        let pair = || [near.try_clone().unwrap(), far.try_clone().unwrap()];
        let mut state = self.state();
        if state.cut || state.over {
            return;
        }
        state.open.push(pair());
        state.made += 1;
        drop(state);
        self.changed.notify_all();
        let ([a, b], [c, d]) = (pair(), pair());
        for (way, from, to) in [(Way::Up, a, b), (Way::Down, d, c)] {
            let shared = Arc::clone(self);
            thread::spawn(move || shared.pass(way, from, to));
        }
    }

    /// Passes bytes on until one of the two ends.
    fn pass(&self, way: Way, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let Some((parts, goes_on)) = self.decide(way, &buffer[..count]) else { break };
            if parts.iter().any(|part| to.write_all(part).is_err()) || !goes_on {
                break;
            }
        }
        for stream in [from, to] {
            let _over = stream.shutdown(Shutdown::Both);
        }
    }

    /// What of these bytes is passed on, in which order, and whether the connection goes on.
    fn decide<'a>(&self, way: Way, bytes: &'a [u8]) -> Option<(Vec<&'a [u8]>, bool)> {
        let mut state = self.state();
        state.lines[way as usize].bytes += bytes.len() as u64;
        self.changed.notify_all();
        while state.lines[way as usize].held && !state.cut && !state.over {
            state = self.changed.wait(state).unwrap();
        }
        if state.cut || state.over {
            return None;
        }
        let line = &mut state.lines[way as usize];
        if line.lost {
            return Some((Vec::new(), true));
        }
        let (first, second) = bytes.split_at(bytes.len() / 2);
        let decided = match line.next.take() {
            None => (vec![bytes], true),
            Some(Fault::Duplicate) => (vec![bytes, bytes], true),
            Some(Fault::Reorder) => (vec![second, first], true),
            Some(Fault::Truncate) => (vec![first], false),
        };
        drop(state);
        self.changed.notify_all();
        Some(decided)
    }
}

/// The proxy's own tests, against an echo.
pub(crate) mod tests {
    use super::*;

    /// Sends back what comes.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for connection in listener.incoming() {
                let mut from = connection.unwrap();
                let mut to = from.try_clone().unwrap();
                thread::spawn(move || std::io::copy(&mut from, &mut to));
            }
        });
        address
    }

    fn dial(proxy: &Proxy) -> TcpStream {
        let stream = TcpStream::connect(proxy.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn answer(stream: &mut TcpStream, bytes: usize) -> String {
        let mut answer = vec![0; bytes];
        stream.read_exact(&mut answer).unwrap();
        String::from_utf8(answer).unwrap()
    }

    fn rest(stream: &mut TcpStream) -> String {
        let mut rest = Vec::new();
        // A reset is an end too.
        let _end = stream.read_to_end(&mut rest);
        String::from_utf8(rest).unwrap()
    }

    pub(crate) fn a_proxy_passes_bytes_on_and_repeats_swaps_and_cuts_them_when_told() {
        let proxy = Proxy::new(echo());
        let mut stream = dial(&proxy);
        stream.write_all(b"abcd").unwrap();
        assert_eq!(answer(&mut stream, 4), "abcd");
        for (fault, expected) in [(Fault::Duplicate, "abcdabcd"), (Fault::Reorder, "cdab")] {
            proxy.next(Way::Up, fault);
            stream.write_all(b"abcd").unwrap();
            assert_eq!(answer(&mut stream, expected.len()), expected);
            proxy.happened(Way::Up);
        }
        proxy.next(Way::Down, Fault::Truncate);
        stream.write_all(b"abcd").unwrap();
        assert_eq!(rest(&mut stream), "ab");
    }

    pub(crate) fn a_proxy_holds_and_loses_what_it_is_told_to() {
        let proxy = Proxy::new(echo());
        let mut stream = dial(&proxy);
        proxy.hold(Way::Up);
        stream.write_all(b"held").unwrap();
        proxy.until("the bytes", |state| state.lines[0].bytes == 4);
        assert_eq!(proxy.shared.state().lines[1].bytes, 0);
        proxy.heal();
        assert_eq!(answer(&mut stream, 4), "held");
        proxy.lose(Way::Down);
        stream.write_all(b"lost").unwrap();
        proxy.until("the answer", |state| state.lines[1].bytes == 8);
        proxy.heal();
        assert_eq!(rest(&mut stream), "", "a stream with a hole in it ends");
    }

    pub(crate) fn a_proxy_cuts_and_heals_and_follows_what_is_behind_it() {
        let proxy = Proxy::new(echo());
        let mut stream = dial(&proxy);
        stream.write_all(b"a").unwrap();
        assert_eq!(answer(&mut stream, 1), "a");
        proxy.cut();
        assert_eq!(rest(&mut stream), "");
        assert_eq!(rest(&mut dial(&proxy)), "");
        assert_eq!(proxy.count(), 1);
        proxy.heal();
        proxy.retarget(echo());
        let mut stream = dial(&proxy);
        stream.write_all(b"b").unwrap();
        assert_eq!(answer(&mut stream, 1), "b");
        proxy.made(2);
    }
}
