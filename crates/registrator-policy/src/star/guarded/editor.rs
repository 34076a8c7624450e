//! Finds where a policy needs guards, and what to put there. It works on tokens, since the parser's tree does not tell where brackets are.

use super::super::library::DIALECT;
use starlark::codemap::CodeMap;
use starlark_syntax::lexer::{Lexer, Token};
use std::collections::BTreeMap;

/// Methods whose result may be far larger than what it is made of.
const GROWING: [&str; 3] = ["format", "join", "replace"];

/// Functions that make a text of any value.
const SHOWING: [&str; 4] = ["fail", "print", "repr", "str"];

/// Functions whose result the interpreter does not count, or from which any amount can be taken.
const UNCOUNTED: [&str; 3] = ["dict", "range", "set"];

/// Methods and functions whose result is about as large as what they get: memory is looked at before a statement with one.
const COPYING: [&str; 27] = [
    "capitalize",
    "codepoints",
    "elems",
    "enumerate",
    "extend",
    "filter",
    "items",
    "keys",
    "list",
    "lower",
    "lstrip",
    "map",
    "partition",
    "removeprefix",
    "removesuffix",
    "reversed",
    "rpartition",
    "rsplit",
    "rstrip",
    "sorted",
    "split",
    "splitlines",
    "strip",
    "title",
    "tuple",
    "upper",
    "values",
];

/// A text that takes the place of another, in the original.
#[derive(Debug)]
pub(super) struct Edit {
    pub(super) at: usize,
    rank: Rank,
    pub(super) removed: usize,
    pub(super) inserted: String,
}

/// The order of what is put in at one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// The end of a guard.
    Close,
    /// The last clause of a comprehension.
    Clause,
    /// The begin of a guard around all that follows.
    OpenAll,
    /// The begin of a guard. Of several at one place the last that was found is around the others.
    Open,
}

/// What to change in a text that can be parsed, by the places in it.
pub(super) fn edits(text: &str, file: CodeMap) -> Vec<Edit> {
    let tokens = Lexer::new(text, &DIALECT, file).map_while(Result::ok);
    let tokens = tokens.filter(|(_, token, _)| !matches!(token, Token::Comment(_) | Token::Tabs));
    let mut editor = Editor::new(text, tokens.collect());
    editor.edit();
    let mut edits = editor.edits;
    edits.reverse();
    edits.sort_by_key(|edit| (edit.at, edit.rank));
    edits
}

struct Editor<'a> {
    text: &'a str,
    tokens: Vec<(usize, Token, usize)>,
    /// For each bracket the index of its partner.
    partners: BTreeMap<usize, usize>,
    edits: Vec<Edit>,
}

impl<'a> Editor<'a> {
    fn new(text: &'a str, tokens: Vec<(usize, Token, usize)>) -> Editor<'a> {
        let mut partners = BTreeMap::new();
        let mut open = Vec::new();
        for (at, (_, token, _)) in tokens.iter().enumerate() {
            if opens(token) {
                open.push(at);
            } else if closes(token)
                && let Some(start) = open.pop()
            {
                partners.insert(start, at);
                partners.insert(at, start);
            }
        }
        Editor {
            text,
            tokens,
            partners,
            edits: Vec::new(),
        }
    }

    fn edit(&mut self) {
        for at in 0..self.tokens.len() {
            match self.token(at) {
                Some(Token::Identifier(name)) => {
                    let name = name.clone();
                    self.guard_call(at, &name);
                }
                Some(Token::FStringExprStart) => self.guard_shown(at),
                Some(Token::PlusEqual) => self.guard_assignment(at, "guarded_addend"),
                Some(Token::StarEqual) => self.guard_assignment(at, "guarded_factor"),
                Some(Token::PercentEqual) => self.guard_assignment(at, "guarded_values"),
                Some(Token::LessLessEqual) => self.guard_assignment(at, "guarded_distance"),
                _ => {}
            }
        }
        self.look_at_statements();
        self.look_at_comprehensions();
    }

    fn token(&self, at: usize) -> Option<&Token> {
        self.tokens.get(at).map(|(_, token, _)| token)
    }

    fn begin(&self, at: usize) -> usize {
        self.tokens
            .get(at)
            .map_or(self.text.len(), |(begin, _, _)| *begin)
    }

    fn end(&self, at: usize) -> usize {
        self.tokens
            .get(at)
            .map_or(self.text.len(), |(_, _, end)| *end)
    }

    fn insert(&mut self, at: usize, rank: Rank, inserted: impl Into<String>) {
        self.edits.push(Edit {
            at,
            rank,
            removed: 0,
            inserted: inserted.into(),
        });
    }

    /// Puts something in the place of a text; its line ends stay.
    fn replace(&mut self, from: usize, to: usize, inserted: &str) {
        let lines = self
            .text
            .get(from..to)
            .unwrap_or_default()
            .matches('\n')
            .count();
        let inserted = inserted.to_owned() + &"\n".repeat(lines);
        self.edits.push(Edit {
            at: from,
            rank: Rank::Open,
            removed: to.saturating_sub(from),
            inserted,
        });
    }

    /// Whether a name is called: not when it is defined, nor as another's member.
    fn calls(&self, at: usize) -> Option<Called> {
        if self.token(at + 1) != Some(&Token::OpeningRound) {
            return None;
        }
        match at.checked_sub(1).and_then(|before| self.token(before)) {
            Some(Token::Dot) => Some(Called::Method),
            Some(Token::Def) => None,
            _ => Some(Called::Function),
        }
    }

    fn guard_call(&mut self, at: usize, name: &str) {
        match self.calls(at) {
            Some(Called::Method) if GROWING.contains(&name) => {
                let start = self.primary_start(at - 1);
                self.replace(self.begin(at - 1), self.end(at + 1), ", ");
                self.insert(
                    self.begin(start),
                    Rank::Open,
                    format!("guarded_method(\"{name}\", "),
                );
            }
            Some(Called::Function) if SHOWING.contains(&name) => {
                self.replace(self.begin(at + 1), self.end(at + 1), ", ");
                self.insert(self.begin(at), Rank::Open, "guarded_text(");
            }
            Some(Called::Function) if UNCOUNTED.contains(&name) && !self.is_looped_over(at) => {
                if let Some(close) = self.partners.get(&(at + 1)).copied() {
                    self.insert(self.end(close), Rank::Close, ")");
                    self.insert(self.begin(at), Rank::Open, "guarded_new(");
                }
            }
            _ => {}
        }
    }

    /// A loop takes one item after the other.
    fn is_looped_over(&self, at: usize) -> bool {
        at.checked_sub(1).and_then(|before| self.token(before)) == Some(&Token::In)
    }

    /// The first token of what stands before the dot at `dot`.
    fn primary_start(&self, dot: usize) -> usize {
        let mut at = dot;
        while let Some(before) = at.checked_sub(1) {
            match self.token(before) {
                Some(token) if closes(token) => {
                    at = self.partners.get(&before).copied().unwrap_or(before);
                    let continues = at.checked_sub(1).and_then(|before| self.token(before));
                    if !continues.is_some_and(ends_a_value)
                        || matches!(token, Token::FStringEnd | Token::ClosingCurly)
                    {
                        return at;
                    }
                }
                _ => {
                    at = before;
                    if at.checked_sub(1).and_then(|before| self.token(before)) != Some(&Token::Dot)
                    {
                        return at;
                    }
                    at -= 1;
                }
            }
        }
        at
    }

    fn guard_shown(&mut self, start: usize) {
        let mut depth = 0_usize;
        for at in start + 1..self.tokens.len() {
            match self.token(at) {
                Some(Token::FStringExprEnd | Token::FStringBang) if depth == 0 => {
                    self.insert(self.end(at - 1), Rank::Close, ")");
                    self.insert(self.end(start), Rank::OpenAll, "guarded_shown(");
                    return;
                }
                Some(token) if opens(token) => depth += 1,
                Some(token) if closes(token) => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    /// `x *= y`: the guard gets `x` too. What would be evaluated twice by that, and may do something, is left as it is.
    fn guard_assignment(&mut self, operator: usize, guard: &str) {
        let start = self.statement_start(operator);
        let target = self.tokens.get(start..operator).unwrap_or_default();
        if target
            .iter()
            .any(|(_, token, _)| *token == Token::OpeningRound)
        {
            return;
        }
        let target = self
            .text
            .get(self.begin(start)..self.end(operator - 1))
            .unwrap_or_default();
        let target = target.replace('\n', " ");
        let last = self.statement_end(operator);
        self.insert(self.end(last), Rank::Close, ")");
        self.insert(
            self.begin(operator + 1),
            Rank::OpenAll,
            format!("{guard}({target}, "),
        );
    }

    fn statement_start(&self, within: usize) -> usize {
        let mut at = within;
        while let Some(before) = at.checked_sub(1) {
            if self
                .token(before)
                .is_some_and(|token| separates(token) || *token == Token::Colon)
            {
                break;
            }
            at = before;
        }
        at
    }

    /// The last token of the statement.
    fn statement_end(&self, within: usize) -> usize {
        let mut at = within;
        while self.token(at + 1).is_some_and(|token| !separates(token)) {
            at += 1;
        }
        at
    }

    /// Memory is looked at before each statement that copies, but not before those that belong to a line that begins otherwise.
    fn look_at_statements(&mut self) {
        let mut at = 0;
        while at < self.tokens.len() {
            if self.token(at).is_some_and(separates) {
                at += 1;
                continue;
            }
            let end = self.statement_end(at);
            let other = |token: &Token| {
                matches!(
                    token,
                    Token::For
                        | Token::If
                        | Token::Elif
                        | Token::Else
                        | Token::Def
                        | Token::Load
                        | Token::Return
                )
            };
            if !self.token(at).is_some_and(other) && self.copies(at, end) {
                self.insert(self.begin(at), Rank::OpenAll, "guarded_look(); ");
            }
            at = end + 1;
        }
    }

    fn look_at_comprehensions(&mut self) {
        let brackets: Vec<(usize, usize)> = self
            .partners
            .iter()
            .map(|(start, end)| (*start, *end))
            .collect();
        for (start, end) in brackets {
            let square = matches!(
                self.token(start),
                Some(Token::OpeningSquare | Token::OpeningCurly)
            );
            if start < end && square && self.has_own_for(start, end) && self.copies(start, end) {
                let comma = self.token(end - 1) == Some(&Token::Comma);
                let last = if comma { end - 2 } else { end - 1 };
                self.insert(self.end(last), Rank::Clause, " if guarded_look()");
            }
        }
    }

    fn has_own_for(&self, start: usize, end: usize) -> bool {
        let mut at = start + 1;
        while at < end {
            if self.token(at) == Some(&Token::For) {
                return true;
            }
            let inner = self.partners.get(&at).filter(|partner| **partner > at);
            at = inner.map_or(at, |partner| *partner) + 1;
        }
        false
    }

    /// Whether something between two tokens copies: a call of that name, or a slice.
    fn copies(&self, start: usize, end: usize) -> bool {
        (start..=end).any(|at| match self.token(at) {
            Some(Token::Identifier(name)) => {
                self.calls(at).is_some() && COPYING.contains(&name.as_str())
            }
            Some(Token::OpeningSquare) => {
                let value = at.checked_sub(1).and_then(|before| self.token(before));
                let close = self.partners.get(&at).copied().unwrap_or(at);
                value.is_some_and(ends_a_value)
                    && (at..close).any(|inner| self.token(inner) == Some(&Token::Colon))
            }
            _ => false,
        })
    }
}

enum Called {
    Function,
    Method,
}

fn opens(token: &Token) -> bool {
    matches!(
        token,
        Token::OpeningRound
            | Token::OpeningSquare
            | Token::OpeningCurly
            | Token::FStringStart(_)
            | Token::FStringExprStart
    )
}

fn closes(token: &Token) -> bool {
    matches!(
        token,
        Token::ClosingRound
            | Token::ClosingSquare
            | Token::ClosingCurly
            | Token::FStringEnd
            | Token::FStringExprEnd
    )
}

/// Whether a value may end here, so that what follows in brackets is an argument or an index.
fn ends_a_value(token: &Token) -> bool {
    closes(token) || matches!(token, Token::Identifier(_) | Token::String(_))
}

/// Whether a token stands between statements.
fn separates(token: &Token) -> bool {
    matches!(
        token,
        Token::Newline | Token::Semicolon | Token::Indent | Token::Dedent
    )
}
