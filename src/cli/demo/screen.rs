//! What the demo shows: lines that change in place on a terminal, plain lines when piped, nothing with `--json`.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::books::Counts;

/// How often plain lines are printed.
const PLAIN_EVERY: Duration = Duration::from_secs(1);

pub(super) struct Screen {
    quiet: bool,
    live: Option<Live>,
    money: Vec<(String, String)>,
    printed: Option<Instant>,
}

struct Live {
    bars: MultiProgress,
    counts: ProgressBar,
    money: Vec<ProgressBar>,
}

fn line(bars: &MultiProgress) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
    bars.add(ProgressBar::new_spinner().with_style(style))
}

impl Screen {
    pub(super) fn new(quiet: bool) -> Self {
        let live = (!quiet && std::io::stderr().is_terminal()).then(|| {
            let bars = MultiProgress::new();
            let counts = line(&bars);
            Live { bars, counts, money: Vec::new() }
        });
        Self { quiet, live, money: Vec::new(), printed: None }
    }

    /// Something that happened once.
    pub(super) fn event(&self, text: &str) {
        match &self.live {
            Some(live) => drop(live.bars.println(format!("  {text}"))),
            None if !self.quiet => say!("  {text}"),
            None => {}
        }
    }

    /// The money of one asset.
    pub(super) fn money(&mut self, code: &str, scale: u8, players: i128, house: i128) {
        let text = format!(
            "MONEY {code:<5} players {:>26} + house {:>26} = difference {}",
            decimal(players, scale),
            decimal(house, scale),
            players + house
        );
        match self.money.iter_mut().find(|(known, _)| known == code) {
            Some((_, shown)) => *shown = text,
            None => {
                self.money.push((code.to_owned(), text));
                if let Some(live) = &mut self.live {
                    live.money.push(line(&live.bars));
                }
            }
        }
    }

    /// What was done so far; shows the money too.
    pub(super) fn counts(&mut self, passed: Duration, of: Duration, counts: &Counts) {
        let text = format!(
            "{:>3} of {} s  {} operations  {} bets  {} deposits  {} refused",
            passed.as_secs(),
            of.as_secs(),
            counts.operations,
            counts.rounds,
            counts.deposits,
            counts.refused
        );
        if let Some(live) = &self.live {
            live.counts.set_message(text);
            for (bar, (_, money)) in live.money.iter().zip(&self.money) {
                bar.set_message(money.clone());
            }
        } else if !self.quiet && self.printed.is_none_or(|printed| printed.elapsed() >= PLAIN_EVERY) {
            self.printed = Some(Instant::now());
            say!("{text}");
            for (_, money) in &self.money {
                say!("  {money}");
            }
        }
    }

    /// Leaves the last state standing.
    pub(super) fn end(&self) {
        if let Some(live) = &self.live {
            live.counts.abandon();
            live.money.iter().for_each(ProgressBar::abandon);
        }
    }
}

/// An amount in the asset's usual unit, exact: digits are moved, nothing is divided.
fn decimal(amount: i128, scale: u8) -> String {
    let scale = usize::from(scale);
    let digits = format!("{:0>width$}", amount.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if amount < 0 { "-" } else { "" };
    let fraction = fraction.get(..6).unwrap_or(fraction);
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

#[cfg(test)]
mod tests {
    use super::decimal;

    #[test]
    fn amounts_are_shown_in_the_usual_unit_and_cut_never_rounded() {
        assert_eq!(decimal(1_999_999, 6), "1.999999");
        assert_eq!(decimal(-1, 6), "-0.000001");
        assert_eq!(decimal(12_345_678_999_999_999_999, 18), "12.345678");
        assert_eq!(decimal(0, 2), "0.00");
        assert_eq!(decimal(-17, 0), "-17");
    }
}
