//! When a provider wants to be asked again: the forms in which it says so.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use keyherald_core::Micros;

/// Longest time that we believe.
const WAIT_MAX: i64 = Micros::DAY;

/// How a hint is written.
pub use crate::recipe::op::WaitForm as Form;

/// The time that a hint names: never before `now`, at most a day after it. `None`: it does not read.
pub(super) fn read(text: &str, form: Form, now: Micros) -> Option<Micros> {
    let text = text.trim();
    let at = match form {
        Form::SecondsOrDate => match micros(text, Micros::SECOND) {
            Some(wait) => now.plus(wait),
            None => date(text)?,
        },
        Form::Seconds => now.plus(micros(text, Micros::SECOND)?),
        Form::Millis => now.plus(micros(text, 1000)?),
        Form::EpochS => Micros(micros(text, Micros::SECOND)?),
        Form::EpochMs => Micros(micros(text, 1000)?),
        Form::Iso => Micros::parse_iso(text)?,
    };
    Some(at.clamp(now, now.plus(WAIT_MAX)))
}

/// A number without sign, in units of so many microseconds; decimals are cut to three and the rest is rounded up.
fn micros(text: &str, unit: i64) -> Option<i64> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(decimals) {
        return None;
    }
    let whole = whole.parse::<i64>().unwrap_or(i64::MAX).saturating_mul(unit);
    let thousandths = decimals.chars().chain("000".chars()).take(3).collect::<String>().parse::<i64>().ok()?;
    Some(whole.saturating_add(thousandths.saturating_mul(unit) / 1000))
}

/// An HTTP date.
pub(super) fn date(text: &str) -> Option<Micros> {
    let since = SystemTime::duration_since(&httpdate::parse_http_date(text).ok()?, UNIX_EPOCH).ok()?;
    Some(Micros(i64::try_from(Duration::as_micros(&since)).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        let now = Micros::parse_iso("2026-11-22T10:00:00Z").unwrap();
        for (text, form, seconds) in [
            ("30", Form::SecondsOrDate, Some(30)),
            ("Sun, 22 Nov 2026 10:01:00 GMT", Form::SecondsOrDate, Some(60)),
            ("Sun, 22 Nov 2026 09:00:00 GMT", Form::SecondsOrDate, Some(0)),
            ("soon", Form::SecondsOrDate, None),
            ("-5", Form::Seconds, None),
            (" 1.000 ", Form::Seconds, Some(1)),
            ("2000", Form::Millis, Some(2)),
            ("1795341610", Form::EpochS, Some(10)),
            ("1795341610000", Form::EpochMs, Some(10)),
            ("2026-11-22T10:00:10.000000Z", Form::Iso, Some(10)),
            ("99999999999999999999", Form::Seconds, Some(86_400)),
            ("", Form::Seconds, None),
        ] {
            let expected = seconds.map(|seconds: i64| now.plus(seconds * Micros::SECOND));
            assert_eq!(read(text, form, now), expected, "{text:?} {form:?}");
        }
        assert_eq!(read("1.5", Form::Seconds, now), Some(now.plus(1_500_000)));
    }
}
