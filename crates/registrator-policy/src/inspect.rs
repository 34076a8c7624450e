//! Reads the parts of a container's inspect document that need more than a look-up.

use registrator_core::observe::document::{Document, Part};

/// The text at a path of member names; `None` if it is missing, empty or no text.
pub(crate) fn text<'a>(document: &'a Document, path: &[&str]) -> Option<&'a str> {
    document.at(path).and_then(text_of)
}

/// The text that a part is; `None` if it is empty or no text.
pub(crate) fn text_of(part: Part<'_>) -> Option<&str> {
    part.as_str().filter(|text| !text.is_empty())
}

/// `NAME=VALUE` at the first `=`; without one the value is empty.
pub(crate) fn environment(document: &Document) -> impl Iterator<Item = (&str, &str)> {
    let lines = document.at(&["Config", "Env"]);
    let lines = lines.into_iter().flat_map(Part::items);
    let lines = lines.filter_map(Part::as_str);
    lines.map(|line| line.split_once('=').unwrap_or((line, "")))
}

/// The members of an object of texts, in its order.
pub(crate) fn texts<'a>(
    document: &'a Document,
    path: &[&str],
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let members = document.at(path).into_iter().flat_map(Part::members);
    members.filter_map(|(name, value)| Some((name, value.as_str()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value as Json, json};

    fn read(json: Json) -> Document {
        Document::parse(json.to_string()).unwrap()
    }

    #[test]
    fn environment_is_split_at_the_first_equals_sign() {
        let document = read(json!({"Config": {"Env": ["A=b=c", "B=", "C"]}}));
        let found: Vec<_> = environment(&document).collect();
        assert_eq!(found, [("A", "b=c"), ("B", ""), ("C", "")]);
        assert_eq!(
            environment(&read(json!({"Config": {"Env": null}}))).count(),
            0
        );
    }
}
