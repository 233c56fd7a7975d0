//! Steps as nodes of the graph.

use std::sync::Arc;

use crate::codec::Codec;
use crate::context::Placement;
use crate::graph::{self, AggregatorNode, CollaboratorNode, Hidden, Node, NodeInfo};
use crate::message::Message;
use crate::schema::Schema;
use crate::step::{AggregatorStep, CollaboratorStep};
use crate::transition::Transition;

/// The shape of what an aggregator's step returns.
pub(super) fn transition<T: Transition>() -> Schema {
    T::transition_schema(&mut Default::default())
}

pub(super) fn aggregator_node<
    A: 'static,
    In: Send + 'static,
    O: Transition,
    By,
    S: AggregatorStep<A, In, O, By>,
>(
    path: String,
    input: Schema,
    step: S,
) -> AggregatorNode<A> {
    let info = info::<S>(path, Placement::Aggregator, input, transition::<O>());
    Node::new(
        info,
        (None, Codec::of::<O>()),
        Arc::new(move |aggregator: &mut A, _: &mut Hidden, value, cx: &_| {
            let output = step.run(aggregator, graph::open(value)?, cx)?;
            Ok(Box::new(output) as graph::Value)
        }),
    )
}

pub(super) fn collaborator_node<
    C: 'static,
    In: Message,
    O: Message,
    By,
    S: CollaboratorStep<C, In, O, By>,
>(
    path: String,
    step: S,
) -> CollaboratorNode<C> {
    let info = info::<S>(path, Placement::Collaborator, Schema::of::<In>(), Schema::of::<O>());
    Node::new(
        info,
        (Some(Codec::of::<In>()), Codec::of::<O>()),
        Arc::new(move |collaborator: &mut C, _: &mut Hidden, payload, cx: &_| {
            let output = step.run(collaborator, graph::received(payload)?, cx)?;
            Ok(Box::new(output) as graph::Value)
        }),
    )
}

fn info<S>(path: String, placement: Placement, input: Schema, output: Schema) -> NodeInfo {
    let name = last_segment(std::any::type_name::<S>()).into();
    NodeInfo {
        name,
        path: path.into(),
        placement,
        input,
        output,
        captured_bytes: size_of::<S>(),
        hidden: false,
    }
}

/// The last segment of a type's path, without its generic arguments: `a::Server::start` gives `start`.
fn last_segment(path: &str) -> &str {
    let path = match path.strip_suffix('>') {
        // Walk back to the `<` that the last `>` closes; `->` of a function type closes nothing.
        Some(_) => {
            let mut depth = 0usize;
            let mut previous = ' ';
            let open = path.char_indices().rev().find(|(_, c)| {
                match c {
                    '>' => depth += 1,
                    '<' => depth = depth.saturating_sub(1),
                    '-' if previous == '>' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                previous = *c;
                depth == 0
            });
            open.and_then(|(at, _)| path.get(..at)).unwrap_or(path)
        }
        None => path,
    };
    path.rsplit("::").next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::last_segment;

    #[test]
    fn a_step_is_called_by_the_last_segment_of_its_path() {
        for (path, name) in [
            ("a::Server::start", "start"),
            ("a::train<alloc::vec::Vec<f32>>", "train"),
            ("<a::Site as a::Trains>::train", "train"),
            ("a::Site<a::B>::train", "train"),
            ("a::f<fn(u32) -> u32>", "f"),
            ("a::main::{{closure}}", "{{closure}}"),
        ] {
            assert_eq!(last_segment(path), name, "{path}");
        }
    }
}
