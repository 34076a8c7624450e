//! Just enough of Rust's grammar for the rules: code without its comments and texts, test code told from the rest, and the
//! paths that a file names.

/// The text with comments, strings and character literals blanked out. Lines keep their numbers.
pub(crate) fn code(text: &str) -> String {
    let mut rest = text;
    let mut out = String::with_capacity(text.len());
    while let Some(first) = rest.chars().next() {
        let blank = blank_length(rest, out.chars().next_back());
        if blank > 0 {
            let (skipped, after) = rest.split_at(blank);
            out.extend(skipped.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = after;
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    out
}

/// How many bytes of a comment or a literal stand at the beginning of `rest`; 0 if there is none.
fn blank_length(rest: &str, before: Option<char>) -> usize {
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if rest.starts_with("//") {
        rest.find('\n').unwrap_or(rest.len())
    } else if rest.starts_with("/*") {
        block_comment_length(rest)
    } else if rest.starts_with('"') {
        string_length(rest)
    } else if rest.starts_with('\'') {
        character_length(rest)
    } else if in_word {
        0
    } else {
        raw_string_length(rest)
    }
}

fn block_comment_length(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        match &rest.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth.saturating_sub(1), at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn string_length(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// A lifetime begins like a character literal, but no quote follows its first character.
fn character_length(rest: &str) -> usize {
    let mut characters = rest.char_indices().skip(1);
    match characters.next() {
        Some((_, '\\')) => {
            characters.next();
            rest.get(1..)
                .and_then(|inner| inner[2..].find('\''))
                .map_or(rest.len(), |end| end + 4)
        }
        Some(_) => match characters.next() {
            Some((at, '\'')) => at + 1,
            _ => 0,
        },
        None => 0,
    }
}

fn raw_string_length(rest: &str) -> usize {
    let Some(opening) = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r')) else {
        return 0;
    };
    let hashes = opening.len() - opening.trim_start_matches('#').len();
    if !opening[hashes..].starts_with('"') {
        return 0;
    }
    let start = rest.len() - opening.len() + hashes + 1;
    let closing = format!("\"{}", "#".repeat(hashes));
    rest[start..]
        .find(&closing)
        .map_or(rest.len(), |end| start + end + closing.len())
}

/// Whether a whole file is test code.
pub(crate) fn is_test_file(path: &str) -> bool {
    path.contains("/tests/") || path.contains("/benches/") || path.ends_with("/tests.rs")
}

/// The code of a file outside its tests. Lines keep their numbers.
pub(crate) fn production_code(path: &str, text: &str) -> String {
    if is_test_file(path) {
        blank(text)
    } else {
        split_tests(&code(text)).0
    }
}

/// The code of a file's tests. Lines keep their numbers.
pub(crate) fn test_code(path: &str, text: &str) -> String {
    if is_test_file(path) {
        code(text)
    } else {
        split_tests(&code(text)).1
    }
}

fn blank(text: &str) -> String {
    text.chars()
        .map(|c| if c == '\n' { '\n' } else { ' ' })
        .collect()
}

/// Parts code into what is outside and what is inside of `#[cfg(test)]` items.
fn split_tests(code: &str) -> (String, String) {
    const MARK: &str = "#[cfg(test)]";
    let (mut production, mut tests) = (String::new(), String::new());
    let mut rest = code;
    while let Some(start) = rest.find(MARK) {
        let (before, item) = rest.split_at(start);
        let (item, after) = item.split_at(item_length(item));
        production.extend([before, &blank(item)]);
        tests.extend([blank(before).as_str(), item]);
        rest = after;
    }
    production.push_str(rest);
    tests.push_str(&blank(rest));
    (production, tests)
}

/// How far an item reaches: to its semicolon, or to the brace that closes its body.
fn item_length(item: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in item.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth <= 1 => return at + 1,
            '}' => depth -= 1,
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    item.len()
}

/// The types that a module declares, with their lines, in code that went through [`code`]. rustfmt indents all others: those
/// within functions and the associated types of traits.
pub(crate) fn declared_types(code: &str) -> Vec<(usize, String)> {
    const KEYWORDS: [&str; 5] = ["struct", "enum", "union", "trait", "type"];
    let mut found = Vec::new();
    for (index, line) in code.lines().enumerate() {
        if line.starts_with(' ') {
            continue;
        }
        let mut words = tokens(line).into_iter().map(|(_, word)| word).peekable();
        if words.next_if_eq(&"pub").is_some() && words.next_if_eq(&"(").is_some() {
            words.find(|word| *word == ")");
        }
        if words.next().is_some_and(|word| KEYWORDS.contains(&word)) {
            found.extend(words.next().map(|name| (index + 1, name.to_owned())));
        }
    }
    found
}

/// A path as code names it, such as `crate::node::Key`; the branches of a `use` tree are paths of their own.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) line: usize,
    pub(crate) parts: Vec<String>,
}

impl Named {
    pub(crate) fn starts_with(&self, path: &str) -> bool {
        let mut parts = self.parts.iter();
        path.split("::")
            .all(|part| parts.next().is_some_and(|own| own == part))
    }
}

/// All paths of two and more parts in code that went through [`code`].
pub(crate) fn named_paths(code: &str) -> Vec<Named> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        at = if is_word(tokens[at].1) {
            read_tree(&tokens, at, &[], &mut found)
        } else {
            at + 1
        };
    }
    found.retain(|named| named.parts.len() > 1);
    found
}

type Token<'a> = (usize, &'a str);

/// Words, and the punctuation that paths are made of.
fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    for (index, line) in code.lines().enumerate() {
        let mut rest = line;
        while let Some(first) = rest.chars().next() {
            let length = match first {
                c if c.is_alphanumeric() || c == '_' => word_length(rest),
                _ if rest.starts_with("::") => 2,
                c => c.len_utf8(),
            };
            let (token, after) = rest.split_at(length);
            if !token.trim().is_empty() {
                found.push((index + 1, token));
            }
            rest = after;
        }
    }
    found
}

fn word_length(rest: &str) -> usize {
    rest.find(|c: char| !(c.is_alphanumeric() || c == '_'))
        .unwrap_or(rest.len())
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Reads one path, or the tree of a `use`, that begins with the word at `at`. Tells where it ends.
fn read_tree(
    tokens: &[Token<'_>],
    mut at: usize,
    prefix: &[String],
    found: &mut Vec<Named>,
) -> usize {
    let line = tokens[at].0;
    let mut parts = prefix.to_vec();
    loop {
        match tokens.get(at) {
            Some((_, word)) if is_word(word) || *word == "*" => parts.push((*word).to_owned()),
            Some((_, "{")) => return read_branches(tokens, at + 1, &parts, found),
            _ => break,
        }
        at += 1;
        if !matches!(tokens.get(at), Some((_, "::"))) {
            break;
        }
        at += 1;
    }
    found.push(Named { line, parts });
    at
}

fn read_branches(
    tokens: &[Token<'_>],
    mut at: usize,
    prefix: &[String],
    found: &mut Vec<Named>,
) -> usize {
    loop {
        match tokens.get(at) {
            None => return at,
            Some((_, "}")) => return at + 1,
            // The name it gets here is no part of the path.
            Some((_, "as")) => at += 2,
            Some((_, word)) if is_word(word) || *word == "*" => {
                at = read_tree(tokens, at, prefix, found)
            }
            Some(_) => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_code(text: &str, expected: &str) {
        let got = code(text);
        assert_eq!(
            got.split_whitespace().collect::<Vec<_>>().join(" "),
            expected,
            "{text}"
        );
        assert_eq!(got.lines().count(), text.lines().count(), "{text}");
    }

    #[test]
    fn comments_and_texts_are_blanked_out() {
        check_code("a // tokio\nb", "a b");
        check_code("a /* x /* y */ z */ b", "a b");
        check_code("f(\"tokio \\\" \", c)", "f( , c)");
        check_code("f(r#\"a \" b\"#)", "f( )");
        check_code("f(br\"x\", var\n, \"y\")", "f( , var , )");
        check_code("f('\"', '\\'', 'x', '\\u{1f}') \"z\"", "f( , , , )");
        check_code("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)");
    }

    #[test]
    fn tests_are_told_from_the_rest() {
        let text =
            "a();\n#[cfg(test)]\nmod tests {\n    b({ c });\n}\n#[cfg(test)]\nmod more;\nd();";
        let words = |code: String| code.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(words(production_code("src/x.rs", text)), "a(); d();");
        assert_eq!(
            words(test_code("src/x.rs", text)),
            "#[cfg(test)] mod tests { b({ c }); } #[cfg(test)] mod more;"
        );
        assert_eq!(words(production_code("crates/x/tests/y.rs", text)), "");
    }

    #[test]
    fn paths_are_read_from_trees_and_from_expressions() {
        let code = "use std::{\n  fs,\n  io::{self, Read as R},\n};\nlet x = crate::node::Key::parse(y::<u8>(z));\nuse a::*;";
        let paths: Vec<_> = named_paths(code)
            .iter()
            .map(|named| format!("{} {}", named.line, named.parts.join("::")))
            .collect();
        assert_eq!(
            paths,
            [
                "2 std::fs",
                "3 std::io::self",
                "3 std::io::Read",
                "5 crate::node::Key::parse",
                "6 a::*"
            ]
        );
    }
}
