//! Days, weeks and months, counted one day after the other from 1970-01-01.
//!
//! In: a time, and when days begin. Out: its day, when the next one begins, and on which day its week and month began.

use cage_engine::Timestamp;
use cage_engine::field::Period;

const SECONDS_PER_DAY: i64 = 86_400;
const NANOS_PER_SECOND: u64 = 1_000_000_000;

pub(crate) const fn seconds_of(time: Timestamp) -> i64 {
    (time.0 / NANOS_PER_SECOND) as i64
}

/// The number of the day that `time` lies in; days begin so many minutes after 00:00 UTC.
pub(crate) const fn day_of(time: Timestamp, minutes: u128) -> i64 {
    (seconds_of(time) - 60 * minutes as i64).div_euclid(SECONDS_PER_DAY)
}

/// In which second the next day begins.
pub(crate) const fn next_day_begins(time: Timestamp, minutes: u128) -> i64 {
    (day_of(time, minutes) + 1) * SECONDS_PER_DAY + 60 * minutes as i64
}

/// The number of the day on which the period that `day` lies in began.
pub(crate) fn start_of(period: Period, day: i64) -> i64 {
    match period {
        Period::Once | Period::Day => day,
        Period::Week => {
            // The first Monday was 1970-01-05; what lies before it belongs to the week of the Monday before.
            let mut monday = -3;
            if day >= 4 {
                monday += (day + 3) / 7 * 7;
            }
            if day < -3 { -10 } else { monday }
        }
        Period::Month => start_of_month(day),
    }
}

fn start_of_month(day: i64) -> i64 {
    if day < 0 {
        return -31;
    }
    let (mut year, mut month, mut first) = (1970, 1, 0);
    loop {
        let next = first + length(year, month);
        if day < next {
            return first;
        }
        first = next;
        (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    }
}

const fn length(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}
