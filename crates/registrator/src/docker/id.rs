//! Ids of containers in what Docker says.

use registrator_core::observe::container::ContainerId;

/// An id that can stand in the path of a request: 12 to 64 hexadecimal digits, so that no answer of a daemon can send us
/// elsewhere.
pub(super) fn parse_id(text: &str) -> Option<ContainerId> {
    let hexadecimal =
        (12..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    hexadecimal.then(|| ContainerId::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_could_lead_elsewhere_are_refused() {
        assert!(parse_id(&"0123456789abcdef".repeat(4)).is_some());
        for junk in [
            "",
            "abc",
            "../../info/0000",
            "0123456789ab?x=1",
            "ingress-sbox",
            &"a".repeat(65),
        ] {
            assert!(parse_id(junk).is_none(), "{junk}");
        }
    }
}
