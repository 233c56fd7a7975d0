//! What stands in `#[serde(..)]` and `#[message(..)]`.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::parse::{ParseStream, Parser};
use syn::{Attribute, Error, LitStr, Result, Token};

/// Serde's settings that change the code it writes and not what travels.
const SILENT: [&str; 4] = ["bound", "borrow", "crate", "expecting"];

/// Serde's settings of a type, a variant or a field, as far as they may change what travels.
pub(crate) struct Serde {
    /// Whether it stands under `#[serde(skip)]`: it never travels.
    pub(crate) skip: bool,
    /// The settings as canonical text: sorted, and empty where there are none.
    pub(crate) text: String,
}

/// Reads the `#[serde(..)]` attributes. Whether they are right is serde's to check.
pub(crate) fn serde(attributes: &[Attribute]) -> Result<Serde> {
    let mut settings = Vec::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        let list = attribute.meta.require_list()?;
        settings.extend(split.parse2(list.tokens.clone())?);
    }
    settings.retain(|setting| !SILENT.contains(&keyword(setting).as_str()));
    settings.sort();
    let skip = settings.iter().any(|setting| setting == "skip");
    let text = if settings.is_empty() { String::new() } else { format!("#[{}]", settings.join(", ")) };
    Ok(Serde { skip, text })
}

/// Splits `a = "b", c(d)` at its commas.
fn split(input: ParseStream) -> Result<Vec<String>> {
    let mut settings = Vec::new();
    while !input.is_empty() {
        let mut setting = TokenStream::new();
        while !input.is_empty() && !input.peek(Token![,]) {
            setting.extend([input.parse::<TokenTree>()?]);
        }
        settings.push(canonical(setting));
        input.parse::<Option<Token![,]>>()?;
    }
    Ok(settings)
}

fn keyword(setting: &str) -> String {
    setting.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// Tokens with one space between them. How `TokenStream` spaces its text differs between compilers, and
/// builds by two compilers must have one fingerprint.
fn canonical(tokens: TokenStream) -> String {
    let tokens: Vec<_> = tokens
        .into_iter()
        .map(|token| match token {
            TokenTree::Group(group) => {
                let inner = canonical(group.stream());
                match group.delimiter() {
                    Delimiter::Parenthesis => format!("({inner})"),
                    Delimiter::Brace => format!("{{{inner}}}"),
                    Delimiter::Bracket => format!("[{inner}]"),
                    Delimiter::None => inner,
                }
            }
            token => token.to_string(),
        })
        .collect();
    tokens.join(" ")
}

/// The name in a field's `#[message(foreign = "…")]`.
pub(crate) fn foreign(attributes: &[Attribute]) -> Result<Option<LitStr>> {
    let mut name: Option<LitStr> = None;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("message")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("foreign") {
                return Err(meta.error("expected `foreign = \"package/version/Type\"`"));
            }
            let value: LitStr = meta.value()?.parse()?;
            if value.value().trim().is_empty() {
                let text =
                    "a foreign type needs a name that changes with its encoding, such as `\"uuid/1/Uuid\"`";
                return Err(Error::new(value.span(), text));
            }
            if name.replace(value).is_some() {
                return Err(meta.error("`foreign` is given twice"));
            }
            Ok(())
        })?;
    }
    Ok(name)
}

/// Refuses `#[message(..)]` where it would say nothing.
pub(crate) fn only_on_fields(attributes: &[Attribute]) -> Result<()> {
    match attributes.iter().find(|attribute| attribute.path().is_ident("message")) {
        Some(attribute) => Err(Error::new_spanned(attribute, "`#[message(..)]` belongs on a field")),
        None => Ok(()),
    }
}
