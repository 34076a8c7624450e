//! Transactions: conditions first, all of them; then checks; then writes, which cannot fail.

use std::cmp::Ordering;

use super::history::{History, KeyValue};
use super::lease::Leases;
use super::range;
use super::write::{self, Writer};
use super::{
    Delete, DeleteResult, KeyRange, LeaseId, Put, PutResult, Range, RangeResult, Revision,
    StoreError,
};

/// If all conditions hold `success` runs, else `failure`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Txn {
    /// The conditions; without one they hold.
    pub compare: Vec<Compare>,
    /// Runs if all conditions hold.
    pub success: Vec<Op>,
    /// Runs if one does not.
    pub failure: Vec<Op>,
}

/// A condition on all keys of a range.
///
/// A range without keys is taken as one key whose numbers are all 0, and fulfils no condition on a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compare {
    /// The keys.
    pub keys: KeyRange,
    /// How the stored side must relate to the given one.
    pub relation: Relation,
    /// What is compared, and the given side.
    pub target: Target,
}

/// How the stored side must relate to the given one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// The same.
    Equal,
    /// Not the same.
    NotEqual,
    /// The stored side is greater.
    Greater,
    /// The stored side is less.
    Less,
}

/// What is compared, and the given side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The version.
    Version(i64),
    /// The revision of the creation.
    CreateRevision(Revision),
    /// The revision of the last change.
    ModRevision(Revision),
    /// The value.
    Value(Vec<u8>),
    /// The lease.
    Lease(LeaseId),
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Reads; sees what the operations before it in the transaction wrote.
    Range(Range),
    /// Writes.
    Put(Put),
    /// Deletes.
    Delete(Delete),
    /// A transaction within; its conditions are evaluated before any operation runs.
    Txn(Txn),
}

/// The answer to one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpResult {
    /// To a read.
    Range(RangeResult),
    /// To a write.
    Put(PutResult),
    /// To a deletion.
    Delete(DeleteResult),
    /// To a transaction within.
    Txn(TxnResult),
}

/// The outcome of a transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TxnResult {
    /// The revision after the transaction, the present one if it changed nothing; 0 in a transaction within.
    pub revision: Revision,
    /// Whether all conditions held.
    pub succeeded: bool,
    /// One answer per operation of the list that ran.
    pub results: Vec<OpResult>,
}

impl Target {
    pub(super) fn content_size(&self) -> usize {
        match self {
            Self::Value(value) => value.len(),
            Self::Version(_) | Self::CreateRevision(_) | Self::ModRevision(_) | Self::Lease(_) => 0,
        }
    }
}

impl Txn {
    fn chosen(&self, succeeded: bool) -> &[Op] {
        if succeeded {
            &self.success
        } else {
            &self.failure
        }
    }
}

/// Which lists run: of a transaction, and of each transaction within its chosen list.
pub(super) struct Path {
    succeeded: bool,
    within: Vec<Path>,
}

/// Evaluates the conditions of the transaction and of those within the chosen lists.
pub(super) fn choose(history: &History, txn: &Txn) -> Path {
    let succeeded = txn.compare.iter().all(|compare| holds(history, compare));
    let within = nested(txn.chosen(succeeded))
        .map(|txn| choose(history, txn))
        .collect();
    Path { succeeded, within }
}

/// Refuses what could fail on the way, so that nothing is done by halves. Writes are checked first, as in etcd.
pub(super) fn check_path(
    history: &History,
    leases: &Leases,
    txn: &Txn,
    path: &Path,
) -> Result<(), StoreError> {
    let mut ops = Vec::new();
    collect_chosen(&mut ops, txn, path);
    for op in &ops {
        if let Op::Put(put) = op {
            write::check_kept(history, put)?;
            write::check_lease(leases, put)?;
        }
    }
    ops.iter().try_for_each(|op| match op {
        Op::Range(range) => range::check_revision(history, range.revision),
        Op::Put(_) | Op::Delete(_) | Op::Txn(_) => Ok(()),
    })
}

/// By how many bytes the chosen operations make the keys bigger and by how many smaller, estimated. What they delete does
/// not count.
pub(super) fn growth(history: &History, txn: &Txn, path: &Path) -> (usize, usize) {
    let mut ops = Vec::new();
    collect_chosen(&mut ops, txn, path);
    let puts = ops.iter().filter_map(|op| match op {
        Op::Put(put) => Some(write::growth(history, put)),
        Op::Range(_) | Op::Delete(_) | Op::Txn(_) => None,
    });
    puts.fold((0, 0), |(bigger, smaller), (more, less)| {
        (bigger + more, smaller + less)
    })
}

/// What is left of `bytes` after all readings and conditions, those within included; `None` if they touch more.
pub(super) fn reads_within(history: &History, txn: &Txn, bytes: usize) -> Option<usize> {
    let mut conditions = txn.compare.iter();
    let left = conditions.try_fold(bytes, |left, compare| {
        history.scan_within(&compare.keys, Revision::MAX, left)
    });
    let mut ops = txn.success.iter().chain(&txn.failure);
    ops.try_fold(left?, |left, op| match op {
        Op::Range(range) => range::reads_within(history, range, left),
        Op::Txn(within) => reads_within(history, within, left),
        Op::Put(_) | Op::Delete(_) => Some(left),
    })
}

fn collect_chosen<'a>(ops: &mut Vec<&'a Op>, txn: &'a Txn, path: &Path) {
    let mut within = path.within.iter();
    for op in txn.chosen(path.succeeded) {
        ops.push(op);
        if let Op::Txn(txn) = op
            && let Some(path) = within.next()
        {
            collect_chosen(ops, txn, path);
        }
    }
}

/// Runs the chosen operations in order.
pub(super) fn apply(writer: &mut Writer<'_>, txn: &Txn, path: &Path) -> TxnResult {
    let mut within = path.within.iter();
    let mut run = |op: &Op| match op {
        Op::Range(range) => {
            let revision = writer.revision();
            Some(OpResult::Range(range::read(
                writer.history(),
                range,
                revision,
            )))
        }
        Op::Put(put) => Some(OpResult::Put(writer.put(put))),
        Op::Delete(delete) => Some(OpResult::Delete(writer.delete(delete))),
        Op::Txn(txn) => within
            .next()
            .map(|path| OpResult::Txn(apply(writer, txn, path))),
    };
    let results = txn
        .chosen(path.succeeded)
        .iter()
        .filter_map(&mut run)
        .collect();
    TxnResult {
        revision: 0,
        succeeded: path.succeeded,
        results,
    }
}

fn nested(ops: &[Op]) -> impl Iterator<Item = &Txn> {
    ops.iter().filter_map(|op| match op {
        Op::Txn(txn) => Some(txn),
        Op::Range(_) | Op::Put(_) | Op::Delete(_) => None,
    })
}

fn holds(history: &History, compare: &Compare) -> bool {
    let mut found = history.scan(&compare.keys, Revision::MAX).peekable();
    if found.peek().is_none() {
        return !matches!(compare.target, Target::Value(_))
            && holds_for(compare, &KeyValue::default());
    }
    found.all(|record| holds_for(compare, &record.kv))
}

fn holds_for(compare: &Compare, kv: &KeyValue) -> bool {
    let stored = match &compare.target {
        Target::Version(given) => kv.version.cmp(given),
        Target::CreateRevision(given) => kv.create_revision.cmp(given),
        Target::ModRevision(given) => kv.mod_revision.cmp(given),
        Target::Value(given) => kv.value.cmp(given),
        Target::Lease(given) => kv.lease.cmp(given),
    };
    match compare.relation {
        Relation::Equal => stored == Ordering::Equal,
        Relation::NotEqual => stored != Ordering::Equal,
        Relation::Greater => stored == Ordering::Greater,
        Relation::Less => stored == Ordering::Less,
    }
}
