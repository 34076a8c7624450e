//! Puts guards into the text of a policy before it is compiled, and tells which place of the original a place in the guarded text is.
//!
//! The interpreter looks at its memory every 1,000 calls and turns of loops, and one operation may take any amount at once. So whatever
//! may make something large from something small asks a [guard](super::guards) first. The interpreter can have its operators replaced;
//! its methods cannot be, so `text.join(parts)` becomes `guarded_method("join", text, parts)` here. Lines stay lines.

use super::library::DIALECT;
use super::source::Source;
use starlark::codemap::{CodeMap, FileSpan, Pos, Span};
use starlark::syntax::AstModule;
use starlark_syntax::lexer::{Lexer, Token};
use std::collections::{BTreeMap, HashMap};

/// Operators, and the guards that take their place.
const OPERATORS: [(&str, &str); 4] = [
    ("*", "guarded_times"),
    ("+", "guarded_plus"),
    ("%", "guarded_percent"),
    ("<<", "guarded_shift"),
];

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

/// The guarded text of a file, and the way back.
#[derive(Debug)]
pub(super) struct Guarded {
    original: CodeMap,
    text: String,
    /// By their places in the original.
    edits: Vec<Edit>,
}

/// The guarded files of a policy, by the name that is shown.
pub(super) type Originals = BTreeMap<String, Guarded>;

#[derive(Debug)]
struct Edit {
    at: usize,
    rank: Rank,
    removed: usize,
    inserted: String,
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

impl Guarded {
    /// Guards a file that can be parsed.
    pub(super) fn new(source: &Source) -> Guarded {
        let original = CodeMap::new(source.shown.clone(), source.text.clone());
        let lexer = Lexer::new(&source.text, &DIALECT, original.clone());
        let tokens = lexer
            .flatten()
            .filter(|(_, token, _)| !matches!(token, Token::Comment(_) | Token::Tabs));
        let mut editor = Editor::new(&source.text, tokens.collect());
        editor.edit();
        let mut edits = editor.edits;
        edits.reverse();
        edits.sort_by_key(|edit| (edit.at, edit.rank));
        let text = applied(&source.text, &edits);
        Guarded {
            original,
            text,
            edits,
        }
    }

    /// The guarded file, for the compiler.
    pub(super) fn parse(&self) -> starlark::Result<AstModule> {
        let mut ast = AstModule::parse(self.original.filename(), self.text.clone(), &DIALECT)?;
        let operators = OPERATORS.map(|(operator, guard)| (operator.to_owned(), guard.to_owned()));
        ast.replace_binary_operators(&HashMap::from(operators));
        Ok(ast)
    }

    /// The place in the original.
    fn restored(&self, span: Span) -> FileSpan {
        let place = |pos: Pos| {
            Pos::new(u32::try_from(self.original_place(pos.get() as usize)).unwrap_or(u32::MAX))
        };
        let begin = place(span.begin());
        let end = place(span.end()).max(begin);
        self.original.file_span(Span::new(begin, end))
    }

    fn original_place(&self, place: usize) -> usize {
        // How far the guarded text is ahead of the original.
        let mut inserted = 0;
        let mut removed = 0;
        for edit in &self.edits {
            let at = edit.at + inserted - removed;
            if place <= at {
                break;
            }
            if place < at + edit.inserted.len() {
                return edit.at;
            }
            inserted += edit.inserted.len();
            removed += edit.removed;
        }
        place + removed - inserted
    }
}

/// The place in the file as somebody wrote it.
pub(super) fn restored(originals: &Originals, span: &FileSpan) -> FileSpan {
    match originals.get(span.filename()) {
        Some(guarded) => guarded.restored(span.span),
        None => span.clone(),
    }
}

/// Whether a function of this name is a guard.
pub(super) fn is_guard(name: &str) -> bool {
    name.starts_with("guarded_")
}

fn applied(original: &str, edits: &[Edit]) -> String {
    let mut text = String::with_capacity(original.len() * 2);
    let mut done = 0;
    for edit in edits {
        text += original.get(done..edit.at).unwrap_or_default();
        text += &edit.inserted;
        done = edit.at + edit.removed;
    }
    text + original.get(done..).unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn guarded(text: &str) -> Guarded {
        let source = Source {
            path: "p.star".into(),
            shown: "p.star".into(),
            text: text.into(),
        };
        let guarded = Guarded::new(&source);
        guarded.parse().unwrap();
        guarded
    }

    #[test]
    fn guards_stand_around_what_they_guard() {
        for (text, expected) in [
            ("x = a.b(1)\n", "x = a.b(1)\n"),
            ("x = a.join(b)\n", "x = guarded_method(\"join\", a, b)\n"),
            (
                "x = (a + b).join(c)\n",
                "x = guarded_method(\"join\", (a + b), c)\n",
            ),
            (
                "x = f(a)[1].b.join(c)\n",
                "x = guarded_method(\"join\", f(a)[1].b, c)\n",
            ),
            (
                "x = 'a'.replace(b, c).format(d)\n",
                "x = guarded_method(\"format\", guarded_method(\"replace\", 'a', b, c), d)\n",
            ),
            (
                "x = [a][0].join(b if c else d)\n",
                "x = guarded_method(\"join\", [a][0], b if c else d)\n",
            ),
            (
                "x = str(a).join(b)\n",
                "x = guarded_method(\"join\", guarded_text(str, a), b)\n",
            ),
            (
                "x = (a\n    .join(b))\n",
                "x = (guarded_method(\"join\", a\n    , b))\n",
            ),
            ("x = a.join\n", "x = a.join\n"),
            ("def str(x):\n    return 1\n", "def str(x):\n    return 1\n"),
            ("x = max(range(3))\n", "x = max(guarded_new(range(3)))\n"),
            ("[i for i in range(3)]\n", "[i for i in range(3)]\n"),
            (
                "[i.upper() for i in dict(a)]\n",
                "guarded_look(); [i.upper() for i in dict(a) if guarded_look()]\n",
            ),
            (
                "x[1] *= a.join(b)\n",
                "x[1] *= guarded_factor(x[1], guarded_method(\"join\", a, b))\n",
            ),
            ("x()[1] *= 2\n", "x()[1] *= 2\n"),
            (
                "x += y; z = a[1:]\n",
                "x += guarded_addend(x, y); guarded_look(); z = a[1:]\n",
            ),
            (
                "for a in b:\n    if c: d.extend(e)\n    d.extend(e)\n",
                "for a in b:\n    if c: d.extend(e)\n    guarded_look(); d.extend(e)\n",
            ),
            (
                "x = f'{a.join(b)}{c!r}'\n",
                "x = f'{guarded_shown(guarded_method(\"join\", a, b))}{guarded_shown(c)!r}'\n",
            ),
        ] {
            assert_eq!(guarded(text).text, expected);
        }
    }

    #[test]
    fn places_are_those_of_the_original() {
        let text = "x = str(a).join(b)\ny *= z + dict(a)\n";
        let guarded = guarded(text);
        for name in ["str", "a)", "b)", "y", "z", "dict"] {
            let there = u32::try_from(guarded.text.find(name).unwrap()).unwrap();
            let here = text.find(name).unwrap();
            let span = guarded.restored(Span::new(Pos::new(there), Pos::new(there + 1)));
            assert_eq!(span.span.begin().get() as usize, here, "{name}");
        }
    }
}
