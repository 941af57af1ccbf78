//! Comparing what the ledger says with what the chain says, at a pair of places that is named.
//!
//! In: all records of the ledger up to one of them, a scan of the chain up to one block. Out: a report: what differs, by
//! how much, with references; the same for the same input. Nothing of what a bridge remembers is looked at. Never here: a
//! network, a clock, a verdict `clean` about something that was not seen.

mod books;
mod live;
mod scan;

use std::collections::{BTreeMap, BTreeSet};

use cage_engine::AssetId;
use serde::{Serialize, Serializer};

pub use books::{Books, Credit, Paid, Payment};
pub use live::{LiveFault, compare};
pub use scan::scan;

use crate::deposits::{CoinRule, Worth, credit_key};
use crate::source::Token;
use crate::types::{Address, BlockRef, Coin, Inflow, Outflow, Quantity, Tips, TransactionId};
use crate::withdrawals::prefix;

/// What was found on the chain up to a block, with another eye than the bridge's.
#[derive(Clone, Debug)]
pub struct Scan {
    /// The chain's name.
    pub chain: String,
    /// The last block that was looked at, and what was final then.
    pub tips: Tips,
    /// Every transfer to an address of ours, the wallet's included.
    pub inflows: Vec<(BlockRef, Inflow)>,
    /// Every transaction of the wallet.
    pub outflows: Vec<(BlockRef, Outflow)>,
    /// What our accounts hold after the last block.
    pub holdings: BTreeMap<Address, BTreeMap<Coin, u128>>,
    /// What contracts say of themselves.
    pub tokens: BTreeMap<Address, Token>,
    /// Why something was not seen; empty if everything was.
    pub unseen: Vec<String>,
}

/// What a comparison has to know besides.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The chain's number in the ledger.
    pub chain: u32,
    /// The coins with their rules.
    pub coins: Vec<CoinRule>,
    /// The account that pays.
    pub wallet: Option<Address>,
    /// The address of each number that the ledger has handed out.
    pub addresses: BTreeMap<u32, Address>,
    /// Transactions of the wallet that people made by hand.
    pub declared: BTreeSet<TransactionId>,
    /// What contracts were known as.
    pub tokens: BTreeMap<Address, Token>,
    /// How many blocks a bridge may be behind what is final.
    pub lag_blocks: u64,
    /// How old an approved withdrawal may be that is not paid, in seconds.
    pub open_max_s: u64,
}

/// What differs. The names are what scripts look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// A final deposit has no credit.
    MissingCredit,
    /// A credit has no transfer on the chain.
    PhantomCredit,
    /// One transfer was credited more than once.
    DuplicateCredit,
    /// A credit is of another amount than arrived.
    WrongAmount,
    /// A credit is of another asset than arrived.
    WrongAsset,
    /// A credit went to another player than the address's.
    WrongPlayer,
    /// A transfer was credited that is not final.
    EarlyCredit,
    /// A credit was taken back whose transfer is on the chain.
    WrongReversal,
    /// The wallet sent what no withdrawal explains.
    UnexplainedOutflow,
    /// A withdrawal was paid more than once.
    DoublePayment,
    /// A withdrawal is paid in the ledger and not on the chain.
    SettledUnpaid,
    /// A withdrawal was paid to somebody else, in something else, or another amount.
    WrongPayment,
    /// A withdrawal was given up in the ledger and paid on the chain.
    PaidAfterRelease,
    /// A withdrawal was paid and is still open in the ledger.
    UnsettledPayment,
    /// The wallet used a slot that is not accounted for.
    SlotGap,
    /// What players have in withdrawals is not the sum of the open ones.
    LostHold,
    /// A clearing account is not the sum of what was credited, taken back or paid.
    ClearingDiffers,
    /// An account of ours holds more than arrived.
    UnexplainedInflow,
    /// An account of ours holds less than it should.
    MissingFunds,
    /// Everything that is held is less than what players have.
    Insolvent,
    /// A contract is another one than it was.
    TokenChanged,
    /// An approved withdrawal waits too long.
    StaleWithdrawal,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Somebody should look.
    Warning,
    /// Nothing may be paid until somebody has looked.
    Critical,
}

impl Code {
    /// How bad it is.
    #[must_use]
    pub const fn severity(self) -> Severity {
        match self {
            Self::UnsettledPayment
            | Self::StaleWithdrawal
            | Self::MissingCredit
            | Self::UnexplainedInflow => Severity::Warning,
            _ => Severity::Critical,
        }
    }
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// What.
    pub code: Code,
    /// How bad.
    pub severity: Severity,
    /// What should be, in words or units.
    pub expected: String,
    /// What is.
    pub actual: String,
    /// By how much it differs, where it is a number.
    #[serde(serialize_with = "as_text")]
    pub delta: Option<i128>,
    /// Transactions, withdrawals, addresses, accounts.
    pub references: Vec<String>,
}

/// Units are text in JSON: its readers take numbers for floating point.
fn as_text<S: Serializer>(units: &Option<i128>, serializer: S) -> Result<S::Ok, S::Error> {
    units.map(|units| units.to_string()).serialize(serializer)
}

fn as_texts<S: Serializer>(units: &BTreeMap<String, u128>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(units.iter().map(|(coin, units)| (coin, units.to_string())))
}

/// What the comparison came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Everything was seen and nothing differs.
    Clean,
    /// Something differs.
    Differences,
    /// Not everything was seen, and nothing that was seen differs.
    Incomplete,
}

/// The report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The chain's name.
    pub chain: String,
    /// The last record that was looked at.
    pub lsn: u64,
    /// The last block.
    pub block: BlockRef,
    /// What our accounts hold, by coin, in units.
    #[serde(serialize_with = "as_texts")]
    pub holdings: BTreeMap<String, u128>,
    /// How many credits, reversals and payments were compared.
    pub compared: usize,
    /// What differs, the worst first.
    pub findings: Vec<Finding>,
    /// What was not seen.
    pub unseen: Vec<String>,
    /// The verdict.
    pub verdict: Verdict,
}

impl Report {
    /// The digest of everything in it: the same for the same pair of places.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        // A report is numbers and text: it can always be written.
        *blake3::hash(&serde_json::to_vec(self).unwrap_or_default()).as_bytes()
    }

    /// Whether payments have to stop.
    #[must_use]
    pub fn is_critical(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Critical)
    }
}

/// Collects what differs.
#[derive(Debug, Default)]
struct Found(Vec<Finding>);

impl Found {
    fn add(&mut self, code: Code, expected: impl ToString, actual: impl ToString, references: Vec<String>) {
        let (expected, actual, severity) = (expected.to_string(), actual.to_string(), code.severity());
        self.0.push(Finding { code, severity, expected, actual, delta: None, references });
    }

    /// Two numbers that should be one.
    fn numbers(&mut self, code: Code, expected: i128, actual: i128, references: Vec<String>) {
        self.add(code, expected, actual, references);
        if let Some(finding) = self.0.last_mut() {
            finding.delta = actual.checked_sub(expected);
        }
    }
}

fn signed(units: u128) -> i128 {
    i128::try_from(units).unwrap_or(i128::MAX)
}

/// Compares.
#[must_use]
pub fn reconcile(books: &Books, scan: &Scan, terms: &Terms) -> Report {
    let mut found = Found::default();
    deposits(books, scan, terms, &mut found);
    payments(books, scan, terms, &mut found);
    sums(books, &mut found);
    accounts(scan, terms, &mut found);
    solvency(books, scan, terms, &mut found);
    tokens(scan, terms, &mut found);
    let mut findings = found.0;
    findings.sort_by(|left, right| (right.severity, left).cmp(&(left.severity, right)));
    let verdict = match (findings.is_empty(), scan.unseen.is_empty()) {
        (false, _) => Verdict::Differences,
        (true, false) => Verdict::Incomplete,
        (true, true) => Verdict::Clean,
    };
    let mut holdings = BTreeMap::new();
    for (coin, units) in scan.holdings.values().flatten() {
        let sum: &mut u128 = holdings.entry(coin.to_string()).or_default();
        *sum = sum.saturating_add(*units);
    }
    Report {
        chain: scan.chain.clone(),
        lsn: books.position().0,
        block: scan.tips.latest,
        holdings,
        compared: books.credits().len() + books.payments().len(),
        findings,
        unseen: scan.unseen.clone(),
        verdict,
    }
}

/// The tips as a bridge may still see them.
fn lagging(tips: &Tips, lag_blocks: u64) -> Tips {
    let mut latest = tips.latest;
    latest.height = latest.height.saturating_sub(lag_blocks);
    let back = |height: Option<u64>| height.map(|height| height.saturating_sub(lag_blocks));
    Tips { latest, safe: back(tips.safe), finalized: back(tips.finalized) }
}

/// Each credit has its transfer, each final transfer its credit.
fn deposits(books: &Books, scan: &Scan, terms: &Terms, found: &mut Found) {
    let numbers: BTreeMap<Address, u32> =
        terms.addresses.iter().map(|(number, address)| (*address, *number)).collect();
    let late = lagging(&scan.tips, terms.lag_blocks);
    let mut explained = BTreeSet::new();
    for (block, inflow) in &scan.inflows {
        let Some(player) = numbers.get(&inflow.to).and_then(|number| books.player(*number)) else { continue };
        let keys = (0..).map(|again| credit_key(&scan.chain, &inflow.id, again).0);
        let credits: Vec<_> =
            keys.map_while(|key| books.credits().get(&key).map(|credit| (key, credit))).collect();
        explained.extend(credits.iter().map(|(key, _)| *key));
        let reference =
            vec![format!("{}:{}", inflow.id.transaction, inflow.id.ordinal), inflow.to.to_string()];
        let live: Vec<_> =
            credits.iter().map(|(_, credit)| *credit).filter(|credit| credit.left > 0).collect();
        if live.len() > 1 {
            found.add(
                Code::DuplicateCredit,
                "one credit",
                format!("{} credits", live.len()),
                reference.clone(),
            );
        }
        let rule = terms.coins.iter().find(|rule| rule.coin == inflow.coin);
        let worth = rule.map(|rule| (rule, rule.worth(inflow.quantity)));
        let (rule, amount) = match worth {
            Some((rule, Worth::Amount { amount, .. })) => (rule, amount.0),
            _ => {
                if !live.is_empty() {
                    found.add(Code::WrongAmount, "no credit", "a credit", reference);
                }
                continue;
            }
        };
        let Quantity::Units(units) = inflow.quantity else { continue };
        let finality = rule.finality(units);
        match live.first() {
            Some(credit) => {
                if credit.player != player {
                    found.add(Code::WrongPlayer, player.number(), credit.player.number(), reference.clone());
                }
                if credit.asset != rule.asset {
                    found.add(Code::WrongAsset, rule.asset.0, credit.asset.0, reference.clone());
                } else if credit.left != amount {
                    found.numbers(Code::WrongAmount, signed(amount), signed(credit.left), reference.clone());
                }
                if !finality.reached(block.height, &scan.tips) {
                    found.add(
                        Code::EarlyCredit,
                        "a final block",
                        format!("height {}", block.height),
                        reference,
                    );
                }
            }
            None if !credits.is_empty() && finality.reached(block.height, &late) => {
                found.add(Code::WrongReversal, "a credit", "taken back", reference);
            }
            None if finality.reached(block.height, &late) => {
                found.add(Code::MissingCredit, amount, 0, reference);
            }
            None => {}
        }
    }
    for (key, credit) in
        books.credits().iter().filter(|(key, credit)| credit.left > 0 && !explained.contains(*key))
    {
        let reference = vec![format!("record {}", credit.lsn.0), format!("key {key:032x}")];
        found.numbers(Code::PhantomCredit, 0, signed(credit.left), reference);
    }
}

/// Each payment of the wallet is of one withdrawal, each paid withdrawal has one payment.
fn payments(books: &Books, scan: &Scan, terms: &Terms, found: &mut Found) {
    let late = lagging(&scan.tips, terms.lag_blocks);
    let mut owners: BTreeMap<u128, u128> = BTreeMap::new();
    for (id, payment) in books.payments() {
        owners.extend(payment.signed.iter().map(|transaction| (*transaction, *id)));
    }
    let mut paid: BTreeMap<u128, Vec<&(BlockRef, Outflow)>> = BTreeMap::new();
    for sent in &scan.outflows {
        let (_, outflow) = sent;
        match owners.get(&prefix(outflow.transaction)) {
            Some(id) if outflow.succeeded => paid.entry(*id).or_default().push(sent),
            Some(_) => {}
            None if terms.declared.contains(&outflow.transaction) => {}
            None if books.was_signed_later(prefix(outflow.transaction)) => {}
            None => found.add(
                Code::UnexplainedOutflow,
                "a withdrawal",
                format!("{:?}", outflow.moved),
                vec![outflow.transaction.to_string(), format!("slot {}", outflow.slot)],
            ),
        }
    }
    for (id, payment) in books.payments() {
        let sent = paid.get(id).map(Vec::as_slice).unwrap_or_default();
        one_payment(*id, payment, sent, (terms, scan, &late), found);
    }
    let slots: Vec<_> = scan.outflows.iter().map(|(_, outflow)| outflow.slot).collect();
    for pair in slots.windows(2).filter(|pair| pair[1] != pair[0] + 1) {
        found.add(Code::SlotGap, pair[0] + 1, pair[1], vec![format!("after slot {}", pair[0])]);
    }
}

fn one_payment(
    id: u128,
    payment: &Payment,
    sent: &[&(BlockRef, Outflow)],
    (terms, scan, late): (&Terms, &Scan, &Tips),
    found: &mut Found,
) {
    let reference = |outflow: Option<&Outflow>| {
        let transaction = outflow.map(|outflow| outflow.transaction.to_string());
        std::iter::once(format!("withdrawal {id:032x}")).chain(transaction).collect::<Vec<_>>()
    };
    if sent.len() > 1 {
        found.add(
            Code::DoublePayment,
            "one payment",
            format!("{} payments", sent.len()),
            reference(Some(&sent[1].1)),
        );
    }
    let Some((block, outflow)) = sent.first().copied() else {
        if payment.ended == Some(Paid::Settled) {
            found.add(Code::SettledUnpaid, "a payment", "none", reference(None));
        }
        let age_s = scan.tips.latest.time_s.saturating_sub(payment.approved_s.unwrap_or(u64::MAX));
        if payment.ended.is_none() && age_s > terms.open_max_s {
            found.add(
                Code::StaleWithdrawal,
                format!("{} s", terms.open_max_s),
                format!("{age_s} s"),
                reference(None),
            );
        }
        return;
    };
    let rule = terms.coins.iter().find(|rule| rule.asset == payment.asset);
    let units =
        rule.and_then(|rule| rule.units(cage_engine::Amount(payment.amount.saturating_sub(payment.fee))));
    let right =
        payment.to.zip(rule).zip(units).map(|((to, rule), units)| (to, rule.coin, Quantity::Units(units)));
    if outflow.moved != right {
        found.add(
            Code::WrongPayment,
            format!("{right:?}"),
            format!("{:?}", outflow.moved),
            reference(Some(outflow)),
        );
    }
    let settled_by_other = payment.settled_by.is_some_and(|settled| settled != outflow.transaction);
    if settled_by_other {
        found.add(Code::SettledUnpaid, outflow.transaction, "another transaction", reference(Some(outflow)));
    }
    let is_final = rule.is_some_and(|rule| rule.finality(units.unwrap_or(0)).reached(block.height, late));
    match payment.ended {
        Some(Paid::GivenUp) => {
            found.add(Code::PaidAfterRelease, "no payment", "a payment", reference(Some(outflow)));
        }
        None if is_final => {
            found.add(Code::UnsettledPayment, "settled", "open", reference(Some(outflow)));
        }
        _ => {}
    }
}

/// The ledger's own sums.
fn sums(books: &Books, found: &mut Found) {
    for (asset, sums) in books.sums() {
        let reference = |what: &str| vec![format!("asset {asset}"), what.to_owned()];
        if sums.withdrawing != sums.open {
            found.numbers(Code::LostHold, sums.open, sums.withdrawing, reference("withdrawing"));
        }
        if sums.deposit_clearing != -sums.credited {
            found.numbers(
                Code::ClearingDiffers,
                -sums.credited,
                sums.deposit_clearing,
                reference("deposit_clearing"),
            );
        }
        if sums.withdrawal_clearing != sums.settled {
            let reference = reference("withdrawal_clearing");
            found.numbers(Code::ClearingDiffers, sums.settled, sums.withdrawal_clearing, reference);
        }
    }
}

/// Each account holds what came in less what went out.
fn accounts(scan: &Scan, terms: &Terms, found: &mut Found) {
    let mut expected: BTreeMap<(Address, Coin), i128> = BTreeMap::new();
    let mut add = |account, coin, units: i128| {
        let sum: &mut i128 = expected.entry((account, coin)).or_default();
        *sum = sum.saturating_add(units);
    };
    for (_, inflow) in &scan.inflows {
        if let Quantity::Units(units) = inflow.quantity {
            add(inflow.to, inflow.coin, signed(units));
        }
    }
    for (_, outflow) in &scan.outflows {
        add(outflow.from, Coin::Native, -signed(outflow.fee));
        if let Some((_, coin, Quantity::Units(units))) = outflow.moved.filter(|_| outflow.succeeded) {
            add(outflow.from, coin, -signed(units));
        }
    }
    let listed: BTreeSet<_> = terms.coins.iter().map(|rule| rule.coin).collect();
    for (account, coins) in &scan.holdings {
        for (coin, units) in coins.iter().filter(|(coin, _)| listed.contains(coin)) {
            let should = expected.get(&(*account, *coin)).copied().unwrap_or(0);
            let is = signed(*units);
            let code = if is > should { Code::UnexplainedInflow } else { Code::MissingFunds };
            if is != should {
                found.numbers(code, should, is, vec![account.to_string(), coin.to_string()]);
            }
        }
    }
}

/// Everything that is held covers what players have of each asset.
fn solvency(books: &Books, scan: &Scan, terms: &Terms, found: &mut Found) {
    let assets: BTreeSet<AssetId> = terms.coins.iter().map(|rule| rule.asset).collect();
    for asset in assets {
        let Some(owed) = books.liabilities(asset) else { continue };
        let mut held = 0_u128;
        for rule in terms.coins.iter().filter(|rule| rule.asset == asset) {
            let units = scan.holdings.values().filter_map(|coins| coins.get(&rule.coin));
            let units = units.fold(0_u128, |sum, units| sum.saturating_add(*units));
            let least = CoinRule { deposit_min_units: 0, ..rule.clone() };
            if let Worth::Amount { amount, .. } = least.worth(Quantity::Units(units)) {
                held = held.saturating_add(amount.0);
            }
        }
        // What is on its way out is still the players' at this position.
        let under_way = scan
            .outflows
            .iter()
            .filter(|(_, outflow)| outflow.succeeded && books.is_open(outflow.transaction));
        for (_, outflow) in under_way {
            let of = outflow.moved.and_then(|(_, coin, quantity)| {
                let rule = terms.coins.iter().find(|rule| rule.coin == coin && rule.asset == asset)?;
                Some(CoinRule { deposit_min_units: 0, ..rule.clone() }.worth(quantity))
            });
            if let Some(Worth::Amount { amount, .. }) = of {
                held = held.saturating_add(amount.0);
            }
        }
        if held < owed {
            found.numbers(Code::Insolvent, signed(owed), signed(held), vec![format!("asset {}", asset.0)]);
        }
    }
}

/// Contracts are what they were.
fn tokens(scan: &Scan, terms: &Terms, found: &mut Found) {
    for rule in &terms.coins {
        let Coin::Token(contract) = rule.coin else { continue };
        let Some(token) = scan.tokens.get(&contract) else { continue };
        let reference = vec![contract.to_string()];
        if token.decimals != Some(rule.decimals) {
            found.add(Code::TokenChanged, rule.decimals, format!("{:?} decimals", token.decimals), reference);
        } else if terms.tokens.get(&contract).is_some_and(|known| known.code != token.code) {
            found.add(Code::TokenChanged, "the code it had", "other code", reference);
        }
    }
}
