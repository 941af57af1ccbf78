//! Comparing a running ledger with a running chain.
//!
//! In: a way to the ledger, a chain, terms. Out: a report. First the ledger's records up to a position, then the chain up to
//! its tip, then what was signed in between: so nothing honest can look like a difference. Never here: what a bridge
//! remembers.

use std::collections::BTreeSet;

use cage_client::engine::{AssetId, Lsn, OperationKind};
use cage_client::{Client, Error, Feed, FeedError, FeedEvent, Filter};

use super::{Books, Report, Terms, reconcile, scan};
use crate::ethers::{AddressKey, BadKey};
use crate::rpc::Fault;
use crate::source::ChainSource;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum LiveFault {
    /// The ledger did not answer.
    #[error("the ledger: {0}")]
    Ledger(#[from] Error),
    /// The ledger's records cannot be read.
    #[error("the ledger's feed: {0}")]
    Feed(#[from] FeedError),
    /// The chain gave no usable answer.
    #[error(transparent)]
    Chain(#[from] Fault),
    /// An address cannot be derived.
    #[error(transparent)]
    Address(#[from] BadKey),
}

/// What can move the accounts that are compared.
const KINDS: [OperationKind; 12] = [
    OperationKind::SetRule,
    OperationKind::Continue,
    OperationKind::AssignAddress,
    OperationKind::DepositCredit,
    OperationKind::DepositReverse,
    OperationKind::Chargeback,
    OperationKind::WithdrawRequest,
    OperationKind::WithdrawApprove,
    OperationKind::WithdrawSigned,
    OperationKind::WithdrawSettle,
    OperationKind::WithdrawCancel,
    OperationKind::WithdrawRelease,
];

/// Compares. The client's role must be one that may follow everything; `key` derives the addresses.
///
/// # Errors
/// [`LiveFault`]: then nothing is known, and nothing is called clean.
pub async fn compare(
    client: &Client,
    chain: &impl ChainSource,
    mut terms: Terms,
    key: &AddressKey,
    start_height: u64,
) -> Result<Report, LiveFault> {
    let mut feed = client.subscribe(Filter::EVERYTHING.of_kinds(&KINDS), Lsn::NONE);
    let mut books = Books::new(terms.chain);
    let assets: BTreeSet<AssetId> = terms.coins.iter().map(|rule| rule.asset).collect();
    let mut position = Lsn::NONE;
    for asset in assets {
        // Each read is a little later than the one before: for each asset the sum is of its own moment.
        let totals = client.totals(asset).await?;
        books.set_liabilities(asset, totals.players.0.try_into().unwrap_or(0));
        position = totals.as_of;
    }
    take(&mut feed, position, |lsn, record| books.take(lsn, record)).await?;
    for number in books.numbers() {
        terms.addresses.insert(number, key.address(number)?);
    }
    let tips = chain.tips().await?;
    let found = scan(chain, &terms, start_height, &tips).await?;
    let now = match terms.coins.first() {
        Some(rule) => client.totals(rule.asset).await?.as_of,
        None => position,
    };
    take(&mut feed, now, |_, record| books.take_later(record)).await?;
    Ok(reconcile(&books, &found, &terms))
}

/// Takes records up to a position.
async fn take(
    feed: &mut Feed,
    position: Lsn,
    mut each: impl FnMut(Lsn, &cage_client::engine::Record),
) -> Result<(), FeedError> {
    while feed.position() < position {
        if let FeedEvent::Record(record) = feed.next().await? {
            each(record.lsn, &record.record);
        }
    }
    Ok(())
}
