//! The elements of the picture.

use std::fmt::Write as _;

use super::super::printable;
use super::page::{BOX_HEIGHT, Page};

/// A longer label is cut; its whole text shows as a tooltip.
pub(super) const LABEL_LETTERS: usize = 40;

impl Page {
    /// A box of the width of all boxes.
    pub(super) fn rect(&mut self, class: &str, (x, y): (usize, usize), radius: usize) {
        let wide = 2 * self.half;
        let _ = writeln!(
            self.front,
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{wide}\" height=\"{BOX_HEIGHT}\" rx=\"{radius}\"/>"
        );
    }

    /// A box around a name.
    pub(super) fn boxed(&mut self, class: &str, middle: usize, y: usize, name: &str, radius: usize) {
        self.rect(class, (middle - self.half, y), radius);
        self.words("name", middle, y + BOX_HEIGHT / 2 + 5, &printable(name));
    }

    pub(super) fn diamond(&mut self, y: usize) {
        let (x, top) = (self.spine, y - 7);
        let _ = writeln!(self.front, "<path class=\"mark\" d=\"M{x} {top}l7 7l-7 7l-7 -7z\"/>");
    }

    /// A text, cut where it is too long.
    pub(super) fn words(&mut self, class: &str, x: usize, y: usize, text: &str) {
        let _ = match text.chars().count() > LABEL_LETTERS {
            false => {
                writeln!(self.front, "<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{}</text>", escape(text))
            }
            true => {
                let short: String = text.chars().take(LABEL_LETTERS - 1).chain(['…']).collect();
                let (short, text) = (escape(&short), escape(text));
                writeln!(
                    self.front,
                    "<text class=\"{class}\" x=\"{x}\" y=\"{y}\"><title>{text}</title>{short}</text>"
                )
            }
        };
    }

    /// A line through `points` with an arrow at its end.
    pub(super) fn path(&mut self, class: &str, points: &[(usize, usize)]) {
        let [.., (from_x, from_y), (x, y)] = *points else { return };
        let line: Vec<_> = points.iter().map(|(x, y)| format!("{x},{y}")).collect();
        let head = match (from_x.cmp(&x), from_y.cmp(&y)) {
            (std::cmp::Ordering::Less, _) => "-9 -5v10z",
            (std::cmp::Ordering::Greater, _) => "9 -5v10z",
            _ => "-5 -9h10z",
        };
        let colour = if class == "crossing" { "#c2410c" } else { "#475569" };
        // The head is a little in front of the line, whose own end would make it blunt.
        let tip = match (from_x.cmp(&x), from_y.cmp(&y)) {
            (std::cmp::Ordering::Less, _) => (x + 3, y),
            (std::cmp::Ordering::Greater, _) => (x - 3, y),
            _ => (x, y + 3),
        };
        let _ = writeln!(
            self.front,
            "<polyline class=\"{class}\" points=\"{}\"/><path fill=\"{colour}\" d=\"M{} {}l{head}\"/>",
            line.join(" "),
            tip.0,
            tip.1,
        );
    }
}

/// A text inside an element.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c => escaped.push(c),
        }
    }
    escaped
}
