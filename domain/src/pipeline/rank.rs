//! Order keys of items: text whose order in the `C` collation is the order on the board. A key is eleven
//! base-62 digits, which hold a time in microseconds, and a fraction that no zero ends.
//!
//! An item that nobody placed gets the key of its time, so that later ones come after earlier ones; one that
//! somebody placed gets a key between its neighbours. Above and below all others a key moves by one
//! microsecond, so that it neither grows nor overtakes items yet to come. The crate `fractional_index` (2.0)
//! has no such anchor: its key after a time is after all times, and its `new_between` overflows on zero bytes.

use crate::Moment;

/// In ASCII order, which is that of the `C` collation.
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Digits before the fraction: 62^11 is more than the 2^64 microseconds that an `i64` can count.
const WHOLE: usize = 11;
/// One more than the greatest whole part.
const END: u128 = 62_u128.pow(11);
/// The length of the longest [`crate::Rank`]: room for nine hundred insertions into one same gap.
const LONGEST: usize = 200;

/// The key of an item that nobody placed: its time.
#[must_use]
pub fn at(time: Moment) -> String {
    whole(u128::from(time.timestamp_micros().abs_diff(i64::MIN)))
}

/// A key above `lower` and below `upper`; without `lower` it is above none, without `upper` below none. The
/// key of an empty board is that of the year 1970, below that of every item to come. `None` if the two are not
/// in order, one of them is no key, or no room is left between them.
#[must_use]
pub fn between(lower: Option<&str>, upper: Option<&str>) -> Option<String> {
    let key = match (lower, upper) {
        (None, None) => at(Moment::UNIX_EPOCH),
        (Some(lower), None) => match parse(lower)? {
            (n, part) if n + 1 == END => whole(n) + &fraction(part, None),
            (n, _) => whole(n + 1),
        },
        (None, Some(upper)) => match parse(upper)? {
            (0, "") => return None,
            (n, "") => whole(n - 1),
            (n, _) => whole(n),
        },
        (Some(lower), Some(upper)) if lower < upper => {
            let ((n, part), (m, bound)) = (parse(lower)?, parse(upper)?);
            match m - n {
                0 => whole(n) + &fraction(part, Some(bound)),
                1 if bound.is_empty() => whole(n) + &fraction(part, None),
                1 => whole(m),
                gap => whole(n + gap / 2),
            }
        }
        (Some(_), Some(_)) => return None,
    };
    (key.len() <= LONGEST).then_some(key)
}

/// Whether a text is a key that others can be placed beside.
#[must_use]
pub fn is_rank(text: &str) -> bool {
    text.len() <= LONGEST && parse(text).is_some()
}

fn parse(key: &str) -> Option<(u128, &str)> {
    let (whole, fraction) = key.split_at_checked(WHOLE)?;
    let mut n = 0;
    for digit in whole.bytes() {
        n = n * 62 + u128::from(value(digit)?);
    }
    (fraction.bytes().all(|digit| value(digit).is_some()) && !fraction.ends_with('0')).then_some((n, fraction))
}

fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'Z' => Some(digit - b'A' + 10),
        b'a'..=b'z' => Some(digit - b'a' + 36),
        _ => None,
    }
}

fn digit(value: usize) -> char {
    char::from(DIGITS[value % 62])
}

fn whole(mut n: u128) -> String {
    let mut digits = ['0'; WHOLE];
    for place in digits.iter_mut().rev() {
        *place = digit((n % 62) as usize);
        n /= 62;
    }
    digits.iter().collect()
}

/// Digits strictly between two fractions, of which `upper` is the greater, or none for 1.
fn fraction(lower: &str, mut upper: Option<&str>) -> String {
    let at = |text: &str, place: usize| text.as_bytes().get(place).and_then(|&digit| value(digit)).map_or(0, usize::from);
    let mut digits = String::new();
    for place in 0.. {
        let low = at(lower, place);
        let high = upper.map_or(62, |upper| at(upper, place));
        if high > low + 1 {
            digits.push(digit((low + high) / 2));
            break;
        }
        digits.push(digit(low));
        if high > low {
            // Smaller at this place, whatever follows.
            upper = None;
        }
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rank;
    use crate::testing::noon;
    use chrono::{DateTime, TimeDelta};
    use proptest::prelude::*;

    #[test]
    fn later_times_have_greater_keys_from_the_first_microsecond_to_the_last() {
        let times = [i64::MIN, -1, 0, 1, 61, 62, noon().timestamp_micros(), 8_000_000_000_000_000];
        let keys: Vec<String> = times.iter().filter_map(|&micros| DateTime::from_timestamp_micros(micros)).map(at).collect();
        assert!(keys.len() >= 7 && keys.is_sorted_by(|a, b| a < b), "{keys:?}");
        assert!(keys.iter().all(|key| key.len() == WHOLE && is_rank(key)));
    }

    #[test]
    fn ten_thousand_items_moved_to_the_top_or_the_end_do_not_lengthen_the_keys() {
        let (mut top, mut end) = (at(noon()), at(noon()));
        for _ in 0..10_000 {
            let (above, below) = (between(None, Some(&top)).unwrap(), between(Some(&end), None).unwrap());
            assert!(above < top && below > end);
            (top, end) = (above, below);
        }
        assert_eq!((top.len(), end.len()), (WHOLE, WHOLE));
    }

    #[test]
    fn an_item_moved_to_the_end_stays_before_those_that_come_later() {
        let end = between(Some(&at(noon())), None).unwrap();
        assert!(end < at(noon() + TimeDelta::milliseconds(1)));
        assert!(between(None, None).unwrap() < at(noon()));
    }

    #[test]
    fn one_same_gap_takes_nine_hundred_items_and_then_says_that_it_is_full() {
        for below in [true, false] {
            let (mut lower, mut upper) = (at(noon()), at(noon() + TimeDelta::milliseconds(1)));
            let mut taken = 0;
            while let Some(key) = between(Some(&lower), Some(&upper)) {
                assert!(lower < key && key < upper && Rank::try_from(key.clone()).is_ok());
                *(if below { &mut upper } else { &mut lower }) = key;
                taken += 1;
            }
            assert!((900..2_000).contains(&taken), "{taken}");
        }
    }

    #[test]
    fn neighbours_out_of_order_and_texts_that_are_no_keys_have_nothing_between() {
        let (a, b) = (at(noon()), at(noon() + TimeDelta::seconds(1)));
        assert_eq!(between(Some(&b), Some(&a)), None);
        assert_eq!(between(Some(&a), Some(&a)), None);
        for bad in ["", "m", "0000000000", "0000000000-", "00000000000a0", "ääääääää", "0000000000ä"] {
            assert!(!is_rank(bad), "{bad}");
            assert_eq!(between(Some(bad), None), None, "{bad}");
            assert_eq!(between(None, Some(bad)), None, "{bad}");
        }
        assert!(!is_rank(&"1".repeat(201)));
    }

    #[test]
    fn the_ends_of_the_scale_still_have_room_after_and_none_before() {
        let last = whole(END - 1);
        let after = between(Some(&last), None).unwrap();
        assert!(after > last && is_rank(&after));
        assert_eq!(between(None, Some(&whole(0))), None);
        assert_eq!(between(None, Some("00000000000a")), Some(whole(0)));
    }

    proptest! {
        #[test]
        fn what_is_inserted_anywhere_stands_strictly_there_and_keys_stay_short(places in prop::collection::vec(any::<prop::sample::Index>(), 1..400)) {
            let mut board: Vec<String> = Vec::new();
            for place in places {
                let place = place.index(board.len() + 1);
                let key = between(place.checked_sub(1).map(|i| board[i].as_str()), board.get(place).map(String::as_str)).unwrap();
                prop_assert!(is_rank(&key) && Rank::try_from(key.clone()).is_ok());
                board.insert(place, key);
                prop_assert!(board.is_sorted_by(|a, b| a < b), "{board:?}");
            }
            prop_assert!(board.iter().all(|key| key.len() <= 30), "{board:?}");
        }
    }
}
