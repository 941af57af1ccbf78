//! Rounds of a provider as its own list has them.
//!
//! In: pages of the list of a provider that is called; or a file of one round a line, for any provider that gives its list in
//! another way. Out: rounds. Never here: a line that is left out because it cannot be read.

use serde::Deserialize;

use super::{Round, Rounds, State};
use crate::config::{Currency, Format, Provider};
use crate::names;
use crate::outbound::PLACES;

/// Why a list cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {expected}")]
pub struct ListFault {
    place: String,
    expected: String,
}

fn fault(place: impl std::fmt::Display, expected: impl std::fmt::Display) -> ListFault {
    ListFault { place: place.to_string(), expected: expected.to_string() }
}

/// A page of the list of a provider that is called.
#[derive(Deserialize)]
struct Page {
    bets: Vec<Listed>,
    more: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    bet_id: String,
    amount: u64,
    currency: String,
    payout: u64,
    status: String,
    at_ms: u64,
}

/// A line of a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    round: String,
    /// The player as the provider knows it; not needed for bets that were sent out.
    player: Option<String>,
    /// Behind an aggregator: whose round, as calls name it.
    provider: Option<String>,
    currency: String,
    /// In units of the currency.
    stake: String,
    payout: String,
    /// `open`, `settled` or `cancelled`.
    state: String,
    /// When it began, in milliseconds since 1970.
    at_ms: u64,
}

fn currency<'p>(provider: &'p Provider, name: &str) -> Option<&'p Currency> {
    provider.currencies.get(name)
}

/// Adds a page to `rounds`; gives the id of its last bet if there are more behind it.
pub(super) fn read_page(
    provider: &Provider,
    body: &[u8],
    rounds: &mut Rounds,
) -> Result<Option<String>, ListFault> {
    let page: Page = serde_json::from_slice(body).map_err(|error| fault("a page of the list", error))?;
    let last = page.bets.last().map(|bet| bet.bet_id.clone());
    for bet in page.bets {
        let place = format!("bet {}", bet.bet_id);
        let key =
            u128::from_str_radix(&bet.bet_id, 16).map_err(|_| fault(&place, "expected an id of ours"))?;
        let state = match bet.status.as_str() {
            // It is decided; that we have paid it may not have been told yet.
            "active" | "ended" => State::Settled,
            "cancelled" => State::Cancelled,
            _ => return Err(fault(&place, "expected active, ended or cancelled")),
        };
        let exact = |amount: u64| match currency(provider, &bet.currency) {
            Some(currency) => {
                currency.scale.from_units(&amount.to_string(), PLACES).ok().map(|amount| amount.0)
            }
            // What was void before it came has no currency, and what has one of its own is a difference, not a fault.
            None => Some(amount.into()),
        };
        let amounts = exact(bet.amount).zip(exact(bet.payout));
        let (stake, payout) =
            amounts.ok_or_else(|| fault(&place, "an amount that cannot be counted exactly"))?;
        let (name, currency, at_ms) = (bet.bet_id, bet.currency, bet.at_ms);
        if rounds.insert(key, Round { name, currency, stake, payout, state, at_ms }).is_some() {
            return Err(fault(&place, "it stands in the list twice"));
        }
    }
    match (page.more, last) {
        (true, None) => Err(fault("a page of the list", "it is empty and says that there is more")),
        (true, last) => Ok(last),
        (false, _) => Ok(None),
    }
}

/// Reads a list of one JSON object a line.
///
/// # Errors
/// [`ListFault`] with the line and what was expected there.
pub fn read_list(provider: &Provider, text: &str) -> Result<Rounds, ListFault> {
    let mut rounds = Rounds::new();
    for (number, text) in (1_u64..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty()) {
        let place = format!("line {number}");
        let line: Line = serde_json::from_str(text).map_err(|error| fault(&place, error))?;
        let (key, round) = read_line(provider, line).map_err(|expected| fault(&place, expected))?;
        if rounds.insert(key, round).is_some() {
            return Err(fault(&place, "the round stands in the list twice"));
        }
    }
    Ok(rounds)
}

fn read_line(provider: &Provider, line: Line) -> Result<(u128, Round), &'static str> {
    let state = match line.state.as_str() {
        "open" => State::Open,
        "settled" => State::Settled,
        "cancelled" => State::Cancelled,
        _ => return Err("state: expected open, settled or cancelled"),
    };
    let key = match provider.format {
        Format::Rgs => u128::from_str_radix(&line.round, 16).map_err(|_| "round: expected the bet's id")?,
        _ => {
            let player = line.player.as_deref().and_then(crate::adapters::player);
            let player = player.ok_or("player: expected a number of a player's, with its check digits")?;
            let name = match (provider.format, &line.provider) {
                (Format::Pam, Some(brand)) => names::of_brand(brand, &line.round),
                (Format::Pam, None) => return Err("provider: expected whose round it is, as calls name it"),
                _ => line.round.clone(),
            };
            names::round(provider.number, player, &name).0
        }
    };
    let known = currency(provider, &line.currency).ok_or("currency: not one of the provider's")?;
    let amount = |text: &str| known.scale.from_decimal(text).map(|amount| amount.0);
    let stake = amount(&line.stake).map_err(|_| "stake: expected a decimal that can be counted exactly")?;
    let payout =
        amount(&line.payout).map_err(|_| "payout: expected a decimal that can be counted exactly")?;
    Ok((key, Round { name: line.round, currency: line.currency, stake, payout, state, at_ms: line.at_ms }))
}
