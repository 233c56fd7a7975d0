//! The rows as comma-separated values (RFC 4180, lines end in `\n`).

use veilflow_spec::Cell;

use crate::results::Results;

/// The rows under the same keys as in JSON, numbers with all their digits.
pub(crate) fn rows(results: &Results) -> String {
    let titles = results.titles();
    if titles.is_empty() {
        return String::new();
    }
    let mut text = line(Results::keys(&titles).iter().map(|key| quoted(key)));
    for row in &results.rows {
        text.push_str(&line(
            titles.iter().map(|title| Results::cell(row, title).map_or(String::new(), field)),
        ));
    }
    text
}

fn line(fields: impl Iterator<Item = String>) -> String {
    fields.collect::<Vec<_>>().join(",") + "\n"
}

fn field(cell: &Cell) -> String {
    match cell {
        Cell::Integer(value) => value.to_string(),
        Cell::Number(value) => value.to_string(),
        Cell::Text(text) => quoted(text),
    }
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
