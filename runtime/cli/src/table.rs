//! Tables for people.

use tabled::builder::Builder;
use tabled::settings::object::{Columns, Rows};
use tabled::settings::style::HorizontalLine;
use tabled::settings::{Alignment, Style};
use veilflow_spec::Cell;

use crate::results::{Results, Round};

/// The rows under their titles, numbers to the right.
pub(crate) fn results(results: &Results) -> String {
    let titles = results.titles();
    if titles.is_empty() {
        return String::new();
    }
    let rows = results.rows.iter().map(|row| {
        let text = |title| Results::cell(row, title).map(ToString::to_string).unwrap_or_default();
        titles.iter().map(|title| text(title)).collect::<Vec<_>>()
    });
    let is_text = |title: &&str| {
        results.rows.iter().any(|row| matches!(Results::cell(row, title), Some(Cell::Text(_))))
    };
    let texts: Vec<_> = titles.iter().map(is_text).collect();
    outline(titles.iter().map(ToString::to_string).collect(), rows, |column| {
        !texts.get(column).copied().unwrap_or(true)
    })
}

/// Who took which part in each round, if the flow said it.
pub(crate) fn rounds(rounds: &[Round]) -> Option<String> {
    let said = |round: &Round| round.masked.is_some() || round.unmasked.is_some();
    if !rounds.iter().any(said) {
        return None;
    }
    let count = |count: Option<i64>| count.map_or("—".to_owned(), |count| count.to_string());
    let epsilon = |epsilon: Option<f64>| epsilon.map_or("—".to_owned(), |epsilon| format!("{epsilon:.3}"));
    // Columns that no round has anything for are left out.
    let clipped = rounds.iter().any(|round| round.clipped.is_some());
    let private = rounds.iter().any(|round| round.epsilon.is_some());
    let is_shown = |column: &(usize, String)| match column.0 {
        4 => clipped,
        5 | 6 => private,
        _ => true,
    };
    let shown = |cells: [String; 7]| {
        cells.into_iter().enumerate().filter(is_shown).map(|(_, cell)| cell).collect::<Vec<_>>()
    };
    let rows = rounds.iter().map(|round| {
        let [masked, dropped, unmasked, clipped] =
            [round.masked, round.dropped, round.unmasked, round.clipped].map(count);
        let [one, total] = [round.epsilon, round.epsilon_total].map(epsilon);
        shown([round.round.to_string(), masked, dropped, unmasked, clipped, one, total])
    });
    let titles = ["Rounds", "Masked", "Dropped", "Unmasked", "Clipped", "Epsilon", "Epsilon in all"];
    Some(outline(shown(titles.map(str::to_owned)), rows, |_| true))
}

/// A table with a frame, a double line below its titles, and no lines between its rows.
pub(crate) fn outline(
    titles: Vec<String>,
    rows: impl IntoIterator<Item = Vec<String>>,
    right: impl Fn(usize) -> bool,
) -> String {
    let columns = titles.len();
    let mut builder = Builder::default();
    builder.push_record(titles);
    rows.into_iter().for_each(|row| builder.push_record(row));
    let mut table = builder.build();
    let below_titles = HorizontalLine::new('=').left('+').intersection('+').right('+');
    table.with(Style::ascii().remove_horizontal().horizontals([(1, below_titles)]));
    table.modify(Rows::new(..), Alignment::left());
    for column in (0..columns).filter(|column| right(*column)) {
        table.modify(Columns::one(column), Alignment::right());
    }
    format!("{table}\n")
}
