//! What a picture is made of.

/// A colour as red, green, blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Colour(pub(super) u8, pub(super) u8, pub(super) u8);

/// A point in pixels from the upper left corner.
pub(super) type Point = (f32, f32);

/// Which part of a text stands at its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// Something drawn.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    /// A line through points.
    Line { points: Vec<Point>, colour: Colour, width: f32 },
    /// A filled disc.
    Disc { centre: Point, radius: f32, colour: Colour },
    /// A text on a baseline.
    Text { at: Point, text: String, size: f32, anchor: Anchor, colour: Colour },
}

/// A picture on white.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scene {
    pub(super) title: String,
    pub(super) width: f32,
    pub(super) height: f32,
    pub(super) shapes: Vec<Shape>,
}
