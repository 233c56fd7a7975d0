//! "Did you mean", and lists in sentences.

/// The one of `known` that `name` was probably meant to be.
pub(crate) fn closest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let score = |other: &str| strsim::jaro_winkler(&name.to_lowercase(), &other.to_lowercase());
    let scored = known.into_iter().map(|other| (score(other), other));
    let best = scored.max_by(|(a, _), (b, _)| a.total_cmp(b));
    best.filter(|(score, _)| *score > 0.8).map(|(_, other)| other)
}

/// An error about a name that is not known. It lists those that are.
pub(crate) fn unknown(what: &str, name: &str, known: &[String]) -> String {
    let mut text = format!("there is no {what} `{name}`");
    if let Some(other) = closest(name, known.iter().map(String::as_str)) {
        text.push_str(&format!(", did you mean `{other}`?"));
    }
    text.push_str(&match known {
        [] => "\nThere are none.".to_owned(),
        known => format!("\nThere are: {}", known.join(", ")),
    });
    text
}

/// `a`, `b` or `c`.
pub(crate) fn or(items: &[&str]) -> String {
    let items: Vec<_> = items.iter().map(|item| format!("`{item}`")).collect();
    match items.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        [rest @ .., last] => format!("{} or {last}", rest.join(", ")),
    }
}
