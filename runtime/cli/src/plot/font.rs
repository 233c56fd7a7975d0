//! The letters: Ubuntu Light, which comes with the program.

use tiny_skia::{Path, PathBuilder, Transform};
use ttf_parser::{Face, FaceParsingError, OutlineBuilder};

/// A font that measures and outlines text.
pub(super) struct Font {
    face: Face<'static>,
}

impl Font {
    pub(super) fn new() -> Result<Self, FaceParsingError> {
        Ok(Self { face: Face::parse(epaint_default_fonts::UBUNTU_LIGHT, 0)? })
    }

    /// How wide a text is at a size, in pixels.
    pub(super) fn width(&self, text: &str, size: f32) -> f32 {
        let units =
            |letter| self.face.glyph_index(letter).and_then(|glyph| self.face.glyph_hor_advance(glyph));
        // A letter that the font lacks is as wide as most are.
        let widths = text.chars().map(|letter| units(letter).map_or(self.em() / 2.0, f32::from));
        widths.sum::<f32>() * size / self.em()
    }

    /// The outline of a text whose first letter's baseline starts at the origin.
    pub(super) fn outline(&self, text: &str, size: f32) -> Option<Path> {
        let scale = size / self.em();
        let mut outline = Outline { path: PathBuilder::new(), pen: 0.0 };
        for letter in text.chars() {
            if let Some(glyph) = self.face.glyph_index(letter) {
                self.face.outline_glyph(glyph, &mut outline);
            }
            outline.pen += self.width(letter.encode_utf8(&mut [0; 4]), size) / scale;
        }
        // A font's y goes up, a picture's goes down.
        outline.path.finish()?.transform(Transform::from_scale(scale, -scale))
    }

    fn em(&self) -> f32 {
        f32::from(self.face.units_per_em())
    }
}

struct Outline {
    path: PathBuilder,
    pen: f32,
}

impl OutlineBuilder for Outline {
    fn move_to(&mut self, x: f32, y: f32) {
        self.path.move_to(self.pen + x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        self.path.line_to(self.pen + x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        self.path.quad_to(self.pen + x1, y1, self.pen + x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        self.path.cubic_to(self.pen + x1, y1, self.pen + x2, y2, self.pen + x, y);
    }

    fn close(&mut self) {
        self.path.close();
    }
}
