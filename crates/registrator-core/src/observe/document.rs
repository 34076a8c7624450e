//! An inspect document: JSON as text, with an index of its values.
//!
//! Building a tree of such a document takes ten times as long, and seven times as much memory as its text. Policies read a few
//! members of it; this finds them in the text. It also keeps what a tree would not: every byte of what the engine wrote.

use serde_json::Number;

/// How deeply arrays and objects may be nested; `serde_json` reads no deeper either.
const MAX_DEPTH: usize = 127;

/// A JSON text that was read. The default one holds nothing.
#[derive(Debug, Clone, Default)]
pub struct Document {
    text: String,
    /// All values in the order of the text. An object's names are values too, each before its member.
    values: Vec<Span>,
    /// The strings that have escapes, as they are meant, by the index of their value.
    unescaped: Vec<(usize, String)>,
}

/// Where a value is.
#[derive(Debug, Clone, Copy, Default)]
struct Span {
    /// Its first byte in the text.
    start: usize,
    /// The byte after its last.
    end: usize,
    /// The index of the value after it and all that it holds.
    next: usize,
}

/// A value in a document. Wherever it is asked for what it is not, the answer is `None`, or nothing.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    document: &'a Document,
    index: usize,
}

impl Document {
    /// Reads a JSON text; `None` if it is not JSON.
    pub fn parse(text: String) -> Option<Document> {
        let mut scanner = Scanner {
            text: &text,
            at: 0,
            values: Vec::with_capacity(text.len() / 12),
            unescaped: Vec::new(),
        };
        scanner.value(0)?;
        scanner.skip_space();
        let Scanner {
            at,
            values,
            unescaped,
            ..
        } = scanner;
        (at == text.len()).then_some(Document {
            text,
            values,
            unescaped,
        })
    }

    /// The text that was read.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The value that the document is.
    pub fn root(&self) -> Part<'_> {
        self.part(0)
    }

    /// The value at a path of member names.
    pub fn at(&self, path: &[&str]) -> Option<Part<'_>> {
        path.iter()
            .try_fold(self.root(), |part, name| part.member(name))
    }

    fn part(&self, index: usize) -> Part<'_> {
        Part {
            document: self,
            index,
        }
    }

    fn slice(&self, start: usize, end: usize) -> &str {
        self.text.get(start..end).unwrap_or_default()
    }
}

impl<'a> Part<'a> {
    /// The value as it is written.
    pub fn text(self) -> &'a str {
        let Span { start, end, .. } = self.span();
        self.document.slice(start, end)
    }

    /// The member of this name; the last one, should there be several.
    pub fn member(self, name: &str) -> Option<Part<'a>> {
        let named = self.members().filter(|(other, _)| *other == name);
        named.last().map(|(_, member)| member)
    }

    /// The item at this place of an array, from 0.
    pub fn item(self, place: usize) -> Option<Part<'a>> {
        self.items().nth(place)
    }

    /// An object's names and members.
    pub fn members(self) -> impl Iterator<Item = (&'a str, Part<'a>)> {
        let mut inside = self.inside('{');
        std::iter::from_fn(move || Some((inside.next()?.as_str()?, inside.next()?)))
    }

    /// An array's items.
    pub fn items(self) -> impl Iterator<Item = Part<'a>> {
        self.inside('[')
    }

    /// A string, without quotes and escapes.
    pub fn as_str(self) -> Option<&'a str> {
        let raw = self.text().strip_prefix('"')?.strip_suffix('"')?;
        let unescaped = &self.document.unescaped;
        if unescaped.is_empty() {
            return Some(raw);
        }
        match unescaped.binary_search_by_key(&self.index, |(index, _)| *index) {
            Ok(place) => unescaped.get(place).map(|(_, text)| text.as_str()),
            Err(_) => Some(raw),
        }
    }

    /// `true` or `false`.
    pub fn as_bool(self) -> Option<bool> {
        self.text().parse().ok()
    }

    /// An integer, if it is as small.
    pub fn as_i64(self) -> Option<i64> {
        self.text().parse().ok()
    }

    /// A positive integer, if it is as small.
    pub fn as_u64(self) -> Option<u64> {
        self.text().parse().ok()
    }

    /// Whether it is an object.
    pub fn is_object(self) -> bool {
        self.text().starts_with('{')
    }

    /// Whether it is null, or an object without members.
    pub fn is_nothing(self) -> bool {
        if self.is_object() {
            self.members().next().is_none()
        } else {
            self.text() == "null"
        }
    }

    /// The document's text with another value in the place of this one.
    pub fn replaced_by(self, json: &str) -> String {
        let Span { start, end, .. } = self.span();
        let after = self.document.slice(end, self.document.text.len());
        [self.document.slice(0, start), json, after].concat()
    }

    /// The document's text with more members at the end of this object.
    pub fn with_members(self, members: &str) -> String {
        let before = self.text().strip_suffix('}').unwrap_or_default();
        let comma = if self.is_nothing() { "" } else { "," };
        self.replaced_by(&format!("{before}{comma}{members}}}"))
    }

    /// Where it is in the document's text.
    pub(crate) fn range(self) -> std::ops::Range<usize> {
        let Span { start, end, .. } = self.span();
        start..end
    }

    fn span(self) -> Span {
        let span = self.document.values.get(self.index);
        span.copied().unwrap_or_default()
    }

    /// The values right inside of an object or array that opens so.
    fn inside(self, opening: char) -> impl Iterator<Item = Part<'a>> {
        let is_one = self.text().starts_with(opening);
        let end = if is_one { self.span().next } else { 0 };
        let mut index = self.index + 1;
        std::iter::from_fn(move || {
            let part = (index < end).then(|| self.document.part(index))?;
            index = part.span().next;
            Some(part)
        })
    }
}

/// Reads a text once, from its beginning to its end. `None` is: this is not JSON.
struct Scanner<'t> {
    text: &'t str,
    at: usize,
    values: Vec<Span>,
    unescaped: Vec<(usize, String)>,
}

impl Scanner<'_> {
    fn value(&mut self, depth: usize) -> Option<()> {
        self.skip_space();
        let (index, start) = (self.values.len(), self.at);
        self.values.push(Span::default());
        match self.peek()? {
            b'"' => self.string(index)?,
            b'{' | b'[' if depth == MAX_DEPTH => return None,
            b'{' => self.inside(b'}', depth)?,
            b'[' => self.inside(b']', depth)?,
            b't' => self.word("true")?,
            b'f' => self.word("false")?,
            b'n' => self.word("null")?,
            _ => self.number()?,
        }
        let next = self.values.len();
        *self.values.get_mut(index)? = Span {
            start,
            end: self.at,
            next,
        };
        Some(())
    }

    /// An object or array, up to its end.
    fn inside(&mut self, closing: u8, depth: usize) -> Option<()> {
        self.at += 1;
        self.skip_space();
        if self.peek()? == closing {
            self.at += 1;
            return Some(());
        }
        loop {
            if closing == b'}' {
                self.name(depth)?;
            }
            self.value(depth + 1)?;
            self.skip_space();
            let next = self.peek()?;
            self.at += 1;
            match next {
                b',' => {}
                next if next == closing => return Some(()),
                _ => return None,
            }
        }
    }

    fn name(&mut self, depth: usize) -> Option<()> {
        self.skip_space();
        (self.peek()? == b'"').then_some(())?;
        self.value(depth + 1)?;
        self.skip_space();
        (self.peek()? == b':').then_some(())?;
        self.at += 1;
        Some(())
    }

    fn string(&mut self, index: usize) -> Option<()> {
        let start = self.at;
        self.at += 1;
        let mut has_escapes = false;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => {
                    has_escapes = true;
                    self.at += 2;
                }
                0..b' ' => return None,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        if has_escapes {
            let meant = serde_json::from_str(self.text.get(start..self.at)?);
            self.unescaped.push((index, meant.ok()?));
        }
        Some(())
    }

    fn number(&mut self) -> Option<()> {
        let rest = self.text.get(self.at..)?;
        let length = rest.bytes().take_while(is_of_number).count();
        let number = rest.get(..length)?;
        self.at += length;
        let is_plain = number.bytes().all(|byte| byte.is_ascii_digit());
        let is_short = length == 1 || (length > 1 && !number.starts_with('0'));
        if is_plain && is_short {
            return Some(());
        }
        serde_json::from_str::<Number>(number).ok().map(drop)
    }

    fn word(&mut self, word: &str) -> Option<()> {
        let rest = self.text.get(self.at..)?;
        self.at += word.len();
        rest.starts_with(word).then_some(())
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

fn is_of_number(byte: &u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')
}

#[cfg(test)]
mod tests;
