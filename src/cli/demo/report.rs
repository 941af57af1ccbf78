//! How the demo ends: the comparison, the audit, what to try next.

use std::io::Write;
use std::path::PathBuf;

use serde::Serialize;

use super::DemoError;
use super::books::{Acknowledged, Counts, Money};
use crate::audit::{Acks, AuditOptions, AuditReport, audit};
use crate::data::DataDir;

pub(super) struct Report {
    data_dir: PathBuf,
    counts: Counts,
    money: Money,
    audit: AuditReport,
    seconds: f64,
    kills: u32,
}

/// What is not built yet is 0, and the reconciliation `incomplete`: nothing outside the ledger is compared. Withdrawals
/// are those that were requested and approved; all of them are given up, because no chain is connected.
#[derive(Serialize)]
struct Json {
    operations: u64,
    rounds: u64,
    deposits: u64,
    withdrawals: u64,
    refused: u64,
    seconds: f64,
    kills: u32,
    reorgs: u32,
    acks: u64,
    lost_acks: u64,
    doubled: u64,
    money_delta: String,
    players_differ: u64,
    conserved: bool,
    reconciliation: &'static str,
    audit: &'static str,
    data_dir: String,
}

impl Report {
    /// Writes the acknowledgements beside the log and audits it with them.
    pub(super) fn new(
        data_dir: PathBuf,
        counts: Counts,
        money: Money,
        acknowledged: &Acknowledged,
        seconds: f64,
        kills: u32,
    ) -> Result<Self, DemoError> {
        let path = data_dir.join("acks.txt");
        let mut file = std::io::BufWriter::new(std::fs::File::create(&path)?);
        for (id, lsn, code) in &acknowledged.answers {
            writeln!(file, "{id} {lsn} {}", code.number())?;
        }
        file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
        let options = AuditOptions { acks: Some(Acks::read(&path)?), ..AuditOptions::default() };
        let audit = audit(&DataDir::new(&data_dir, None), options, |_| {})?;
        Ok(Self { data_dir, counts, money, audit, seconds, kills })
    }

    /// Whether everything that exists balances.
    pub(super) const fn balances(&self) -> bool {
        self.money.delta == 0 && self.audit.is_clean()
    }

    const fn verdict(&self) -> &'static str {
        if self.audit.is_clean() { "clean" } else { "differences" }
    }

    pub(super) fn print_json(&self) {
        let Counts { operations, rounds, deposits, withdrawals, refused, .. } = self.counts;
        let json = Json {
            operations,
            rounds,
            deposits,
            withdrawals,
            refused,
            seconds: self.seconds,
            kills: self.kills,
            reorgs: 0,
            acks: self.audit.acks_checked,
            lost_acks: self.audit.acks_missing,
            doubled: self.audit.acks_doubled,
            money_delta: self.money.delta.to_string(),
            players_differ: self.money.players_differ,
            conserved: self.audit.conserved,
            reconciliation: "incomplete",
            audit: self.verdict(),
            data_dir: self.data_dir.display().to_string(),
        };
        say!("{}", serde_json::json!(json));
    }

    pub(super) fn print_text(&self) {
        let Counts { operations, rounds, deposits, withdrawals, .. } = self.counts;
        let dir = self.data_dir.display();
        say!();
        say!(
            "{operations} operations, {rounds} bets, {deposits} deposits, {withdrawals} withdrawals asked for and \
             given up; the ledger was killed {} times",
            self.kills
        );
        say!(
            "MONEY  difference {}: the books of {} players are the ledger's, and players + house is nothing",
            self.money.delta,
            self.money.players() - self.money.players_differ
        );
        say!(
            "AUDIT  {}: {} records decided again; {} acknowledgements, {} lost, {} doubled",
            self.verdict(),
            self.audit.records,
            self.audit.acks_checked,
            self.audit.acks_missing,
            self.audit.acks_doubled
        );
        for difference in &self.audit.differences {
            say!("DIFFERENCE {difference}");
        }
        say!("RECONCILIATION incomplete: chain and game providers are not connected yet");
        say!("\nTry next:");
        say!("  cage log {dir} --kind settle --until 2000   # records, with both balances after each");
        say!("  cage audit {dir} --acks {dir}/acks.txt      # decide them all again");
        say!("  cage serve --data-dir {dir}                 # and go on where it stopped");
    }
}
