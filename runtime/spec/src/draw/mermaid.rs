//! A flow as a Mermaid flowchart.

use std::fmt::Write as _;

use super::confidentiality;
use super::diagram::{Diagram, Edge, Group, Item, Kind, Node, Role};
use crate::description::FlowDescription;

/// A rectangle is the aggregator's step, a rounded box a collaborator's; a thick arrow crosses between the
/// two.
const STYLES: &str = "    \
    classDef terminal fill:#f1f5f9,stroke:#64748b,color:#0f172a
    classDef aggregator fill:#dbeafe,stroke:#1d4ed8,color:#0f172a
    classDef collaborator fill:#dcfce7,stroke:#15803d,color:#0f172a
    classDef loop fill:#f8fafc,stroke:#64748b,color:#0f172a
    classDef choice fill:#fef9c3,stroke:#a16207,color:#0f172a
";

pub(super) fn draw(flow: &FlowDescription) -> String {
    let (word, meaning) = confidentiality(flow);
    let diagram = Diagram::of(flow);
    // A title that holds a quote or a colon must not end the front matter's text.
    let title = format!("{} {} ({word}: {meaning})", flow.name, flow.version);
    let mut text = format!("---\ntitle: {}\n---\nflowchart TB\n", quoted_yaml(&title));
    items(&diagram.items, 1, &mut text);
    diagram.edges.iter().for_each(|each| edge(each, &mut text));
    text.push_str(STYLES);
    if text.contains("subgraph secure_") {
        text.push_str("    classDef secure fill:#faf5ff,stroke:#7e22ce,color:#0f172a\n");
    }
    text
}

fn items(list: &[Item], depth: usize, text: &mut String) {
    let indent = "    ".repeat(depth);
    for item in list {
        // Writing to a `String` cannot fail.
        let _ = match item {
            Item::Node(Node { id, text: label, role }) => {
                let (open, close) = shape(*role);
                writeln!(text, "{indent}{id}{open}\"{}\"{close}:::{}", escape(label), class(*role))
            }
            Item::Group(Group { id, lines, role, items: inner }) => {
                let _ = writeln!(text, "{indent}subgraph {id} [\"{}\"]", joined(lines));
                items(inner, depth + 1, text);
                writeln!(text, "{indent}end\n{indent}class {id} {}", class(*role))
            }
        };
    }
}

fn edge(Edge { from, to, lines, kind }: &Edge, text: &mut String) {
    let arrow = match kind {
        Kind::Local => "-->",
        Kind::Crossing => "==>",
        Kind::Back => "-.->",
    };
    let _ = writeln!(text, "    {from} {arrow}|\"{}\"| {to}", joined(lines));
}

fn joined(lines: &[String]) -> String {
    lines.iter().map(|line| escape(line)).collect::<Vec<_>>().join("<br/>")
}

fn shape(role: Role) -> (&'static str, &'static str) {
    match role {
        Role::Terminal => ("([", "])"),
        Role::Aggregator => ("[", "]"),
        Role::Collaborator => ("(", ")"),
        Role::Loop => ("((", "))"),
        Role::Choice => ("{", "}"),
        // Only a group has this role.
        Role::Secure => ("[", "]"),
    }
}

fn class(role: Role) -> &'static str {
    match role {
        Role::Terminal => "terminal",
        Role::Aggregator => "aggregator",
        Role::Collaborator => "collaborator",
        Role::Loop => "loop",
        Role::Choice => "choice",
        Role::Secure => "secure",
    }
}

/// A text inside quotes: what Mermaid, Markdown or HTML would read is written as an entity.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '"' => escaped.push_str("#quot;"),
            '<' => escaped.push_str("#lt;"),
            '>' => escaped.push_str("#gt;"),
            '&' => escaped.push_str("#amp;"),
            '#' | ';' | '`' | '*' | '\\' => {
                let _ = write!(escaped, "#{};", u32::from(c));
            }
            c => escaped.push(c),
        }
    }
    escaped
}

fn quoted_yaml(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_mermaid_would_read_is_an_entity() {
        assert_eq!(escape(r#"Foreach<"a"&b>"#), "Foreach#lt;#quot;a#quot;#amp;b#gt;");
        assert_eq!(escape("`#1`; a_b"), "#96;#35;1#96;#59; a_b");
        assert_eq!(quoted_yaml("a\"b\\c\nd"), r#""a\"b\\c d""#);
    }
}
