//! Carries a call out: asks the ledger, keeps what it said, reads what may be shown.
//!
//! In: calls. Out: what became of them. Never here: a format, a movement that the ledger did not make, an answer that
//! says *refused* when nobody knows.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use cage_client::{Client, Error, Executed};
use cage_engine::{
    Amount, AssetId, Lsn, OperationKind, PlayerId, Reference, RequestId, ResultCode, SessionId, Timestamp,
};
use cage_protocol::Read;

use super::call::{Action, Ask, BetName, Call, Done, Part};
use super::plan::{Planned, Table, plan};
use super::verdict::Verdict;
use crate::config::{Disclosure, Provider};
use crate::fence::Fence;
use crate::limits::LEDGER_TIME_MAX;
use crate::names;
use crate::sessions::Sessions;
use crate::store::{Row, Store, StoreError};
use crate::token::PlayerToken;

/// Where calls are carried out.
#[derive(Debug)]
pub struct Desk {
    client: Client,
    /// For each provider, the same client under the grant for it.
    granted: HashMap<u16, Client>,
    store: Rc<Store>,
    fence: Fence,
    sessions: Rc<Sessions>,
}

/// What the ledger said to one operation.
#[derive(Clone, Copy, Debug)]
struct Said {
    verdict: Verdict,
    code: Option<ResultCode>,
    lsn: Lsn,
    repeated: bool,
    available: Option<i128>,
}

impl Said {
    fn of(outcome: &Result<Executed, Error>) -> Self {
        match outcome {
            Ok(done) => Self {
                verdict: Verdict::of(done.code),
                code: Some(done.code),
                lsn: done.lsn,
                repeated: done.repeated,
                available: done.available.map(|held| held.0),
            },
            Err(error) => {
                let (lsn, repeated) = match error {
                    Error::Refused { lsn, repeated, .. } => (*lsn, *repeated),
                    _ => (Lsn::NONE, false),
                };
                let verdict = Verdict::of_error(error);
                Self { verdict, code: error.code(), lsn, repeated, available: None }
            }
        }
    }
}

/// The time of this machine.
#[must_use]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

fn unreadable(error: &StoreError) -> Done {
    tracing::error!(%error, "the store of transactions cannot be read: callbacks are answered: try again");
    Done::of(Verdict::Unavailable)
}

impl Desk {
    /// One that asks through this client, of role games.
    #[must_use]
    pub fn new(client: &Client, store: Rc<Store>, fence: Fence, sessions: Rc<Sessions>) -> Self {
        let client = client.with_deadline(LEDGER_TIME_MAX);
        Self { client, granted: HashMap::new(), store, fence, sessions }
    }

    /// Acts for a provider under the grant of this number from now on.
    pub fn act_under(&mut self, provider: u16, grant: u64) {
        self.granted.insert(provider, self.client.with_grant(grant));
    }

    /// The client under the grant for a provider.
    #[must_use]
    pub fn client_for(&self, provider: u16) -> Client {
        self.granted.get(&provider).unwrap_or(&self.client).clone()
    }

    fn client_of(&self, provider: &Provider) -> &Client {
        self.granted.get(&provider.number).unwrap_or(&self.client)
    }

    /// Carries a call out.
    pub async fn carry_out(&self, provider: &Provider, call: &Call) -> Done {
        let done = match &call.ask {
            Ask::Balance | Ask::Session => self.look(provider, call).await,
            Ask::Renew => self.renew(provider, call).await,
            Ask::Actions { actions, then_end } => match self.act(provider, call, actions).await {
                Ok(done) => match then_end {
                    Some((round, game)) if done.verdict.is_good() => {
                        self.end(provider, call, done, Action::EndRound { round: *round, game: *game }).await
                    }
                    _ => Ok(done),
                },
                Err(error) => Err(error),
            },
            Ask::Transaction(key) => self.store.get(key.0).map(|row| {
                let verdict = if row.is_some() { Verdict::Applied } else { Verdict::BetUnknown };
                Done { rows: row.map(|row| (key.0, row)).into_iter().collect(), ..Done::of(verdict) }
            }),
            Ask::Round(round) => self.round(*round),
        };
        done.unwrap_or_else(|error| unreadable(&error))
    }

    fn round(&self, round: Reference) -> Result<Done, StoreError> {
        let bets = self.store.bets_of(round)?;
        let verdict = if bets.is_empty() { Verdict::RoundUnknown } else { Verdict::Applied };
        let rows = bets.into_iter().map(|bet| (bet.bet.0, bet.row)).collect();
        Ok(Done { rows, ended: self.store.closed(round)?, ..Done::of(verdict) })
    }

    /// Whether the token is one that was not given up for a new one.
    fn current(&self, token: Option<PlayerToken>) -> Result<Option<PlayerToken>, StoreError> {
        let Some(token) = token else { return Ok(None) };
        self.sessions.alive(token.session);
        Ok((self.store.generation(token.session)? <= token.generation).then_some(token))
    }

    async fn look(&self, provider: &Provider, call: &Call) -> Result<Done, StoreError> {
        let Some(token) = self.current(call.token)? else { return Ok(Done::of(Verdict::SessionGone)) };
        let session = self.client.read(Read::Session { session: token.session }).await;
        let (asset, meter) = match session {
            Ok(Executed { asset, available, .. }) => (asset, available),
            Err(error) => return Ok(Done::of(Verdict::of_error(&error))),
        };
        let asset = match (asset, call.currency) {
            (AssetId::NONE, Some(currency)) => currency.asset,
            (AssetId::NONE, None) => first_asset(provider),
            (asset, Some(currency)) if currency.asset != asset => return Ok(Done::of(Verdict::Currency)),
            (asset, _) => asset,
        };
        let balance = match provider.disclosure {
            Disclosure::Allowance => meter.map(|held| amount(held.0)),
            _ => self.shown(provider, call.player, asset, token.session, None).await,
        };
        let verdict = if balance.is_some() { Verdict::Applied } else { Verdict::Unavailable };
        Ok(Done { balance, asset, ..Done::of(verdict) })
    }

    async fn renew(&self, provider: &Provider, call: &Call) -> Result<Done, StoreError> {
        let done = self.look(provider, call).await?;
        let next = call.token.and_then(|token| Some((token, token.generation.checked_add(1)?)));
        match next {
            Some((token, generation)) if done.verdict.is_good() => {
                self.store.put_generation(token.session, generation);
                Ok(Done { renewed: Some(PlayerToken { generation, ..token }), ..done })
            }
            None if done.verdict.is_good() => Ok(Done { verdict: Verdict::SessionGone, ..done }),
            _ => Ok(done),
        }
    }

    /// What stands in the way of an action before the ledger is asked, as the provider wants it; and the bet of a win.
    fn look_up(&self, action: &Action) -> Result<Result<Reference, Verdict>, StoreError> {
        match *action {
            Action::Win { transaction, bet, round, open_only, .. } => {
                // A repeat is for the bet that the first one was for, whatever was staked since.
                if let Some(row) = self.store.get(transaction.0)? {
                    return Ok(Ok(row.bet));
                }
                if open_only && self.store.closed(round)?.is_some() {
                    return Ok(Err(Verdict::RoundClosed));
                }
                let mut bets = match bet {
                    BetName::Transaction(bet) => return Ok(Ok(bet)),
                    BetName::Tagged(_) | BetName::OfRound => self.store.bets_of(round)?,
                };
                if let BetName::Tagged(tag) = bet {
                    bets.retain(|bet| bet.row.tag == tag);
                }
                let open = bets.iter().rev().find(|bet| !bet.cancelled);
                Ok(open.or_else(|| bets.last()).map(|bet| bet.bet).ok_or(Verdict::BetUnknown))
            }
            Action::Rollback { target, bets_only: true, .. } => {
                let row = self.store.get(target.0)?;
                let is_bet = row.is_none_or(|row| row.kind == OperationKind::Bet);
                Ok(if is_bet { Ok(Reference::default()) } else { Err(Verdict::NotABet) })
            }
            _ => Ok(Ok(Reference::default())),
        }
    }

    async fn act(&self, provider: &Provider, call: &Call, actions: &[Action]) -> Result<Done, StoreError> {
        let stakes = actions.iter().any(|action| matches!(action, Action::Bet { .. }));
        let token = if stakes { self.current(call.token)? } else { call.token };
        if stakes && token.is_none() {
            return Ok(Done::of(Verdict::SessionGone));
        }
        let mut bets = Vec::with_capacity(actions.len());
        for action in actions {
            match self.look_up(action)? {
                Ok(bet) => bets.push(bet),
                Err(verdict) => return self.refused(provider, call, actions, verdict).await,
            }
        }
        let asset = self.asset(provider, call, actions).await?;
        let session = token.map_or(SessionId::NONE, |token| token.session);
        let table = Table { player: call.player, asset, session, reverse_settled: provider.reverse_settled };
        let mint = |tag| names::tagged_id(self.client.mint_id().time(), rand::random(), tag);
        let planned = plan(&table, actions, |place| bets[place], mint);
        let said = self.ask(provider, &planned).await;
        let session = if token.is_some() { session } else { self.session_of(&bets)? };
        self.tell(provider, &table, session, actions, &bets, &planned, &said).await
    }

    /// The session that the bet was made in, where a callback does not say.
    fn session_of(&self, bets: &[Reference]) -> Result<SessionId, StoreError> {
        for bet in bets.iter().filter(|bet| bet.0 != 0) {
            if let Some(row) = self.store.get(bet.0)? {
                return Ok(row.session);
            }
        }
        Ok(SessionId::NONE)
    }

    async fn ask(&self, provider: &Provider, planned: &[Planned]) -> Vec<Said> {
        let client = self.client_of(provider);
        let said = match planned {
            [] => Vec::new(),
            [one] => vec![Said::of(&client.submit_with_id(one.id, one.operation).await)],
            several => {
                let members = several.iter().map(|planned| (planned.id, planned.operation)).collect();
                client.group(members).await.iter().map(Said::of).collect()
            }
        };
        said.iter().for_each(|said| self.fence.see(&provider.name, said.code));
        said
    }

    /// What the provider is told, and what is kept of it.
    #[expect(clippy::too_many_arguments, reason = "all of one call, looked at once")]
    async fn tell(
        &self,
        provider: &Provider,
        table: &Table,
        session: SessionId,
        actions: &[Action],
        bets: &[Reference],
        planned: &[Planned],
        said: &[Said],
    ) -> Result<Done, StoreError> {
        let said = self.as_before(actions, planned, said)?;
        let mut parts =
            vec![Part { verdict: Verdict::Applied, lsn: Lsn::NONE, repeated: false }; actions.len()];
        for (planned, said) in planned.iter().zip(&said) {
            let Said { verdict, lsn, repeated, .. } = *said;
            parts[planned.action] = Part { verdict, lsn, repeated };
        }
        let bad = || said.iter().map(|said| said.verdict).filter(|verdict| !verdict.is_good());
        let culprit = bad().find(|verdict| *verdict != Verdict::OtherRefused).or_else(|| bad().next());
        let mut verdict = culprit.unwrap_or(Verdict::Applied);
        if let [Part { verdict: only, .. }] = parts[..] {
            verdict = only;
        }
        if said.iter().any(|said| said.code == Some(ResultCode::SessionDiffers)) {
            verdict = self.what_differs(session, table.asset).await;
        }
        let kept = self.kept(actions, &said)?;
        let moved = said.iter().rev().find_map(|said| said.available);
        let balance = match (kept, verdict) {
            (Some(shown), _) => shown,
            (None, Verdict::Unavailable) => None,
            (None, _) => self.shown(provider, table.player, table.asset, session, moved).await,
        };
        for (planned, said) in planned.iter().zip(&said) {
            let action = &actions[planned.action];
            if let Some((key, row)) =
                row(table, session, action, bets[planned.action], planned.id, said, balance)
            {
                self.store.put_own(key, row)?;
            }
        }
        Ok(Done { parts, balance, asset: table.asset, ..Done::of(verdict) })
    }

    /// What was said, with what was said before in its place where that was the same: a refusal that the ledger writes
    /// down anew each time, or a group that was refused, which it does not know again as a whole.
    fn as_before(
        &self,
        actions: &[Action],
        planned: &[Planned],
        said: &[Said],
    ) -> Result<Vec<Said>, StoreError> {
        let mut all = said.to_vec();
        for (planned, said) in planned.iter().zip(&mut all) {
            let Some(code) = said.code.filter(|code| !code.is_executed()) else { continue };
            let action = &actions[planned.action];
            let row = action.key().map_or(Ok(None), |key| self.store.get(key))?;
            let regrouped = code == ResultCode::GroupDiffers;
            let Some(row) = row.filter(|row| row.code == code || regrouped && is_refusal_of(row, action))
            else {
                continue;
            };
            let verdict = Verdict::of(row.code);
            *said = Said { verdict, code: Some(row.code), lsn: row.lsn, repeated: true, available: None };
        }
        // What went down with it before goes down with it now.
        let others = |said: &Said| said.code == Some(ResultCode::GroupDiffers);
        if all.iter().any(|said| !others(said)) {
            for said in all.iter_mut().filter(|said| others(said)) {
                said.verdict = Verdict::OtherRefused;
                said.repeated = true;
            }
        }
        Ok(all)
    }

    /// What was shown when all of this was answered before.
    fn kept(&self, actions: &[Action], said: &[Said]) -> Result<Option<Option<Amount>>, StoreError> {
        if said.is_empty() || !said.iter().all(|said| said.repeated) {
            return Ok(None);
        }
        for key in actions.iter().rev().filter_map(Action::key) {
            if let Some(row) = self.store.get(key)? {
                // A row that was found in the log says nothing of what was shown.
                return Ok(row.shown.map(Some));
            }
        }
        Ok(None)
    }

    /// A session that does not fit: its asset, or anything else.
    async fn what_differs(&self, session: SessionId, asset: AssetId) -> Verdict {
        match self.client.read(Read::Session { session }).await {
            Ok(read) if read.asset != AssetId::NONE && read.asset != asset => Verdict::Currency,
            _ => Verdict::SessionGone,
        }
    }

    /// Refused before the ledger was asked; the balance is shown all the same.
    async fn refused(
        &self,
        provider: &Provider,
        call: &Call,
        actions: &[Action],
        verdict: Verdict,
    ) -> Result<Done, StoreError> {
        let asset = self.asset(provider, call, actions).await?;
        let session = call.token.map_or(SessionId::NONE, |token| token.session);
        let balance = self.shown(provider, call.player, asset, session, None).await;
        Ok(Done { balance, asset, ..Done::of(verdict) })
    }

    /// In what a call is, if it does not say: what the session, or the transaction that is undone, is in.
    async fn asset(
        &self,
        provider: &Provider,
        call: &Call,
        actions: &[Action],
    ) -> Result<AssetId, StoreError> {
        if let Some(currency) = call.currency {
            return Ok(currency.asset);
        }
        for action in actions {
            if let Action::Rollback { target, .. } = action
                && let Some(row) = self.store.get(target.0)?
            {
                return Ok(row.asset);
            }
        }
        if let Some(token) = call.token
            && let Ok(read) = self.client.read(Read::Session { session: token.session }).await
            && read.asset != AssetId::NONE
        {
            return Ok(read.asset);
        }
        Ok(first_asset(provider))
    }

    /// What the provider is shown as the balance; nothing if it cannot be read now.
    async fn shown(
        &self,
        provider: &Provider,
        player: PlayerId,
        asset: AssetId,
        session: SessionId,
        moved: Option<i128>,
    ) -> Option<Amount> {
        match provider.disclosure {
            Disclosure::Zero => return Some(Amount::ZERO),
            Disclosure::Allowance if session == SessionId::NONE => return Some(Amount::ZERO),
            Disclosure::Allowance => {
                return match self.client.read(Read::Session { session }).await {
                    Ok(read) if read.asset == asset => read.available.map(|held| amount(held.0)),
                    Ok(_) => Some(Amount::ZERO),
                    // What has ended holds nothing any more.
                    Err(Error::Refused { .. }) => Some(Amount::ZERO),
                    Err(_) => None,
                };
            }
            Disclosure::Capped(_) | Disclosure::Balance => {}
        }
        let held = match moved {
            Some(held) => held,
            None => self.client.balances(player, asset).await.ok()?.available.0,
        };
        match provider.disclosure {
            Disclosure::Capped(most) => Some(Amount(amount(held).0.min(most))),
            _ => Some(amount(held)),
        }
    }

    /// Ends a round after what was done in it. That it cannot be ended, or is already, changes nothing.
    async fn end(
        &self,
        provider: &Provider,
        call: &Call,
        done: Done,
        end: Action,
    ) -> Result<Done, StoreError> {
        let table = Table {
            player: call.player,
            asset: done.asset,
            session: SessionId::NONE,
            reverse_settled: false,
        };
        let planned = plan(&table, &[end], |_| Reference::default(), |_| self.client.mint_id());
        for said in self.ask(provider, &planned).await {
            if said.verdict == Verdict::Unavailable {
                return Ok(Done { verdict: Verdict::Unavailable, balance: None, ..done });
            }
            if let (Action::EndRound { round, .. }, Some(ResultCode::Done)) = (end, said.code) {
                self.store.put_closed(round, said.lsn, now());
            }
        }
        Ok(done)
    }
}

fn amount(held: i128) -> Amount {
    Amount(u128::try_from(held).unwrap_or(0))
}

fn first_asset(provider: &Provider) -> AssetId {
    provider.currencies.values().next().map_or(AssetId::NONE, |currency| currency.asset)
}

/// Whether a row is the refusal of this very action.
fn is_refusal_of(row: &Row, action: &Action) -> bool {
    let same = match *action {
        Action::Bet { stake, round, game, .. } => (row.amount, row.round, row.game) == (stake, round, game),
        Action::Win { amount, round, .. } => (row.amount, row.round) == (amount, round),
        Action::Rollback { target, .. } => row.bet == target,
        Action::Prize { amount, .. } | Action::Jackpot { amount, .. } => row.amount == amount,
        Action::EndRound { .. } => false,
    };
    same && !row.code.is_executed()
}

/// What is kept of an answer that is a record of the log.
fn row(
    table: &Table,
    session: SessionId,
    action: &Action,
    bet: Reference,
    id: RequestId,
    said: &Said,
    shown: Option<Amount>,
) -> Option<(u128, Row)> {
    let code = said.code.filter(|code| code.is_recorded() && said.lsn != Lsn::NONE)?;
    // A member of a group that was refused for another one may come again by itself.
    if code == ResultCode::GroupRefused {
        return None;
    }
    let (kind, game, amount, bet, round, ends_round) = match *action {
        Action::Bet { transaction, stake, round, game, ends_round, .. } => {
            (OperationKind::Bet, game, stake, transaction, round, ends_round)
        }
        Action::Win { amount, round, game, ends_round, .. } => {
            (OperationKind::Win, game, amount, bet, round, ends_round)
        }
        Action::Rollback { target, game, .. } => {
            (OperationKind::Rollback, game, Amount::ZERO, target, Reference::default(), false)
        }
        Action::Prize { amount, game, .. } => {
            (OperationKind::PromoCredit, game, amount, Reference::default(), Reference::default(), false)
        }
        Action::Jackpot { amount, game, .. } => {
            (OperationKind::JackpotWin, game, amount, Reference::default(), Reference::default(), false)
        }
        Action::EndRound { .. } => return None,
    };
    let key = action.key()?;
    let tag = if kind == OperationKind::Bet { names::tag_of(id) } else { 0 };
    Some((
        key,
        Row {
            kind,
            code,
            lsn: said.lsn,
            decided: now(),
            player: table.player,
            asset: table.asset,
            game,
            session,
            amount,
            bet,
            round,
            tag,
            ends_round,
            shown,
        },
    ))
}
