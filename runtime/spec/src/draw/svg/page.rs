//! Where each step, arrow and frame stands.

use std::fmt::Write as _;

use super::super::{label, output, parameters, policies, printable, sent, verdict};
use super::widths::Widths;
use crate::description::{BlockDescription, StepDescription};
use crate::schema::Schema;

/// Lengths are in pixels.
pub(super) const MARGIN: usize = 24;
/// From the top to the first row.
const HEAD: usize = 132;
pub(super) const BOX_HEIGHT: usize = 36;
/// Between two elements with a labelled arrow from one to the other.
const ARROW: usize = 42;
/// Between the rows of two lanes, where an arrow crosses.
const CROSSING: usize = 30;
/// How far each frame stands inside the one around it, on the left: its line and the arrow back.
const INSET: usize = 30;
/// The same on the right.
const INSET_RIGHT: usize = 12;
/// Between a frame and one below it.
const BETWEEN_FRAMES: usize = 8;
/// The height of a frame's tab.
const TAB: usize = 20;

/// A picture that is being drawn from the top down.
pub(super) struct Page {
    /// Frames and groups, behind everything else.
    pub(super) back: String,
    pub(super) front: String,
    pub(super) width: usize,
    /// Half the width of a box.
    pub(super) half: usize,
    /// The middle of the aggregator's lane.
    pub(super) spine: usize,
    /// The middle of the collaborators' lane.
    pub(super) lane: usize,
    /// Between the lanes.
    pub(super) border: usize,
    /// Below all that is drawn.
    pub(super) y: usize,
    /// Where the line from the aggregator's last step ends so far.
    exit: usize,
    /// What that step decided, while no arrow has said it.
    decided: Vec<&'static str>,
}

impl Page {
    pub(super) fn new(widths: &Widths, heading: usize) -> Self {
        let half = (widths.name / 2 + 16).max(80);
        let left = MARGIN + widths.depth * INSET;
        let spine = left + (half + 16).max(widths.back + 28);
        let gap = (widths.crossing + 36).max(120);
        let lane = spine + 2 * half + gap;
        let right = lane + (half + 24).max(widths.collaborator + 28) + widths.depth * INSET_RIGHT;
        let width = right.max(spine + widths.aggregator + 28).max(heading * 11 + MARGIN) + MARGIN;
        let border = spine + half + gap / 2;
        Self {
            back: String::new(),
            front: String::new(),
            width,
            half,
            spine,
            lane,
            border,
            y: HEAD,
            exit: HEAD,
            decided: Vec::new(),
        }
    }

    /// The parameters or the report.
    pub(super) fn terminal(&mut self, what: &str, message: Option<&Schema>) {
        if let Some(message) = message {
            self.descend(self.exit + ARROW, Some(message), true);
        }
        self.boxed("terminal", self.spine, self.y, what, 15);
        self.y += BOX_HEIGHT;
        self.exit = self.y;
    }

    pub(super) fn blocks<'a>(
        &mut self,
        blocks: &'a [BlockDescription],
        depth: usize,
        mut before: Option<&'a Schema>,
    ) {
        for block in blocks {
            match block {
                BlockDescription::Step(step) => {
                    self.descend(self.exit + ARROW, Some(&step.input), true);
                    self.step(step);
                }
                BlockDescription::Fan { part, task, quorum, deadline, join, .. } => {
                    self.fan(&sent(*part, task), task, &policies(*part, *quorum, *deadline), join);
                }
                BlockDescription::Secure { protocol, parameters: given, blocks, join, .. } => {
                    self.secure(
                        &format!("secure join by {}", printable(protocol)),
                        given,
                        blocks,
                        depth,
                        before,
                    );
                    self.descend(self.exit + ARROW, Some(&join.input), true);
                    self.step(join);
                }
                BlockDescription::Repeat { body, .. } => self.repeat(body, depth, before),
                BlockDescription::Branch { yes, no, .. } => self.branch(yes, no, depth, before),
            }
            before = output(block);
        }
    }

    fn step(&mut self, step: &StepDescription) {
        self.boxed("aggregator", self.spine, self.y, &step.name, 4);
        self.y += BOX_HEIGHT;
        self.exit = self.y;
    }

    fn fan(&mut self, sent: &str, task: &[StepDescription], policies: &[String], join: &StepDescription) {
        let (spine, lane, half) = (self.spine, self.lane, self.half);
        // Out: down from the aggregator's step and across to the first row of the task.
        let message = self.decide(sent.to_owned());
        let top = self.exit + CROSSING;
        let row = top + BOX_HEIGHT / 2;
        self.path("crossing", &[(spine, self.exit), (spine, row), (lane - half - 4, row)]);
        self.words("sent", self.border, row - 9, &message);
        // The task. Behind its steps stand those of the other collaborators.
        let bottom = top + task.len() * (BOX_HEIGHT + ARROW) - ARROW;
        if task.len() > 1 {
            let (x, y, wide, high) = (lane - half - 8, top - 10, 2 * half + 24, bottom - top + 26);
            let _ = writeln!(
                self.back,
                "<rect class=\"task\" x=\"{x}\" y=\"{y}\" width=\"{wide}\" height=\"{high}\" rx=\"8\"/>"
            );
        }
        self.y = top;
        for (position, step) in task.iter().enumerate() {
            if position > 0 {
                self.path("local", &[(lane, self.y), (lane, self.y + ARROW - 3)]);
                self.words("type", lane + 10, self.y + ARROW / 2 + 3, &label(Some(&step.input)));
                self.y += ARROW;
            }
            for away in [8, 4] {
                self.rect("collaborator", (lane - half + away, self.y + away), 18);
            }
            self.boxed("collaborator", lane, self.y, &step.name, 18);
            self.y += BOX_HEIGHT;
        }
        // Back: down from the last row and across to the join, which the aggregator waits for.
        let top = self.y + CROSSING;
        let _ = writeln!(
            self.front,
            "<line class=\"waits\" x1=\"{spine}\" y1=\"{}\" x2=\"{spine}\" y2=\"{top}\"/>",
            row + 4
        );
        let row = top + BOX_HEIGHT / 2;
        // From below the boxes behind.
        self.path("crossing", &[(lane, self.y + 8), (lane, row), (spine + half + 4, row)]);
        self.words("sent", self.border, row - 9, &label(task.last().map(|step| &step.output)));
        let mut y = row + 18;
        for policy in policies {
            self.words("policy", self.border, y, policy);
            y += 15;
        }
        self.y = top;
        self.step(join);
        // The policies reach below the join; what follows stands below them.
        self.y = self.y.max(y - 8);
    }

    /// The protocol of a secure join, with the user's steps among its own.
    fn secure<'a>(
        &mut self,
        title: &str,
        given: &[(&'static str, String)],
        blocks: &'a [BlockDescription],
        depth: usize,
        before: Option<&'a Schema>,
    ) {
        let top = self.y.max(self.exit + 16);
        // One parameter a line, beside the line of control.
        for (position, parameter) in given.iter().enumerate() {
            let text = parameters(std::slice::from_ref(parameter));
            self.words("parameter", self.spine + 10, top + TAB + 12 + 15 * position, &text);
        }
        self.descend(top + TAB + 16 + 15 * given.len(), before, false);
        self.blocks(blocks, depth + 1, before);
        let sum = blocks.last().and_then(output);
        self.descend((self.exit + 20).max(self.y + 12), sum, false);
        self.frame(title, depth, top);
        // The line goes on from the frame.
        self.exit = self.y - BETWEEN_FRAMES;
    }

    fn repeat(&mut self, body: &[BlockDescription], depth: usize, before: Option<&Schema>) {
        let top = self.y.max(self.exit + 16);
        let (left, spine) = (self.left(depth), self.spine);
        let (gutter, start) = (left + INSET / 2, top + TAB + 18);
        self.descend(start, before, false);
        self.blocks(body, depth + 1, before);
        let (again, _) = verdict(body).unzip();
        let last = body.last().and_then(output);
        let room = if self.decided.is_empty() { 34 } else { ARROW };
        self.descend((self.exit + room).max(self.y + 12), last, false);
        let end = self.y;
        self.path("local", &[(spine, end), (gutter, end), (gutter, start), (spine - 3, start)]);
        self.words("type", gutter + 12, end - 7, &format!("Again {}", label(again)));
        self.y = end + 12;
        self.frame("repeat", depth, top);
        self.decided = vec!["Done"];
    }

    fn branch(
        &mut self,
        yes: &[BlockDescription],
        no: &[BlockDescription],
        depth: usize,
        before: Option<&Schema>,
    ) {
        let top = self.y.max(self.exit + 16);
        let (left, right) = (self.left(depth), self.right(depth));
        self.descend(top + TAB + 16, before, false);
        let parts = before.map_or(&[][..], Schema::parts);
        for (what, arm, start) in [("Yes", yes, parts.first()), ("No", no, parts.last())] {
            if what == "No" {
                let _ = writeln!(
                    self.front,
                    "<line class=\"arm\" x1=\"{left}\" y1=\"{0}\" x2=\"{right}\" y2=\"{0}\"/>",
                    self.y
                );
                self.y += 24;
                self.exit = self.y;
            }
            self.words("type", left + 12, self.y + 5, &format!("[{what}]"));
            self.diamond(self.y);
            self.exit = self.y + 7;
            self.decided = vec![what];
            self.blocks(arm, depth + 1, start);
            let given = arm.last().map_or(start, output);
            let room = if self.decided.is_empty() { 20 } else { ARROW };
            self.descend((self.exit + room).max(self.y + 12), given, false);
            let (x, y) = (self.spine, self.y);
            let _ = writeln!(self.front, "<circle class=\"mark\" cx=\"{x}\" cy=\"{y}\" r=\"4\"/>");
            self.y += 18;
        }
        self.y -= 4;
        self.frame("branch", depth, top);
        // The line goes on from the frame, which both arms end in.
        self.exit = self.y - BETWEEN_FRAMES;
        self.decided = Vec::new();
    }

    /// Draws the aggregator's line down to `to`, with what was decided, or what an arrow carries, beside it.
    fn descend(&mut self, to: usize, message: Option<&Schema>, arrow: bool) {
        let to = to.max(self.y);
        let said = arrow || !self.decided.is_empty();
        let text = self.decide(label(message));
        let (spine, from) = (self.spine, self.exit);
        if arrow {
            self.path("local", &[(spine, from), (spine, to - 3)]);
        } else {
            let _ = writeln!(
                self.front,
                "<line class=\"local\" x1=\"{spine}\" y1=\"{from}\" x2=\"{spine}\" y2=\"{to}\"/>"
            );
        }
        if said {
            // Near the end: the start may lie inside a frame that the line leaves.
            self.words("type", spine + 10, to - ARROW / 2 + 6, &text);
        }
        self.y = to;
        self.exit = to;
    }

    /// What is written on the next arrow; what was decided is said once.
    fn decide(&mut self, message: String) -> String {
        let decided = std::mem::take(&mut self.decided);
        let words: Vec<_> = decided.into_iter().map(str::to_owned).chain([message]).collect();
        words.join(" ")
    }

    fn left(&self, depth: usize) -> usize {
        MARGIN + depth * INSET
    }

    fn right(&self, depth: usize) -> usize {
        self.width - MARGIN - depth * INSET_RIGHT
    }

    /// A frame from `top` to here.
    fn frame(&mut self, what: &str, depth: usize, top: usize) {
        let (x, wide) = (self.left(depth), self.right(depth) - self.left(depth));
        let (high, tab) = (self.y - top, what.len() * 8 + 14);
        // An inner frame is finished before the one around it, and must lie on top of it.
        self.back = format!(
            "<rect class=\"frame\" x=\"{x}\" y=\"{top}\" width=\"{wide}\" height=\"{high}\" rx=\"4\"/>\n\
             <path class=\"mark\" d=\"M{x} {top}h{tab}v{}l-8 8h-{}z\"/>\n\
             <text class=\"tab\" x=\"{}\" y=\"{}\">{what}</text>\n{}",
            TAB - 8,
            tab - 8,
            x + 7,
            top + 14,
            self.back
        );
        self.y += BETWEEN_FRAMES;
    }
}
