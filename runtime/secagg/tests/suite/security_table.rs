//! The table of the project's `SECURITY.md` says what the code does: every test and file that it names is there.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

struct Row {
    number: u32,
    files: Vec<String>,
    tests: Vec<String>,
}

/// What stands between backticks.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn table() -> Vec<Row> {
    let text = fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let mut rows = Vec::new();
    for line in text.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let Some(number) = cells.get(1).and_then(|cell| cell.parse().ok()) else { continue };
        assert_eq!(cells.len(), 8, "six columns: {line}");
        assert!(cells[1..7].iter().all(|cell| !cell.is_empty()), "nothing is left open: {line}");
        rows.push(Row { number, files: quoted(cells[4]), tests: quoted(cells[5]) });
    }
    rows
}

/// The names of all functions that are tests, in all of the workspace's sources.
fn tests_below(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            tests_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            // Those of a property test stand under the same attribute.
            let is_test = |line: &str| line == "#[test]" || line.starts_with("#[tokio::test");
            for pair in lines.windows(2).filter(|pair| is_test(pair[0])) {
                let name = pair[1].trim_start_matches("async ").strip_prefix("fn ");
                let name = name.and_then(|rest| rest.split('(').next());
                found.extend(name.map(str::to_owned));
            }
        }
    }
}

fn tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    ["runtime", "flows"].iter().for_each(|folder| tests_below(&root().join(folder), &mut found));
    found
}

#[test]
fn the_table_names_tests_and_files_that_exist() {
    let (rows, tests) = (table(), tests());
    for row in &rows {
        for file in &row.files {
            assert!(root().join(file).is_file(), "row {}: {file}", row.number);
        }
        for test in &row.tests {
            assert!(tests.contains(test), "row {}: there is no test {test}", row.number);
        }
        assert!(!row.files.is_empty(), "row {}", row.number);
    }
}

#[test]
fn each_row_has_an_attack_and_each_attack_a_row() {
    let rows = table();
    let numbers: Vec<u32> = rows.iter().map(|row| row.number).collect();
    assert_eq!(numbers, (1..=18).collect::<Vec<_>>());
    let mut named = BTreeSet::new();
    for row in rows {
        let prefix = format!("row_{:02}_attack_", row.number);
        let attacks = row.tests.into_iter().filter(|test| test.contains("_attack_"));
        let attacks: Vec<String> = attacks.collect();
        assert!(attacks.iter().all(|attack| attack.starts_with(&prefix)), "{attacks:?}");
        // Those of the network are attacked by its own tests, whose names say what is done.
        assert!((15..=17).contains(&row.number) || !attacks.is_empty(), "row {}", row.number);
        named.extend(attacks);
    }
    let written: BTreeSet<String> = tests().into_iter().filter(|test| test.contains("_attack_")).collect();
    assert_eq!(named, written.into_iter().filter(|test| test.starts_with("row_")).collect());
}
