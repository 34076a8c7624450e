//! Counterexamples for people: one line for each step, with what etcd then holds and what is under way.

use super::state::{
    Answer, Cell, Change, Compare, LEASES, Life, Part, Process, Progress, State, Txn,
};
use super::step::Step;
use std::fmt::Write as _;

/// `step`, and what it led to.
pub fn line(step: Option<Step>, state: &State) -> String {
    let step = step.map_or_else(|| begin(state), |step| format!("{step:?}"));
    format!("  {step:<40} | {}\n", world(state))
}

fn begin(state: &State) -> String {
    let wishes = state.processes.iter().map(|process| process.wishes);
    format!("begin, wishes {:?}", wishes.collect::<Vec<_>>())
}

fn world(state: &State) -> String {
    let mut text = String::new();
    for (number, slot) in state.slots.iter().enumerate() {
        let claims = (1..=LEASES as u8).filter(|lease| slot.claim(*lease).exists());
        let claims: String = claims
            .map(|lease| format!(" L{lease}:{}", cell(slot.claim(lease))))
            .collect();
        if number == 0 || slot.node.exists() || !claims.is_empty() {
            let _ = write!(text, "k{number} {}{claims}; ", cell(slot.node));
        }
    }
    for (number, process) in state.processes.iter().enumerate() {
        text += &self::process(number, process);
    }
    text
}

fn process(number: usize, process: &Process) -> String {
    let mut text = format!("p{number}");
    match (process.life, process.session) {
        (Life::Unborn, _) | (Life::Ended, _) => text += " -",
        (_, false) => text += " no session",
        (_, true) => {
            let _ = write!(text, " L{} behind {:?}", process.lease, process.behind);
        }
    }
    for request in &process.requests {
        let progress = match &request.progress {
            Progress::Sent => "sent".into(),
            Progress::Abandoned => "abandoned".into(),
            Progress::Answered(Answer::Done(parts, _)) => {
                let applied = |part: &Part| {
                    if *part == Part::Applied {
                        "applied"
                    } else {
                        "refused"
                    }
                };
                parts.iter().map(applied).collect::<Vec<_>>().join(", ")
            }
            Progress::Answered(Answer::Over) => "fenced out".to_owned(),
        };
        let txns = request.txns.iter();
        let txns: String = txns
            .map(|(key, one)| format!("k{key} {} ", txn(one)))
            .collect();
        let _ = write!(text, " [{txns}{progress}]");
    }
    text + "; "
}

fn cell(cell: Cell) -> String {
    if cell.exists() {
        format!("{}@{}", cell.value, cell.lease)
    } else {
        "-".into()
    }
}

fn txn(txn: &Txn) -> String {
    let compares = txn.compares.iter().map(|compare| match compare {
        Compare::Absent => "absent".into(),
        Compare::HeldBy(lease) => format!("held by L{lease}"),
        Compare::Unchanged(0) => "node unchanged (it is not)".into(),
        Compare::Unchanged(_) => "node unchanged".into(),
        Compare::NoClaims => "no claims".into(),
        Compare::ClaimUnchanged(lease, 0) => format!("claim L{lease} unchanged (it is not)"),
        Compare::ClaimUnchanged(lease, _) => format!("claim L{lease} unchanged"),
        Compare::ClaimsAre(after, before, value) => {
            format!("claims between L{after} and L{before} all {value}")
        }
        Compare::FieldAbsent(key) => format!("k{key} absent"),
        Compare::FieldHeldBy(key, lease) => format!("k{key} held by L{lease}"),
        Compare::FieldUnchanged(key, 0) => format!("k{key} unchanged (it is not)"),
        Compare::FieldUnchanged(key, _) => format!("k{key} unchanged"),
        Compare::Lit(lease) => format!("L{lease} lit"),
        Compare::Out(lease) => format!("L{lease} out"),
    });
    let changes = txn.changes.iter().map(|change| match change {
        Change::Put(value, lease) => format!("put {value}@{lease}"),
        Change::Delete => "delete".into(),
        Change::PutClaim(value, lease) => format!("claim {value}@{lease}"),
        Change::DeleteClaim(lease) => format!("drop claim L{lease}"),
        Change::PutField(key, value, lease) => format!("put k{key} {value}@{lease}"),
        Change::DeleteField(key) => format!("delete k{key}"),
    });
    let list = |texts: Vec<String>| texts.join(", ");
    format!(
        "if {} then {}",
        list(compares.collect()),
        list(changes.collect())
    )
}
