//! Downloads from a small server on the loopback interface.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use super::*;

/// What the server does with one request.
#[derive(Clone, Copy, Debug)]
enum Answer {
    /// Serves the file, or the range of it that was asked for.
    Serve,
    /// Serves the file from its first byte, whatever was asked for.
    IgnoreRange,
    /// Announces all that was asked for, sends this many bytes of it and hangs up.
    CutAfter(usize),
    /// Serves a file of the same length with other contents.
    OtherContents,
    /// Serves a file of another length.
    OtherLength,
    /// Serves the wrong range.
    WrongRange,
    /// Answers with this status.
    Status(u16),
    /// Accepts the request and never answers.
    Silence,
}

/// An HTTP server that gives each request the next of its answers and notes the ranges asked for.
struct Server {
    url: String,
    requests: Arc<Mutex<Vec<Option<usize>>>>,
}

impl Server {
    fn start(contents: &'static [u8], answers: &[Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/mnist/", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let mut answers: VecDeque<Answer> = answers.iter().copied().collect();
        thread::spawn(move || {
            let mut silent = Vec::new();
            while let Some(answer) = answers.pop_front() {
                let (stream, _) = listener.accept().unwrap();
                let range = read_request(&stream);
                seen.lock().unwrap().push(range);
                if let Answer::Silence = answer {
                    silent.push(stream);
                } else {
                    respond(stream, answer, contents, range);
                }
            }
            // Kept open until the test's process ends: closing it would be an answer.
            if !silent.is_empty() {
                thread::park();
            }
        });
        Self { url, requests }
    }

    /// The first byte that each request asked for, if it asked for a range.
    fn requests(&self) -> Vec<Option<usize>> {
        self.requests.lock().unwrap().clone()
    }
}

fn read_request(stream: &TcpStream) -> Option<usize> {
    let mut range = None;
    for line in BufReader::new(stream).lines() {
        let line = line.unwrap().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("range: bytes=") {
            range = Some(value.trim_end_matches('-').parse().unwrap());
        }
        if line.is_empty() {
            break;
        }
    }
    range
}

fn respond(mut stream: TcpStream, answer: Answer, contents: &[u8], range: Option<usize>) {
    let other: Vec<u8> = contents.iter().map(|byte| byte ^ 1).collect();
    let from = range.unwrap_or(0);
    let partial = |from: usize, body: &[u8]| {
        let (last, total) = (contents.len() - 1, contents.len());
        format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {from}-{last}/{total}\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        )
    };
    let whole =
        |length: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    let head = |body: &[u8]| if range.is_some() { partial(from, body) } else { whole(body.len()) };
    let rest = &contents[from..];
    let (head, body): (String, &[u8]) = match answer {
        Answer::Serve => (head(rest), rest),
        Answer::IgnoreRange => (whole(contents.len()), contents),
        Answer::CutAfter(bytes) => (head(rest), &rest[..bytes]),
        Answer::OtherContents => (head(&other[from..]), &other[from..]),
        Answer::OtherLength => (whole(contents.len() + 1), contents),
        Answer::WrongRange => (partial(from + 1, rest), rest),
        Answer::Status(status) => {
            (format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"), &[])
        }
        Answer::Silence => return,
    };
    // The client may have hung up, which is its right.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
}

/// 200,000 bytes, more than one buffer holds.
fn contents() -> &'static [u8] {
    Box::leak((0..200_000_u32).map(|i| (i.wrapping_mul(i) / 7) as u8).collect::<Vec<_>>().into_boxed_slice())
}

fn file(contents: &[u8]) -> [RemoteFile; 1] {
    let digest = sha256(&mut &contents[..]).unwrap();
    [RemoteFile { name: "digits.gz", bytes: contents.len() as u64, sha256: digest.leak() }]
}

fn options(servers: &[&Server]) -> FetchOptions {
    FetchOptions {
        base_urls: servers.iter().map(|server| server.url.clone()).collect(),
        connect_timeout: Duration::from_secs(5),
        read_timeout: Duration::from_secs(5),
    }
}

fn fetch(contents: &[u8], directory: &Path, options: &FetchOptions) -> Result<Fetched> {
    let fetched = fetch_files(&file(contents), directory, options, &mut |_| ControlFlow::Continue(()))?;
    let there = fs::read(directory.join("digits.gz")).unwrap();
    assert_eq!(there, contents);
    assert!(!directory.join("digits.gz.part").exists());
    Ok(fetched[0].1)
}

fn failures(result: Result<Fetched>) -> Vec<FetchFailure> {
    match result.unwrap_err() {
        Error::Download { file: "digits.gz", failures } => {
            failures.into_iter().map(|(_, failure)| failure).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_is_downloaded_once() {
    let (contents, directory) = (contents(), tempfile::tempdir().unwrap());
    let nested = directory.path().join("new/folder");
    let server = Server::start(contents, &[Answer::Serve]);
    let mut seen = Vec::new();
    let mut progress = |state| {
        seen.push(state);
        ControlFlow::Continue(())
    };
    fetch_files(&file(contents), &nested, &options(&[&server]), &mut progress).unwrap();
    assert_eq!((seen[0].bytes_done, seen[0].file_number, seen[0].files), (0, 1, 1));
    assert_eq!(seen[seen.len() - 1].bytes_done, 200_000);
    assert!(seen.windows(2).all(|pair| pair[0].bytes_done < pair[1].bytes_done));

    assert_eq!(fetch(contents, &nested, &options(&[&server])).unwrap(), Fetched::AlreadyThere);
    assert_eq!(server.requests(), [None]);
}

#[test]
fn a_damaged_file_is_replaced() {
    let (contents, directory) = (contents(), tempfile::tempdir().unwrap());
    for damaged in [vec![0; contents.len()], vec![1, 2, 3]] {
        fs::write(directory.path().join("digits.gz"), damaged).unwrap();
        let server = Server::start(contents, &[Answer::Serve]);
        let fetched = fetch(contents, directory.path(), &options(&[&server])).unwrap();
        assert_eq!(fetched, Fetched::Downloaded { received: 200_000 });
    }
}

#[test]
fn a_cut_connection_is_resumed() {
    let (contents, directory) = (contents(), tempfile::tempdir().unwrap());
    let server =
        Server::start(contents, &[Answer::CutAfter(70_000), Answer::CutAfter(50_000), Answer::Serve]);
    let fetched = fetch(contents, directory.path(), &options(&[&server])).unwrap();
    assert_eq!(fetched, Fetched::Downloaded { received: 200_000 });
    assert_eq!(server.requests(), [None, Some(70_000), Some(120_000)]);
}

#[test]
fn a_later_call_resumes_an_earlier_one() {
    let (contents, directory) = (contents(), tempfile::tempdir().unwrap());
    let server = Server::start(contents, &[Answer::CutAfter(70_000), Answer::Status(503)]);
    let failures = failures(fetch(contents, directory.path(), &options(&[&server])));
    assert!(matches!(failures[0], FetchFailure::Interrupted { received: 70_000, expected: 200_000, .. }));
    assert!(matches!(failures[1], FetchFailure::Status { status: 503 }));

    let server = Server::start(contents, &[Answer::Serve]);
    let fetched = fetch(contents, directory.path(), &options(&[&server])).unwrap();
    assert_eq!(fetched, Fetched::Downloaded { received: 130_000 });
    assert_eq!(server.requests(), [Some(70_000)]);
}

#[test]
fn a_whole_part_file_is_only_checked() {
    let (contents, directory) = (contents(), tempfile::tempdir().unwrap());
    fs::write(directory.path().join("digits.gz.part"), contents).unwrap();
    let server = Server::start(contents, &[]);
    let fetched = fetch(contents, directory.path(), &options(&[&server])).unwrap();
    assert_eq!(fetched, Fetched::Downloaded { received: 0 });
    assert!(server.requests().is_empty());
}

#[test]
fn part_files_of_another_file_are_discarded() {
    let contents = contents();
    for part in [vec![9; 200_000], vec![9; 300_000], vec![9; 1000]] {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("digits.gz.part"), &part).unwrap();
        // With the short one the digest is wrong at the end, and the same mirror is asked for the whole file.
        let server = Server::start(contents, &[Answer::Serve, Answer::Serve]);
        fetch(contents, directory.path(), &options(&[&server])).unwrap();
    }
}

#[test]
fn a_server_that_ignores_ranges_starts_afresh() {
    let (contents, directory) = (contents(), tempfile::tempdir().unwrap());
    let server = Server::start(contents, &[Answer::CutAfter(70_000), Answer::IgnoreRange]);
    let fetched = fetch(contents, directory.path(), &options(&[&server])).unwrap();
    assert_eq!(fetched, Fetched::Downloaded { received: 270_000 });
    assert_eq!(server.requests(), [None, Some(70_000)]);
}

#[test]
fn the_next_mirror_takes_over() {
    let contents = contents();
    for answer in [
        Answer::Status(404),
        Answer::Status(500),
        Answer::OtherContents,
        Answer::OtherLength,
        Answer::CutAfter(0),
        Answer::Silence,
    ] {
        let directory = tempfile::tempdir().unwrap();
        let (bad, good) = (Server::start(contents, &[answer]), Server::start(contents, &[Answer::Serve]));
        let mut options = options(&[&bad, &good]);
        if let Answer::Silence = answer {
            options.read_timeout = Duration::from_millis(200);
        }
        fetch(contents, directory.path(), &options).unwrap();
        assert_eq!(good.requests(), [None], "{answer:?}");
    }
}

#[test]
fn errors_say_what_each_mirror_did() {
    let (contents, directory) = (contents(), tempfile::tempdir().unwrap());
    let servers = [Answer::Status(404), Answer::OtherContents, Answer::OtherLength]
        .map(|answer| Server::start(contents, &[answer]));
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut options = options(&[&servers[0], &servers[1], &servers[2]]);
    options.base_urls.push(format!("http://{unused}"));
    let error = fetch(contents, directory.path(), &options).unwrap_err();
    let lines: Vec<String> = error.to_string().lines().map(str::to_owned).collect();
    assert_eq!(lines[0], "digits.gz could not be downloaded:");
    assert_eq!(lines[1], format!("  {}digits.gz: the server answered 404", servers[0].url));
    assert!(lines[2].contains("SHA-256"), "{}", lines[2]);
    assert!(lines[3].ends_with("the file there has 200001 bytes instead of 200000"), "{}", lines[3]);
    assert!(lines[4].starts_with(&format!("  http://{unused}/digits.gz: ")), "{}", lines[4]);
    assert!(!directory.path().join("digits.gz").exists());
}

#[test]
fn a_wrong_range_is_not_appended() {
    let (contents, directory) = (contents(), tempfile::tempdir().unwrap());
    let server = Server::start(contents, &[Answer::CutAfter(70_000), Answer::WrongRange]);
    let good = Server::start(contents, &[Answer::Serve]);
    fetch(contents, directory.path(), &options(&[&server, &good])).unwrap();
    assert_eq!(good.requests(), [None]);
}

#[test]
fn a_download_can_be_cancelled_and_resumed() {
    let (contents, directory) = (contents(), tempfile::tempdir().unwrap());
    let server = Server::start(contents, &[Answer::Serve, Answer::Serve]);
    let options = options(&[&server]);
    let mut stop = |state: FetchProgress| {
        if state.bytes_done > 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let error = fetch_files(&file(contents), directory.path(), &options, &mut stop).unwrap_err();
    assert!(matches!(error, Error::DownloadCancelled { file: "digits.gz" }));
    assert!(!directory.path().join("digits.gz").exists());
    let fetched = fetch(contents, directory.path(), &options).unwrap();
    assert!(matches!(fetched, Fetched::Downloaded { received } if received < 200_000));
}

#[test]
fn two_downloads_into_one_folder_do_not_mix() {
    let directory = tempfile::tempdir().unwrap();
    let _lock = lock(directory.path()).unwrap();
    let server = Server::start(contents(), &[]);
    let error = fetch(contents(), directory.path(), &options(&[&server])).unwrap_err();
    assert!(matches!(error, Error::DownloadRunning { .. }), "{error:?}");
}

#[test]
fn no_address_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    assert!(matches!(fetch(contents(), directory.path(), &options(&[])), Err(Error::NoMirror)));
}

#[test]
#[cfg(target_os = "linux")]
fn the_cache_folder_follows_the_environment() {
    let from = |variables: &'static [(&str, &str)]| {
        cache_dir(move |name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| PathBuf::from(value))
        })
    };
    assert_eq!(from(&[("HOME", "/home/a")]), Some("/home/a/.cache/veilflow/mnist".into()));
    assert_eq!(from(&[("HOME", "/home/a"), ("XDG_CACHE_HOME", "/c")]), Some("/c/veilflow/mnist".into()));
    assert_eq!(
        from(&[("HOME", "/home/a"), ("XDG_CACHE_HOME", "relative")]),
        Some("/home/a/.cache/veilflow/mnist".into())
    );
    assert_eq!(from(&[]), None);
}
