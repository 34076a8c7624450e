//! Refuses source text that is nested so deeply that parsing it would end the process.
//!
//! The parser, and all that works on its tree, is recursive. Each token may add a level to that tree, but what stands before a
//! comma is not around what stands behind it, and neither is what stands in a closed bracket.

use super::library::DIALECT;
use super::source::Source;
use starlark::codemap::CodeMap;
use starlark_syntax::lexer::{Lexer, Token};

/// How many tokens may be around another one. People write less than 100. A level costs up to 50 KB of stack in a debug build, so
/// [`STACK_BYTES`](crate::STACK_BYTES) is twice what this needs.
const MAX_AROUND: usize = 2_000;

/// The line, from 1, where the text becomes nested too deeply.
pub(super) fn too_deep(source: &Source) -> Option<usize> {
    let codemap = CodeMap::new(source.shown.clone(), source.text.clone());
    let mut around = Around::default();
    // The parser ends at the first error too. There may be no end of errors: some come again and again.
    let tokens = Lexer::new(&source.text, &DIALECT, codemap).map_while(Result::ok);
    for (start, token, _) in tokens {
        around.add(&token);
        if around.count() > MAX_AROUND {
            let before = source.text.bytes().take(start);
            return Some(1 + before.filter(|byte| *byte == b'\n').count());
        }
    }
    None
}

/// The tokens that may be around the next one.
#[derive(Default)]
struct Around {
    /// Those since the last comma, for each bracket that is open.
    outside: Vec<usize>,
    /// Those since the last comma in the innermost bracket.
    inside: usize,
    /// Those of the statement that a comma does not end.
    clauses: usize,
    /// Those of the text: each `elif` is within the one before it.
    elifs: usize,
}

impl Around {
    fn count(&self) -> usize {
        self.outside.iter().sum::<usize>() + self.inside + self.clauses + self.elifs
    }

    fn add(&mut self, token: &Token) {
        match token {
            Token::OpeningRound
            | Token::OpeningSquare
            | Token::OpeningCurly
            | Token::FStringExprStart => {
                self.outside.push(self.inside + 1);
                self.inside = 0;
            }
            Token::ClosingRound
            | Token::ClosingSquare
            | Token::ClosingCurly
            | Token::FStringExprEnd => self.inside = self.outside.pop().unwrap_or_default(),
            Token::Comma => self.inside = 0,
            Token::Newline | Token::Semicolon => {
                self.outside.clear();
                self.inside = 0;
                self.clauses = 0;
            }
            Token::Lambda | Token::For => self.clauses += 1,
            Token::Elif => self.elifs += 1,
            _ => self.inside += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deep_at(text: &str) -> Option<usize> {
        too_deep(&Source {
            path: "p.star".into(),
            shown: "p.star".into(),
            text: text.into(),
        })
    }

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
            ("[1", " for a, b in c]"),
        ] {
            let nested = |count| {
                format!(
                    "y = 1\nx = {}1{}\n",
                    open.repeat(count),
                    close.repeat(count)
                )
            };
            assert_eq!(deep_at(&nested(2500)), Some(2), "{open}{close}");
            assert_eq!(deep_at(&nested(100)), None, "{open}{close}");
        }
        let clauses = format!("x = [1{}]\n", " for a, b in c".repeat(2500));
        assert_eq!(deep_at(&clauses), Some(1));
        let elifs = format!("if x:\n  y\n{}", "elif x:\n  y\n".repeat(2500));
        assert!(deep_at(&elifs).is_some());
        let texts = format!(
            "x = {}1{}",
            "f'{1, f\"{2, ".repeat(800),
            "}\"}'".repeat(800)
        );
        assert_eq!(deep_at(&texts), Some(1));
    }

    #[test]
    fn an_error_that_comes_again_and_again_is_an_end() {
        let text = include_str!("../../corpus/policies/found-endless-error");
        assert_eq!(deep_at(text), None);
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
                deep_at(&text),
                None,
                "{}",
                text.chars().take(40).collect::<String>()
            );
        }
    }
}
