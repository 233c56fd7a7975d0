//! A flow as indented text.

use std::fmt::Write as _;

use super::{confidentiality, label, output, parameters, policies, printable, sent, verdict};
use crate::description::{BlockDescription, FlowDescription, StepDescription};
use crate::schema::Schema;

pub(super) fn draw(flow: &FlowDescription) -> String {
    let (word, meaning) = confidentiality(flow);
    let mut page = Page { text: String::new() };
    page.line("", format!("flow {}, version {}", printable(&flow.name), flow.version));
    page.line("", format!("{word}: {meaning}"));
    page.line("", String::new());
    page.line("", format!("parameters    {}", label(Some(&flow.params))));
    page.blocks("", &flow.blocks, Some(&flow.params));
    page.line("", format!("report        {}", label(Some(&flow.report))));
    page.text
}

struct Page {
    text: String,
}

impl Page {
    fn line(&mut self, indent: &str, line: String) {
        // Writing to a `String` cannot fail.
        let _ = writeln!(self.text, "{}", format!("{indent}{line}").trim_end());
    }

    fn step(&mut self, indent: &str, step: &StepDescription) {
        let StepDescription { name, placement, input, output, .. } = step;
        let (name, from, to) = (printable(name), label(Some(input)), label(Some(output)));
        self.line(indent, format!("{placement:<12}  {name}: {from} → {to}"));
    }

    fn blocks<'a>(&mut self, indent: &str, blocks: &'a [BlockDescription], mut before: Option<&'a Schema>) {
        for block in blocks {
            match block {
                BlockDescription::Step(step) => self.step(indent, step),
                BlockDescription::Fan { part, task, quorum, deadline, join, .. } => {
                    let last = task.last();
                    self.line(indent, format!("══▶ {} to each collaborator addressed", sent(*part, task)));
                    task.iter().for_each(|step| self.step(&format!("{indent}    "), step));
                    let returned = label(last.map(|step| &step.output));
                    let policies = policies(*part, *quorum, *deadline).join(", ");
                    self.line(indent, format!("◀══ {returned} to the aggregator ({policies})"));
                    self.step(indent, join);
                }
                BlockDescription::Secure { protocol, parameters: given, blocks, join, .. } => {
                    self.line(
                        indent,
                        format!("secure join by {} ({})", printable(protocol), parameters(given)),
                    );
                    self.blocks(&format!("{indent}│ "), blocks, before);
                    self.line(indent, format!("└ {}", label(Some(&join.input))));
                    self.step(indent, join);
                }
                BlockDescription::Repeat { body, .. } => {
                    self.line(indent, "repeat".to_owned());
                    self.blocks(&format!("{indent}│ "), body, before);
                    let (again, done) = verdict(body).unzip();
                    self.line(indent, format!("├ Again: {}, back to the top of the loop", label(again)));
                    self.line(indent, format!("└ Done: {}", label(done)));
                }
                BlockDescription::Branch { yes, no, .. } => {
                    let parts = before.map_or(&[][..], Schema::parts);
                    self.line(indent, "branch".to_owned());
                    for (arm, blocks, start) in [("Yes", yes, parts.first()), ("No", no, parts.last())] {
                        self.line(indent, format!("├ {arm}: {}", label(start)));
                        self.blocks(&format!("{indent}│ "), blocks, start);
                    }
                    self.line(indent, format!("└ both arms: {}", label(output(block))));
                }
            }
            before = output(block);
        }
    }
}
