//! Drawings of unusual flows: empty arms, nested decisions, labels and names full of markup.

extern crate veilflow_spec as veilflow;

use serde::{Deserialize, Serialize};
use veilflow::prelude::*;
use veilflow::{FlowDescription, Format};

struct Server;
struct Site;

#[derive(Clone, Serialize, Deserialize, Message)]
struct Odd {
    value: f64,
}

mod foreign {
    use super::*;
    use veilflow::{Schema, Schemas};

    /// A message whose label holds what every format would read as markup.
    #[derive(Clone, Serialize, Deserialize)]
    pub(super) struct Markup;

    impl Message for Markup {
        fn schema(_: &mut Schemas) -> Schema {
            Schema::foreign("\"<b>&amp;</b>\\\n--]]>#;`|")
        }
    }
}

use foreign::Markup;

fn start(_: &mut Server, _: Markup, _: &Context) -> Result<Branch<Odd, Loop<Markup, Odd>>> {
    Ok(Branch::Yes(Odd { value: 0.0 }))
}

fn judge(_: &mut Server, last: Loop<Markup, Odd>, _: &Context) -> Result<Odd> {
    Ok(match last {
        Loop::Again(_) => Odd { value: 1.0 },
        Loop::Done(odd) => odd,
    })
}

fn spread(_: &mut Server, _: Odd, _: &Context) -> Result<Foreach<Markup>> {
    Ok(Foreach::all(Markup))
}

fn echo(_: &mut Site, markup: &Markup, _: &Context) -> Result<Markup> {
    Ok(markup.clone())
}

fn gather(_: &mut Server, _: Inputs<Markup>, _: &Context) -> Result<Loop<Foreach<Markup>, Markup>> {
    Ok(Loop::Done(Markup))
}

fn markup() -> FlowDescription {
    let flow: Flow<Server, Site, Markup, Markup> = Flow::new("a\"<b>&\\\n\u{0}--]]>", 1)
        .start(start)
        .branch(|yes| yes, |no| no.then(judge))
        .then(spread)
        .repeat(|round| round.foreach(echo).join(gather))
        .end();
    flow.describe()
}

#[test]
fn an_empty_arm_leads_on() {
    let text = markup().draw(Format::Text);
    assert!(text.contains("├ Yes: Odd\n├ No: Loop<"), "{text}");
    assert!(text.contains("└ both arms: Odd"), "{text}");
    let dot = markup().draw(Format::Dot);
    assert!(dot.contains("choice_1 -> step_2 [label=\" Yes: Odd \""), "{dot}");
    assert!(dot.contains("choice_1 -> step_1_no_0 [label=\" No: Loop<"), "{dot}");
}

#[test]
fn markup_in_names_and_labels_is_text() {
    let flow = markup();
    for format in Format::ALL {
        let drawing = flow.draw(format);
        assert!(drawing.ends_with('\n'), "{format}");
        assert!(!drawing.contains('\0'), "{format} holds a control character");
    }
    let svg = flow.draw(Format::Svg);
    assert!(!svg.contains("<b>") && !svg.contains("&amp;amp;</"), "{svg}");
    assert!(svg.contains("&lt;b&gt;"), "{svg}");
    let mermaid = flow.draw(Format::Mermaid);
    for line in mermaid.lines().filter(|line| line.contains("-->|") || line.contains("==>|")) {
        assert_eq!(line.matches('"').count(), 2, "{line}");
    }
    let dot = flow.draw(Format::Dot);
    for line in dot.lines() {
        let quotes = line.replace("\\\\", "").replace("\\\"", "").matches('"').count();
        assert_eq!(quotes % 2, 0, "{line}");
    }
}

#[test]
fn the_svg_is_self_contained_and_balanced() {
    let svg = markup().draw(Format::Svg);
    for outside in ["<script", "href", "url(", "@import", "<image", "<foreignObject"] {
        assert!(!svg.contains(outside), "{outside}");
    }
    for element in ["svg", "title", "desc", "style", "text", "tspan"] {
        let (open, close) = (format!("<{element}"), format!("</{element}>"));
        assert_eq!(svg.matches(&open).count(), svg.matches(&close).count(), "{element}");
    }
    assert!(svg.contains("role=\"img\"") && svg.contains("<title>Flow a"), "{svg}");
}
