//! Mutations of JSON trees, which stay JSON: of bytes that are changed at random the parser sees most alone.

use crate::mutation::{NUMBERS, few};
use fastrand::Rng;
use serde_json::{Map, Value as Json};

/// Changes one value of the tree. `other` is a tree to take values from.
pub(crate) fn mutate(tree: &mut Json, other: &Json, words: &[&[u8]], rng: &mut Rng) {
    let Some(value) = nth(tree, &mut rng.usize(0..count(tree))) else {
        return;
    };
    let word = any_word(words, rng);
    match (rng.u8(0..8), value) {
        (0..3, Json::Object(members)) => mutate_object(members, word, rng),
        (0..3, Json::Array(items)) => mutate_array(items, rng),
        (0..3, Json::String(text)) => mutate_text(text, &word, rng),
        (3, value) => {
            let taken =
                nth(&mut other.clone(), &mut rng.usize(0..count(other))).map(|it| it.take());
            *value = taken.unwrap_or_default();
        }
        (4, value) => {
            for _ in 0..few(rng) {
                let inner = value.take();
                *value = match rng.bool() {
                    true => Json::Array(vec![inner]),
                    false => Json::Object(Map::from_iter([(word.clone(), inner)])),
                };
            }
        }
        (5, value) => *value = Json::String(word),
        (_, value) => *value = any_scalar(rng),
    }
}

fn mutate_object(members: &mut Map<String, Json>, word: String, rng: &mut Rng) {
    let names: Vec<String> = members.keys().cloned().collect();
    let Some(name) = rng.choice(names) else {
        members.insert(word, any_scalar(rng));
        return;
    };
    match rng.u8(0..3) {
        0 => drop(members.shift_remove(&name)),
        1 => {
            let member = members.shift_remove(&name).unwrap_or_default();
            members.insert(word, member);
        }
        _ => {
            let member = members.get(&name).cloned().unwrap_or_default();
            members.insert(word, member);
        }
    }
}

fn mutate_array(items: &mut Vec<Json>, rng: &mut Rng) {
    let at = rng.usize(0..=items.len());
    match items.get(at).cloned() {
        Some(_) if rng.bool() => drop(items.remove(at)),
        Some(item) => drop(items.splice(at..at, std::iter::repeat_n(item, few(rng)))),
        None => items.push(any_scalar(rng)),
    }
}

fn mutate_text(text: &mut String, word: &str, rng: &mut Rng) {
    let places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    let at = rng.choice(places).unwrap_or_default();
    match rng.u8(0..4) {
        0 => text.truncate(at),
        1 => *text = text.split_off(at),
        2 => *text = text.repeat(few(rng)),
        _ => text.insert_str(at, word),
    }
}

fn any_scalar(rng: &mut Rng) -> Json {
    match rng.u8(0..6) {
        0 => Json::Null,
        1 => Json::Bool(rng.bool()),
        2 => Json::String(String::new()),
        3 => Json::Object(Map::new()),
        _ => serde_json::from_str(rng.choice(NUMBERS).unwrap_or_default()).unwrap_or_default(),
    }
}

fn any_word(words: &[&[u8]], rng: &mut Rng) -> String {
    let word = rng.choice(words).copied().unwrap_or(b"\0");
    String::from_utf8_lossy(word).into_owned()
}

/// How many values there are.
fn count(tree: &Json) -> usize {
    1 + match tree {
        Json::Array(items) => items.iter().map(count).sum(),
        Json::Object(members) => members.values().map(count).sum(),
        _ => 0,
    }
}

/// The value of this number, from 0.
fn nth<'a>(tree: &'a mut Json, number: &mut usize) -> Option<&'a mut Json> {
    if *number == 0 {
        return Some(tree);
    }
    *number -= 1;
    match tree {
        Json::Array(items) => items.iter_mut().find_map(|item| nth(item, number)),
        Json::Object(members) => members.values_mut().find_map(|member| nth(member, number)),
        _ => None,
    }
}
