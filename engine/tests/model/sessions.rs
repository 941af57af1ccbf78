//! Sessions and their credit meters.
//!
//! In: requests that open, use or end a session. Out: the rows, and the money on the meters.

use cage_engine::field::Rule;
use cage_engine::id::Reference;
use cage_engine::{AssetId, GameId, Operation, PlayerId, ResultCode, Role, SessionId, Timestamp};

use super::books::SessionRow;
use super::{Account, Asked, Checks, Model, Step, refuse_unless};

const SESSIONS_MAX: u128 = 1 << 20;

impl Model {
    /// Sessions as such: opened, revoked, expired.
    pub(super) fn look_at_session_itself(&self, asked: &Asked, c: &mut Checks) {
        match asked.operation {
            Operation::OpenSession { player, token, asset, topup_max, game, expires } => {
                c.look("status", self.may_play(player));
                let open = asset.is_none_or(|asset| self.asset(asset).is_ok());
                c.look("meter's asset", refuse_unless(open, ResultCode::AssetUnknown));
                let fits = asset.is_some() || topup_max.0 == 0;
                c.look("meter", refuse_unless(fits, ResultCode::SessionDiffers));
                c.look("expires", refuse_unless(expires > asked.now, ResultCode::DeadlinePassed));
                let wanted = (player, asset, topup_max.0, expires, game);
                self.look_at_token(token, wanted, c);
            }
            Operation::RevokeSession { player, session } => {
                c.find("session", self.session_of(player, session).map(drop));
            }
            Operation::ExpireSession { player, session } => {
                let row = self.sessions.get(&session);
                let known = (1..=self.sessions_opened).contains(&session.0);
                let own = row.is_some_and(|row| row.player == player);
                let found = refuse_unless(known, ResultCode::SessionUnknown)
                    .and_then(|()| refuse_unless(row.is_some(), ResultCode::SessionEnded))
                    .and_then(|()| refuse_unless(own, ResultCode::SessionDiffers));
                c.find("session", found);
                if let Some(row) = row.filter(|_| own) {
                    c.look("due", refuse_unless(row.expires <= asked.now, ResultCode::HoldNotDue));
                }
            }
            _ => unreachable!("a session"),
        }
    }

    fn look_at_token(
        &self,
        token: Reference,
        wanted: (PlayerId, Option<AssetId>, u128, Timestamp, GameId),
        c: &mut Checks,
    ) {
        let there = self.sessions.values().find(|row| row.token == token);
        let revoked = there.is_some_and(|row| row.revoked);
        c.look("token", refuse_unless(!revoked, ResultCode::SessionEnded));
        let same =
            there.is_none_or(|row| (row.player, row.asset, row.topup_max, row.expires, row.game) == wanted);
        c.look("facts", refuse_unless(same, ResultCode::SessionDiffers));
        let sessions_max = self.rule(Rule::SessionsMax, 0).unwrap_or(SESSIONS_MAX);
        let fits = there.is_some() || (self.sessions.len() as u128) < sessions_max;
        c.look("table", refuse_unless(fits, ResultCode::SessionTableFull));
    }

    /// The open session of this number, if it is this player's.
    pub(super) fn session_of(&self, player: PlayerId, session: SessionId) -> Step<&SessionRow> {
        refuse_unless((1..=self.sessions_opened).contains(&session.0), ResultCode::SessionUnknown)?;
        let row = self.sessions.get(&session).filter(|row| !row.revoked).ok_or(ResultCode::SessionEnded)?;
        refuse_unless(row.player == player, ResultCode::SessionDiffers)?;
        Ok(row)
    }

    /// Whether the player may spend money in this session (0 = in none), on this game if there is one.
    pub(super) fn look_at_session(
        &self,
        player: PlayerId,
        session: SessionId,
        game: Option<GameId>,
        now: Timestamp,
        c: &mut Checks,
    ) {
        let required = self
            .player(player)
            .is_ok_and(|row| self.rule(Rule::SessionsRequired, u64::from(row.brand)).is_some());
        self.look_at_session_if(required, player, session, game, now, c);
    }

    pub(super) fn look_at_session_if(
        &self,
        required: bool,
        player: PlayerId,
        session: SessionId,
        game: Option<GameId>,
        now: Timestamp,
        c: &mut Checks,
    ) {
        if session == SessionId::NONE {
            c.look("session", refuse_unless(!required, ResultCode::SessionRequired));
            return;
        }
        let row = self.sessions.get(&session).filter(|row| !row.revoked);
        let of_game =
            row.is_some_and(|row| row.game == GameId(0) || game.is_none_or(|game| game == row.game));
        let own = self.session_of(player, session).map(drop);
        c.look("session", own.and_then(|()| refuse_unless(of_game, ResultCode::SessionDiffers)));
        let lives = row.is_none_or(|row| row.expires > now);
        c.look("session's time", refuse_unless(lives, ResultCode::SessionExpired));
    }

    pub(super) fn carry_out_session(&mut self, asked: &Asked) -> ResultCode {
        match asked.operation {
            Operation::OpenSession { .. } => return self.open_session(asked),
            Operation::RevokeSession { session, .. } => {
                self.sessions.get_mut(&session).expect("an open session").revoked = true;
            }
            Operation::ExpireSession { session, .. } => {
                self.sessions.remove(&session);
            }
            _ => unreachable!("a session"),
        }
        ResultCode::Done
    }

    fn open_session(&mut self, asked: &Asked) -> ResultCode {
        let Operation::OpenSession { player, token, asset, topup_max, game, expires } = asked.operation
        else {
            unreachable!("open_session")
        };
        if let Some((number, _)) = self.sessions.iter().find(|(_, row)| row.token == token) {
            self.deed.named.session = Some(*number);
            return ResultCode::Existing;
        }
        self.sessions_opened += 1;
        let number = SessionId(self.sessions_opened);
        let row = SessionRow {
            player,
            token,
            asset,
            game,
            expires,
            revoked: false,
            topup_max: topup_max.0,
            topup_left: topup_max.0,
            remainder: 0,
        };
        self.sessions.insert(number, row);
        self.deed.named.session = Some(number);
        ResultCode::Done
    }

    pub(super) fn look_at_meter(&self, asked: &Asked, c: &mut Checks) {
        match asked.operation {
            Operation::AllowanceFund { player, asset, amount, session } => {
                c.look("amount bound", self.amount_bound(asset, amount.0));
                c.look("status", self.may_play(player));
                self.look_at_session_if(true, player, session, None, asked.now, c);
                let metered = self.is_metered(session, asset);
                c.look("meter", refuse_unless(metered, ResultCode::SessionDiffers));
                let owes = self.owed(player, asset) > 0;
                c.look("debt", refuse_unless(!owes, ResultCode::PlayerOwes));
                let left = self.sessions.get(&session).map_or(0, |row| row.topup_left);
                let within = asked.caller.role != Role::Games || amount.0 <= left;
                c.look("top-up", refuse_unless(within, ResultCode::TopupExceeded));
            }
            Operation::AllowanceReturn { player, asset, session, .. } => {
                let own = self.session_of(player, session).map(drop);
                c.find("session", own);
                if own.is_ok() {
                    let metered = self.is_metered(session, asset);
                    c.look("meter", refuse_unless(metered, ResultCode::SessionDiffers));
                }
            }
            _ => unreachable!("a meter"),
        }
    }

    /// What goes onto a meter, off it, or back at the session's end.
    pub(super) fn pay_from_meter(&mut self, asked: &Asked) -> Step {
        match asked.operation {
            Operation::AllowanceFund { player, asset, amount, session } => {
                let (available, allowance) = purses(player, asset);
                self.pay(available, allowance, amount.0)?;
                self.change_meter(session, |remainder| remainder + amount.0);
                if asked.caller.role == Role::Games
                    && let Some(row) = self.sessions.get_mut(&session)
                {
                    row.topup_left = row.topup_left.saturating_sub(amount.0);
                }
                Ok(())
            }
            Operation::AllowanceReturn { player, asset, amount, session } => {
                let remainder = self.sessions[&session].remainder;
                let amount = if amount.0 == 0 { remainder } else { amount.0 };
                refuse_unless(amount <= remainder, ResultCode::InsufficientFunds)?;
                let (available, allowance) = purses(player, asset);
                self.pay(allowance, available, amount)?;
                self.change_meter(session, |remainder| remainder - amount);
                Ok(())
            }
            Operation::RevokeSession { player, session } | Operation::ExpireSession { player, session } => {
                let row = self.sessions[&session].clone();
                let Some(asset) = row.asset else { return Ok(()) };
                let (available, allowance) = purses(player, asset);
                self.pay_if_any(allowance, available, row.remainder)?;
                self.change_meter(session, |_| 0);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn change_meter(&mut self, session: SessionId, change: impl Fn(u128) -> u128) {
        if let Some(row) = self.sessions.get_mut(&session) {
            row.remainder = change(row.remainder);
        }
    }
}

const fn purses(player: PlayerId, asset: AssetId) -> (Account, Account) {
    (Account::Available(asset, player), Account::Allowance(asset, player))
}
