//! When something happened, as engines write it.

/// A moment, to the nanosecond. The later one is the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment {
    /// Since the year 0, in UTC.
    seconds: i64,
    nanoseconds: u32,
}

impl Moment {
    /// Reads a time as in RFC 3339, with `Z` or the distance from UTC. `None` if it is something else, or the year 1, which is how
    /// engines write that it never happened.
    pub(super) fn parse(text: &str) -> Option<Moment> {
        let (date, rest) = text.split_once(['T', 't', ' '])?;
        let (time, offset) = rest.split_at(rest.find(['Z', 'z', '+', '-'])?);
        let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
        let [year, month, day] = numbers(date, '-')?;
        let [hour, minute, second] = numbers(time, ':')?;
        let seconds = (days(year, month, day)? * 24 + hour) * 3600 + minute * 60 + second;
        Some(Moment {
            seconds: seconds - distance(offset)?,
            nanoseconds: nanoseconds(fraction)?,
        })
    }
}

impl Moment {
    /// The moment so many nanoseconds after the beginning of 1970.
    pub(super) fn of_unix_nanoseconds(nanoseconds: u64) -> Option<Moment> {
        let second = 1_000_000_000;
        let since_1970 = i64::try_from(nanoseconds / second).ok()?;
        Some(Moment {
            seconds: days(1970, 1, 1)? * 24 * 3600 + since_1970,
            nanoseconds: u32::try_from(nanoseconds % second).ok()?,
        })
    }
}

/// The seconds since the year 1970 of a time as in RFC 3339.
pub(crate) fn unix_seconds(text: &str) -> Option<i64> {
    Some(Moment::parse(text)?.seconds - days(1970, 1, 1)? * 24 * 3600)
}

fn numbers(text: &str, between: char) -> Option<[i64; 3]> {
    let numbers = text.split(between).map(number);
    numbers.collect::<Option<Vec<_>>>()?.try_into().ok()
}

/// Of digits alone, and no more of them than nanoseconds have: sums of such never overflow.
fn number(text: &str) -> Option<i64> {
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_digits && text.len() <= 9)
}

/// From the beginning of the year 0 on; months count from March on, so that a leap day is the last of its year.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(2..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = if month < 3 { year - 1 } else { year };
    let month = (month + 9) % 12;
    Some(year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day)
}

/// East of UTC, in seconds.
fn distance(text: &str) -> Option<i64> {
    let sign = match text.chars().next()? {
        'Z' | 'z' => return (text.len() == 1).then_some(0),
        '+' => 1,
        _ => -1,
    };
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    Some(sign * (number(hours)? * 3600 + number(minutes)? * 60))
}

fn nanoseconds(fraction: &str) -> Option<u32> {
    let nine: String = fraction
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    u32::try_from(number(&nine)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(earlier: &str, later: &str) {
        let [earlier, later] = [earlier, later].map(|text| Moment::parse(text).unwrap());
        assert!(earlier < later, "{earlier:?} {later:?}");
    }

    #[test]
    fn the_later_is_greater() {
        check(
            "2026-11-27T03:23:49.223569614Z",
            "2026-11-27T03:23:51.119908577Z",
        );
        check("2026-11-27T03:23:49.9Z", "2026-11-27T03:23:50Z");
        check("2026-11-27T03:23:49.02Z", "2026-11-27T03:23:49.1Z");
        check("2026-11-27T23:59:59Z", "2026-11-28T00:00:00Z");
        check("2026-12-31T23:59:59Z", "2027-01-01T00:00:00Z");
        check("2028-02-28T23:59:59Z", "2028-02-29T00:00:00Z");
        check("2028-02-29T23:59:59Z", "2028-03-01T00:00:00Z");
        check("2026-11-27T04:00:00+01:00", "2026-11-27T03:00:01Z");
        check("2026-11-27T03:00:00Z", "2026-11-26T22:00:01-05:00");
    }

    #[test]
    fn one_moment_has_several_texts() {
        let of = |text| Moment::parse(text).unwrap();
        let utc = of("2026-11-27T03:23:49.5Z");
        assert_eq!(of("2026-11-27T04:23:49.500000000+01:00"), utc);
        assert_eq!(of("2026-11-26T21:53:49.5-05:30"), utc);
    }

    #[test]
    fn what_never_happened_and_what_is_no_time_is_none() {
        for text in [
            "0001-01-01T00:00:00Z",
            "",
            "2026-11-27",
            "2026-11-27T03:23:49",
            "2026-13-01T00:00:00Z",
            "2026-11-27T03:23Z",
            "x-11-27T03:23:49Z",
            "2026-11-27T03:23:49.xZ",
            "2026-11-27T+3:23:49Z",
            "2026-11-27T03:23:49+0100",
            "2026-11-27T03:23:49Zulu",
            "2026-11-27T9272036854775807:1:8Z",
            "2026-11-27T03:23:49+9272036854775807:00",
        ] {
            assert_eq!(Moment::parse(text), None, "{text}");
        }
    }
}
