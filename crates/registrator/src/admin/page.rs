//! The page: three files that are part of the program, and ask for nothing else.

/// What the browser asks for first.
pub(super) const HTML: &str = include_str!("assets/index.html");

/// What it runs.
pub(super) const SCRIPT: &str = include_str!("assets/app.js");

/// What it looks like.
pub(super) const STYLE: &str = include_str!("assets/style.css");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_small_and_puts_no_text_in_as_markup() {
        let bytes = HTML.len() + SCRIPT.len() + STYLE.len();
        assert!(bytes <= 60 * 1024, "{bytes} bytes");
        for way in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
        ] {
            assert!(!SCRIPT.contains(way), "{way}");
        }
        for text in [HTML, SCRIPT, STYLE] {
            assert!(
                !text.contains("http://") && !text.contains("https://"),
                "{text}"
            );
        }
    }
}
