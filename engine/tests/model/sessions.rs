//! Sessions and their credit meters.
//!
//! In: requests that open, use or end a session. Out: the rows, and the money on the meters.

use cage_engine::field::Rule;
use cage_engine::{AssetId, GameId, Operation, PlayerId, ResultCode, SessionId, Timestamp};

use super::books::SessionRow;
use super::{Account, Asked, Model, Step, refuse_unless};

const SESSIONS_MAX: u128 = 1 << 20;

impl Model {
    pub(super) fn open_session(&mut self, asked: &Asked) -> Step<ResultCode> {
        let Operation::OpenSession { player, token, asset, topup_max, game, expires } = asked.operation else {
            unreachable!("open_session")
        };
        self.may_play(player)?;
        match asset {
            Some(asset) => drop(self.asset(asset)?),
            None => refuse_unless(topup_max.0 == 0, ResultCode::SessionDiffers)?,
        }
        refuse_unless(expires > asked.now, ResultCode::DeadlinePassed)?;
        let wanted = (player, asset, topup_max.0, expires, game);
        if let Some((number, row)) = self.sessions.iter().find(|(_, row)| row.token == token) {
            let same = (row.player, row.asset, row.topup_max, row.expires, row.game) == wanted;
            refuse_unless(same, ResultCode::SessionDiffers)?;
            self.deed.named.session = Some(*number);
            return Ok(ResultCode::Existing);
        }
        let sessions_max = self.rule(Rule::SessionsMax, 0).unwrap_or(SESSIONS_MAX);
        refuse_unless((self.sessions.len() as u128) < sessions_max, ResultCode::SessionTableFull)?;
        self.sessions_opened += 1;
        let number = SessionId(self.sessions_opened);
        let row = SessionRow {
            player,
            token,
            asset,
            game,
            expires,
            topup_max: topup_max.0,
            topup_left: topup_max.0,
            remainder: 0,
        };
        self.sessions.insert(number, row);
        self.deed.named.session = Some(number);
        Ok(ResultCode::Done)
    }

    /// The open session of this number, if it is this player's.
    pub(super) fn session_of(&self, player: PlayerId, session: SessionId) -> Step<&SessionRow> {
        refuse_unless((1..=self.sessions_opened).contains(&session.0), ResultCode::SessionUnknown)?;
        let row = self.sessions.get(&session).ok_or(ResultCode::SessionEnded)?;
        refuse_unless(row.player == player, ResultCode::SessionDiffers)?;
        Ok(row)
    }

    /// Whether the player may spend money in this session (0 = in none).
    pub(super) fn session_fits(
        &self,
        player: PlayerId,
        session: SessionId,
        game: Option<GameId>,
        now: Timestamp,
    ) -> Step {
        if session == SessionId::NONE {
            let brand = self.player(player)?.brand;
            let required = self.rule(Rule::SessionsRequired, u64::from(brand)).is_some();
            return refuse_unless(!required, ResultCode::SessionRequired);
        }
        let row = self.session_of(player, session)?;
        refuse_unless(row.expires > now, ResultCode::SessionExpired)?;
        let fits = row.game == GameId(0) || game.is_none_or(|game| game == row.game);
        refuse_unless(fits, ResultCode::SessionDiffers)
    }

    /// Ends a session; what is on its meter becomes available.
    pub(super) fn end_session(&mut self, player: PlayerId, session: SessionId) -> Step<ResultCode> {
        let row = self.session_of(player, session)?.clone();
        if let Some(asset) = row.asset {
            let (allowance, available) = (Account::Allowance(asset, player), Account::Available(asset, player));
            self.pay_if_any(allowance, available, row.remainder)?;
        }
        self.sessions.remove(&session);
        Ok(ResultCode::Done)
    }

    pub(super) fn allowance_fund(&mut self, asked: &Asked) -> Step<ResultCode> {
        let Operation::AllowanceFund { player, asset, amount, session } = asked.operation else {
            unreachable!("allowance_fund")
        };
        self.amount_bound(asset, amount.0)?;
        self.may_play(player)?;
        refuse_unless(session != SessionId::NONE, ResultCode::SessionRequired)?;
        self.session_fits(player, session, None, asked.now)?;
        self.metered(session, asset)?;
        self.pay(Account::Available(asset, player), Account::Allowance(asset, player), amount.0)?;
        self.change_meter(session, |remainder| remainder + amount.0);
        Ok(ResultCode::Done)
    }

    pub(super) fn allowance_return(&mut self, asked: &Asked) -> Step<ResultCode> {
        let Operation::AllowanceReturn { player, asset, amount, session } = asked.operation else {
            unreachable!("allowance_return")
        };
        let remainder = self.session_of(player, session)?.remainder;
        self.metered(session, asset)?;
        let amount = if amount.0 == 0 { remainder } else { amount.0 };
        refuse_unless(amount <= remainder, ResultCode::InsufficientFunds)?;
        self.pay(Account::Allowance(asset, player), Account::Available(asset, player), amount)?;
        self.change_meter(session, |remainder| remainder - amount);
        Ok(ResultCode::Done)
    }

    /// Whether the session has a meter in this asset.
    fn metered(&self, session: SessionId, asset: AssetId) -> Step {
        let fits = self.sessions.get(&session).is_some_and(|row| row.asset == Some(asset));
        refuse_unless(fits, ResultCode::SessionDiffers)
    }

    fn change_meter(&mut self, session: SessionId, change: impl Fn(u128) -> u128) {
        let row = self.sessions.get_mut(&session).expect("an open session");
        row.remainder = change(row.remainder);
    }
}
