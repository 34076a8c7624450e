//! The limit, and what the brake remembers.

use super::*;

const HALF: MaxDelete = MaxDelete::Percent(50);

#[test]
fn limits_are_read_and_written() {
    for text in ["50%", "0%", "100%", "20", "0", "off"] {
        assert_eq!(text.parse::<MaxDelete>().unwrap().to_string(), text);
    }
    for text in [
        "", "%", "101%", "-1", "+1", "5.5", "50 %", "of", "off%", "1e3",
    ] {
        assert!(text.parse::<MaxDelete>().is_err(), "{text}");
    }
}

#[test]
fn few_deletions_never_engage_it() {
    let cases = [
        (HALF, 9, 10, false),
        (HALF, 10, 20, false),
        (HALF, 11, 20, true),
        (HALF, 10, 19, true),
        (MaxDelete::Percent(0), 10, 1_000, true),
        (MaxDelete::Percent(100), 1_000, 1_000, false),
        (MaxDelete::Number(0), 9, 9, false),
        (MaxDelete::Number(20), 20, 20, false),
        (MaxDelete::Number(20), 21, 1_000, true),
        (MaxDelete::Off, 1_000, 1_000, false),
    ];
    for (max, deletions, held, expected) in cases {
        assert_eq!(
            max.forbids(deletions, held),
            expected,
            "{max} {deletions} {held}"
        );
    }
}

#[test]
fn deletions_of_one_minute_count_together() {
    let (mut brake, now) = (Brake::default(), Instant::now());
    assert!(!brake.let_go(40, now));
    assert!(!brake.let_go(3, now + 30 * SECOND));
    assert_eq!(brake.gone_lately(now + 59 * SECOND), 43);
    assert_eq!(brake.gone_lately(now + 60 * SECOND), 3);
    assert_eq!(brake.gone_lately(now + 90 * SECOND), 0);
}

#[test]
fn the_most_of_the_last_minute_is_what_was_held() {
    let (mut brake, now) = (Brake::default(), Instant::now());
    assert_eq!(brake.held_before(7), 7);
    brake.settled(0, now);
    brake.settled(20, now);
    brake.settled(10, now + SECOND / 2);
    assert_eq!(brake.held_before(40), 20);
    brake.settled(15, now + 2 * SECOND);
    brake.settled(10, now + 61 * SECOND);
    assert_eq!(brake.held_before(40), 20, "a minute ago there were 20");
    brake.settled(10, now + 62 * SECOND);
    assert_eq!(brake.held_before(40), 15);
}

#[test]
fn it_remembers_since_when_it_is_engaged() {
    let (mut brake, now) = (Brake::default(), Instant::now());
    assert_eq!(brake.engage(now), now);
    assert_eq!(brake.engage(now + SECOND), now);
    assert!(brake.let_go(3, now));
    assert_eq!(brake.engaged(), None);
    brake.engage(now);
    brake.release();
    let counts = (brake.engaged(), brake.gone_lately(now));
    assert_eq!(counts, (None, 0), "what comes later counts anew");
}
