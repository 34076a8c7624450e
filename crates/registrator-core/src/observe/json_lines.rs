//! Finds the line of each member of a JSON object, for messages. The document is known to be valid.

/// The members of the outermost object, each with its line, counted from 1, in the order of the text.
pub(crate) fn member_lines(text: &str) -> Vec<(String, usize)> {
    let mut members = Vec::new();
    let (mut line, mut depth, mut key_next) = (1, 0, false);
    let mut rest = text.char_indices();
    while let Some((at, c)) = rest.next() {
        match c {
            '\n' => line += 1,
            '{' | '[' => {
                depth += 1;
                key_next = depth == 1;
            }
            '}' | ']' => depth -= 1,
            ',' => key_next = depth == 1,
            '"' => {
                let end = skip_string(&mut rest);
                let quoted = end.and_then(|end| text.get(at..=end));
                if let Some(name) = quoted
                    .filter(|_| key_next)
                    .and_then(|quoted| serde_json::from_str(quoted).ok())
                {
                    members.push((name, line));
                }
                key_next = false;
            }
            _ => {}
        }
    }
    members
}

/// Moves behind the closing quote and gives its position.
fn skip_string(rest: &mut std::str::CharIndices<'_>) -> Option<usize> {
    while let Some((at, c)) = rest.next() {
        match c {
            '\\' => {
                rest.next();
            }
            '"' => return Some(at),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_outer_members_only() {
        let text = "{ \"a\": {\"x\": 1,\n \"y\": [1, \"z\"]},\n\"b\\\"\": \"c\",\"d\"\n: [[{}], 2], \"e\": \"f\" }";
        let found = member_lines(text);
        let expected =
            [("a", 1), ("b\"", 3), ("d", 3), ("e", 4)].map(|(name, line)| (name.to_owned(), line));
        assert_eq!(found, expected);
    }
}
