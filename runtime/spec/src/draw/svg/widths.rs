//! How wide the lanes must be.

use super::super::{label, output, parameters, policies, sent, verdict};
use super::ink::LABEL_LETTERS;
use crate::description::{BlockDescription, StepDescription};

/// The widest letter of a step's name, and of a message's.
const NAME_LETTER: usize = 9;
const TYPE_LETTER: usize = 8;

/// How much room names and labels need.
#[derive(Default)]
pub(super) struct Widths {
    pub(super) depth: usize,
    pub(super) name: usize,
    /// On an arrow that crosses.
    pub(super) crossing: usize,
    /// On an arrow back to the start of a loop, left of the aggregator's lane.
    pub(super) back: usize,
    /// Right of an arrow in the aggregator's lane.
    pub(super) aggregator: usize,
    /// Right of an arrow in the collaborators' lane.
    pub(super) collaborator: usize,
}

impl Widths {
    pub(super) fn name(&mut self, name: &str) {
        self.name = self.name.max(name.chars().count().min(LABEL_LETTERS) * NAME_LETTER);
    }

    pub(super) fn blocks(&mut self, blocks: &[BlockDescription], depth: usize) {
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
