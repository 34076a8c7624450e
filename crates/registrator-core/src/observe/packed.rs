//! An inspect document as it is kept: as it was read for those who ask soon, and packed afterwards.

use crate::observe::document::Document;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A document of one line as engines write it. What documents have in common with it, most of their names and many values, takes
/// no room: 6 kB shrink to less than 2, where packing by itself leaves 3.5.
const TYPICAL: &[u8] = include_bytes!("typical.json");

/// A document that can be packed. What takes time is done without the lock.
pub(super) struct Packable(Mutex<Form>);

#[derive(Clone)]
enum Form {
    Read(Arc<Document>),
    Packed(Arc<Packed>),
}

impl Packable {
    /// Keeps a document as it is.
    pub(super) fn new(document: Document) -> Packable {
        Packable(Mutex::new(Form::Read(Arc::new(document))))
    }

    /// The document. One that is packed is read anew, which takes about as long as a simple policy.
    pub(super) fn document(&self) -> Arc<Document> {
        match self.form() {
            Form::Read(document) => document,
            // It was read before.
            Form::Packed(packed) => Arc::new(Document::parse(packed.text()).unwrap_or_default()),
        }
    }

    /// The text that was read, byte for byte.
    pub(super) fn text(&self) -> String {
        match self.form() {
            Form::Read(document) => document.text().to_owned(),
            Form::Packed(packed) => packed.text(),
        }
    }

    /// Packs the document, if it is not packed yet.
    pub(super) fn pack(&self) {
        if let Form::Read(document) = self.form() {
            let packed = Form::Packed(Arc::new(Packed::new(document.text())));
            *self.lock() = packed;
        }
    }

    fn form(&self) -> Form {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Form> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clone for Packable {
    fn clone(&self) -> Packable {
        Packable(Mutex::new(self.form()))
    }
}

/// A packed text.
struct Packed {
    bytes: Box<[u8]>,
    /// Of the text, in bytes.
    length: usize,
}

impl Packed {
    /// Packs a text.
    fn new(text: &str) -> Packed {
        let bytes = lz4_flex::block::compress_with_dict(text.as_bytes(), TYPICAL);
        Packed {
            // Anew: cut off, it would leave a hole behind it that is a little too small for the next one.
            bytes: Box::from(bytes.as_slice()),
            length: text.len(),
        }
    }

    /// The text, byte for byte.
    fn text(&self) -> String {
        let bytes = lz4_flex::block::decompress_with_dict(&self.bytes, self.length, TYPICAL);
        // What was packed here can be unpacked.
        bytes
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_text_comes_back(text in any::<String>(), times in 0..200_usize) {
            let text = text.repeat(times);
            prop_assert_eq!(Packed::new(&text).text(), text);
        }
    }

    #[test]
    fn a_document_is_the_same_before_and_after() {
        let text = String::from_utf8(TYPICAL.to_vec()).unwrap();
        let kept = Packable::new(Document::parse(text.clone()).unwrap());
        let first = kept.document();
        assert!(Arc::ptr_eq(&first, &kept.document()), "it is not read anew");
        kept.pack();
        let copy = kept.clone();
        for kept in [&kept, &copy] {
            kept.pack();
            assert_eq!(kept.text(), text);
            assert_eq!(kept.document().text(), first.text());
            assert!(matches!(kept.form(), Form::Packed(_)));
        }
    }

    #[test]
    fn a_document_as_engines_write_it_becomes_small() {
        let text = String::from_utf8(TYPICAL.to_vec()).unwrap();
        let other = text.replace("172.17.0.2", "172.18.0.44");
        let packed = Packed::new(&other);
        assert_eq!(packed.text(), other);
        assert!(packed.bytes.len() < 100, "{}", packed.bytes.len());
    }
}
