//! A flow as a picture of two lanes: the aggregator on the left, the collaborators on the right, time
//! downwards.
//!
//! Loops and branches are frames around the rows they hold, as in a sequence diagram; a thick arrow crosses
//! between the lanes. The picture needs nothing from outside and carries the text drawing as its description.

mod ink;
mod page;
mod widths;

use self::ink::escape;
use self::page::{MARGIN, Page};
use self::widths::Widths;
use super::{confidentiality, label, printable, text};
use crate::description::FlowDescription;

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
