//! Times as people and programs read them, in UTC like the log. What time it is, the adapter says.

use std::time::Duration;

/// What time it is: milliseconds since the beginning of 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WallTime(pub u64);

const DAY: u64 = 24 * 3600;

impl WallTime {
    /// What time it was so long ago.
    pub fn before(self, age: Duration) -> WallTime {
        let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        WallTime(self.0.saturating_sub(age))
    }

    /// As in RFC 3339, to the millisecond.
    pub fn stamp(self) -> String {
        format!("{}T{}.{:03}Z", self.date(), self.clock(), self.0 % 1000)
    }

    /// Hours, minutes and seconds.
    pub fn clock(self) -> String {
        let seconds = self.0 / 1000 % DAY;
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        format!("{hours:02}:{minutes:02}:{:02}", seconds % 60)
    }

    /// Since when something is so that began so long ago, and for how long: `11:20:41 (3 min)`.
    pub fn since(self, age: Duration) -> String {
        let then = self.before(age);
        let date = if age.as_secs() < DAY {
            String::new()
        } else {
            then.date() + " "
        };
        format!("{date}{} ({})", then.clock(), span(age))
    }

    /// How long ago a moment was that is written as in RFC 3339.
    pub fn ago(self, moment: &str) -> Option<Duration> {
        let then = u64::try_from(crate::observe::moment::unix_seconds(moment)?).ok()?;
        Some(Duration::from_secs((self.0 / 1000).saturating_sub(then)))
    }

    /// Years begin in March here, so that a leap day is the last of its year.
    fn date(self) -> String {
        // From March 1st of the year 0 on.
        let days = self.0 / 1000 / DAY + 719_468;
        let (era, of_era) = (days / 146_097, days % 146_097);
        let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let (month, next) = if month < 10 {
            (month + 3, 0)
        } else {
            (month - 9, 1)
        };
        format!("{:04}-{month:02}-{day:02}", year + era * 400 + next)
    }
}

/// How long something took or lasts, as people say it.
pub fn span(time: Duration) -> String {
    let (milliseconds, seconds) = (time.as_millis(), time.as_secs());
    match seconds {
        0 => format!("{milliseconds} ms"),
        1..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / DAY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> WallTime {
        let seconds = crate::observe::moment::unix_seconds(text).unwrap();
        WallTime(u64::try_from(seconds).unwrap() * 1000)
    }

    #[test]
    fn stamps_are_read_as_they_were_written() {
        for text in [
            "1970-01-01T00:00:00Z",
            "2000-02-29T23:59:59Z",
            "2026-11-26T11:20:41Z",
            "2027-12-31T12:00:00Z",
            "2100-03-01T00:00:01Z",
        ] {
            assert_eq!(at(text).stamp(), text.replace('Z', ".000Z"));
        }
    }

    #[test]
    fn people_read_clock_and_span() {
        let now = at("2026-11-26T11:24:00Z");
        assert_eq!(now.since(Duration::from_secs(199)), "11:20:41 (3 min)");
        let days = now.since(Duration::from_secs(3 * DAY));
        assert_eq!(days, "2026-11-23 11:24:00 (3 d)");
        let ago = now.ago("2026-11-26T12:19:00.5+01:00");
        assert_eq!(ago, Some(Duration::from_secs(300)));
        assert_eq!(now.ago("0001-01-01T00:00:00Z"), None);
        assert_eq!(now.ago("2027-01-01T00:00:00Z"), Some(Duration::ZERO));
    }

    #[test]
    fn spans() {
        let check = |seconds: f64, expected: &str| {
            assert_eq!(span(Duration::from_secs_f64(seconds)), expected);
        };
        check(0.002, "2 ms");
        check(41.5, "41 s");
        check(130.0, "2 min");
        check(7200.0, "2 h");
        check(200_000.0, "2 d");
    }
}
