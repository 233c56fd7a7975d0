//! A flow as a Graphviz digraph.

use std::fmt::Write as _;

use super::diagram::{Diagram, Edge, Group, Item, Kind, Node, Role};
use super::{confidentiality, printable};
use crate::description::FlowDescription;

pub(super) fn draw(flow: &FlowDescription) -> String {
    let (word, meaning) = confidentiality(flow);
    let diagram = Diagram::of(flow);
    let name = quoted(&[printable(&flow.name)]);
    let title =
        quoted(&[format!("{} {}", printable(&flow.name), flow.version), format!("{word}: {meaning}")]);
    let mut text = format!(
        "digraph {name} {{\n    \
             graph [label={title}, labelloc=t, bgcolor=white, fontname=\"Helvetica,Arial,sans-serif\"];\n    \
             node [style=filled, fontname=\"Helvetica,Arial,sans-serif\"];\n    \
             edge [fontname=\"Courier,monospace\", fontsize=11];\n"
    );
    items(&diagram.items, 1, &mut text);
    diagram.edges.iter().for_each(|each| edge(each, &mut text));
    text.push_str("}\n");
    text
}

fn items(list: &[Item], depth: usize, text: &mut String) {
    let indent = "    ".repeat(depth);
    for item in list {
        // Writing to a `String` cannot fail.
        let _ = match item {
            Item::Node(Node { id, text: label, role }) => {
                let (shape, fill, line) = look(*role);
                let label = quoted(std::slice::from_ref(label));
                writeln!(
                    text,
                    "{indent}{id} [label={label}, shape={shape}, fillcolor=\"{fill}\", color=\"{line}\"];"
                )
            }
            Item::Group(Group { id, lines, role, items: inner }) => {
                let (_, _, line) = look(*role);
                let style = if *role == Role::Loop { "dashed" } else { "solid" };
                let label = quoted(lines);
                let _ = writeln!(text, "{indent}subgraph cluster_{id} {{");
                let _ = writeln!(text, "{indent}    label={label}; style={style}; color=\"{line}\";");
                items(inner, depth + 1, text);
                writeln!(text, "{indent}}}")
            }
        };
    }
}

fn edge(Edge { from, to, lines, kind }: &Edge, text: &mut String) {
    let style = match kind {
        Kind::Local => "color=\"#475569\"",
        Kind::Crossing => "color=\"#b45309\", fontcolor=\"#92400e\", penwidth=2",
        Kind::Back => "color=\"#475569\", style=dashed, constraint=false",
    };
    // A space keeps the text off the line beside it.
    let lines: Vec<_> = lines.iter().map(|line| format!(" {line} ")).collect();
    let _ = writeln!(text, "    {from} -> {to} [label={}, {style}];", quoted(&lines));
}

/// Shape, fill and line.
fn look(role: Role) -> (&'static str, &'static str, &'static str) {
    match role {
        Role::Terminal => ("oval", "#f1f5f9", "#64748b"),
        Role::Aggregator => ("box", "#dbeafe", "#1d4ed8"),
        Role::Collaborator => ("box3d", "#dcfce7", "#15803d"),
        Role::Loop => ("circle", "#f8fafc", "#64748b"),
        Role::Choice => ("diamond", "#fef9c3", "#a16207"),
        Role::Secure => ("box", "#faf5ff", "#7e22ce"),
    }
}

/// Lines in one quoted string.
fn quoted(lines: &[String]) -> String {
    let lines: Vec<_> = lines.iter().map(|line| line.replace('\\', "\\\\").replace('"', "\\\"")).collect();
    format!("\"{}\"", lines.join("\\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_backslashes_stay_inside_their_string() {
        assert_eq!(quoted(&[r#"a"b\"#.to_owned(), "c".to_owned()]), r#""a\"b\\\nc""#);
    }
}
