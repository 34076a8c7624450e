//! Conditions of transactions: every target, every relation, single keys and ranges.

use etcd_api::compare::{CompareResult, CompareTarget, TargetUnion};
use etcd_api::{Compare, PutRequest, TxnRequest};
use expect_test::expect;

use crate::session::Session;
use crate::target::Target;

pub async fn run(target: &Target) {
    single(Session::new(target, "compares-single").await).await;
    ranges(Session::new(target, "compares-ranges").await).await;
}

/// A condition on what `given` belongs to.
pub fn compare(key: Vec<u8>, result: CompareResult, given: TargetUnion) -> Compare {
    let target = match given {
        TargetUnion::Version(_) => CompareTarget::Version,
        TargetUnion::CreateRevision(_) => CompareTarget::Create,
        TargetUnion::ModRevision(_) => CompareTarget::Mod,
        TargetUnion::Value(_) => CompareTarget::Value,
        TargetUnion::Lease(_) => CompareTarget::Lease,
    };
    Compare {
        key,
        target: target.into(),
        result: result.into(),
        target_union: Some(given),
        range_end: Vec::new(),
    }
}

/// The condition that a key is not there.
pub fn missing(s: &Session, key: &str) -> Compare {
    compare(
        s.key(key),
        CompareResult::Equal,
        TargetUnion::CreateRevision(0),
    )
}

/// Writes down whether a condition holds with =, !=, > and <.
async fn row(s: &mut Session, label: &str, key: Vec<u8>, range_end: Vec<u8>, given: &TargetUnion) {
    let mut line = format!("{label}:");
    for result in [
        CompareResult::Equal,
        CompareResult::NotEqual,
        CompareResult::Greater,
        CompareResult::Less,
    ] {
        let mut condition = compare(key.clone(), result, given.clone());
        condition.range_end.clone_from(&range_end);
        let request = TxnRequest {
            compare: vec![condition],
            ..TxnRequest::default()
        };
        let answer = s.kv().txn(request).await.expect("an answer").into_inner();
        line.push_str(if answer.succeeded { " yes" } else { " no" });
    }
    s.note(&line);
}

async fn single(mut s: Session) {
    let lease = s.grant("grant", 60, 1000).await.unwrap_or_default();
    let put = PutRequest {
        lease,
        ..s.set("a", "m")
    };
    s.put("a", put.clone()).await;
    s.put("a again", put).await;
    let first = s.revision + 1;
    let given = [
        [0, 2, 3].map(TargetUnion::Version),
        [0, first, first + 1].map(TargetUnion::CreateRevision),
        [0, first + 1, first + 2].map(TargetUnion::ModRevision),
        ["", "m", "n"].map(|value| TargetUnion::Value(value.into())),
        [0, 1000, 1001].map(TargetUnion::Lease),
    ];
    let names = ["version", "create", "mod", "value", "lease"];
    for key in ["a", "missing"] {
        for (name, sides) in names.iter().zip(&given) {
            for (place, side) in ["zero", "same", "more"].iter().zip(sides) {
                let wanted = s.key(key);
                row(
                    &mut s,
                    &format!("{key} {name} {place}"),
                    wanted,
                    Vec::new(),
                    side,
                )
                .await;
            }
        }
    }
    s.expect(expect![[r#"
        r0
        grant: L1 ttl=60 r0
        a: r1
        a again: r2
        a version zero: no yes yes no
        a version same: yes no no no
        a version more: no yes no yes
        a create zero: no yes yes no
        a create same: yes no no no
        a create more: no yes no yes
        a mod zero: no yes yes no
        a mod same: yes no no no
        a mod more: no yes no yes
        a value zero: no yes yes no
        a value same: yes no no no
        a value more: no yes no yes
        a lease zero: no yes yes no
        a lease same: yes no no no
        a lease more: no yes no yes
        missing version zero: yes no no no
        missing version same: no yes no yes
        missing version more: no yes no yes
        missing create zero: yes no no no
        missing create same: no yes no yes
        missing create more: no yes no yes
        missing mod zero: yes no no no
        missing mod same: no yes no yes
        missing mod more: no yes no yes
        missing value zero: no no no no
        missing value same: no no no no
        missing value more: no no no no
        missing lease zero: yes no no no
        missing lease same: no yes no yes
        missing lease more: no yes no yes
    "#]])
        .await;
}

/// All keys must fulfil the condition. A range without keys counts as one key of zeros, without a value.
async fn ranges(mut s: Session) {
    s.put("a", s.set("a", "1")).await;
    s.put("b", s.set("b", "2")).await;
    let ranges = [
        ("empty", "x", "z"),
        ("inverse", "b", "a"),
        ("full", "a", "c"),
    ];
    for (name, from, to) in ranges {
        let sides = [
            TargetUnion::Version(0),
            TargetUnion::Version(1),
            TargetUnion::CreateRevision(0),
            TargetUnion::ModRevision(0),
            TargetUnion::Lease(0),
            TargetUnion::Value("1".into()),
            TargetUnion::Value("0".into()),
        ];
        for side in sides {
            let (key, range_end) = (s.key(from), s.key(to));
            row(&mut s, &format!("{name} {side:?}"), key, range_end, &side).await;
        }
    }
    s.expect(expect![[r#"
        r0
        a: r1
        b: r2
        empty Version(0): yes no no no
        empty Version(1): no yes no yes
        empty CreateRevision(0): yes no no no
        empty ModRevision(0): yes no no no
        empty Lease(0): yes no no no
        empty Value([49]): no no no no
        empty Value([48]): no no no no
        inverse Version(0): yes no no no
        inverse Version(1): no yes no yes
        inverse CreateRevision(0): yes no no no
        inverse ModRevision(0): yes no no no
        inverse Lease(0): yes no no no
        inverse Value([49]): no no no no
        inverse Value([48]): no no no no
        full Version(0): no yes yes no
        full Version(1): yes no no no
        full CreateRevision(0): no yes yes no
        full ModRevision(0): no yes yes no
        full Lease(0): yes no no no
        full Value([49]): no no no no
        full Value([48]): no yes yes no
    "#]])
        .await;
}
