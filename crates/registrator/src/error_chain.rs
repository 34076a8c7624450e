//! Prints an error together with what caused it.

use crate::open_files;
use std::error::Error;

/// The error, what caused it, what caused that, and so on.
pub fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (**error).source())
}

/// The error's message and those of its sources, joined by `: `, each once.
///
/// Our own errors never repeat their source in their message, but those of libraries often do: a source whose text the
/// message so far ends with is left out.
pub fn error_chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in causes(error).skip(1) {
        let message = cause.to_string();
        if !message.is_empty() && !text.ends_with(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
    }
    if let Some(explanation) = open_files::explanation(&text) {
        text.push_str(": ");
        text.push_str(&explanation);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Link {
        text: &'static str,
        #[source]
        source: Option<Box<Link>>,
    }

    fn check(texts: &[&'static str], expected: &str) {
        let chain = texts
            .iter()
            .rev()
            .fold(None, |source, text| Some(Box::new(Link { text, source })));
        assert_eq!(error_chain(chain.unwrap().as_ref()), expected);
    }

    #[test]
    fn names_each_cause_once() {
        check(&["cannot read a.json"], "cannot read a.json");
        check(
            &["cannot read a.json", "permission denied"],
            "cannot read a.json: permission denied",
        );
        check(
            &[
                "no answer: connection reset",
                "connection reset",
                "",
                "os error 104",
            ],
            "no answer: connection reset: os error 104",
        );
    }
}
