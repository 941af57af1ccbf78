//! What differs between ledger and chain is found, by its own name; what does not is not.
//!
//! What breaks: a fault that nobody is told of, a false alarm that stops payments, a lie that is called clean.

use cage_chain::deposits::credit_key;
use cage_chain::reconcile::{Books, Code, Report, Scan, Severity, Terms, Verdict, reconcile};
use cage_chain::types::{Address, Coin, Outflow, Quantity, TransactionId};
use cage_chain::withdrawals::prefix;
use cage_client::engine::{
    Amount, AssetId, Lsn, Operation, OperationKind, PlayerId, Record, Reference, RequestId, ResultCode, Role,
    Rule,
};

use crate::harness::books::{ETH, USD};
use crate::harness::{CHAIN, DEPTH, Rig, TOKEN, address, scan_of, terms_of, wallet};

const UNIT: u128 = 1_000_000_000;

/// A history in which everything happened once: deposits of both coins, a reversal, payments that were settled, failed,
/// and are open.
struct Case {
    records: Vec<Record>,
    scan: Scan,
    terms: Terms,
    owed: u128,
}

impl Case {
    fn honest() -> Self {
        let mut rig = Rig::new();
        let (alice, bob) = (rig.books.open_player(), rig.books.open_player());
        rig.books.set_rule(Rule::WithdrawFee, u64::from(ETH.0), 2);
        for player in [alice, bob] {
            rig.books.assign(player);
        }
        rig.chain.pay(&[
            (wallet().address(), Coin::Native, Quantity::Units(10_000 * UNIT)),
            (wallet().address(), Coin::Token(TOKEN), Quantity::Units(10_000)),
        ]);
        rig.pay(0, Coin::Native, 100 * UNIT + 7);
        rig.pay(1, Coin::Native, 200 * UNIT);
        rig.pay(1, Coin::Token(TOKEN), 300);
        rig.pay(0, Coin::Token(TOKEN), 5);
        rig.mine(DEPTH);
        // One that is taken back, and does not come again.
        rig.pay(1, Coin::Native, 9 * UNIT);
        rig.mine(DEPTH);
        rig.chain.reorganise(DEPTH as usize, |_| false);
        rig.mine(12);
        let pay = |rig: &mut Rig, player: PlayerId, asset: AssetId, amount, to| {
            let id = rig.books.withdraw(player, asset, amount, [to; 20]);
            rig.books.approve(player, asset, id);
            rig.settle();
            id
        };
        pay(&mut rig, alice, ETH, 10, 1);
        pay(&mut rig, bob, USD, 40, 2);
        rig.mine(DEPTH + 1);
        rig.chain.faults(|faults| faults.failing = 1);
        pay(&mut rig, alice, ETH, 20, 3);
        rig.mine(DEPTH + 1);
        // Open, and not approved.
        rig.books.withdraw(bob, ETH, 30, [4; 20]);
        rig.mine(3);
        let records = rig.books.after(Lsn(0));
        let terms = terms_of(&rig);
        let scan = scan_of(&rig, &terms);
        Self { records, scan, terms, owed: 100 + 200 - 10 }
    }

    fn report(&self) -> Report {
        let mut books = Books::new(CHAIN);
        for (number, record) in (1..).zip(&self.records) {
            books.take(Lsn(number), record);
        }
        books.set_liabilities(ETH, self.owed);
        reconcile(&books, &self.scan, &self.terms)
    }

    fn of(&self, kind: OperationKind) -> usize {
        let is_it = |record: &Record| record.request.kind == kind && record.result.is_executed();
        self.records.iter().position(is_it).unwrap_or_else(|| panic!("no {kind:?}"))
    }

    fn record(&mut self, kind: OperationKind) -> &mut Record {
        let place = self.of(kind);
        &mut self.records[place]
    }

    fn forget(&mut self, kind: OperationKind) {
        let place = self.of(kind);
        self.records.remove(place);
    }

    /// Adds a record that moves nothing.
    fn write(&mut self, id: RequestId, operation: &Operation) {
        let now = self.records[0].decided;
        self.records.push(Record::new(operation.request(id), ResultCode::Done, Role::Chain, 7, now));
    }

    /// The first outflow that did what it should.
    fn outflow(&mut self) -> &mut Outflow {
        &mut self.scan.outflows.iter_mut().find(|(_, outflow)| outflow.succeeded).expect("an outflow").1
    }

    /// The place of the inflow of so many units.
    fn inflow(&self, units: u128) -> usize {
        let is_it = |inflow: &cage_chain::types::Inflow| inflow.quantity == Quantity::Units(units);
        self.scan.inflows.iter().position(|(_, inflow)| is_it(inflow)).expect("an inflow")
    }

    /// The withdrawal that nobody has approved.
    fn open(&self) -> RequestId {
        let mut requests =
            self.records.iter().filter(|record| record.request.kind == OperationKind::WithdrawRequest);
        requests.next_back().expect("a request").request.id
    }
}

/// R1, R5
#[test]
fn an_honest_history_is_clean_and_its_report_is_the_same_each_time() {
    let case = Case::honest();
    let report = case.report();
    assert_eq!((report.verdict, report.findings.as_slice()), (Verdict::Clean, [].as_slice()));
    assert!(report.compared > 5 && report.holdings.len() == 2, "{report:?}");
    assert_eq!(report.digest(), case.report().digest());
}

type Plant = fn(&mut Case);

/// R2: each fault with the name that it must be found under.
const PLANTED: &[(Code, Plant)] = &[
    (Code::MissingCredit, |case| case.forget(OperationKind::DepositCredit)),
    (Code::PhantomCredit, |case| {
        let place = case.inflow(200 * UNIT);
        case.scan.inflows.remove(place);
    }),
    (Code::PhantomCredit, |case| case.record(OperationKind::DepositCredit).request.id.0 ^= 1),
    (Code::DuplicateCredit, |case| {
        let id = case.scan.inflows[case.inflow(200 * UNIT)].1.id;
        let first = credit_key("eip155:31337", &id, 0);
        let mut again = *case.records.iter().find(|record| record.request.id == first).expect("its credit");
        again.request.id = credit_key("eip155:31337", &id, 1);
        case.records.push(again);
    }),
    (Code::WrongAmount, |case| case.record(OperationKind::DepositCredit).request.amount.0 += 1),
    (Code::ClearingDiffers, |case| case.record(OperationKind::DepositCredit).request.amount.0 -= 1),
    (Code::WrongAmount, |case| {
        let place = case.inflow(200 * UNIT);
        case.scan.inflows[place].1.quantity = Quantity::Units(5);
    }),
    (Code::WrongAmount, |case| {
        let place = case.inflow(300);
        case.scan.inflows[place].1.quantity = Quantity::TooGreat;
    }),
    (Code::WrongAsset, |case| case.record(OperationKind::DepositCredit).request.asset = USD),
    (Code::WrongPlayer, |case| {
        let other = case.records.iter().rev().find(|record| record.request.kind == OperationKind::OpenPlayer);
        let other = other.expect("a player").request.player;
        let credits =
            case.records.iter_mut().filter(|record| record.request.kind == OperationKind::DepositCredit);
        credits.for_each(|record| record.request.player = other);
    }),
    (Code::EarlyCredit, |case| {
        let (place, tip) = (case.inflow(200 * UNIT), case.scan.tips.latest);
        case.scan.inflows[place].0 = tip;
    }),
    (Code::WrongReversal, |case| {
        let id = case.scan.inflows[case.inflow(200 * UNIT)].1.id;
        let deposit = Reference(credit_key("eip155:31337", &id, 0).0);
        let player =
            case.records.iter().find(|record| record.request.id.0 == deposit.0).expect("it").request.player;
        let (asset, amount, chain) = (ETH, Amount(200), CHAIN);
        case.write(RequestId(1), &Operation::DepositReverse { player, asset, amount, deposit, chain });
    }),
    (Code::UnexplainedOutflow, |case| {
        let (block, mut outflow) = *case.scan.outflows.last().expect("an outflow");
        (outflow.transaction, outflow.slot) = (TransactionId([9; 32]), outflow.slot + 1);
        case.scan.outflows.push((block, outflow));
    }),
    (Code::UnexplainedOutflow, |case| case.forget(OperationKind::WithdrawSigned)),
    (Code::DoublePayment, |case| {
        let first = *case.outflow();
        let mut second = first;
        (second.transaction, second.slot) = (TransactionId([9; 32]), 90);
        let mut signed = *case.record(OperationKind::WithdrawSigned);
        signed.request.detail.0[16..].copy_from_slice(&prefix(second.transaction).to_le_bytes());
        case.records.push(signed);
        let block = case.scan.tips.latest;
        case.scan.outflows.push((block, second));
    }),
    (Code::SettledUnpaid, |case| case.outflow().succeeded = false),
    (Code::SettledUnpaid, |case| {
        case.scan.outflows.remove(0);
    }),
    (Code::SettledUnpaid, |case| case.record(OperationKind::WithdrawSettle).request.detail.0[31] ^= 1),
    (Code::WrongPayment, |case| {
        let moved = case.outflow().moved.as_mut().expect("a transfer");
        moved.0 = Address([0x66; 20]);
    }),
    (Code::WrongPayment, |case| {
        let moved = case.outflow().moved.as_mut().expect("a transfer");
        moved.2 = Quantity::Units(1);
    }),
    (Code::WrongPayment, |case| {
        let moved = case.outflow().moved.as_mut().expect("a transfer");
        moved.1 = Coin::Token(Address([0x66; 20]));
    }),
    (Code::WrongPayment, |case| case.outflow().moved = None),
    (Code::WrongPayment, |case| case.forget(OperationKind::SetRule)),
    (Code::PaidAfterRelease, |case| {
        let failed = case.scan.outflows.iter_mut().find(|(_, outflow)| !outflow.succeeded);
        failed.expect("a failed one").1.succeeded = true;
    }),
    (Code::UnsettledPayment, |case| case.forget(OperationKind::WithdrawSettle)),
    (Code::SlotGap, |case| case.scan.outflows.last_mut().expect("an outflow").1.slot += 1),
    (Code::SlotGap, |case| {
        case.scan.outflows.remove(1);
    }),
    (Code::LostHold, |case| {
        let (id, player) = (case.open(), case.records.last().expect("a record").request.player);
        case.write(RequestId(1), &Operation::WithdrawCancel { player, asset: ETH, withdrawal: id });
    }),
    (Code::LostHold, |case| {
        let place =
            case.records.iter().rposition(|record| record.request.kind == OperationKind::WithdrawRequest);
        case.records[place.expect("a request")].request.amount.0 -= 1;
    }),
    (Code::ClearingDiffers, |case| {
        let (id, player) = (case.open(), case.records.last().expect("a record").request.player);
        let (asset, transaction, chain) = (ETH, [0; 32], CHAIN);
        let settle = Operation::WithdrawSettle { player, asset, withdrawal: id, chain, transaction };
        case.write(RequestId(1), &settle);
    }),
    (Code::UnexplainedInflow, |case| {
        *case.scan.holdings.get_mut(&address(1)).expect("it").get_mut(&Coin::Native).expect("it") += 1;
    }),
    (Code::UnexplainedInflow, |case| {
        *case
            .scan
            .holdings
            .get_mut(&wallet().address())
            .expect("it")
            .get_mut(&Coin::Token(TOKEN))
            .expect("it") += 1;
    }),
    (Code::MissingFunds, |case| {
        *case.scan.holdings.get_mut(&wallet().address()).expect("it").get_mut(&Coin::Native).expect("it") -=
            1;
    }),
    (Code::MissingFunds, |case| {
        *case.scan.holdings.get_mut(&address(1)).expect("it").get_mut(&Coin::Token(TOKEN)).expect("it") -= 1;
    }),
    (Code::Insolvent, |case| case.owed = 10_301),
    (Code::TokenChanged, |case| case.scan.tokens.get_mut(&TOKEN).expect("it").decimals = Some(18)),
    (Code::TokenChanged, |case| case.scan.tokens.get_mut(&TOKEN).expect("it").code[0] ^= 1),
    (Code::StaleWithdrawal, |case| {
        let (id, player) = (case.open(), case.records.last().expect("a record").request.player);
        case.write(RequestId(1), &Operation::WithdrawApprove { player, asset: ETH, withdrawal: id });
        case.scan.tips.latest.time_s = case.records[0].decided.0 / 1_000_000_000 + case.terms.open_max_s + 1;
    }),
];

/// R2
#[test]
fn each_planted_fault_is_found_by_its_name() {
    for (number, (code, plant)) in PLANTED.iter().enumerate() {
        let mut case = Case::honest();
        plant(&mut case);
        let report = case.report();
        assert_eq!(report.verdict, Verdict::Differences, "plant {number}");
        let found = report.findings.iter().find(|finding| finding.code == *code);
        let found =
            found.unwrap_or_else(|| panic!("plant {number}: {code:?} is not among {:?}", report.findings));
        assert!(!found.references.is_empty(), "plant {number}");
        assert_eq!(
            report.is_critical(),
            report.findings.iter().any(|one| one.severity == Severity::Critical)
        );
    }
    let kinds: std::collections::BTreeSet<_> = PLANTED.iter().map(|(code, _)| *code).collect();
    println!("{} faults planted under {} names", PLANTED.len(), kinds.len());
}

/// R3
#[test]
fn what_was_not_seen_is_never_called_clean() {
    let mut case = Case::honest();
    case.scan.unseen.push("two endpoints of three".to_owned());
    assert_eq!(case.report().verdict, Verdict::Incomplete);
    case.forget(OperationKind::DepositCredit);
    assert_eq!(case.report().verdict, Verdict::Differences);
}

/// What was signed after the position can be on the chain already: that is no difference.
#[test]
fn a_payment_that_was_signed_after_the_position_is_no_difference() {
    let case = Case::honest();
    let place = case.of(OperationKind::WithdrawSigned);
    let mut books = Books::new(CHAIN);
    for (number, record) in (1..).zip(&case.records[..place]) {
        books.take(Lsn(number), record);
    }
    let mut without = books.clone();
    without.set_liabilities(ETH, 300);
    let codes = |books: &Books| {
        reconcile(books, &case.scan, &case.terms)
            .findings
            .iter()
            .map(|finding| finding.code)
            .collect::<Vec<_>>()
    };
    assert!(codes(&without).contains(&Code::UnexplainedOutflow));
    case.records[place..].iter().for_each(|record| books.take_later(record));
    assert_eq!(codes(&books), []);
}
