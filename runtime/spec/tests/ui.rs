//! The mistakes that a user can make, and what the compiler says to each.
//!
//! `ui/*.rs` are programs that must not compile, and `ui/*.stderr` what rustc 1.95 says to them. Compilers
//! differ in the frame that they put around a message, so under another minor version only the heart of it is
//! looked for: the text behind `//! says:` in the program's first line.
//!
//! `TRYBUILD=overwrite cargo test -p veilflow-spec --test ui` writes the `.stderr` files anew.

#![allow(clippy::expect_used, reason = "these are tests")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// The compiler that wrote `ui/*.stderr`.
const PINNED: &str = "rustc 1.95.";
/// The folder of programs for [`compile_somewhere_else`].
const ELSEWHERE: &str = "VEILFLOW_UI_FOLDER";

#[test]
fn mistakes_do_not_compile_and_say_what_to_change() {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().expect("rustc can be asked for its version");
    if String::from_utf8_lossy(&version.stdout).starts_with(PINNED) {
        trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
    } else {
        hearts_under_this_compiler();
    }
}

#[test]
fn the_pinned_messages_say_what_their_programs_promise() {
    for program in programs(Path::new("tests/ui")) {
        assert_says(&program, &program.with_extension("stderr"));
    }
}

#[test]
#[ignore = "what another compiler than the pinned one gets; compiles everything a second time"]
fn the_hearts_of_the_messages_are_found() {
    hearts_under_this_compiler();
}

/// Compiles copies of the programs, whatever the compiler says to them, and looks for the heart of it.
fn hearts_under_this_compiler() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ui");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(folder.join("parts")).expect("a folder can be made");
    for part in programs(Path::new("tests/ui/parts")) {
        let name = part.file_name().expect("a program has a name");
        std::fs::copy(&part, folder.join("parts").join(name)).expect("a file can be copied");
    }
    for program in programs(Path::new("tests/ui")) {
        let name = program.file_name().expect("a program has a name");
        std::fs::copy(&program, folder.join(name)).expect("a file can be copied");
    }
    // Only in a process of its own can trybuild be told to write down what it gets.
    let this = std::env::current_exe().expect("this test is a program");
    let done = Command::new(this)
        .args(["--exact", "--ignored", "compile_somewhere_else"])
        .env(ELSEWHERE, &folder)
        .env("TRYBUILD", "overwrite")
        .status()
        .expect("this test can be started again");
    assert!(done.success(), "one of the programs compiles");
    for program in programs(&folder) {
        assert_says(&program, &program.with_extension("stderr"));
    }
}

#[test]
#[ignore = "a helper of the others"]
fn compile_somewhere_else() {
    if let Some(folder) = std::env::var_os(ELSEWHERE) {
        trybuild::TestCases::new().compile_fail(Path::new(&folder).join("*.rs"));
    }
}

fn programs(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).expect("the folder of the programs can be read");
    let mut files: Vec<_> = files.map(|file| file.expect("a file can be listed").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "rs"));
    files.sort();
    assert!(!files.is_empty(), "{} holds no program", folder.display());
    files
}

fn assert_says(program: &Path, stderr: &Path) {
    let read =
        |path: &Path| std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let (source, said) = (read(program), read(stderr));
    let promise = source.lines().next().and_then(|line| line.strip_prefix("//! says: "));
    let promise = promise.unwrap_or_else(|| panic!("{} does not promise a message", program.display()));
    assert!(said.contains(promise), "{}\nexpected {promise:?}\ngot\n{said}", program.display());
}
