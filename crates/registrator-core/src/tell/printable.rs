//! Texts from outside, such as labels of strangers, as a terminal may have them: what it would obey, or not show, is escaped.

use std::borrow::Cow;

/// The text on one line.
pub fn one_line(text: &str) -> Cow<'_, str> {
    escaped(text, is_visible, as_in_rust)
}

/// The text with its line feeds. Further lines are indented, so that none can look like one of the program's own.
pub fn indented(text: &str) -> Cow<'_, str> {
    match lines(text) {
        text if text.contains('\n') => text.replace('\n', "\n    ").into(),
        text => text,
    }
}

/// The text with its line feeds.
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c == '\n' || is_visible(c), as_in_rust)
}

/// JSON that means the same. What else needs it is escaped by whoever writes JSON.
pub fn json(text: &str) -> Cow<'_, str> {
    let by_units = |c: char, shown: &mut String| {
        let units = c.encode_utf16(&mut [0; 2]).to_vec();
        shown.extend(units.iter().map(|unit| format!("\\u{unit:04x}")));
    };
    escaped(text, |c| c < '\u{7f}' || is_visible(c), by_units)
}

fn as_in_rust(c: char, shown: &mut String) {
    shown.extend(c.escape_default());
}

fn escaped(
    text: &str,
    is_plain: impl Fn(char) -> bool,
    escape: impl Fn(char, &mut String),
) -> Cow<'_, str> {
    if text.chars().all(&is_plain) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_plain(c) {
            shown.push(c);
        } else {
            escape(c, &mut shown);
        }
    }
    shown.into()
}

/// Whether a terminal shows it, and does nothing else. Controls, line breaks, marks for the direction of writing, and characters
/// without a width are not; nor is what has no meaning yet.
fn is_visible(c: char) -> bool {
    if c.is_ascii() {
        return matches!(c, ' '..='~');
    }
    // The standard library knows what can be printed. It escapes marks upon a letter too, where they have none.
    let on_a_letter: String = ['a', c].iter().collect();
    !is_ignorable(c) && on_a_letter.escape_debug().count() == 2
}

/// What Unicode calls ignorable, and the standard library takes for visible: fillers, and selectors of variants.
fn is_ignorable(c: char) -> bool {
    matches!(
        c,
        '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{2800}'
            | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{e0100}'..='\u{e01ef}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that a terminal should not get.
    const BAD: &str = "\0\x07\x08\t\r\x1b\x7f\u{80}\u{85}\u{9b}\u{9f}\u{ad}\u{61c}\u{180e}\u{200b}\u{200c}\u{200d}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2060}\u{2064}\u{2066}\u{2067}\u{2068}\u{2069}\u{206f}\u{feff}\u{fff9}\u{fffb}\u{e0001}\u{e007f}\u{3164}\u{115f}\u{34f}\u{fe0f}\u{e000}\u{a0}";

    #[test]
    fn bad_characters_are_escaped_each() {
        for c in BAD.chars().chain(['\n']) {
            let expected = format!("a{}b", c.escape_default());
            assert_eq!(one_line(&format!("a{c}b")), expected);
        }
        for c in BAD.chars() {
            let expected = format!("a{}\nb", c.escape_default());
            assert_eq!(lines(&format!("a{c}\nb")), expected);
        }
        assert_eq!(one_line("\x1b[2J\u{202e}gpj"), "\\u{1b}[2J\\u{202e}gpj");
    }

    #[test]
    fn what_people_write_stays_as_it_is() {
        for text in [
            "",
            "web = {\"a\":\"b\\n\"} 'x' \\",
            "ünïcødé 日本語 русский עברית عربى हिन्दी 🙂 e\u{301} …",
            "~",
        ] {
            assert_eq!(one_line(text), text);
            assert_eq!(json(text), text);
        }
    }

    #[test]
    fn further_lines_are_indented() {
        assert_eq!(indented("a\nb\x1b\n\nc"), "a\n    b\\u{1b}\n    \n    c");
        assert_eq!(indented("a"), "a");
    }

    #[test]
    fn json_means_the_same() {
        let value = serde_json::Value::String(format!("{BAD}\n\u{e0001}x"));
        let written = format!("{:#}\n", serde_json::json!({"a": [value.clone()]}));
        let shown = json(&written);
        assert!(shown.chars().all(|c| c == '\n' || is_visible(c)), "{shown}");
        let read: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(read["a"][0], value);
    }
}
