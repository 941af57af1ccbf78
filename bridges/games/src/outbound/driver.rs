//! Drives bets that are sent out: the only part of it that waits for anybody.
//!
//! In: bets of players; what an earlier bridge left undone. Out: for each of them one end, in the ledger and at the provider.
//! Never here: a bet that is sent before its stake is set aside and durable, a hold that is released on a guess.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use cage_client::{Client, Error, Executed};
use cage_engine::{Amount, AssetId, Expiry, Lsn, Operation, PlayerId, RequestId, ResultCode};
use tokio::sync::watch;

use super::machine::{Decision, Ended, Event, Machine, Step};
use super::rgs::Heard;
use super::ticket::{Decided, Order, Ticket, hold_id, outcome_row, ticket};
use crate::breaker::{Breaker, pause_ms};
use crate::config::Config;
use crate::fence::Fence;
use crate::http::Caller;
use crate::inbound::{Verdict, now};
use crate::limits::{ENDED_BETS_MAX, LEDGER_TIME_MAX};
use crate::metrics::{Called, Metrics};
use crate::names;
use crate::store::Store;

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
        /// Whether people should look at it.
        in_doubt: bool,
    },
    /// Over.
    Ended(Ended),
}

impl Reported {
    const fn of(machine: &Machine) -> Self {
        Self::Open { step: machine.step(), unclear: machine.unclear(), in_doubt: machine.is_in_doubt() }
    }
}

/// A bet that is on its way.
#[derive(Clone, Debug)]
pub struct OpenBet {
    /// What was written down of it.
    pub ticket: Rc<Ticket>,
    /// How it stands.
    pub reported: Reported,
    /// Whether people should look at it.
    pub in_doubt: bool,
}

/// A bet that is on its way, or has ended lately.
struct Known {
    ticket: Rc<Ticket>,
    reported: watch::Sender<Reported>,
}

struct Route {
    caller: Caller,
    breaker: RefCell<Breaker>,
    client: Client,
    repeats: bool,
    number: u16,
    fence: Fence,
}

/// Drives all bets of all providers that are called.
pub struct Driver {
    routes: HashMap<String, Route>,
    store: Rc<Store>,
    metrics: Rc<Metrics>,
    bets: RefCell<HashMap<String, Known>>,
    ended: RefCell<VecDeque<String>>,
    /// What operators have decided and is not carried out yet.
    decided: RefCell<HashMap<String, Decided>>,
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").field("bets", &self.bets.borrow().len()).finish_non_exhaustive()
    }
}

impl Driver {
    /// One for the providers that are called. `client_of` gives the client under the grant for a provider.
    #[must_use]
    pub fn new(
        config: &Config,
        store: Rc<Store>,
        metrics: Rc<Metrics>,
        fence: &Fence,
        client_of: impl Fn(u16) -> Client,
    ) -> Self {
        let called = config.providers.values().filter_map(|provider| {
            let outbound = provider.outbound.as_ref()?;
            let caller = Caller::new(outbound.address, &outbound.bearer, outbound.answer_time);
            let client = client_of(provider.number).with_deadline(LEDGER_TIME_MAX);
            let (breaker, repeats, number) = (RefCell::default(), outbound.repeats, provider.number);
            let fence = fence.clone();
            Some((provider.name.clone(), Route { caller, breaker, client, repeats, number, fence }))
        });
        let routes = called.collect();
        Self {
            routes,
            store,
            metrics,
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
        self.bets.borrow().get(bet).map(|known| known.reported.subscribe())
    }

    /// The bets that are on their way, the oldest first.
    #[must_use]
    pub fn open(&self) -> Vec<OpenBet> {
        let bets = self.bets.borrow();
        let open = bets.values().filter_map(|known| {
            let reported = *known.reported.borrow();
            let Reported::Open { in_doubt, .. } = reported else { return None };
            Some(OpenBet { ticket: Rc::clone(&known.ticket), reported, in_doubt })
        });
        let mut open: Vec<_> = open.collect();
        open.sort_by(|one, other| one.ticket.wager.bet.cmp(&other.ticket.wager.bet));
        open
    }

    /// Whether nothing new is sent to a provider for now.
    #[must_use]
    pub fn is_away(&self, provider: &str) -> bool {
        let route = self.routes.get(provider);
        route.is_some_and(|route| !route.breaker.borrow().allows(now().millis()))
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
            Err(error @ (Error::Refused { .. } | Error::NotTaken { code: Some(ResultCode::Fenced), .. })) => {
                route.fence.see(&ticket.provider, error.code());
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

    /// Takes an operator's decision on a bet. It is carried out when what is being asked right now is answered or not; what
    /// the provider says before that stands. False if there is nothing to decide.
    pub fn decide(&self, bet: &str, decided: Decided) -> bool {
        let open = self.bets.borrow().get(bet).is_some_and(|known| {
            matches!(
                *known.reported.borrow(),
                Reported::Open { step: Step::Send | Step::Ask | Step::Void, .. }
            )
        });
        if open {
            self.decided.borrow_mut().insert(bet.to_owned(), decided);
        }
        open
    }

    fn drive(self: &Rc<Self>, ticket: Ticket, machine: Machine) {
        let (reported, _) = watch::channel(Reported::of(&machine));
        let known = Known { ticket: Rc::new(ticket.clone()), reported };
        self.bets.borrow_mut().insert(ticket.wager.bet.clone(), known);
        let driver = Rc::clone(self);
        tokio::task::spawn_local(async move { driver.to_its_end(ticket, machine).await });
    }

    async fn to_its_end(self: Rc<Self>, mut ticket: Ticket, mut machine: Machine) {
        let Some(route) = self.routes.get(&ticket.provider) else { return };
        let Some(hold) = hold_id(&ticket.wager.bet) else { return };
        let mut end_id = ticket.end_id(route.client.mint_id(), rand::random());
        let mut told = false;
        let ended = loop {
            let unclear = machine.unclear();
            match machine.step() {
                Step::Finish(ended) => break ended,
                Step::Settle { payout } if !self.write_down(&mut ticket, hold, payout).await => {
                    machine.on(Event::LedgerUnclear);
                }
                step @ (Step::Settle { .. } | Step::Release) => {
                    machine.on(route.end(&ticket, hold, end_id, step).await);
                }
                step => machine.on(self.ask(route, &ticket, hold, step).await),
            }
            if self.obey(&mut ticket, &mut machine, hold).await {
                end_id = ticket.end_id(route.client.mint_id(), rand::random());
            }
            self.report(&ticket.wager.bet, Reported::of(&machine));
            if machine.is_in_doubt() && !told {
                told = true;
                tracing::warn!(bet = ticket.wager.bet, provider = ticket.provider, step = ?machine.step(), "a bet is in doubt");
            }
            if machine.unclear() > unclear {
                let pause = pause_ms(machine.tries(), rand::random());
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
        };
        self.close(route, &ticket, hold, ended).await;
    }

    /// What is left to do when a bet has ended.
    async fn close(&self, route: &Route, ticket: &Ticket, hold: RequestId, ended: Ended) {
        if ended == Ended::Dispute {
            tracing::error!(
                bet = ticket.wager.bet,
                provider = ticket.provider,
                "dispute: provider and ledger ended a bet differently; nothing was moved"
            );
            self.store.put_dispute(&ticket.wager.bet, now());
        }
        self.store.forget_hold(hold);
        self.metrics.ended(&ticket.provider, ended);
        self.finish(&ticket.wager.bet, ended);
        if let Ended::Settled { .. } = ended {
            let (path, body) = ticket.wager.end();
            // The provider's own affair: money does not wait for it.
            let _ = route.caller.post(path, body).await;
        }
    }

    /// Carries out what an operator has decided meanwhile: written down first, so that it holds after a crash, too.
    async fn obey(&self, ticket: &mut Ticket, machine: &mut Machine, hold: RequestId) -> bool {
        let Some(decided) = self.decided.borrow_mut().remove(&ticket.wager.bet) else { return false };
        let (bet, provider) = (ticket.wager.bet.clone(), ticket.provider.clone());
        if !machine.can_be_decided() {
            tracing::warn!(
                bet,
                provider,
                by = decided.by,
                "a decision came too late: the provider's own stands"
            );
            return false;
        }
        let Decided { decision, ref by, ref reason, .. } = decided;
        let mut next = ticket.clone();
        next.decided = Some(decided.clone());
        if let Decision::Settle { payout } = decision {
            next.outcome = Some(payout.to_string());
        }
        let text = serde_json::to_string(&next).unwrap_or_default();
        // In this order: what is durable with the hold is durable.
        self.store.put_decision(&bet, text.clone());
        if self.store.keep_hold(hold, text).await.is_err() {
            tracing::error!(bet, provider, by, "a decision cannot be written down, and is not carried out");
            return false;
        }
        tracing::warn!(bet, provider, ?decision, by, reason, "an operator has decided a bet");
        self.metrics.decided(&provider, decision);
        *ticket = next;
        machine.on(Event::Decided(decision));
        true
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
        if let Some(known) = self.bets.borrow().get(bet) {
            known.reported.send_replace(reported);
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
        let at = now();
        if !route.breaker.borrow().allows(at.millis()) {
            return Event::Unclear;
        }
        let answer = route.caller.post(path, body).await;
        let took = Duration::from_nanos(now().0.saturating_sub(at.0));
        let (status, body) = match answer {
            Ok(answer) => answer,
            Err(error) => {
                self.metrics.called(&ticket.provider, Called::Unanswered, took);
                route.breaker.borrow_mut().failed(now().millis());
                tracing::debug!(%error, bet = ticket.wager.bet, "no answer of a provider");
                return Event::Unclear;
            }
        };
        route.breaker.borrow_mut().answered();
        let heard = ticket.wager.hear(step, status, &body);
        let believed = !matches!(heard, Heard::Doubtful(_));
        let called = if believed { Called::Answered } else { Called::Doubted };
        self.metrics.called(&ticket.provider, called, took);
        match heard {
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
        let Some(Amount(payout)) = ticket.amount(payout) else {
            tracing::error!(bet = ticket.wager.bet, payout, "a payout that cannot be counted exactly");
            return Event::Unclear;
        };
        Event::Outcome { payout }
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
                    self.fence.see(&ticket.provider, code);
                    tracing::warn!(bet = ticket.wager.bet, ?code, "the ledger has not ended a bet yet");
                    Event::LedgerUnclear
                }
            },
        }
    }
}
