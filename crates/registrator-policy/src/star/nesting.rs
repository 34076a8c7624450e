//! Refuses source text that is nested so deeply that parsing it would end the process.
//!
//! The parser's tree is walked by recursive functions many times. Here the depth of that tree is estimated from above without
//! recursion: every bracket, operator and keyword of an expression may add a level.

/// How deep a tree may be. People write less than 50; each level costs kilobytes of stack, so this is far from the end of it.
const MAX_LEVELS: usize = 1_000;

/// The words that stand between the parts of an expression.
const WORDS: [&str; 8] = ["and", "else", "for", "if", "in", "lambda", "not", "or"];

/// The line, from 1, where the text becomes nested too deeply.
pub(super) fn too_deep(text: &str) -> Option<usize> {
    let mut scan = Scan::new(text);
    while let Some(c) = scan.next() {
        scan.token(c);
        if scan.levels() > MAX_LEVELS {
            return Some(scan.line);
        }
    }
    None
}

struct Scan<'a> {
    rest: &'a str,
    line: usize,
    /// For each open bracket, and the statement itself, the levels since the last comma in it.
    open: Vec<usize>,
    /// The sum of `open`.
    levels: usize,
    /// `lambda`s of this statement: a comma in their parameters ends nothing.
    lambdas: usize,
    /// `elif`s of the text: each is a level of the statement before it.
    elifs: usize,
}

impl<'a> Scan<'a> {
    fn new(text: &'a str) -> Scan<'a> {
        Scan {
            rest: text,
            line: 1,
            open: vec![0],
            levels: 0,
            lambdas: 0,
            elifs: 0,
        }
    }

    fn levels(&self) -> usize {
        self.levels + self.open.len() + self.lambdas + self.elifs
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.skip(c.len_utf8());
        Some(c)
    }

    fn token(&mut self, c: char) {
        match c {
            '\n' if self.open.len() == 1 => self.end_statement(),
            ';' => self.end_statement(),
            '#' => self.skip(self.rest.find('\n').unwrap_or(self.rest.len())),
            '"' | '\'' => self.string(c),
            '\\' => self.skip(self.rest.chars().next().map_or(0, char::len_utf8)),
            '(' | '[' | '{' => {
                self.add(1);
                self.open.push(0);
            }
            ')' | ']' | '}' => self.close(),
            ',' => self.reset(),
            c if c.is_alphabetic() || c == '_' => self.word(c),
            c if c.is_whitespace() || c.is_ascii_digit() => {}
            _ => self.add(1),
        }
    }

    fn add(&mut self, levels: usize) {
        self.levels += levels;
        if let Some(last) = self.open.last_mut() {
            *last += levels;
        }
    }

    fn reset(&mut self) {
        if let Some(last) = self.open.last_mut() {
            self.levels -= *last;
            *last = 0;
        }
    }

    fn close(&mut self) {
        if self.open.len() > 1 {
            self.reset();
            self.open.pop();
        }
    }

    fn end_statement(&mut self) {
        (self.open, self.levels, self.lambdas) = (vec![0], 0, 0);
    }

    fn word(&mut self, first: char) {
        let part = |c: char| c.is_alphanumeric() || c == '_';
        let end = self.rest.find(|c| !part(c)).unwrap_or(self.rest.len());
        let rest = self.rest.get(..end).unwrap_or_default();
        let word = format!("{first}{rest}");
        self.skip(end);
        match word.as_str() {
            "elif" => self.elifs += 1,
            "lambda" => self.lambdas += 1,
            word if WORDS.contains(&word) => self.add(1),
            _ => {}
        }
    }

    /// Moves behind a string whose first quote has been read.
    fn string(&mut self, quote: char) {
        let triple: String = [quote; 2].iter().collect();
        let end = match self.rest.starts_with(&triple) {
            true => {
                self.skip(2);
                [quote; 3].iter().collect()
            }
            false => quote.to_string(),
        };
        if end.len() == 3 && !self.rest.contains(&end) {
            return;
        }
        while !self.rest.is_empty() && !self.rest.starts_with(&end) {
            if end.len() == 1 && self.rest.starts_with('\n') {
                return;
            }
            if self.rest.starts_with('\\') {
                self.skip(1);
            }
            self.skip(self.rest.chars().next().map_or(0, char::len_utf8));
        }
        self.skip(end.len());
    }

    fn skip(&mut self, bytes: usize) {
        let (skipped, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.line += skipped.matches('\n').count();
        self.rest = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deep_text_is_found() {
        for (open, close) in [
            ("(", ")"),
            ("[", "]"),
            ("{1: ", "}"),
            ("f(", ")"),
            ("-", ""),
            ("1 + ", ""),
            ("not ", ""),
            ("x.", ""),
            ("", "(1)"),
            ("", "[1]"),
            ("lambda a, b: ", ""),
            ("1 if x else ", ""),
            ("[1, 2, ", "]"),
        ] {
            let nested = |count| {
                format!(
                    "y = 1\nx = {}1{}\n",
                    open.repeat(count),
                    close.repeat(count)
                )
            };
            assert_eq!(too_deep(&nested(2000)), Some(2), "{open}{close}");
            assert_eq!(too_deep(&nested(100)), None, "{open}{close}");
        }
        let elifs = format!("if x:\n  y\n{}", "elif x:\n  y\n".repeat(2000));
        assert!(too_deep(&elifs).is_some());
    }

    #[test]
    fn long_text_is_not_deep() {
        let items =
            "x = [\n".to_owned() + &"  {\"a\": f(1) + 2, 'b': [1, 2]},\n".repeat(5000) + "]\n";
        let lines = "x = (1 + 2) * f(3)[4].y\n".repeat(5000);
        let strings = "x = '(((' + \"\"\"[[[\n((\\\"\"\"\" # {{{\n".repeat(2000);
        let escapes = "x = 'it\\'s ((' + \"\\\\\"\n".repeat(2000);
        for text in [items, lines, strings, escapes] {
            assert_eq!(
                too_deep(&text),
                None,
                "{}",
                text.chars().take(40).collect::<String>()
            );
        }
    }
}
