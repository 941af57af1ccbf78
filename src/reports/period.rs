//! Periods of a log: from and until a record or a time.
//!
//! In: words from the command line. Out: whether a record lies before, in or behind the period. Never here: a time zone
//! other than UTC.

use cage_engine::{Lsn, Timestamp};
use time::format_description::well_known::{Iso8601, Rfc3339};
use time::{Date, OffsetDateTime, Time};

/// A place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// A record.
    Lsn(Lsn),
    /// A time.
    Time(Timestamp),
}

/// A part of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Period {
    /// The first record of it, or the first time; none = from the beginning.
    pub from: Option<Bound>,
    /// The last record of it, or the first time that is not in it any more; none = to the end.
    pub until: Option<Bound>,
}

impl Period {
    /// Whether a record lies before it.
    #[must_use]
    pub fn is_before(&self, lsn: Lsn, decided: Timestamp) -> bool {
        self.from.is_some_and(|from| match from {
            Bound::Lsn(from) => lsn < from,
            Bound::Time(from) => decided < from,
        })
    }

    /// Whether a record lies behind it.
    #[must_use]
    pub fn is_after(&self, lsn: Lsn, decided: Timestamp) -> bool {
        self.until.is_some_and(|until| match until {
            Bound::Lsn(until) => lsn > until,
            Bound::Time(until) => decided >= until,
        })
    }

    /// Whether a record lies in it.
    #[must_use]
    pub fn holds(&self, lsn: Lsn, decided: Timestamp) -> bool {
        !self.is_before(lsn, decided) && !self.is_after(lsn, decided)
    }
}

/// The period of a command.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct PeriodOptions {
    /// From this record or time on: an LSN, a day as 2026-11-01, or a time as 2026-11-01T06:00:00Z; all in UTC
    #[arg(long, value_name = "FROM", value_parser = bound)]
    from: Option<Bound>,
    /// Up to this record, or before this time
    #[arg(long, visible_alias = "to", value_name = "UNTIL", value_parser = bound)]
    until: Option<Bound>,
}

impl PeriodOptions {
    /// The period.
    #[must_use]
    pub const fn period(&self) -> Period {
        Period { from: self.from, until: self.until }
    }
}

/// An LSN, a day or a time.
fn bound(text: &str) -> Result<Bound, String> {
    if let Ok(lsn) = text.parse() {
        return Ok(Bound::Lsn(Lsn(lsn)));
    }
    // Parsing a day stops behind it, whatever follows.
    let parsed = if text.contains('T') {
        OffsetDateTime::parse(text, &Rfc3339)
    } else {
        Date::parse(text, &Iso8601::DATE).map(|day| day.with_time(Time::MIDNIGHT).assume_utc())
    };
    let time =
        parsed.map_err(|_| "expected an LSN, a day as 2026-11-01 or a time as 2026-11-01T06:00:00Z")?;
    let nanos = u64::try_from(time.unix_timestamp_nanos());
    nanos
        .map(|nanos| Bound::Time(Timestamp(nanos)))
        .map_err(|_| "expected a time from 1970 to 2554".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_a_record_a_day_or_a_time() {
        assert_eq!(bound("17"), Ok(Bound::Lsn(Lsn(17))));
        assert_eq!(bound("1970-01-02"), Ok(Bound::Time(Timestamp(86_400_000_000_000))));
        assert_eq!(bound("1970-01-01T01:00:00.5+01:00"), Ok(Bound::Time(Timestamp(500_000_000))));
        for wrong in ["", "-1", "1969-12-31", "yesterday", "2026-13-01"] {
            assert!(bound(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_period_holds_its_first_record_and_its_last_and_not_its_last_moment() {
        let of_records = Period { from: Some(Bound::Lsn(Lsn(5))), until: Some(Bound::Lsn(Lsn(7))) };
        let held: Vec<_> = (4..9).filter(|lsn| of_records.holds(Lsn(*lsn), Timestamp(0))).collect();
        assert_eq!(held, [5, 6, 7]);
        let until = Some(Bound::Time(Timestamp(7)));
        let of_times = Period { from: Some(Bound::Time(Timestamp(5))), until };
        let held: Vec<_> = (4..9).filter(|time| of_times.holds(Lsn(1), Timestamp(*time))).collect();
        assert_eq!(held, [5, 6]);
    }
}
