//! `xs:dateTime` (XML Schema 1.1, part 2, section 3.3.7) as an instant, cut to microseconds.

use chrono::{DateTime, Datelike, Days, FixedOffset, NaiveDate, NaiveTime, Utc};

/// What a date must be, for messages.
pub(crate) const RULE: &str = "a date and time such as 2011-10-18T09:06:01.468+02:00, in the years 0001 to 9999 (without zone it is UTC)";

/// The instant written, or `None` if it is no `xs:dateTime` of the years 1 to 9999.
pub(crate) fn parse(text: &str) -> Option<DateTime<Utc>> {
    let (date, rest) = text.trim().split_once('T')?;
    let (clock, offset) = zone(rest)?;

    let mut parts = date.split('-');
    let year = i32::try_from(digits(parts.next()?, 4)?).ok()?;
    let day = NaiveDate::from_ymd_opt(year, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?)?;
    if parts.next().is_some() {
        return None;
    }

    let (clock, fraction) = clock.split_once('.').map_or((clock, None), |(clock, f)| (clock, Some(f)));
    let micros = fraction.map_or(Some(0), micros)?;
    let mut parts = clock.split(':');
    let (h, m, s) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    if parts.next().is_some() {
        return None;
    }
    let local = if (h, m, s, micros) == (24, 0, 0, 0) {
        day.checked_add_days(Days::new(1))?.and_time(NaiveTime::MIN)
    } else {
        day.and_time(NaiveTime::from_hms_micro_opt(h, m, s, micros)?)
    };
    let instant = local.and_local_timezone(offset).single()?.with_timezone(&Utc);
    (1..=9999).contains(&instant.year()).then_some(instant)
}

/// The clock time and the offset behind it. No zone is legal and read as UTC.
fn zone(text: &str) -> Option<(&str, FixedOffset)> {
    if let Some(clock) = text.strip_suffix('Z') {
        return Some((clock, FixedOffset::east_opt(0)?));
    }
    let Some(sign) = text.find(['+', '-']) else {
        return Some((text, FixedOffset::east_opt(0)?));
    };
    let (clock, offset) = text.split_at(sign);
    let (h, m) = offset.get(1..)?.split_once(':')?;
    let minutes = i32::try_from(digits(h, 2)? * 60 + digits(m, 2).filter(|m| *m < 60)?).ok()?;
    if minutes > 14 * 60 {
        return None;
    }
    let seconds = if offset.starts_with('-') { -minutes * 60 } else { minutes * 60 };
    Some((clock, FixedOffset::east_opt(seconds)?))
}

fn digits(text: &str, count: usize) -> Option<u32> {
    (text.len() == count && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

fn micros(fraction: &str) -> Option<u32> {
    if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let value = fraction.bytes().chain(std::iter::repeat(b'0')).take(6);
    Some(value.fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::parse;

    fn utc(text: &str) -> Option<String> {
        parse(text).map(|t| t.to_rfc3339_opts(chrono::SecondsFormat::Micros, true))
    }

    #[test]
    fn a_date_is_brought_to_utc_and_cut_to_microseconds() {
        for (written, read) in [
            ("2011-10-18T09:06:01.468+02:00", "2011-10-18T07:06:01.468000Z"),
            ("2011-10-18T09:06:01Z", "2011-10-18T09:06:01.000000Z"),
            ("2011-10-18T09:06:01", "2011-10-18T09:06:01.000000Z"),
            ("2011-10-18T09:06:01-03:30", "2011-10-18T12:36:01.000000Z"),
            ("2011-10-18T09:06:01.1234567891234Z", "2011-10-18T09:06:01.123456Z"),
            ("2011-12-31T24:00:00Z", "2012-01-01T00:00:00.000000Z"),
            ("2012-02-29T00:00:00+14:00", "2012-02-28T10:00:00.000000Z"),
            (" 2012-02-29T00:00:00Z\n", "2012-02-29T00:00:00.000000Z"),
        ] {
            assert_eq!(utc(written).as_deref(), Some(read), "{written}");
        }
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for written in [
            "",
            "T",
            "2011-10-18",
            "2011-10-18 09:06:01Z",
            "2011-13-18T09:06:01Z",
            "2011-02-29T09:06:01Z",
            "2011-10-18T09:06Z",
            "2011-10-18T25:06:01Z",
            "2011-10-18T24:00:00.1Z",
            "2011-10-18T09:06:60Z",
            "2011-10-18T09:06:01.Z",
            "2011-10-18T09:06:01.5xZ",
            "2011-10-18T09:06:01+0200",
            "2011-10-18T09:06:01+14:01",
            "2011-10-18T09:06:01+02:60",
            "2011-10-18T09:06:01+é:é",
            "20é-10-18T09:06:01Z",
            "+011-10-18T09:06:01Z",
            "0000-10-18T09:06:01Z",
            "-0044-03-15T09:06:01Z",
            "9999-12-31T23:59:59-01:00",
            "2011-10-18T09:06:01Z+02:00",
        ] {
            assert_eq!(utc(written), None, "{written}");
        }
    }
}
