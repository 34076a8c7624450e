//! Threads with a stack that is large enough for deeply nested policies.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

/// The stack of a thread that loads or evaluates policies, in bytes. It is address space: only touched pages count.
///
/// The interpreter's parser, compiler and freezer are recursive: with this much, 256 KiB of opening brackets are an error
/// instead of the end of the process.
pub const STACK_BYTES: usize = 256 << 20;

/// Runs `work` on a thread of its own with [`STACK_BYTES`] and waits for it.
///
/// # Errors
/// The text of the panic, if `work` panicked, or why there is no thread.
pub(crate) fn run<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, String> {
    thread::scope(|scope| {
        let builder = thread::Builder::new()
            .name("policy-load".into())
            .stack_size(STACK_BYTES);
        let thread = builder
            .spawn_scoped(scope, || caught(work))
            .map_err(|error| format!("no thread to load it on: {error}"))?;
        thread.join().unwrap_or_else(|panic| Err(text_of(&*panic)))
    })
}

/// Runs `work` on a thread of its own with [`STACK_BYTES`], and leaves it alone if it takes longer than `time`. `None` then, and if
/// it panics.
pub(crate) fn run_within<T: Send + 'static>(
    time: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (sender, done) = channel();
    let thread = thread::Builder::new().stack_size(STACK_BYTES);
    // Without a thread the channel is closed at once. And nobody listens any more if it took too long.
    let _ = thread.spawn(move || sender.send(work()));
    done.recv_timeout(time).ok()
}

/// Runs `work`; a panic in it becomes an error with the panic's text.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| text_of(&*panic))
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "a panic without a text".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error() {
        assert_eq!(run(|| 1), Ok(1));
        assert_eq!(run(|| panic!("odd {}", 1)), Err::<(), _>("odd 1".into()));
    }
}
