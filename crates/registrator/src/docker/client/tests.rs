//! Mutated answers to all calls.

use super::*;
use ::fuzz::Target;

/// An input has the status and the version of the API in its first line, and then the body.
#[test]
fn fuzz_answers() {
    let target = Target {
        corpus: "corpus/answers",
        words: &[
            b"200 ",
            b"404 ",
            b"500 ",
            b"\"Id\":",
            b"\"ID\":",
            b"\"message\":",
            b"0123456789ab",
            b"../../info",
            b"page not found",
            b"[]",
            b"{}",
            b"null",
            b"\"",
            b"1.41",
            b"65536.0",
            b".",
        ],
        inputs: 8_000,
    };
    let id = parse_id("0123456789ab").unwrap();
    let call = Call {
        name: "call",
        limit: SMALL_BODY,
        timeout: Duration::ZERO,
    };
    target.run(|input| {
        let answer = answer(input);
        let version = newest_version(&answer);
        let listed = listed(&answer, call);
        let sound = |id: &ContainerId| parse_id(id.as_str()).as_ref() == Some(id);
        let ids = listed.as_deref().unwrap_or_default();
        assert!(ids.iter().all(sound) && ids.is_sorted(), "{ids:?}");
        let info = answer
            .json::<EngineInfo>(call)
            .map(|info| info.id.is_empty());
        let inspected = inspected(&answer, call, &id);
        if let Ok(Some(container)) = &inspected {
            assert_eq!(container.id(), &id);
        }
        let told = inspected.map(|found| found.is_some());
        let told =
            told.map_err(|error| causes(&error).map(ToString::to_string).collect::<String>());
        let listed = listed
            .map(|ids| ids.len().min(9))
            .map_err(|error| error.to_string());
        format!("{} {listed:?} {} {told:?}", version.is_some(), info.is_ok())
    });
}

fn answer(input: &[u8]) -> Answer {
    let at = input.iter().position(|byte| *byte == b'\n');
    let (head, body) = input.split_at(at.unwrap_or_default());
    let space = head
        .iter()
        .position(|byte| *byte == b' ')
        .unwrap_or_default();
    let (status, version) = head.split_at(space);
    let mut headers = hyper::HeaderMap::new();
    if let Ok(version) = version.trim_ascii().try_into() {
        headers.insert("api-version", version);
    }
    Answer {
        status: StatusCode::from_bytes(status).unwrap_or(StatusCode::OK),
        headers,
        body: body.to_vec().into(),
    }
}
