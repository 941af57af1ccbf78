//! Random schedules of everything that can go wrong at once, on a chain in memory.
//!
//! What breaks: what only two faults together can break. Whatever happened, when all is well again the books say what
//! the chain says: each deposit that is on it is credited once, each withdrawal is paid once.

use std::collections::BTreeMap;

use cage_chain::reconcile::{Books, Verdict, reconcile};
use cage_chain::types::{Address, Coin, Quantity};
use cage_client::engine::{Lsn, OperationKind, PlayerId, Purse, RequestId};
use rand::RngExt;
use rand::rngs::StdRng;

use crate::harness::books::{ETH, USD};
use crate::harness::{DEPTH, REORG_MAX, Rig, TOKEN, address, random, scan_of, seed, terms_of, wallet};

const UNIT: u128 = 1_000_000_000;
/// Schedules that are played unless `CAGE_SCHEDULES` says otherwise, and steps of each.
const SCHEDULES: u64 = 100;
const STEPS: u32 = 80;

struct World {
    rig: Rig,
    random: StdRng,
    players: Vec<PlayerId>,
    addresses: u32,
    /// What is to be paid, by destination: each has its own.
    payments: BTreeMap<Address, (u128, RequestId)>,
    /// The file can be lost, or the chain can give up what was final: not both. The bytes of a payment that was settled
    /// and given up lie in that file and nowhere else.
    loses_file: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rig = Rig::new();
        let players: Vec<_> = (0..3).map(|_| rig.books.open_player()).collect();
        rig.chain.pay(&[(wallet().address(), Coin::Native, Quantity::Units(1_000_000 * UNIT))]);
        rig.mine(REORG_MAX as u64 + 2);
        let (addresses, payments, loses_file) = (0, BTreeMap::new(), seed.is_multiple_of(2));
        let mut world = Self { rig, random: random(seed), players, addresses, payments, loses_file };
        world.assign();
        world
    }

    fn assign(&mut self) {
        let player = self.players[self.random.random_range(0..self.players.len())];
        self.rig.books.assign(player);
        self.addresses += 1;
    }

    fn pay(&mut self) {
        let to = |random: &mut StdRng, addresses| {
            let number = random.random_range(0..addresses);
            let (coin, unit) =
                if random.random_range(0..3) == 0 { (Coin::Token(TOKEN), 1) } else { (Coin::Native, UNIT) };
            (
                address(number),
                coin,
                Quantity::Units(random.random_range(0..2_000) * unit + random.random_range(0..2)),
            )
        };
        let count = self.random.random_range(1..4);
        let transfers: Vec<_> = (0..count).map(|_| to(&mut self.random, self.addresses)).collect();
        if self.random.random_range(0..10) == 0 {
            self.rig.chain.pay_in_vain(&transfers);
        } else {
            self.rig.chain.pay(&transfers);
        }
    }

    fn withdraw(&mut self) {
        let player = self.players[self.random.random_range(0..self.players.len())];
        let available = self.rig.available(player, ETH);
        if available == 0 || self.rig.books.purse(player, ETH, Purse::Withdrawing) > 0 {
            return;
        }
        let owes = self.rig.books.house(ETH, Purse::Receivable, 0) != 0;
        if owes {
            return;
        }
        let amount = self.random.random_range(1..=available);
        let mut to = [0xc0; 20];
        to[..8].copy_from_slice(&(self.payments.len() as u64 + 1).to_le_bytes());
        let Some(id) = self.try_withdraw(player, amount, to) else { return };
        self.payments.insert(Address(to), (amount, id));
    }

    /// A player who owes is refused.
    fn try_withdraw(&self, player: PlayerId, amount: u128, to: [u8; 20]) -> Option<RequestId> {
        use cage_client::engine::{Amount, Operation, Role, SessionId};
        let mut destination = [0; 32];
        destination[..20].copy_from_slice(&to);
        let (amount, chain, session) = (Amount(amount), crate::harness::CHAIN, SessionId::NONE);
        let request = Operation::WithdrawRequest { player, asset: ETH, amount, session, chain, destination };
        let asked = self.rig.books.try_as(Role::Frontend, request).ok()?;
        let approve = Operation::WithdrawApprove { player, asset: ETH, withdrawal: asked.id };
        self.rig.books.try_as(Role::Risk, approve).ok()?;
        Some(asked.id)
    }

    fn go_wrong(&mut self) {
        let chance = self.random.random_range(0..7);
        let count = self.random.random_range(1..3);
        match chance {
            0 => self.rig.books.lose_answers(count),
            1 => self.rig.books.lose_questions(count),
            2 => self.rig.chain.faults(|faults| faults.lost_answers = count),
            3 => self.rig.chain.faults(|faults| faults.lost_transactions = count),
            4 => self.rig.chain.faults(|faults| faults.silent = true),
            5 => self.rig.chain.faults(|faults| faults.lag = count as usize),
            _ => self.rig.chain.drop_waiting(),
        }
    }

    fn reorganise(&mut self) {
        let deepest = if self.loses_file { DEPTH as usize - 1 } else { REORG_MAX / 2 };
        let depth = self.random.random_range(1..=deepest);
        let odds = self.random.random_range(0..4);
        let chances: Vec<bool> = (0..64).map(|_| self.random.random_range(0..4) < odds).collect();
        if odds == 0 {
            self.rig.chain.shuffle(depth);
        } else {
            self.rig.chain.reorganise(depth, |one| chances[usize::from(one.id().0[0]) % 64]);
        }
        // It is as deep as it is from the bridge's sight: two in a row must not add up to more than is remembered.
        self.well();
        let _ = self.rig.turn();
        self.rig.settle();
    }

    fn well(&self) {
        self.rig.chain.faults(|faults| *faults = cage_chain::source::scripted::Faults::default());
        self.rig.books.lose_answers(0);
        self.rig.books.lose_questions(0);
    }

    fn step(&mut self) {
        match self.random.random_range(0..20) {
            0 => self.assign(),
            1..=5 => self.pay(),
            6..=7 => self.withdraw(),
            8..=9 => self.go_wrong(),
            10 => self.reorganise(),
            11 => self.rig.kill(),
            12 => self.well(),
            13 if self.loses_file => self.rig.lose_store(),
            14..=16 => drop(self.rig.chain.mine()),
            _ => {}
        }
        if self.random.random_range(0..2) == 0 {
            // It may fail: something is broken on purpose.
            let _ = self.rig.turn();
        }
    }

    /// What the chain says that came in for a player, in ledger units.
    fn deposited(&self, player: PlayerId) -> (u128, u128) {
        let book = self.rig.books.addresses_of(player);
        let mut sums = (0, 0);
        for (to, coin, units) in self.rig.chain.all_received() {
            if !book.iter().any(|number| address(*number) == to) {
                continue;
            }
            match coin {
                Coin::Native if units >= UNIT => sums.0 += units / UNIT,
                Coin::Token(TOKEN) if units >= 100 => sums.1 += units,
                _ => {}
            }
        }
        sums
    }

    fn end(mut self) {
        self.well();
        self.rig.settle();
        // Everything becomes final; what is stuck is replaced; what is owed is collected.
        for _ in 0..3 * DEPTH + 16 {
            self.rig.chain.mine();
            self.rig.settle();
        }
        let sent = self.rig.chain.sent_by(wallet().address());
        for (to, (amount, _)) in &self.payments {
            let payments: Vec<_> = sent.iter().filter(|(_, paid, ..)| paid == to).collect();
            assert!(payments.len() <= 1, "{to} was paid twice: {payments:?}");
            if let [(.., quantity)] = payments[..] {
                assert_eq!(*quantity, Quantity::Units(amount * UNIT), "{to}");
            }
        }
        let settled: u128 = self
            .rig
            .books
            .house(ETH, Purse::WithdrawalClearing, crate::harness::CHAIN)
            .try_into()
            .expect("a sum");
        let out: u128 = sent
            .iter()
            .map(|(.., quantity)| if let Quantity::Units(units) = quantity { *units } else { 0 })
            .sum();
        assert_eq!(settled * UNIT, out, "what is settled is what was paid");
        let (mut ether, mut dollars) = (0, 0);
        for player in self.players.clone() {
            let deposited = self.deposited(player);
            ether += deposited.0;
            dollars += deposited.1;
            assert_eq!(self.rig.available(player, USD), deposited.1, "dollars of {player:?}");
        }
        let credited =
            |asset, rig: &Rig| -rig.books.house(asset, Purse::DepositClearing, crate::harness::CHAIN);
        let whole = |sum: u128| i128::try_from(sum).expect("a sum");
        assert_eq!(credited(ETH, &self.rig), whole(ether), "ether credited and on the chain");
        assert_eq!(credited(USD, &self.rig), whole(dollars), "dollars credited and on the chain");
        let terms = terms_of(&self.rig);
        let mut books = Books::new(crate::harness::CHAIN);
        for (lsn, record) in (1..).zip(self.rig.books.after(Lsn(0))) {
            books.take(Lsn(lsn), &record);
        }
        let report = reconcile(&books, &scan_of(&self.rig, &terms), &terms);
        assert_eq!(report.verdict, Verdict::Clean, "no false alarm: {:?}", report.findings);
        let signed = self.rig.books.count(OperationKind::WithdrawSigned);
        assert!(signed >= sent.len(), "nothing was sent that is not on record");
    }
}

/// W15, and D1 to D8 together.
#[test]
fn whatever_goes_wrong_each_deposit_is_credited_once_and_each_withdrawal_is_paid_once() {
    let first = seed("schedules");
    let count = std::env::var("CAGE_SCHEDULES")
        .map_or(SCHEDULES, |count| count.parse().expect("CAGE_SCHEDULES is a number"));
    for number in 0..count {
        let seed = first.wrapping_add(number);
        println!("schedule {number}: CAGE_SEED={seed} CAGE_SCHEDULES=1");
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step();
        }
        world.end();
    }
}
