//! Feeds mutated inputs to what reads bytes from outside, and keeps what it finds. For tests alone.
//!
//! A target has a folder of seeds, its corpus. Each input is a seed with some mutations; one whose outcome is of a new kind becomes a
//! seed for the rest of the run. An input that makes the target panic is made as small as it can be and written to the corpus, so
//! that every later run begins with it. Equal environments give equal inputs.
//!
//! `FUZZ_INPUTS` says how many inputs each target gets, `FUZZ_SEED` from which number they are made.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "test code"
)]

mod json;
mod mutation;
mod smaller;

use fastrand::Rng;
use mutation::Seeds;
use std::collections::HashSet;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// How long one input may take. Most take microseconds; this is only exceeded by what does not end.
const LONGEST: Duration = Duration::from_secs(20);

/// How many letters of an outcome tell its kind.
const KIND: usize = 100;

/// What is tested, and with which inputs.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The folder of seeds, from the crate's folder.
    pub corpus: &'a str,
    /// Pieces that mean something in the target's grammar, to be put anywhere.
    pub words: &'a [&'a [u8]],
    /// How many inputs there are unless `FUZZ_INPUTS` says otherwise: what a debug build does in a second or two.
    pub inputs: u64,
}

impl Target<'_> {
    /// Runs `test` with each seed, then with mutations of them. `test` panics at what must not be, and else tells the
    /// outcome. Of outcomes of one kind the first letters outside of quotes are the same.
    ///
    /// # Panics
    /// At the end of a run in which `test` panicked, with the place of the input.
    pub fn run(self, mut test: impl FnMut(&[u8]) -> String) {
        let began = Instant::now();
        let mut run = Run {
            seeds: Seeds::read(self.corpus, self.words),
            kinds: HashSet::new(),
            present: Present::new(self.corpus),
            slowest: Duration::ZERO,
            target: self,
        };
        for seed in run.seeds.all().to_vec() {
            run.check(&seed, &mut test);
        }
        let mut rng = Rng::with_seed(number("FUZZ_SEED").unwrap_or(1));
        let inputs = number("FUZZ_INPUTS").unwrap_or(self.inputs);
        for _ in 0..inputs {
            let input = run.seeds.mutation(&mut rng);
            if run.check(&input, &mut test) {
                run.seeds.add(input);
            }
        }
        println!(
            "{}: {inputs} inputs in {:.1} s, {} kinds of outcomes, the slowest input took {:.0?}",
            self.corpus,
            began.elapsed().as_secs_f64(),
            run.kinds.len(),
            run.slowest,
        );
    }
}

struct Run<'a> {
    target: Target<'a>,
    seeds: Seeds<'a>,
    kinds: HashSet<u64>,
    present: Present,
    slowest: Duration,
}

impl Run<'_> {
    /// Whether the outcome is of a new kind.
    fn check(&mut self, input: &[u8], test: &mut impl FnMut(&[u8]) -> String) -> bool {
        self.present.is(input);
        let began = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| test(input)));
        let took = began.elapsed();
        self.slowest = self.slowest.max(took);
        match outcome {
            Ok(outcome) if took < LONGEST => self.kinds.insert(kind(&outcome)),
            Ok(_) => self.fail(input, &format!("it took {took:?}")),
            Err(panic) => {
                let smaller = smaller::smaller(input, test);
                self.fail(&smaller, text_of(&*panic))
            }
        }
    }

    fn fail(&self, input: &[u8], why: &str) -> ! {
        let mut hasher = DefaultHasher::new();
        input.hash(&mut hasher);
        let name = format!("found-{:016x}", hasher.finish());
        let path = PathBuf::from(self.target.corpus).join(name);
        fs::write(&path, input).expect("the corpus can be written");
        panic!(
            "{why}\nThe input is kept in {}: keep it there, and mend what it found.\n{}",
            path.display(),
            input.escape_ascii(),
        )
    }
}

/// The input that is under way, in a file: what ends the whole process, or does not end, is found there.
struct Present {
    file: File,
    path: PathBuf,
    next: Sender<()>,
}

impl Present {
    fn new(corpus: &str) -> Self {
        let name = format!("fuzz-{}-{}", std::process::id(), corpus.replace('/', "-"));
        let path = std::env::temp_dir().join(name);
        let file = File::create(&path).expect("the folder for temporary files can be written");
        let (next, inputs) = channel();
        let shown = path.display().to_string();
        std::thread::spawn(move || end_with(&inputs, &shown));
        Self { file, path, next }
    }

    fn is(&self, input: &[u8]) {
        let length = u64::try_from(input.len()).unwrap_or(u64::MAX);
        let written = self.file.set_len(length);
        written
            .and_then(|()| self.file.write_all_at(input, 0))
            .expect("the folder for temporary files can be written");
        // The other side waits for as long as this lives.
        let _ = self.next.send(());
    }
}

/// Ends the process with an input that does not end. Nothing else can.
fn end_with(inputs: &Receiver<()>, path: &str) {
    loop {
        match inputs.recv_timeout(2 * LONGEST) {
            Ok(()) => {}
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                eprintln!("the input in {path} takes longer than {LONGEST:?}");
                std::process::abort();
            }
        }
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        // It stays behind in the worst case.
        let _ = fs::remove_file(&self.path);
    }
}

/// The number in a variable of the environment.
fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{variable} must be a number, not {text:?}")))
}

/// Outcomes whose first letters outside of quotes are the same are of one kind.
fn kind(outcome: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    let unquoted = outcome.split('"').step_by(2).flat_map(str::chars);
    let letters = unquoted.filter(char::is_ascii_alphabetic);
    letters.take(KIND).for_each(|char| char.hash(&mut hasher));
    hasher.finish()
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without a text")
}

#[cfg(test)]
mod tests;
