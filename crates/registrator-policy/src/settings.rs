//! What the host gives to a policy: limits, and the environment as it was at the start.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How much one evaluation of a policy, or one loading of a file, may use.
///
/// The limits stop mistakes, not malice: `docs/policies.md` says what remains. They are looked at every 1,000 ticks, and memory also
/// before each operation that may need much of it. Policies are the administrator's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Function calls, looks at the memory among them, and turns of loops. A release build does about 100 of them in a microsecond.
    pub ticks: u64,
    /// Bytes of the values that the policy makes. It also bounds how deeply they can be nested, and so the stack that showing
    /// them takes: with 8 MiB, [`STACK_BYTES`](crate::STACK_BYTES) is enough.
    pub heap_bytes: usize,
    /// Nested calls of functions.
    pub call_depth: usize,
    /// Time by the clock, for a policy that is slow without many ticks.
    pub time: Duration,
    /// Nodes, `None` values and lists in what one evaluation returns.
    pub answer_items: usize,
    /// Lines kept of what one evaluation prints.
    pub log_lines: usize,
    /// Bytes kept of what one evaluation prints.
    pub log_bytes: usize,
    /// Bytes of address space of the process that runs a policy in Ruby, beyond those of the interpreter by itself.
    pub process_bytes: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            ticks: 1_000_000,
            heap_bytes: 8 << 20,
            call_depth: 100,
            time: Duration::from_secs(1),
            answer_items: 30_000,
            log_lines: 100,
            log_bytes: 16 << 10,
            process_bytes: 512 << 20,
        }
    }
}

/// Everything that a policy may depend on besides its files.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The limits of each evaluation, and of loading.
    pub limits: Limits,
    /// What `env()` reads while a policy is loaded, and the environment of policies in Ruby.
    pub env: Arc<BTreeMap<String, String>>,
    /// The Ruby interpreter: a path, or a name that is looked for in `PATH`.
    pub ruby: PathBuf,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            limits: Limits::default(),
            env: Arc::default(),
            ruby: "ruby".into(),
        }
    }
}
