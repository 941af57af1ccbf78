//! Operations as scenes ask for them: in ether, on one game, without a session, unless they are changed.

use cage_engine::{
    Amount, AssetId, Expiry, LimitKind, LockReason, Operation, Period, PlayerId, Reference, Request,
    RequestId, SessionId, Status, Timestamp,
};

use super::{ETH, Ledger, PLAY};

pub(crate) const NO_SESSION: SessionId = SessionId(0);
/// The chain that scenes use.
pub(crate) const CHAIN: u32 = 1;

/// The same, with some fields changed.
pub(crate) fn changed(operation: Operation, change: impl FnOnce(&mut Request)) -> Operation {
    let mut request = operation.request(RequestId(1));
    change(&mut request);
    Operation::try_from(&request).expect("a changed operation is one still")
}

pub(crate) fn in_session(operation: Operation, session: SessionId) -> Operation {
    changed(operation, |request| request.session = session)
}

pub(crate) const fn deposit(player: PlayerId, amount: u128) -> Operation {
    Operation::DepositCredit {
        player,
        asset: ETH,
        amount: Amount(amount),
        chain: CHAIN,
        locked: None,
        turnover: Amount::ZERO,
    }
}

pub(crate) const fn transfer(from: PlayerId, to: PlayerId, amount: u128) -> Operation {
    Operation::Transfer { from, to, asset: ETH, amount: Amount(amount), session: NO_SESSION }
}

pub(crate) const fn reserve_until(
    player: PlayerId,
    stake: u128,
    payout_max: u128,
    expiry: Expiry,
) -> Operation {
    Operation::Reserve {
        player,
        asset: ETH,
        stake: Amount(stake),
        payout_max: Amount(payout_max),
        game: PLAY,
        session: NO_SESSION,
        round: None,
        expiry,
    }
}

pub(crate) const fn reserve_in(player: PlayerId, stake: u128, payout_max: u128, round: u128) -> Operation {
    Operation::Reserve {
        player,
        asset: ETH,
        stake: Amount(stake),
        payout_max: Amount(payout_max),
        game: PLAY,
        session: NO_SESSION,
        round: Some(Reference(round)),
        expiry: Expiry::Never,
    }
}

pub(crate) const fn bet(player: PlayerId, stake: u128, bet: u128, round: u128) -> Operation {
    Operation::Bet {
        player,
        asset: ETH,
        stake: Amount(stake),
        bet: Reference(bet),
        game: PLAY,
        session: NO_SESSION,
        payout_max: Amount(10 * stake),
        round: Reference(round),
        ends_round: false,
    }
}

pub(crate) const fn bet_win(
    player: PlayerId,
    stake: u128,
    payout: u128,
    bet: u128,
    round: u128,
) -> Operation {
    Operation::BetWin {
        player,
        asset: ETH,
        stake: Amount(stake),
        bet: Reference(bet),
        game: PLAY,
        session: NO_SESSION,
        payout: Amount(payout),
        round: Reference(round),
        ends_round: false,
    }
}

pub(crate) const fn win(player: PlayerId, amount: u128, bet: u128) -> Operation {
    Operation::Win {
        player,
        asset: ETH,
        amount: Amount(amount),
        bet: Reference(bet),
        game: PLAY,
        target: cage_engine::Lsn::NONE,
        round: None,
        ends_round: false,
    }
}

/// The last win of its round.
pub(crate) fn last_win(player: PlayerId, amount: u128, bet: u128) -> Operation {
    changed(win(player, amount, bet), |win| win.ends_round = true)
}

pub(crate) const fn rollback(player: PlayerId, target: u128) -> Operation {
    refund(player, 0, target)
}

/// A rollback of a part; 0 = of all.
pub(crate) const fn refund(player: PlayerId, amount: u128, target: u128) -> Operation {
    Operation::Rollback {
        player,
        asset: ETH,
        amount: Amount(amount),
        target: Reference(target),
        game: PLAY,
        target_lsn: cage_engine::Lsn::NONE,
        reverse_settled: false,
        round: None,
    }
}

/// A rollback of a bet even if it has won.
pub(crate) fn reverse(player: PlayerId, target: u128) -> Operation {
    changed(rollback(player, target), |rollback| rollback.detail.0[8] = 1)
}

pub(crate) const fn end_round(player: PlayerId, round: u128) -> Operation {
    let (algorithm, proof) = (0, [0; 30]);
    Operation::EndRound { player, asset: ETH, round: Reference(round), game: PLAY, algorithm, proof }
}

/// The end of a round whose outcome can be proved.
pub(crate) const fn proved(player: PlayerId, round: u128, algorithm: u16, proof: [u8; 30]) -> Operation {
    Operation::EndRound { player, asset: ETH, round: Reference(round), game: PLAY, algorithm, proof }
}

pub(crate) const fn void_round(player: PlayerId, round: u128, order: Option<RequestId>) -> Operation {
    Operation::VoidRound { player, asset: ETH, round: Reference(round), game: PLAY, order, reason: 7 }
}

pub(crate) const fn withdraw(player: PlayerId, amount: u128) -> Operation {
    Operation::WithdrawRequest {
        player,
        asset: ETH,
        amount: Amount(amount),
        session: NO_SESSION,
        chain: CHAIN,
        destination: [0xde; 32],
    }
}

pub(crate) const fn approve(player: PlayerId, withdrawal: RequestId) -> Operation {
    Operation::WithdrawApprove { player, asset: ETH, withdrawal }
}

pub(crate) const fn sign(
    player: PlayerId,
    withdrawal: RequestId,
    slot: u128,
    transaction: u128,
) -> Operation {
    Operation::WithdrawSigned {
        player,
        asset: ETH,
        withdrawal,
        chain: CHAIN,
        cost_max: Amount(3),
        slot,
        transaction,
    }
}

/// Paid by a transaction that begins with these 16 bytes.
pub(crate) fn paid(player: PlayerId, withdrawal: RequestId, transaction: u128) -> Operation {
    let mut hash = [0xff; 32];
    hash[..16].copy_from_slice(&transaction.to_le_bytes());
    Operation::WithdrawSettle { player, asset: ETH, withdrawal, chain: CHAIN, transaction: hash }
}

pub(crate) const fn give_up(player: PlayerId, withdrawal: RequestId) -> Operation {
    Operation::WithdrawCancel { player, asset: ETH, withdrawal }
}

pub(crate) const fn release(player: PlayerId, withdrawal: RequestId) -> Operation {
    Operation::WithdrawRelease { player, asset: ETH, withdrawal, chain: CHAIN, evidence: [0xe5; 32] }
}

pub(crate) const fn lock(player: PlayerId, amount: u128, reason: LockReason) -> Operation {
    Operation::Lock { player, asset: ETH, amount: Amount(amount), reason }
}

pub(crate) const fn unlock(player: PlayerId, amount: u128, reason: LockReason) -> Operation {
    Operation::Unlock { player, asset: ETH, amount: Amount(amount), chain: 0, reason }
}

pub(crate) const fn collect(player: PlayerId, amount: u128) -> Operation {
    Operation::Collect { player, asset: ETH, amount: Amount(amount) }
}

pub(crate) const fn take_back(player: PlayerId, amount: u128, deposit: RequestId) -> Operation {
    Operation::DepositReverse {
        player,
        asset: ETH,
        amount: Amount(amount),
        deposit: Reference(deposit.0),
        chain: CHAIN,
    }
}

pub(crate) const fn set_status(player: PlayerId, status: Status) -> Operation {
    Operation::SetStatus { player, status, reason: 3 }
}

pub(crate) const fn kyc_hold(player: PlayerId, held: bool) -> Operation {
    let (text, text_rest) = (Reference(0x7e87), 0x7e88);
    Operation::SetKycHold { player, text, text_rest, reason: 6, held }
}

pub(crate) const fn set_limit(player: PlayerId, kind: LimitKind, period: Period, value: u128) -> Operation {
    Operation::SetLimit { player, kind, period, remove: false, value: Amount(value) }
}

pub(crate) const fn adjust(player: PlayerId, amount: u128, debit: bool) -> Operation {
    Operation::Adjust {
        player,
        asset: ETH,
        amount: Amount(amount),
        text: Reference(0x7e87),
        text_rest: 0x7e88,
        reason: 4,
        debit,
    }
}

pub(crate) const fn session(player: PlayerId, token: u128, expires: Timestamp) -> Operation {
    Operation::OpenSession {
        player,
        token: Reference(token),
        asset: None,
        topup_max: Amount::ZERO,
        game: cage_engine::GameId(0),
        expires,
    }
}

/// A session with a credit meter in ether.
pub(crate) const fn metered(player: PlayerId, token: u128, expires: Timestamp, topup_max: u128) -> Operation {
    Operation::OpenSession {
        player,
        token: Reference(token),
        asset: Some(ETH),
        topup_max: Amount(topup_max),
        game: cage_engine::GameId(0),
        expires,
    }
}

pub(crate) const fn fund(player: PlayerId, amount: u128, session: SessionId) -> Operation {
    Operation::AllowanceFund { player, asset: ETH, amount: Amount(amount), session }
}

pub(crate) const fn unfund(player: PlayerId, amount: u128, session: SessionId) -> Operation {
    Operation::AllowanceReturn { player, asset: ETH, amount: Amount(amount), session }
}

pub(crate) const fn contribute(asset: AssetId, base: u128, pool: u32, rate_ppm: u32) -> Operation {
    Operation::JackpotContribute { asset, base: Amount(base), game: PLAY, bet: None, pool, rate_ppm }
}

pub(crate) const fn jackpot_win(player: PlayerId, amount: u128, pool: u32) -> Operation {
    Operation::JackpotWin {
        player,
        asset: ETH,
        amount: Amount(amount),
        game: PLAY,
        bet: None,
        pool,
        shown: amount,
    }
}

pub(crate) const fn freerounds(player: PlayerId, count: u32, expires: Timestamp) -> Operation {
    Operation::FreeroundGrant { player, asset: ETH, bet_value: Amount(5), game: PLAY, count, expires }
}

pub(crate) const fn consume(player: PlayerId, grant: RequestId, count: u32) -> Operation {
    Operation::FreeroundConsume { player, grant, session: NO_SESSION, game: PLAY, count }
}

impl Ledger {
    /// Opens a session and gives its number.
    pub(crate) fn open_session(&mut self, session: &Operation) -> SessionId {
        assert_eq!(self.ask(session), cage_engine::ResultCode::Done);
        self.latest().request.session
    }

    /// Asks under an id of the scene's own: a provider's transaction or a permanent key.
    pub(crate) fn ask_key(&mut self, key: u128, operation: &Operation) -> cage_engine::ResultCode {
        self.ask_under(RequestId(key), operation)
    }
}
