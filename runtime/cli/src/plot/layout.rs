//! Where everything stands in the picture.

use super::font::Font;
use super::scale::Scale;
use super::scene::{Anchor, Colour, Point, Scene, Shape};

/// What is drawn.
pub(super) struct Chart {
    pub(super) title: String,
    /// The title of the axis that all curves share.
    pub(super) axis: String,
    pub(super) series: Vec<Series>,
}

/// A curve. A point without a value is a gap.
pub(super) struct Series {
    pub(super) name: String,
    pub(super) points: Vec<(f64, Option<f64>)>,
}

const WIDTH: f32 = 800.0;
const PANEL: f32 = 300.0;
const MARGIN: f32 = 24.0;
const LETTERS: f32 = 13.0;
const TITLE: f32 = 18.0;

/// Told apart by most people who do not see all colours (Okabe and Ito), in pictures on white.
const COLOURS: [Colour; 7] = [
    Colour(0, 114, 178),
    Colour(213, 94, 0),
    Colour(0, 158, 115),
    Colour(204, 121, 167),
    Colour(230, 159, 0),
    Colour(86, 180, 233),
    Colour(60, 60, 60),
];
const INK: Colour = Colour(40, 40, 40);
const FAINT: Colour = Colour(226, 226, 226);
const AXIS: Colour = Colour(140, 140, 140);

/// Curves whose largest values differ by more than this stand in panels of their own: on one scale the
/// smaller one would be a flat line.
const ALIKE: f64 = 8.0;

/// Above so many points a curve is drawn without dots.
const DOTTED: usize = 40;

pub(super) fn lay_out(chart: &Chart, font: &Font) -> Scene {
    let mut shapes = vec![text((MARGIN, MARGIN + TITLE), &chart.title, TITLE, Anchor::Start)];
    let panels = panels(&chart.series);
    let xs = || chart.series.iter().flat_map(|series| series.points.iter().map(|(x, _)| *x));
    let whole = xs().all(|x| x.fract() == 0.0);
    let x = Scale::around(xs(), 10, whole, true);
    let y = |panel: &[usize]| {
        let series = panel.iter().filter_map(|index| chart.series.get(*index));
        let values: Vec<f64> =
            series.flat_map(|series| series.points.iter().filter_map(|(_, y)| *y)).collect();
        Scale::around(values.iter().copied(), 5, false, false)
    };
    let scales: Vec<_> = panels.iter().map(|panel| y(panel)).collect();
    let labels = scales.iter().flat_map(Scale::ticks);
    let widest = labels.map(|(_, label)| font.width(&label, LETTERS)).fold(0.0, f32::max);
    let (left, right) = (MARGIN + widest + 8.0, WIDTH - MARGIN);
    let mut top = MARGIN + TITLE + 14.0;
    for (panel, y) in panels.iter().zip(&scales) {
        let names: Vec<_> = panel
            .iter()
            .filter_map(|index| Some((chart.series.get(*index)?, COLOURS[index % COLOURS.len()])))
            .collect();
        top = legend(&mut shapes, &names, (left, right), top, font);
        let frame = Frame { left, right, top, bottom: top + PANEL };
        grid(&mut shapes, &frame, &x, y);
        for (series, colour) in names {
            curve(&mut shapes, &frame, (&x, y), series, colour);
        }
        top = frame.bottom + 2.0 * LETTERS + 10.0;
    }
    let middle = (left + right) / 2.0;
    shapes.push(text((middle, top + 4.0), &chart.axis, LETTERS, Anchor::Middle));
    Scene { title: chart.title.clone(), width: WIDTH, height: top + MARGIN, shapes }
}

/// The series of each panel, in the order of the columns.
fn panels(series: &[Series]) -> Vec<Vec<usize>> {
    let size = |series: &Series| {
        let values = series.points.iter().filter_map(|(_, y)| *y);
        values.map(f64::abs).fold(0.0, f64::max)
    };
    let mut panels: Vec<(f64, Vec<usize>)> = Vec::new();
    for (index, own) in series.iter().map(size).enumerate() {
        let alike = |first: f64| own == first || (own / first < ALIKE && first / own < ALIKE);
        match panels.iter_mut().find(|(first, _)| alike(*first)) {
            Some((_, panel)) => panel.push(index),
            None => panels.push((own, vec![index])),
        }
    }
    panels.into_iter().map(|(_, panel)| panel).collect()
}

struct Frame {
    left: f32,
    right: f32,
    top: f32,
    bottom: f32,
}

impl Frame {
    fn x(&self, place: f32) -> f32 {
        self.left + place * (self.right - self.left)
    }

    fn y(&self, place: f32) -> f32 {
        self.bottom - place * (self.bottom - self.top)
    }
}

/// Names beside their colours, in as many lines as they need. Returns where the panel below starts.
fn legend(
    shapes: &mut Vec<Shape>,
    names: &[(&Series, Colour)],
    (left, right): (f32, f32),
    top: f32,
    font: &Font,
) -> f32 {
    let (mut x, mut baseline) = (left, top + LETTERS);
    for (series, colour) in names {
        let width = 28.0 + font.width(&series.name, LETTERS);
        if x > left && x + width > right {
            x = left;
            baseline += LETTERS + 6.0;
        }
        let y = baseline - LETTERS * 0.33;
        shapes.push(line(vec![(x, y), (x + 20.0, y)], *colour, 2.0));
        shapes.push(Shape::Disc { centre: (x + 10.0, y), radius: 3.0, colour: *colour });
        shapes.push(text((x + 27.0, baseline), &series.name, LETTERS, Anchor::Start));
        x += width + 24.0;
    }
    baseline + 14.0
}

fn grid(shapes: &mut Vec<Shape>, frame: &Frame, x: &Scale, y: &Scale) {
    for (value, label) in y.ticks() {
        let at = frame.y(y.place(value));
        shapes.push(line(vec![(frame.left, at), (frame.right, at)], FAINT, 1.0));
        shapes.push(text((frame.left - 8.0, at + LETTERS * 0.35), &label, LETTERS, Anchor::End));
    }
    for (value, label) in x.ticks() {
        let at = frame.x(x.place(value));
        shapes.push(line(vec![(at, frame.bottom), (at, frame.bottom + 5.0)], AXIS, 1.0));
        shapes.push(text((at, frame.bottom + 8.0 + LETTERS), &label, LETTERS, Anchor::Middle));
    }
    let corner = (frame.left, frame.bottom);
    shapes.push(line(vec![(frame.left, frame.top), corner, (frame.right, frame.bottom)], AXIS, 1.0));
}

fn curve(shapes: &mut Vec<Shape>, frame: &Frame, (x, y): (&Scale, &Scale), series: &Series, colour: Colour) {
    let mut run: Vec<Point> = Vec::new();
    let mut dots = Vec::new();
    let mut runs = Vec::new();
    for (at, value) in &series.points {
        match value {
            Some(value) => run.push((frame.x(x.place(*at)), frame.y(y.place(*value)))),
            None => runs.push(std::mem::take(&mut run)),
        }
    }
    runs.push(run);
    for run in runs {
        if series.points.len() <= DOTTED || run.len() == 1 {
            dots.extend(run.iter().map(|centre| Shape::Disc { centre: *centre, radius: 3.5, colour }));
        }
        if run.len() > 1 {
            shapes.push(line(run, colour, 2.0));
        }
    }
    shapes.extend(dots);
}

fn line(points: Vec<Point>, colour: Colour, width: f32) -> Shape {
    Shape::Line { points, colour, width }
}

fn text(at: Point, text: &str, size: f32, anchor: Anchor) -> Shape {
    Shape::Text { at, text: text.to_owned(), size, anchor, colour: INK }
}
