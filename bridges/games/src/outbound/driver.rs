//! Drives bets that are sent out: the only part of it that waits for anybody.
//!
//! In: bets of players; what an earlier bridge left undone. Out: for each of them one end, in the ledger and at the provider.
//! Never here: a bet that is sent before its stake is set aside and durable, a hold that is released on a guess.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use cage_client::{Client, Error, Executed};
use cage_engine::{
    Amount, AssetId, Expiry, GameId, Lsn, Operation, OperationKind, PlayerId, Reference, RequestId,
    ResultCode, SessionId, Timestamp,
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::machine::{Ended, Event, Machine, Step};
use super::rgs::{Heard, PLACES, Wager};
use crate::breaker::{Breaker, pause_ms};
use crate::config::{Config, Provider};
use crate::http::Caller;
use crate::inbound::{Verdict, now};
use crate::limits::{ENDED_BETS_MAX, LEDGER_TIME_MAX};
use crate::money::Scale;
use crate::names;
use crate::store::{Row, Store};

/// A bet on its way, as it is kept until it has ended.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Ticket {
    /// What the provider is told.
    pub wager: Wager,
    /// Which provider.
    pub provider: String,
    /// Whose: the player's number.
    pub player: u64,
    /// In what.
    pub asset: u16,
    /// The asset's scale.
    pub scale: u8,
    /// How much, in the asset's smallest unit.
    pub stake: String,
    /// When it began, in milliseconds since 1970.
    pub began_ms: u64,
    /// What it pays, in the asset's smallest unit, once that is known. From then on it is not made void any more.
    pub outcome: Option<String>,
}

impl Ticket {
    fn machine(&self, repeats: bool) -> Machine {
        let outcome = self.outcome.as_ref().and_then(|text| text.parse().ok());
        Machine::taken_over(repeats, outcome)
    }
}

/// What became of a bet that a player wants to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placed {
    /// Its stake is set aside, durably; it is on its way.
    Taken {
        /// Its id.
        bet: String,
        /// The record that says so.
        lsn: Lsn,
    },
    /// It was refused, and will be under this id.
    Refused(Verdict),
    /// It is not known whether the stake was set aside. It will be found out, and given back.
    Unknown {
        /// Its id.
        bet: String,
    },
    /// Nothing is sent to this provider now.
    Away,
}

/// How a bet stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reported {
    /// On its way.
    Open {
        /// What is being done.
        step: Step,
        /// How often nobody knew.
        unclear: u32,
    },
    /// Over.
    Ended(Ended),
}

/// Whose bet it is to be, and what.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    /// At which provider.
    pub provider: &'a Provider,
    /// Whose.
    pub player: PlayerId,
    /// In which session.
    pub session: SessionId,
    /// On which game.
    pub game: GameId,
    /// What is played.
    pub mode: &'a str,
    /// The name of the currency.
    pub currency: &'a str,
    /// How much, in the asset's smallest unit.
    pub stake: Amount,
}

struct Route {
    caller: Caller,
    breaker: RefCell<Breaker>,
    client: Client,
    repeats: bool,
    number: u16,
}

/// Drives all bets of all providers that are called.
pub struct Driver {
    routes: HashMap<String, Route>,
    store: Rc<Store>,
    bets: RefCell<HashMap<String, watch::Sender<Reported>>>,
    ended: RefCell<VecDeque<String>>,
    /// Bets that an operator has decided to void.
    decided: RefCell<HashSet<String>>,
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").field("bets", &self.bets.borrow().len()).finish_non_exhaustive()
    }
}

fn hold_id(bet: &str) -> Option<RequestId> {
    u128::from_str_radix(bet, 16).ok().map(RequestId)
}

impl Driver {
    /// One for the providers that are called. `client_of` gives the client under the grant for a provider.
    #[must_use]
    pub fn new(config: &Config, store: Rc<Store>, client_of: impl Fn(u16) -> Client) -> Self {
        let called = config.providers.values().filter_map(|provider| {
            let outbound = provider.outbound.as_ref()?;
            let caller = Caller::new(outbound.address, &outbound.bearer, outbound.answer_time);
            let client = client_of(provider.number).with_deadline(LEDGER_TIME_MAX);
            let (breaker, repeats, number) = (RefCell::default(), outbound.repeats, provider.number);
            Some((provider.name.clone(), Route { caller, breaker, client, repeats, number }))
        });
        let routes = called.collect();
        Self {
            routes,
            store,
            bets: RefCell::default(),
            ended: RefCell::default(),
            decided: RefCell::default(),
        }
    }

    /// Takes over what an earlier bridge left undone.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn take_over(self: &Rc<Self>) -> Result<usize, crate::store::StoreError> {
        let left = self.store.holds()?;
        let count = left.len();
        for text in left {
            match serde_json::from_str::<Ticket>(&text) {
                Ok(ticket) => match self.routes.get(&ticket.provider) {
                    Some(route) => self.drive(ticket.clone(), ticket.machine(route.repeats)),
                    None => tracing::error!(
                        provider = ticket.provider,
                        bet = ticket.wager.bet,
                        "a bet of a provider that is not told of any more"
                    ),
                },
                Err(error) => tracing::error!(%error, "a bet on its way cannot be read"),
            }
        }
        Ok(count)
    }

    /// How a bet stands; nothing if it is not known (any more: then the ledger knows).
    #[must_use]
    pub fn watch(&self, bet: &str) -> Option<watch::Receiver<Reported>> {
        self.bets.borrow().get(bet).map(watch::Sender::subscribe)
    }

    /// The bets that are on their way: id and how each stands.
    #[must_use]
    pub fn open(&self) -> Vec<(String, Reported)> {
        let bets = self.bets.borrow();
        let open = bets.iter().map(|(bet, reported)| (bet.clone(), *reported.borrow()));
        let mut open: Vec<_> =
            open.filter(|(_, reported)| matches!(reported, Reported::Open { .. })).collect();
        open.sort_by(|one, other| one.0.cmp(&other.0));
        open
    }

    /// Sets a stake aside and sends the bet on its way. Comes back as soon as the stake is durably set aside.
    pub async fn place(self: &Rc<Self>, order: &Order<'_>) -> Placed {
        let Some((route, outbound)) =
            self.routes.get(&order.provider.name).zip(order.provider.outbound.as_ref())
        else {
            return Placed::Refused(Verdict::GameStopped);
        };
        if !route.breaker.borrow().allows(now().millis()) {
            return Placed::Away;
        }
        let Some((ticket, payout_max)) = ticket(order, route.client.mint_id(), outbound.win_max_hundredths)
        else {
            return Placed::Refused(Verdict::Limit);
        };
        // Whoever comes after a crash has to know that it may have been sent.
        let text = serde_json::to_string(&ticket).unwrap_or_default();
        let id = hold_id(&ticket.wager.bet).unwrap_or_default();
        if self.store.keep_hold(id, text).await.is_err() {
            return Placed::Away;
        }
        let bet = ticket.wager.bet.clone();
        let (player, asset, stake) = (order.player, AssetId(ticket.asset), order.stake);
        let (game, session, round, expiry) = (order.game, order.session, None, Expiry::Never);
        let reserve = Operation::Reserve { player, asset, stake, payout_max, game, session, round, expiry };
        match route.client.submit_with_id(id, reserve).await {
            Ok(Executed { lsn, .. }) => {
                self.drive(ticket, Machine::reserved(route.repeats));
                Placed::Taken { bet, lsn }
            }
            Err(error @ Error::Refused { .. }) => {
                self.store.forget_hold(id);
                Placed::Refused(Verdict::of_error(&error))
            }
            // It was never sent to the provider; that it never will be, the provider and the ledger have to hear.
            Err(_) => {
                self.drive(ticket, Machine::to_void());
                Placed::Unknown { bet }
            }
        }
    }

    /// An operator's decision on a bet that is on its way: it is told to the provider as void, and its stake given back
    /// when the provider has said so.
    pub fn void(self: &Rc<Self>, bet: &str) -> bool {
        let known = self.bets.borrow().get(bet).is_some_and(|reported| {
            matches!(*reported.borrow(), Reported::Open { step: Step::Send | Step::Ask | Step::Void, .. })
        });
        if known {
            self.decided.borrow_mut().insert(bet.to_owned());
        }
        known
    }

    fn drive(self: &Rc<Self>, ticket: Ticket, machine: Machine) {
        let reported = Reported::Open { step: machine.step(), unclear: 0 };
        let (sender, _) = watch::channel(reported);
        self.bets.borrow_mut().insert(ticket.wager.bet.clone(), sender);
        let driver = Rc::clone(self);
        tokio::task::spawn_local(async move { driver.to_its_end(ticket, machine).await });
    }

    async fn to_its_end(self: Rc<Self>, mut ticket: Ticket, mut machine: Machine) {
        let Some(route) = self.routes.get(&ticket.provider) else { return };
        let Some(hold) = hold_id(&ticket.wager.bet) else { return };
        let settle_id = route.client.mint_id();
        let mut told = false;
        let ended = loop {
            let unclear = machine.unclear();
            match machine.step() {
                Step::Finish(ended) => break ended,
                Step::Settle { payout } if !self.write_down(&mut ticket, hold, payout).await => {
                    machine.on(Event::LedgerUnclear);
                }
                step @ (Step::Settle { .. } | Step::Release) => {
                    machine.on(route.end(&ticket, hold, settle_id, step).await);
                }
                step => machine.on(self.ask(route, &ticket, hold, step).await),
            }
            if self.decided.borrow_mut().remove(&ticket.wager.bet)
                && matches!(machine.step(), Step::Send | Step::Ask | Step::Void)
            {
                machine = Machine::to_void();
            }
            let reported = Reported::Open { step: machine.step(), unclear: machine.unclear() };
            self.report(&ticket.wager.bet, reported);
            if machine.is_in_doubt() && !told {
                told = true;
                tracing::warn!(bet = ticket.wager.bet, provider = ticket.provider, step = ?machine.step(), "a bet is in doubt");
            }
            if machine.unclear() > unclear {
                let pause = pause_ms(machine.tries(), rand::random());
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
        };
        if ended == Ended::Dispute {
            tracing::error!(
                bet = ticket.wager.bet,
                provider = ticket.provider,
                "dispute: provider and ledger ended a bet differently; nothing was moved"
            );
            self.store.put_dispute(&ticket.wager.bet, now());
        }
        self.store.forget_hold(hold);
        self.finish(&ticket.wager.bet, ended);
        if let Ended::Settled { .. } = ended {
            let (path, body) = ticket.wager.end();
            // The provider's own affair: money does not wait for it.
            let _ = route.caller.post(path, body).await;
        }
    }

    /// Writes an outcome down, durably, before the ledger is asked to pay: a bridge that comes after a crash must not make
    /// a bet void that was paid.
    async fn write_down(&self, ticket: &mut Ticket, hold: RequestId, payout: u128) -> bool {
        let outcome = Some(payout.to_string());
        if ticket.outcome == outcome {
            return true;
        }
        ticket.outcome = outcome;
        let text = serde_json::to_string(&ticket).unwrap_or_default();
        let kept = self.store.keep_hold(hold, text).await;
        if kept.is_err() {
            ticket.outcome = None;
        }
        kept.is_ok()
    }

    fn report(&self, bet: &str, reported: Reported) {
        if let Some(sender) = self.bets.borrow().get(bet) {
            sender.send_replace(reported);
        }
    }

    fn finish(&self, bet: &str, ended: Ended) {
        self.report(bet, Reported::Ended(ended));
        let mut order = self.ended.borrow_mut();
        order.push_back(bet.to_owned());
        if order.len() > ENDED_BETS_MAX
            && let Some(oldest) = order.pop_front()
        {
            self.bets.borrow_mut().remove(&oldest);
        }
    }

    /// Asks the provider for something; gives what that means.
    async fn ask(&self, route: &Route, ticket: &Ticket, hold: RequestId, step: Step) -> Event {
        let Some((path, body)) = ticket.wager.request(step) else { return Event::Unclear };
        let at = now().millis();
        let answer = if route.breaker.borrow().allows(at) {
            route.caller.post(path, body).await
        } else {
            return Event::Unclear;
        };
        let (status, body) = match answer {
            Ok(answer) => answer,
            Err(error) => {
                route.breaker.borrow_mut().failed(now().millis());
                tracing::debug!(%error, bet = ticket.wager.bet, "no answer of a provider");
                return Event::Unclear;
            }
        };
        route.breaker.borrow_mut().answered();
        match ticket.wager.hear(step, status, &body) {
            Heard::Outcome { round, payout } => self.believe(route, ticket, hold, round, payout),
            Heard::Other(event) => event,
            Heard::Doubtful(why) => {
                let digest = blake3::hash(&body);
                tracing::warn!(bet = ticket.wager.bet, provider = ticket.provider, ?why, status, %digest, "an answer that is not believed");
                Event::Unclear
            }
        }
    }

    /// An outcome that fits its bet counts if its round was never another bet's.
    fn believe(&self, route: &Route, ticket: &Ticket, hold: RequestId, round: u64, payout: u64) -> Event {
        let key = names::transaction(route.number, &format!("round {round}")).0;
        match self.store.get(key) {
            Ok(Some(row)) if row.bet.0 != hold.0 => {
                tracing::error!(
                    bet = ticket.wager.bet,
                    round,
                    "a round of a provider's is told for two bets"
                );
                return Event::Unclear;
            }
            Ok(Some(_)) => {}
            Ok(None) => self.store.put(key, outcome_row(ticket, hold, payout)),
            Err(error) => {
                tracing::error!(%error, "the store of transactions cannot be read");
                return Event::Unclear;
            }
        }
        let scale = Scale(ticket.scale);
        match scale.from_units(&payout.to_string(), PLACES) {
            Ok(Amount(payout)) => Event::Outcome { payout },
            Err(fault) => {
                tracing::error!(%fault, bet = ticket.wager.bet, payout, "a payout that cannot be counted exactly");
                Event::Unclear
            }
        }
    }
}

impl Route {
    /// Has the ledger end a bet.
    async fn end(&self, ticket: &Ticket, hold: RequestId, id: RequestId, step: Step) -> Event {
        let Ok(player) = PlayerId::new(ticket.player) else { return Event::LedgerUnclear };
        let asset = AssetId(ticket.asset);
        let stake = Amount(ticket.stake.parse().unwrap_or(0));
        let (operation, is_settle) = match step {
            Step::Settle { payout } => {
                (Operation::Settle { player, asset, hold, stake, payout: Amount(payout) }, true)
            }
            _ => (Operation::Cancel { player, asset, hold }, false),
        };
        match self.client.submit_with_id(id, operation).await {
            Ok(_) if is_settle => Event::Settled,
            Ok(_) => Event::Released,
            Err(error) => match error.code() {
                // An earlier bridge has done it, and had not written so.
                Some(ResultCode::HoldSettled) if is_settle => Event::Settled,
                Some(ResultCode::HoldCancelled | ResultCode::HoldExpired) if !is_settle => Event::Released,
                Some(ResultCode::HoldSettled | ResultCode::HoldCancelled | ResultCode::HoldExpired) => {
                    Event::EndedOtherwise
                }
                code => {
                    tracing::warn!(bet = ticket.wager.bet, ?code, "the ledger has not ended a bet yet");
                    Event::LedgerUnclear
                }
            },
        }
    }
}

/// A bet's ticket, and the most that it can pay in the asset's smallest unit; nothing if it cannot be counted for this
/// provider.
fn ticket(order: &Order<'_>, id: RequestId, win_max_hundredths: u64) -> Option<(Ticket, Amount)> {
    let currency = order.provider.currencies.get(order.currency)?;
    let amount = u64::try_from(currency.scale.to_units(order.stake, PLACES).ok()?).ok()?;
    let payout_max = u128::from(amount).checked_mul(u128::from(win_max_hundredths))? / 100;
    let payout_max = u64::try_from(payout_max).ok()?;
    let most = currency.scale.from_units(&payout_max.to_string(), PLACES).ok()?;
    let session = names::alias(order.provider.number, order.player, order.session);
    let wager = Wager {
        bet: id.to_string(),
        session,
        amount,
        currency: order.currency.to_owned(),
        mode: order.mode.to_owned(),
        payout_max,
    };
    let ticket = Ticket {
        wager,
        provider: order.provider.name.clone(),
        player: order.player.number(),
        asset: currency.asset.0,
        scale: currency.scale.0,
        stake: order.stake.to_string(),
        began_ms: now().millis(),
        outcome: None,
    };
    Some((ticket, most))
}

fn outcome_row(ticket: &Ticket, hold: RequestId, payout: u64) -> Row {
    Row {
        kind: OperationKind::Settle,
        code: ResultCode::Done,
        lsn: Lsn::NONE,
        decided: Timestamp::from_millis(ticket.began_ms),
        player: PlayerId::new(ticket.player).unwrap_or(PlayerId::NONE),
        asset: AssetId(ticket.asset),
        game: GameId::default(),
        session: SessionId::NONE,
        amount: Amount(u128::from(payout)),
        bet: Reference(hold.0),
        round: Reference::default(),
        tag: 0,
        ends_round: false,
        shown: None,
    }
}
