//! What was due and the ledger refused: it stands aside for a while, so that what is due behind it goes on.
//!
//! In: what was refused, and when. Out: what may be tried again. Such a refusal is a fault of the ledger or of its
//! memory. It is told aloud each time and never given up; bets and payments do not stop for it.

use std::collections::VecDeque;

use cage_engine::{Due, Operation, ResultCode, Timestamp};

use crate::limits::SET_ASIDE_MILLIS;

/// What came of a look at what is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DueOutcome {
    /// Everything that was due is done.
    Done,
    /// Nothing is left that could be done now; something was refused, and stands aside.
    Refused,
    /// More is due: a step does no more at once, or the log has no room.
    More,
}

/// What stands aside, and until when. All wait equally long, so that the first to go is the first to come back.
#[derive(Debug, Default)]
pub(super) struct SetAside {
    waiting: VecDeque<(Timestamp, Due)>,
}

impl SetAside {
    /// Sets something aside.
    pub(super) fn put(&mut self, now: Timestamp, due: Due) {
        self.waiting.push_back((now.plus_millis(SET_ASIDE_MILLIS), due));
    }

    /// The next that has waited long enough.
    pub(super) fn back(&mut self, now: Timestamp) -> Option<Due> {
        let (until, due) = *self.waiting.front()?;
        (until <= now).then(|| self.waiting.pop_front())?;
        Some(due)
    }

    /// When the next one comes back.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.waiting.front().map(|(until, _)| *until)
    }
}

/// Refusals of one step: one line tells of them all.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    count: u64,
    first: Option<(Operation, ResultCode)>,
}

impl Refusals {
    pub(super) fn add(&mut self, operation: Operation, code: ResultCode) {
        self.count += 1;
        self.first.get_or_insert((operation, code));
    }

    /// Tells of them, if there are any; says whether there are.
    pub(super) fn tell(&self, all: u64) -> bool {
        let Some((operation, code)) = self.first else { return false };
        tracing::error!(
            count = self.count,
            since_start = all,
            first = ?operation,
            code = code.name(),
            meaning = code.meaning(),
            again_in_millis = SET_ASIDE_MILLIS,
            "THE LEDGER REFUSED WHAT IS DUE: it stands aside and is tried again; its money stays where it is; audit the log"
        );
        true
    }
}

#[cfg(test)]
mod tests {
    use cage_engine::{Admitted, decide};
    use cage_engine::{
        Amount, AssetCode, AssetId, CallerId, Decision, Expiry, GameId, Leg, Operation, PlayerClass,
        PlayerId, RequestId, ResultCode, Role, SessionId, Settings, Timestamp,
    };
    use cage_wal::{Callbacks, Identity, LogHandle};
    use std::slice;
    use tempfile::TempDir;

    use super::super::Sequencer;
    use super::{DueOutcome, SET_ASIDE_MILLIS};
    use crate::data::DataDir;
    use crate::recovery;

    const ASSET: AssetId = AssetId(1);
    const ALICE: PlayerId = PlayerId::from_index(0);
    const BOB: PlayerId = PlayerId::from_index(1);
    const START: Timestamp = Timestamp::from_millis(1_750_000_000_000);
    const STAKE: u128 = 10;

    struct Books {
        sequencer: Sequencer,
        now: Timestamp,
        ids: u128,
        _log: LogHandle,
        _dir: TempDir,
    }

    impl Books {
        /// A ledger with two players who have money.
        fn open() -> Self {
            let dir = tempfile::tempdir().expect("a folder");
            let found = recovery::recover(&DataDir::new(dir.path(), None), None).expect("an empty log");
            let identity = Identity::from_os().expect("random numbers");
            let opened = found.log.open(recovery::log_options(), identity, Callbacks::none());
            let (writer, log) = opened.expect("a log");
            let sequencer = Sequencer::new(found.state, writer);
            let mut books = Self { sequencer, now: START, ids: 0, _log: log, _dir: dir };
            books.sequencer.configure(START, Settings::DEFAULT).expect("settings");
            let code = AssetCode::new("ETH").expect("a code");
            let asset =
                Operation::OpenAsset { code, scale: 18, transfers: false, amount_max: Amount(1 << 60) };
            books.ask(Role::Operator, asset);
            for (player, caller) in [(ALICE, 1), (BOB, 2)] {
                let (brand, jurisdiction, class) = (1, 1, PlayerClass::Real);
                let caller_id = CallerId(caller);
                books.ask(Role::Frontend, Operation::OpenPlayer { caller_id, brand, jurisdiction, class });
                let deposit = Operation::DepositCredit {
                    player,
                    asset: ASSET,
                    amount: Amount(1_000),
                    chain: 1,
                    turnover: Amount::ZERO,
                    locked: None,
                };
                books.ask(Role::Cashier, deposit);
            }
            books
        }

        fn decided(&mut self, role: Role, operation: Operation) -> Decision {
            self.ids += 1;
            let request = operation.request(RequestId::from_time(self.now, self.ids));
            let admitted = Admitted { request, role, actor: 7, grant: 0, received: self.now };
            decide(self.sequencer.state(), self.now, &admitted)
        }

        fn ask(&mut self, role: Role, operation: Operation) {
            let decision = self.decided(role, operation);
            let code = decision.records().first().map(|record| record.result);
            assert_eq!(code, Some(ResultCode::Done), "{operation:?}");
            self.sequencer.append(slice::from_ref(&decision));
        }

        /// A stake that is released by time; `moved` is what really leaves the player's available money for it.
        fn reserve(&mut self, player: PlayerId, deadline: Timestamp, moved: u128) {
            let reserve = Operation::Reserve {
                player,
                asset: ASSET,
                stake: Amount(STAKE),
                payout_max: Amount(0),
                game: GameId::new(1, 7),
                session: SessionId(0),
                round: None,
                expiry: Expiry::Release(deadline),
            };
            let Decision::Record(decided) = self.decided(Role::Games, reserve) else { panic!("a record") };
            let mut record = cage_engine::Record::new(
                decided.request,
                decided.result,
                decided.role,
                decided.actor,
                decided.decided,
            );
            record.previous = decided.previous;
            let leg = decided.legs()[0];
            let error = moved as i128 - STAKE as i128;
            record.push_leg(Leg {
                amount: Amount(moved),
                debit_after: cage_engine::Balance(leg.debit_after.0 - error),
                credit_after: cage_engine::Balance(leg.credit_after.0 + error),
                ..leg
            });
            self.sequencer.append(&[Decision::Record(record)]);
        }

        fn do_due_at(&mut self, now: Timestamp) -> DueOutcome {
            self.now = now;
            self.sequencer.do_due(now)
        }

        fn times_refused(&self) -> u64 {
            self.sequencer.counts().set_aside
        }

        fn holds(&self) -> usize {
            self.sequencer.state().hold_count()
        }
    }

    #[test]
    fn what_is_due_and_refused_stands_aside_and_stops_nothing() {
        let mut books = Books::open();
        let (first, second, third) =
            (START.plus_millis(1_000), START.plus_millis(1_001), START.plus_millis(2_000));
        // As after a bad sector of memory: of Alice's ten, one is in the purse that they are released from.
        books.reserve(ALICE, first, 1);
        books.reserve(BOB, second, STAKE);
        books.reserve(BOB, third, STAKE);
        let records = books.sequencer.state().next_lsn().0;
        assert_eq!(books.do_due_at(second), DueOutcome::Refused);
        assert_eq!(
            (books.times_refused(), books.holds()),
            (1, 2),
            "Bob's was due behind it, and is released"
        );
        assert_eq!(books.sequencer.state().next_lsn().0, records + 1, "nobody asked, so no record says no");
        assert_eq!(books.sequencer.next_due(), Some(third), "nothing is to be done before");
        assert_eq!(books.do_due_at(second), DueOutcome::Done, "not tried again at once");
        assert_eq!(books.do_due_at(third), DueOutcome::Done);
        let again = second.plus_millis(SET_ASIDE_MILLIS);
        assert_eq!((books.times_refused(), books.holds(), books.sequencer.next_due()), (1, 1, Some(again)));
        assert_eq!(books.do_due_at(Timestamp(again.0 - 1)), DueOutcome::Done);
        assert_eq!(books.do_due_at(again), DueOutcome::Refused);
        assert_eq!((books.times_refused(), books.holds()), (2, 1), "tried again, and told again");
        // Now the purse has it.
        books.reserve(ALICE, again.plus_millis(3_600_000), 2 * STAKE);
        assert_eq!(books.do_due_at(again.plus_millis(SET_ASIDE_MILLIS)), DueOutcome::Done);
        assert_eq!((books.times_refused(), books.holds()), (2, 1), "released in the end");
    }

    #[test]
    fn what_stands_aside_and_is_ended_in_another_way_does_not_come_back() {
        let mut books = Books::open();
        let deadline = START.plus_millis(1_000);
        books.reserve(ALICE, deadline, 1);
        let hold = RequestId::from_time(START, books.ids);
        assert_eq!(books.do_due_at(deadline), DueOutcome::Refused);
        books.now = deadline;
        books.reserve(ALICE, deadline.plus_millis(3_600_000), 2 * STAKE);
        let expire = Operation::Expire { player: ALICE, asset: ASSET, hold };
        assert_eq!(books.sequencer.internal(deadline, expire), ResultCode::Done);
        assert_eq!(books.do_due_at(deadline.plus_millis(SET_ASIDE_MILLIS)), DueOutcome::Done);
        assert_eq!((books.times_refused(), books.holds()), (1, 1));
        assert_eq!(books.sequencer.next_due(), Some(deadline.plus_millis(3_600_000)));
    }
}
