//! Results as curves: each column of numbers over the first one.
//!
//! A picture is laid out once as a [`Scene`] and written as SVG or PNG from it. It needs no font of the
//! system's: the letters of a PNG come with the program.

mod font;
mod layout;
mod png;
mod scale;
mod scene;
mod svg;

use veilflow_spec::Cell;

use self::layout::{Chart, Series};
use crate::results::Results;

/// The format of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Picture {
    Svg,
    Png,
}

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum PlotError {
    #[error(
        "the results have no two columns of numbers, the first of which is the axis: there is nothing to draw"
    )]
    NoNumbers,
    #[error("a picture of {width} × {height} pixels is too large")]
    TooLarge { width: u32, height: u32 },
    #[error("the picture could not be encoded: {0}")]
    Encode(Box<dyn std::error::Error + Send + Sync>),
    #[error("the program's font could not be read: {0}")]
    Font(#[from] ttf_parser::FaceParsingError),
}

/// Draws the results, as the bytes of a file.
pub(crate) fn draw(title: &str, results: &Results, picture: Picture) -> Result<Vec<u8>, PlotError> {
    let chart = chart(title, results).ok_or(PlotError::NoNumbers)?;
    let font = font::Font::new()?;
    let scene = layout::lay_out(&chart, &font);
    match picture {
        Picture::Svg => Ok(svg::write(&scene).into_bytes()),
        Picture::Png => png::write(&scene, &font),
    }
}

fn chart(title: &str, results: &Results) -> Option<Chart> {
    let titles = results.titles();
    let (axis, columns) = titles.split_first()?;
    let number = |cell: Option<&Cell>| match cell? {
        // The axis of a picture has no use for the last digits of a very large integer.
        Cell::Integer(value) => Some(*value as f64),
        Cell::Number(value) => Some(*value).filter(|value| value.is_finite()),
        Cell::Text(_) => None,
    };
    let series = columns.iter().filter_map(|column| {
        let points: Vec<_> = results
            .rows
            .iter()
            .filter_map(|row| Some((number(Results::cell(row, axis))?, number(Results::cell(row, column)))))
            .collect();
        let drawn = points.iter().any(|(_, y)| y.is_some());
        drawn.then(|| Series { name: (*column).to_owned(), points })
    });
    let series: Vec<_> = series.collect();
    let title = title.to_owned();
    (!series.is_empty()).then(|| Chart { title, axis: (*axis).to_owned(), series })
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
