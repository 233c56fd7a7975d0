//! A flow as a picture of two lanes: the aggregator on the left, the collaborators on the right, time
//! downwards.
//!
//! Loops and branches are frames around the rows they hold, as in a sequence diagram; a thick arrow crosses
//! between the lanes. The picture needs nothing from outside and carries the text drawing as its description.

use std::fmt::Write as _;

use super::{confidentiality, label, output, parameters, policies, printable, sent, text, verdict};
use crate::description::{BlockDescription, FlowDescription, StepDescription};
use crate::schema::Schema;

/// Lengths are in pixels.
const MARGIN: usize = 24;
/// From the top to the first row.
const HEAD: usize = 132;
const BOX_HEIGHT: usize = 36;
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
/// The widest letter of a step's name, and of a message's.
const NAME_LETTER: usize = 9;
const TYPE_LETTER: usize = 8;
/// A longer label is cut; its whole text shows as a tooltip.
const LABEL_LETTERS: usize = 40;

const STYLE: &str = "\
    text{font:13px ui-sans-serif,system-ui,'Segoe UI',Helvetica,Arial,sans-serif;fill:#0f172a}\
    .title{font-size:20px;font-weight:700}\
    .meaning{font-size:12px;fill:#475569}\
    .lane{font-weight:600;font-size:14px;text-anchor:middle}\
    .name{font-weight:600;font-size:14px;text-anchor:middle}\
    .type,.sent,.policy{font:12px ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;\
    paint-order:stroke;stroke:#fff;stroke-width:5px;stroke-linejoin:round}\
    .type{fill:#334155}\
    .sent{fill:#9a3412;font-weight:700;text-anchor:middle}\
    .policy{fill:#9a3412;font-size:11px;text-anchor:middle}\
    .tab{font-size:12px;font-weight:600;fill:#fff}\
    .aggregator{fill:#dbeafe;stroke:#1d4ed8;stroke-width:1.5}\
    .collaborator{fill:#dcfce7;stroke:#15803d;stroke-width:1.5}\
    .terminal{fill:#f1f5f9;stroke:#64748b;stroke-width:1.5}\
    .task{fill:#f0fdf4;stroke:#86efac}\
    .frame{fill:#64748b;fill-opacity:.05;stroke:#64748b;stroke-width:1.2}\
    .mark{fill:#64748b}\
    .local{fill:none;stroke:#475569;stroke-width:1.5}\
    .crossing{fill:none;stroke:#c2410c;stroke-width:2.5}\
    .waits{stroke:#94a3b8;stroke-width:1.5;stroke-dasharray:2 5}\
    .border{stroke:#cbd5e1;stroke-width:1.5;stroke-dasharray:7 5}\
    .arm{stroke:#64748b;stroke-width:1.2;stroke-dasharray:5 4}";

/// Only where there is a secure join.
const SECURE_STYLE: &str =
    ".parameter{font:11px ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;fill:#6b21a8}";

pub(super) fn draw(flow: &FlowDescription) -> String {
    let (word, meaning) = confidentiality(flow);
    let mut widths = Widths::default();
    widths.blocks(&flow.blocks, 0);
    let heading = format!("{}, version {}", printable(&flow.name), flow.version);
    let params = format!("parameters: {}", label(Some(&flow.params)));
    let report = format!("report: {}", label(Some(&flow.report)));
    widths.name(&params);
    widths.name(&report);
    let mut page = Page::new(&widths, heading.chars().count().max(meaning.chars().count() * 3 / 5));

    page.terminal(&params, None);
    page.blocks(&flow.blocks, 0, Some(&flow.params));
    page.terminal(&report, Some(&flow.report));
    let (width, height) = (page.width, page.y + MARGIN);

    let (left, right, border) = (page.spine, page.lane, page.border);
    let half = page.half;
    let secure = if page.front.contains("class=\"parameter\"") { SECURE_STYLE } else { "" };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\">\n\
         <title>Flow {}</title>\n<desc>{}</desc>\n<style>{STYLE}{secure}</style>\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n",
        escape(&heading),
        escape(&text::draw(flow)),
    );
    let mut line = |part: String| {
        svg.push_str(&part);
        svg.push('\n');
    };
    line(format!("<text class=\"title\" x=\"{MARGIN}\" y=\"40\">{}</text>", escape(&heading)));
    line(format!(
        "<text class=\"meaning\" x=\"{MARGIN}\" y=\"61\"><tspan font-weight=\"700\">{word}</tspan>: {meaning}</text>"
    ));
    for (x, class, name) in [(left, "aggregator", "aggregator"), (right, "collaborator", "each collaborator")]
    {
        let (from, wide) = (x - half, 2 * half);
        line(format!(
            "<rect class=\"{class}\" x=\"{from}\" y=\"78\" width=\"{wide}\" height=\"30\" rx=\"15\"/>"
        ));
        line(format!("<text class=\"lane\" x=\"{x}\" y=\"98\">{name}</text>"));
    }
    let bottom = height - MARGIN;
    line(format!("<line class=\"border\" x1=\"{border}\" y1=\"78\" x2=\"{border}\" y2=\"{bottom}\"/>"));
    svg.push_str(&page.back);
    svg.push_str(&page.front);
    svg.push_str("</svg>\n");
    svg
}

/// How much room names and labels need.
#[derive(Default)]
struct Widths {
    depth: usize,
    name: usize,
    /// On an arrow that crosses.
    crossing: usize,
    /// On an arrow back to the start of a loop, left of the aggregator's lane.
    back: usize,
    /// Right of an arrow in the aggregator's lane.
    aggregator: usize,
    /// Right of an arrow in the collaborators' lane.
    collaborator: usize,
}

impl Widths {
    fn name(&mut self, name: &str) {
        self.name = self.name.max(name.chars().count().min(LABEL_LETTERS) * NAME_LETTER);
    }

    fn blocks(&mut self, blocks: &[BlockDescription], depth: usize) {
        self.depth = self.depth.max(depth);
        let step = |step: &StepDescription, of: &mut usize| {
            *of = (*of).max(letters(&label(Some(&step.input))));
        };
        for block in blocks {
            match block {
                BlockDescription::Step(one) => {
                    self.name(&one.name);
                    step(one, &mut self.aggregator);
                }
                BlockDescription::Fan { part, task, quorum, deadline, join, .. } => {
                    task.iter().chain([join]).for_each(|step| self.name(&step.name));
                    task.iter().for_each(|each| step(each, &mut self.collaborator));
                    let ends = [sent(*part, task), label(task.last().map(|step| &step.output))];
                    let labels = ends.into_iter().chain(policies(*part, *quorum, *deadline));
                    self.crossing = labels.map(|text| letters(&text)).fold(self.crossing, usize::max);
                }
                BlockDescription::Secure { parameters: given, blocks, join, .. } => {
                    self.blocks(blocks, depth + 1);
                    self.name(&join.name);
                    let longest =
                        given.iter().map(|each| letters(&parameters(std::slice::from_ref(each)))).max();
                    self.aggregator = self.aggregator.max(longest.unwrap_or(0));
                    step(join, &mut self.aggregator);
                }
                BlockDescription::Repeat { body, .. } => {
                    self.blocks(body, depth + 1);
                    let again = label(verdict(body).map(|(again, _)| again));
                    self.back = self.back.max(letters(&format!("Again {again}")));
                }
                BlockDescription::Branch { yes, no, .. } => {
                    self.blocks(yes, depth + 1);
                    self.blocks(no, depth + 1);
                }
            }
            // A decision in front of it, such as `Done `.
            let given = letters(&label(output(block))) + 6 * TYPE_LETTER;
            self.aggregator = self.aggregator.max(given);
        }
    }
}

/// The width of a message's label.
fn letters(label: &str) -> usize {
    label.chars().count().min(LABEL_LETTERS) * TYPE_LETTER
}

struct Page {
    /// Frames and groups, behind everything else.
    back: String,
    front: String,
    width: usize,
    /// Half the width of a box.
    half: usize,
    /// The middle of the aggregator's lane.
    spine: usize,
    /// The middle of the collaborators' lane.
    lane: usize,
    /// Between the lanes.
    border: usize,
    /// Below all that is drawn.
    y: usize,
    /// Where the line from the aggregator's last step ends so far.
    exit: usize,
    /// What that step decided, while no arrow has said it.
    decided: Vec<&'static str>,
}

impl Page {
    fn new(widths: &Widths, heading: usize) -> Self {
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
    fn terminal(&mut self, what: &str, message: Option<&Schema>) {
        if let Some(message) = message {
            self.descend(self.exit + ARROW, Some(message), true);
        }
        self.boxed("terminal", self.spine, self.y, what, 15);
        self.y += BOX_HEIGHT;
        self.exit = self.y;
    }

    fn blocks<'a>(&mut self, blocks: &'a [BlockDescription], depth: usize, mut before: Option<&'a Schema>) {
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

    fn rect(&mut self, class: &str, (x, y): (usize, usize), radius: usize) {
        let wide = 2 * self.half;
        let _ = writeln!(
            self.front,
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{wide}\" height=\"{BOX_HEIGHT}\" rx=\"{radius}\"/>"
        );
    }

    fn boxed(&mut self, class: &str, middle: usize, y: usize, name: &str, radius: usize) {
        self.rect(class, (middle - self.half, y), radius);
        self.words("name", middle, y + BOX_HEIGHT / 2 + 5, &printable(name));
    }

    fn diamond(&mut self, y: usize) {
        let (x, top) = (self.spine, y - 7);
        let _ = writeln!(self.front, "<path class=\"mark\" d=\"M{x} {top}l7 7l-7 7l-7 -7z\"/>");
    }

    fn words(&mut self, class: &str, x: usize, y: usize, text: &str) {
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
    fn path(&mut self, class: &str, points: &[(usize, usize)]) {
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
fn escape(text: &str) -> String {
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
