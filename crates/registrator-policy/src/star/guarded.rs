//! Puts guards into the text of a policy before it is compiled, and tells which place of the original a place in the guarded text is.
//!
//! The interpreter looks at its memory every 1,000 calls and turns of loops, and one operation may take any amount at once. So whatever
//! may make something large from something small asks a [guard](super::guards) first. The interpreter can have its operators replaced;
//! its methods cannot be, so `text.join(parts)` becomes `guarded_method("join", text, parts)` here. Lines stay lines.

mod editor;

use super::library::DIALECT;
use super::source::Source;
use editor::Edit;
use starlark::codemap::{CodeMap, FileSpan, Pos, Span};
use starlark::syntax::AstModule;
use std::collections::{BTreeMap, HashMap};

/// Operators, and the guards that take their place.
const OPERATORS: [(&str, &str); 4] = [
    ("*", "guarded_times"),
    ("+", "guarded_plus"),
    ("%", "guarded_percent"),
    ("<<", "guarded_shift"),
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

impl Guarded {
    /// Guards a file that can be parsed.
    pub(super) fn new(source: &Source) -> Guarded {
        let original = CodeMap::new(source.shown.clone(), source.text.clone());
        let edits = editor::edits(&source.text, original.clone());
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

#[cfg(test)]
mod tests;
