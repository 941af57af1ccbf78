//! Comparing a running ledger with a provider's list.
//!
//! In: a way to the ledger, a provider, a period. Out: a report. First the provider's list, then the ledger's records: what is
//! listed was set aside before, so nothing honest can be missing here. Never here: what the bridge remembers.

use std::ops::Range;
use std::time::Duration;

use cage_client::{Client, Error, FeedError, FeedEvent, Filter};
use cage_engine::AssetId;
use serde_json::json;

use super::theirs::read_page;
use super::{Books, ListFault, Report, Rounds, report};
use crate::config::Provider;
use crate::http::{CallError, Caller};

/// How far beyond the period the list is asked for: what two clocks may differ by, and what a bet may take to its provider.
const MARGIN: Duration = Duration::from_secs(300);
/// How often a page is asked for before it counts as not seen.
const TRIES: u32 = 5;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LiveFault {
    /// The ledger did not answer.
    #[error("the ledger: {0}")]
    Ledger(#[from] Error),
    /// The ledger's records cannot be read.
    #[error("the ledger's feed: {0}")]
    Feed(#[from] FeedError),
}

/// What is to be compared.
#[derive(Debug)]
pub struct Question<'a> {
    /// Whose rounds.
    pub provider: &'a Provider,
    /// Those that began then, in milliseconds since 1970.
    pub period: Range<u64>,
    /// The provider's list, if it gave one by another way.
    pub list: Option<Rounds>,
}

/// Compares. The client's role must be one that may follow the provider's records.
///
/// # Errors
/// [`LiveFault`]: then nothing is known, and nothing is called clean.
pub async fn compare(client: &Client, question: Question<'_>) -> Result<Report, LiveFault> {
    let Question { provider, period, list } = question;
    let mut unseen = Vec::new();
    let theirs = match list {
        Some(list) => list,
        None => match fetch(provider, &period).await {
            Ok(list) => list,
            Err(reason) => {
                unseen.push(reason);
                Rounds::new()
            }
        },
    };
    let asset = provider.currencies.values().next().map_or(AssetId::NONE, |currency| currency.asset);
    let until = client.totals(asset).await?.as_of;
    let mut books = Books::default();
    let filter = Filter::EVERYTHING.of_provider(provider.number);
    let mut feed = client.subscribe(filter, cage_engine::Lsn::NONE);
    while feed.position() < until {
        if let FeedEvent::Record(seen) = feed.next().await? {
            books.take(seen.lsn, &seen.record);
        }
    }
    let ours = books.rounds(|asset| name(provider, asset));
    if !unseen.is_empty() {
        // Without a list every round would look missing there.
        let nothing = Rounds::new();
        return Ok(report(&provider.name, &period, until.0, &nothing, &nothing, unseen));
    }
    Ok(report(&provider.name, &period, until.0, &ours, &theirs, unseen))
}

/// The provider's name of an asset, or its number if it has none.
fn name(provider: &Provider, asset: AssetId) -> String {
    let named = provider.currencies.iter().find(|(_, currency)| currency.asset == asset);
    named.map_or_else(|| format!("asset {asset}"), |(name, _)| name.clone())
}

/// The list of a provider that is called, for a period and somewhat more.
async fn fetch(provider: &Provider, period: &Range<u64>) -> Result<Rounds, String> {
    let Some(outbound) = &provider.outbound else {
        return Err("the provider's list: this format gives none; give it as a file".to_owned());
    };
    let caller = Caller::new(outbound.address, &outbound.bearer, outbound.answer_time);
    let margin = MARGIN.as_millis() as u64;
    let (from, to) = (period.start.saturating_sub(margin), period.end.saturating_add(margin));
    let mut rounds = Rounds::new();
    let mut after = String::new();
    loop {
        let asked = json!({ "fromMs": from, "toMs": to, "after": after }).to_string();
        let body = page(&caller, asked).await.map_err(|reason| format!("the provider's list: {reason}"))?;
        let more = read_page(provider, &body, &mut rounds).map_err(|fault: ListFault| fault.to_string())?;
        match more {
            Some(last) => after = last,
            None => return Ok(rounds),
        }
    }
}

/// A page that can be read. To ask again changes nothing there.
async fn page(caller: &Caller, asked: String) -> Result<bytes::Bytes, String> {
    let mut last = String::new();
    for _ in 0..TRIES {
        let answer = caller.post("/bets", asked.clone().into_bytes()).await;
        match answer {
            Ok((200, body)) if serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok() => {
                return Ok(body);
            }
            Ok((status, _)) => last = format!("an answer of status {status} that is no page"),
            Err(error @ (CallError::Time | CallError::Connection(_))) => last = error.to_string(),
        }
    }
    Err(last)
}
