//! A log with every kind of record in it, executed, and some refusals.

use cage_engine::{
    Amount, Expiry, LimitKind, LockReason, Lsn, Operation, OperationKind, Period, Reference, RequestId,
    ResultCode, Role, Rule, SessionId, Status, Timestamp,
};

use super::ask::{
    adjust, approve, bet, bet_win, changed, collect, consume, contribute, deposit, end_round, freerounds,
    fund, give_up, in_session, jackpot_win, kyc_hold, lock, metered, paid, refund, release, reserve_in,
    reserve_until, rollback, session, set_limit, set_status, sign, take_back, transfer, unfund, unlock,
    void_round, win, withdraw,
};
use super::{ALICE, BOB, CHAIN_COIN, ETH, HOUR, Ledger, PLAY, POOL, START};

use ResultCode::{Done, LimitNear, OneMore, Shortfall, Tombstoned};

/// A second identity.
const CHECKER: u32 = 0xc4ec;

impl Ledger {
    pub(crate) fn of_every_kind() -> Self {
        let mut scene = Self::open().watched();
        scene.houses();
        scene.money_in_and_out();
        scene.sessions_and_limits();
        scene.holds();
        scene.bets();
        scene.promotions();
        scene.imports();
        scene.groups();
        scene.checks();
        scene.by_itself();
        let digest = Operation::StateDigest { digest: scene.state.digest() };
        assert_eq!(scene.ask_under(RequestId::NONE, &digest), Done);
        scene.replayed();
        for kind in OperationKind::ALL {
            let executed =
                |record: &&cage_engine::Record| record.request.kind == *kind && record.result.is_executed();
            assert!(scene.records.iter().any(|record| executed(&record)), "{} is not in it", kind.name());
        }
        scene
    }

    /// A little later, under an id of the ledger's time.
    fn does(&mut self, operation: &Operation, code: ResultCode) -> RequestId {
        self.now = Timestamp(self.now.0 + 1_234_567);
        let id = self.new_id();
        assert_eq!(self.ask_under(id, operation), code, "{operation:?}");
        id
    }

    fn does_under(&mut self, key: u128, operation: &Operation, code: ResultCode) -> RequestId {
        self.now = Timestamp(self.now.0 + 1_234_567);
        assert_eq!(self.ask_under(RequestId(key), operation), code, "{operation:?}");
        RequestId(key)
    }

    fn houses(&mut self) {
        self.trust(Role::Operator, ETH, 1_000_000);
        self.trust(Role::Cashier, ETH, 1_000_000);
        self.does(&Operation::Grant { venue: 0x00ff_ee00 }, Done);
        let coin = self.open_asset_of("SAT", 8, Amount(1 << 60));
        assert_eq!(coin, CHAIN_COIN);
        self.set_rule(Rule::ReferenceAsset, 0, u128::from(ETH.0));
        self.set_rule(Rule::SecondApprovalFrom, u64::from(ETH.0), 300);
        self.set_rule(Rule::WithdrawFee, u64::from(ETH.0), 5);
        self.set_rule(Rule::Importing, u64::from(ETH.0), 1 << 100);
        self.set_rule(Rule::LateCorrectionMax, u64::from(ETH.0), 1 << 100);
        self.does(&Operation::PublishRate { asset: coin, price: Amount(100_000_000_000_000_000) }, Done);
    }

    fn money_in_and_out(&mut self) {
        let credit = deposit(ALICE, 10_000);
        let credit = self.does_under(0xfeed_face_dead_beef_0102_0304_0506_0708, &credit, Done);
        self.does(&transfer(ALICE, BOB, 2_500), Done);
        self.does(&transfer(ALICE, BOB, 999_999), ResultCode::InsufficientFunds);
        self.does(&Operation::AssignAddress { player: ALICE, chain: 1, fresh: false }, Done);
        self.does(&lock(ALICE, 40, LockReason::Review), Done);
        self.does(&unlock(ALICE, 30, LockReason::Review), Done);
        self.does_under(0xdead_0001, &take_back(ALICE, 100, credit), Done);
        let bank = Operation::Chargeback {
            player: ALICE,
            asset: ETH,
            amount: Amount(9_900),
            deposit: Reference(credit.0),
            chain: 1,
            reason: 12,
        };
        self.does_under(0xdead_0002, &bank, Shortfall);
        assert_eq!(self.owed(ALICE), 9_900 - 7_390);
        let write_off = Operation::WriteOff {
            player: ALICE,
            asset: ETH,
            amount: Amount(530),
            text: Reference(0x7e87),
            reason: 2,
        };
        self.does(&write_off, Done);
        let locked = changed(deposit(ALICE, 900), |request| request.detail.0[0] = LockReason::Review as u8);
        self.does_under(0xdead_0003, &locked, Done);
        self.does_under(0xdead_0004, &deposit(ALICE, 6_000), Done);
        self.does(&collect(ALICE, 1_500), Done);
        assert_eq!(self.do_due(), [OperationKind::AutoCollect]);
        // Paid, with two approvals; cancelled; released.
        let first = self.does(&withdraw(ALICE, 300), Done);
        self.does(&approve(ALICE, first), OneMore);
        self.now = Timestamp(self.now.0 + 1);
        let second = self.new_id();
        assert_eq!(self.ask_by(Role::Approver, CHECKER, second, &approve(ALICE, first)), Done);
        self.does_under(0xdead_0005, &sign(ALICE, first, 0x510, 0x7a11), Done);
        self.does_under(0xdead_0006, &paid(ALICE, first, 0x7a11), Done);
        let cancelled = self.does(&withdraw(ALICE, 20), Done);
        self.does(&give_up(ALICE, cancelled), Done);
        let stuck = self.does(&withdraw(ALICE, 21), Done);
        self.does(&approve(ALICE, stuck), Done);
        self.does_under(0xdead_0007, &sign(ALICE, stuck, 0x511, 0x7a12), Done);
        self.does(&release(ALICE, stuck), Done);
        let exchange = Operation::Exchange {
            player: ALICE,
            asset: ETH,
            amount: Amount(1_000),
            session: SessionId(0),
            to: CHAIN_COIN,
            at_least: Amount(1),
        };
        self.does(&exchange, Done);
        let proposal = self.does_under(0xdead_0008, &adjust(ALICE, 77, false), Done);
        let approval = |adjustment| Operation::AdjustApprove { player: ALICE, asset: ETH, adjustment };
        let same = self.new_id();
        assert_eq!(
            self.ask_by(Role::Approver, super::ACTOR, same, &approval(proposal)),
            ResultCode::SameIdentity
        );
        let other = self.new_id();
        assert_eq!(self.ask_by(Role::Approver, CHECKER, other, &approval(proposal)), Done);
        let proposal = self.does_under(0xdead_0009, &adjust(ALICE, 78, true), Done);
        self.does(&Operation::AdjustReject { player: ALICE, asset: ETH, adjustment: proposal }, Done);
    }

    fn sessions_and_limits(&mut self) {
        let ends = START.plus_millis(HOUR);
        self.does(&session(ALICE, 0x70c1, ends), Done);
        self.does(&metered(BOB, 0x70c2, ends, 50), Done);
        let meter = SessionId(2);
        self.does(&fund(BOB, 100, meter), Done);
        self.does(&unfund(BOB, 30, meter), Done);
        // The meter holds 70; what is lacking is topped up, which makes a third leg.
        self.does(&in_session(bet_win(BOB, 90, 10, 0xb001, 0x40d1), meter), Done);
        assert_eq!(self.latest().request.kind, OperationKind::Continue);
        self.does(&Operation::RevokeSession { player: ALICE, session: SessionId(1) }, Done);
        self.does(&set_limit(BOB, LimitKind::Wager, Period::Day, 10_000), Done);
        self.does(&Operation::DisableGame { game: cage_engine::GameId::new(5, 5), disabled: true }, Done);
        self.does(&set_status(ALICE, Status::WagerBlocked), Done);
        self.does(&bet(ALICE, 1, 0xb002, 0x40d2), ResultCode::WagerBlocked);
        self.does(&set_status(ALICE, Status::Active), Done);
    }

    fn holds(&mut self) {
        let deadline = START.plus_millis(HOUR / 2);
        self.does(&reserve_until(BOB, 500, 1_500, Expiry::Release(deadline)), Done);
        let settled = self.does(&self.reserve(BOB, 500, 1_500), Done);
        let cancelled = self.does(&reserve_in(BOB, 500, 1_500, 0x40d3), Done);
        let settle = |stake, payout| Operation::Settle {
            player: BOB,
            asset: ETH,
            hold: settled,
            stake: Amount(stake),
            payout: Amount(payout),
        };
        self.does(&settle(200, 700), Done);
        self.does(&settle(301, 0), ResultCode::StakeOverRemaining);
        self.does(&settle(300, 0), Done);
        self.does(&Operation::Cancel { player: BOB, asset: ETH, hold: cancelled }, Done);
        let never = self.new_id();
        self.does(&Operation::Cancel { player: BOB, asset: ETH, hold: never }, Tombstoned);
        self.does_under(never.0, &self.reserve(BOB, 500, 1_500), ResultCode::CancelledBefore);
    }

    fn bets(&mut self) {
        self.does(&bet(ALICE, 50, 0xb003, 0x40d4), Done);
        self.does_under(0xb004, &win(ALICE, 120, 0xb003), Done);
        self.does_under(0xb005, &win(ALICE, 0, 0xb003), Done);
        self.does(&end_round(ALICE, 0x40d4), Done);
        self.does(&bet(ALICE, 60, 0xb006, 0x40d5), Done);
        self.does_under(0xb007, &refund(ALICE, 20, 0xb006), Done);
        self.does_under(0xb008, &rollback(ALICE, 0xb006), Done);
        self.does_under(0xb009, &rollback(ALICE, 0xb00a), Tombstoned);
        self.does(&bet(ALICE, 60, 0xb00a, 0x40d5), ResultCode::CancelledBefore);
        let from = self.latest_lsn();
        self.does(&bet(ALICE, 70, 0xb00b, 0x40d6), Done);
        let bet_lsn = self.latest_lsn();
        self.does_under(0xb00c, &win(ALICE, 90, 0xb00b), Done);
        let order = Operation::VoidPeriod {
            asset: ETH,
            amount: Amount(200),
            text: Reference(0x7e87),
            game: PLAY,
            from,
            to: self.latest_lsn(),
            count: 2,
        };
        let order = self.does(&order, Done);
        self.does(&void_round(ALICE, 0x40d6, Some(order)), Done);
        let correction = Operation::LateCorrection {
            player: ALICE,
            asset: ETH,
            amount: Amount(11),
            transaction: Reference(0xb00f),
            game: PLAY,
            original: bet_lsn,
            debit: false,
            reason: 9,
            order: Some(order),
        };
        // Who gave the order asks as well: that is no second identity, and the day's sum has room.
        self.does_under(0xb00f, &correction, Done);
        self.does(&bet(ALICE, 10, 0xb00d, 0x40d7), Done);
    }

    fn promotions(&mut self) {
        let prize = Operation::PromoCredit {
            player: ALICE,
            asset: ETH,
            amount: Amount(44),
            game: PLAY,
            campaign: Some(Reference(0xca3b)),
            house_paid: true,
            turnover: Amount(20),
        };
        self.does_under(0xdead_000b, &prize, Done);
        self.does(&contribute(ETH, 1_234, POOL, 15_000), Done);
        let seed = Operation::JackpotAdjust {
            asset: ETH,
            amount: Amount(400),
            text: Reference(0x7e87),
            pool: POOL,
            debit: false,
            reason: 1,
            text_rest: 0x7e88,
        };
        self.does_under(0xdead_000c, &seed, Done);
        self.does_under(0xdead_000d, &jackpot_win(ALICE, 500, POOL), Shortfall);
        let ends = START.plus_millis(HOUR);
        let grant = self.does(&freerounds(ALICE, 10, ends), Done);
        self.does(&consume(ALICE, grant, 4), Done);
        self.does(&Operation::FreeroundExpire { player: ALICE, grant, game: PLAY }, Done);
        self.does(&freerounds(ALICE, 3, ends), Done);
    }

    fn imports(&mut self) {
        let balance = Operation::ImportBalance {
            player: BOB,
            asset: ETH,
            amount: Amount(33),
            locked: Some(LockReason::Unconfirmed),
            turnover: Amount(5),
        };
        self.does_under(0xdead_000e, &balance, Done);
        let open = Operation::ImportBet {
            player: BOB,
            asset: ETH,
            stake: Amount(6),
            bet: Reference(0xb0b1),
            game: PLAY,
            payout_max: Amount(60),
            round: Reference(0x40d8),
        };
        self.does_under(0xdead_000f, &open, Done);
        let hold = Operation::ImportHold {
            player: BOB,
            asset: ETH,
            stake: Amount(7),
            hold: RequestId::from_time(START, 0x1d),
            game: PLAY,
            payout_max: Amount(70),
            expiry: Expiry::Never,
        };
        self.does_under(0xdead_0010, &hold, Done);
        let ended = Operation::ImportReference {
            player: BOB,
            asset: ETH,
            bet: Reference(0xb0b2),
            game: PLAY,
            was: cage_engine::PastTransaction::UndoneBet,
        };
        self.does_under(0xdead_0011, &ended, Done);
        let usage = Operation::ImportUsage {
            player: BOB,
            kind: LimitKind::Wager,
            period: Period::Day,
            value: Amount(8_400),
        };
        self.does_under(0xdead_0012, &usage, Done);
        self.does(&bet(BOB, 1, 0xb00e, 0x40d9), LimitNear);
    }

    fn groups(&mut self) {
        self.pass_millis(1);
        let (one, other) = (self.new_id(), self.new_id());
        let staked = (one, bet(ALICE, 10, 0xb010, 0x40da));
        let won = (RequestId(0xb011), win(ALICE, 15, 0xb010));
        assert_eq!(self.ask_group(&[staked, won]), [Done, Done]);
        let staked = (other, bet(ALICE, 10, 0xb012, 0x40da));
        let lost = (RequestId(0xb013), win(ALICE, 15, 0xb0ff));
        let codes = self.ask_group(&[staked, lost]);
        assert_eq!(codes, [ResultCode::GroupRefused, ResultCode::HoldUnknown]);
    }

    fn checks(&mut self) {
        self.does(&kyc_hold(ALICE, true), Done);
        self.does(&withdraw(ALICE, 1), ResultCode::KycHold);
        self.does(&kyc_hold(ALICE, false), Done);
        self.does(&kyc_hold(BOB, true), Done);
    }

    /// All that the ledger does by itself, in the order of time.
    fn by_itself(&mut self) {
        self.now = START.plus_millis(72 * HOUR);
        let done = self.do_due();
        for kind in [
            OperationKind::Expire,
            OperationKind::CloseRound,
            OperationKind::ExpireSession,
            OperationKind::FreeroundLapse,
        ] {
            assert!(done.contains(&kind), "{} in {done:?}", kind.name());
        }
        assert_eq!(self.state.next_due(), None);
        assert_ne!(self.latest_lsn(), Lsn::NONE);
    }
}
