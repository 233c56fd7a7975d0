//! `--plot`, `--save` and `data fetch`.

use std::path::Path;

use safetensors::SafeTensors;
use tempfile::tempdir;

use crate::toy::{Outcome, veilflow};

fn run(flag: &str, path: &Path) -> Outcome {
    veilflow(&["run", "toy", "--collaborators", "a,b", flag, path.to_str().unwrap()])
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_saved_model_has_its_names_shapes_and_values() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    std::fs::write(&path, "an older one").unwrap();
    let outcome = run("--save", &path);
    assert_eq!(outcome.code, 0, "{}", outcome.err);
    let bytes = std::fs::read(&path).unwrap();
    let model = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = model.tensor("layer.weight").unwrap();
    assert_eq!(tensor.shape(), [1, 2]);
    assert_eq!(tensor.data(), [1.125f32.to_le_bytes(), 1f32.to_le_bytes()].concat());
    let (_, about) = SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(about.metadata().as_ref().unwrap()["seed"], "42");
    assert_eq!(names(folder.path()), ["model.safetensors"], "nothing is left beside it");
}

#[test]
fn plots_are_written_in_the_format_of_their_ending() {
    let folder = tempdir().unwrap();
    for (name, start) in [("p.svg", &b"<svg"[..]), ("p.PNG", b"\x89PNG\r\n\x1a\n")] {
        let path = folder.path().join(name);
        let outcome = run("--plot", &path);
        assert_eq!(outcome.code, 0, "{}", outcome.err);
        assert!(std::fs::read(&path).unwrap().starts_with(start), "{name}");
    }
}

#[test]
fn a_file_that_cannot_be_written_is_found_before_the_run_starts() {
    let folder = tempdir().unwrap();
    let missing = folder.path().join("missing");
    for (flag, path, text) in [
        ("--plot", folder.path().join("p.gif"), "use `.svg` or `.png`"),
        ("--plot", folder.path().join("svg"), "use `.svg` or `.png`"),
        ("--save", folder.path().join("m.pt"), "use `.safetensors`"),
        ("--plot", missing.join("p.svg"), "its folder does not exist"),
        ("--save", missing.join("m.safetensors"), "its folder does not exist"),
    ] {
        let outcome = run(flag, &path);
        assert_eq!((outcome.code, outcome.out.as_str()), (2, ""), "{}", outcome.err);
        assert!(outcome.err.contains(text), "{}", outcome.err);
        assert!(!outcome.err.contains("round 0"), "the run started: {}", outcome.err);
    }
    std::fs::create_dir(folder.path().join("d.svg")).unwrap();
    assert_eq!(run("--plot", &folder.path().join("d.svg")).code, 2);
    assert_eq!(names(folder.path()), ["d.svg"]);
}

#[test]
fn what_fails_after_the_run_does_not_lose_its_results() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    let outcome = veilflow(&["run", "plain", "--save", path.to_str().unwrap(), "--output", "json"]);
    assert_eq!(outcome.code, 1);
    assert!(outcome.out.contains("\"flow\": \"plain\""), "{}", outcome.out);
    assert!(outcome.err.contains("`plain` has no model"), "{}", outcome.err);
}

#[test]
fn a_data_set_is_fetched_to_where_it_is_wanted() {
    let folder = tempdir().unwrap();
    let dir = folder.path().join("data");
    let outcome = veilflow(&["data", "fetch", "digits", "--data-dir", dir.to_str().unwrap()]);
    assert_eq!(outcome.code, 0, "{}", outcome.err);
    assert_eq!(outcome.out, format!("{}\n", dir.display()));
    assert_eq!(outcome.err, "digits.txt: 10 bytes\nten digits\n");
    assert_eq!(std::fs::read_to_string(dir.join("digits.txt")).unwrap(), "0123456789");
}
