//! A scene as PNG, at twice its size so that it is sharp on today's screens.

use tiny_skia::{FillRule, LineJoin, Paint, Path, PathBuilder, Pixmap, Stroke, Transform};

use super::PlotError;
use super::font::Font;
use super::scene::{Anchor, Colour, Scene, Shape};

const ENLARGED: f32 = 2.0;

pub(super) fn write(scene: &Scene, font: &Font) -> Result<Vec<u8>, PlotError> {
    // A layout's sides are some hundreds of pixels, positive and far from the largest integer.
    let (width, height) = ((scene.width * ENLARGED) as u32, (scene.height * ENLARGED) as u32);
    let mut pixels = Pixmap::new(width, height).ok_or(PlotError::TooLarge { width, height })?;
    pixels.fill(tiny_skia::Color::WHITE);
    let enlarged = Transform::from_scale(ENLARGED, ENLARGED);
    for shape in &scene.shapes {
        match shape {
            Shape::Line { points, colour, width } => {
                let stroke = Stroke { width: *width, line_join: LineJoin::Round, ..Stroke::default() };
                if let Some(path) = polyline(points) {
                    pixels.stroke_path(&path, &paint(*colour), &stroke, enlarged, None);
                }
            }
            Shape::Disc { centre: (x, y), radius, colour } => {
                if let Some(path) = PathBuilder::from_circle(*x, *y, *radius) {
                    pixels.fill_path(&path, &paint(*colour), FillRule::Winding, enlarged, None);
                }
            }
            Shape::Text { at: (x, y), text, size, anchor, colour } => {
                let width = font.width(text, *size);
                let left = match anchor {
                    Anchor::Start => *x,
                    Anchor::Middle => x - width / 2.0,
                    Anchor::End => x - width,
                };
                if let Some(path) = font.outline(text, *size) {
                    let placed = enlarged.pre_translate(left, *y);
                    pixels.fill_path(&path, &paint(*colour), FillRule::Winding, placed, None);
                }
            }
        }
    }
    pixels.encode_png().map_err(|error| PlotError::Encode(error.into()))
}

fn polyline(points: &[(f32, f32)]) -> Option<Path> {
    let mut path = PathBuilder::new();
    for (position, (x, y)) in points.iter().enumerate() {
        if position == 0 { path.move_to(*x, *y) } else { path.line_to(*x, *y) }
    }
    path.finish()
}

fn paint(Colour(red, green, blue): Colour) -> Paint<'static> {
    let mut paint = Paint::default();
    paint.set_color_rgba8(red, green, blue, 255);
    paint.anti_alias = true;
    paint
}
