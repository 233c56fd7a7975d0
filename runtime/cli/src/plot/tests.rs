use veilflow_spec::{Cell, Row};

use super::*;

fn results(rows: &[&[(&str, Cell)]]) -> Results {
    let row = |cells: &&[(&str, Cell)]| {
        Row(cells.iter().map(|(title, cell)| ((*title).to_owned(), cell.clone())).collect())
    };
    Results { rows: rows.iter().map(row).collect(), ..Results::default() }
}

fn training() -> Results {
    let rounds = (0..8u32).map(|round| {
        let x = f64::from(round);
        Row(vec![
            ("Rounds".to_owned(), round.into()),
            ("Agg Model Validation Score".to_owned(), (0.97 - 0.85 * (-x).exp()).into()),
            ("Local Train loss".to_owned(), (0.1 + 1.4 * (-x / 2.0).exp()).into()),
            ("Local Model Validation score".to_owned(), (0.98 - 0.2 * (-x / 1.5).exp()).into()),
            ("Examples".to_owned(), Cell::Integer(4000 + 500 * i64::from(round))),
        ])
    });
    Results { rows: rounds.collect(), ..Results::default() }
}

#[test]
fn an_svg_holds_each_curve_and_title_and_every_tag_is_closed() {
    let svg = draw("a <b> & c", &training(), Picture::Svg).unwrap();
    let svg = String::from_utf8(svg).unwrap();
    for text in ["a &lt;b&gt; &amp; c", "Rounds", "Local Train loss", "Examples"] {
        assert!(svg.contains(text), "{text}");
    }
    let mut open = Vec::new();
    for tag in svg.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').expect("a tag ends");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') {
            open.push(tag.split(' ').next().unwrap_or_default());
        }
    }
    assert!(open.is_empty(), "{open:?}");
    assert_eq!(svg.matches("<polyline").count() - svg.matches("stroke-width=\"1\"").count(), 4 + 4);
}

#[test]
fn a_png_is_one_and_has_ink_on_it() {
    let png = draw("training", &training(), Picture::Png).unwrap();
    assert!(png.starts_with(b"\x89PNG\r\n\x1a\n"));
    // To look at it: VEILFLOW_PLOT=/tmp/plot.png
    if let Some(path) = std::env::var_os("VEILFLOW_PLOT") {
        std::fs::write(path, &png).unwrap();
    }
    let pixels = tiny_skia::Pixmap::decode_png(&png).unwrap();
    assert_eq!(pixels.width(), 1600);
    let ink = pixels.pixels().iter().filter(|pixel| pixel.red() < 100).count();
    assert!(ink > 1000, "{ink} dark pixels");
}

#[test]
fn one_round_a_gap_and_a_constant_can_be_drawn() {
    let one: &[(&str, Cell)] = &[("Rounds", Cell::Integer(0)), ("Score", Cell::Number(0.5))];
    let gap: &[(&str, Cell)] = &[("Rounds", Cell::Integer(1)), ("Score", Cell::Number(f64::NAN))];
    for rows in [&[one][..], &[one, gap], &[one, gap, one]] {
        let svg = String::from_utf8(draw("t", &results(rows), Picture::Svg).unwrap()).unwrap();
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}

#[test]
fn results_without_numbers_are_no_picture() {
    let text: &[(&str, Cell)] = &[("Rounds", Cell::Integer(0)), ("Who", Cell::Text("a".to_owned()))];
    for rows in [&[][..], &[text]] {
        assert!(matches!(draw("t", &results(rows), Picture::Svg), Err(PlotError::NoNumbers)));
    }
}
