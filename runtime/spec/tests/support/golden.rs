//! Golden files: the drawings and the canonical text of a flow, compared to the letter.
//!
//! Any crate of the workspace pins its flows with this file, in a test of its own:
//!
//! ```ignore
//! #[path = "../../../runtime/spec/tests/support/golden.rs"]
//! mod golden;
//!
//! #[test]
//! fn the_flow_is_as_it_was() {
//!     golden::check(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"), &my_flow().describe());
//! }
//! ```
//!
//! `UPDATE_GOLDEN=1 cargo test` writes the files anew. Read the difference before you commit it: a change of
//! `NAME.canonical.txt` is a change of the fingerprint, so that builds before and after it do not run
//! together.

#![allow(clippy::expect_used, reason = "it runs in tests only")]

use std::path::Path;

use veilflow_spec::{FlowDescription, Format};

/// Compares the flow with `NAME.canonical.txt`, `NAME.txt`, `NAME.mmd`, `NAME.dot` and `NAME.svg` in
/// `folder`.
pub(crate) fn check(folder: impl AsRef<Path>, flow: &FlowDescription) {
    let drawings = Format::ALL.map(|format| (format.extension(), flow.draw(format)));
    let mut wrong = Vec::new();
    for (extension, text) in [("canonical.txt", flow.canonical_text())].into_iter().chain(drawings) {
        let path = folder.as_ref().join(format!("{}.{extension}", flow.name));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(folder.as_ref()).expect("the folder of the golden files can be made");
            std::fs::write(&path, text).expect("a golden file can be written");
            continue;
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default().replace("\r\n", "\n");
        if expected != text {
            wrong.push(format!("{}:\n{}", path.display(), difference(&expected, &text)));
        }
    }
    assert!(
        wrong.is_empty(),
        "the flow `{}` is not as its golden files say (`UPDATE_GOLDEN=1` writes them anew)\n{}",
        flow.name,
        wrong.join("\n")
    );
}

/// The first line in which the two texts differ.
fn difference(expected: &str, got: &str) -> String {
    let (mut old, mut new) = (expected.lines(), got.lines());
    for line in 1.. {
        match (old.next(), new.next()) {
            (None, None) => break,
            (expected, got) if expected == got => {}
            (expected, got) => {
                let show = |line: Option<&str>| line.unwrap_or("(nothing)").to_owned();
                return format!("  line {line}\n  expected {}\n  got      {}", show(expected), show(got));
            }
        }
    }
    "  the line breaks differ".to_owned()
}
