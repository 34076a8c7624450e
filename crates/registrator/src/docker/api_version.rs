//! Versions of Docker's API, and which of them this program speaks.

use std::fmt;
use std::str::FromStr;

/// The oldest API spoken: Docker 20.10, and podman 4.
pub const MIN_API: ApiVersion = ApiVersion {
    major: 1,
    minor: 41,
};
/// The newest API that this program knows; newer daemons are asked for this one.
pub const MAX_API: ApiVersion = ApiVersion {
    major: 1,
    minor: 52,
};

/// A version of Docker's API, as in `1.41`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiVersion {
    /// Before the point.
    pub major: u16,
    /// After the point.
    pub minor: u16,
}

/// The text is not two numbers with a point between them.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a version of Docker's API")]
pub struct ApiVersionError;

impl FromStr for ApiVersion {
    type Err = ApiVersionError;

    fn from_str(text: &str) -> Result<Self, ApiVersionError> {
        let (major, minor) = text.trim().split_once('.').ok_or(ApiVersionError)?;
        let number = |digits: &str| digits.parse().map_err(|_| ApiVersionError);
        Ok(Self {
            major: number(major)?,
            minor: number(minor)?,
        })
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_versions_compare_as_numbers() {
        let parse = |text: &str| text.parse::<ApiVersion>();
        assert!(parse("1.9").unwrap() < parse("1.41").unwrap());
        assert!(parse("2.0").unwrap() > MAX_API);
        assert_eq!(parse("1.41").unwrap().to_string(), "1.41");
        for junk in ["", "1", "1.", ".1", "1.41.0", "v1.41", "1.99999"] {
            assert_eq!(parse(junk), Err(ApiVersionError), "{junk}");
        }
    }
}
