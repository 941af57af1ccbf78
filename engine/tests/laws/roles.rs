//! Who may ask for what: a table written by hand from the rules of the house, cell by cell.

use cage_engine::field::Slot;
use cage_engine::{
    Amount, Answer, AssetId, Decision, GameId, Operation, OperationKind, PlayerId, Request, RequestId,
    ResultCode, Role, Rule, SessionId, decide,
};

use crate::ledger::ask::{CHAIN, changed, metered};
use crate::ledger::{ALICE, ETH, HOUR, Ledger, PLAY, admitted};

use OperationKind as Kind;

/// A letter for each role that may, as in the columns of [`ROLES`].
const ROLES: [(char, Role); 10] = [
    ('y', Role::System),
    ('f', Role::Frontend),
    ('c', Role::Cashier),
    ('g', Role::Games),
    ('n', Role::Chain),
    ('r', Role::Risk),
    ('o', Role::Operator),
    ('a', Role::Approver),
    ('u', Role::Auditor),
    ('s', Role::Support),
];

/// Who may; and of these who only up to a bound.
const MATRIX: [(Kind, &str, &str); 63] = [
    (Kind::Configure, "y", ""),
    (Kind::StateDigest, "y", ""),
    (Kind::Continue, "y", ""),
    (Kind::SetRule, "o", ""),
    (Kind::PublishRate, "or", ""),
    (Kind::Grant, "gn", ""),
    (Kind::OpenAsset, "o", ""),
    (Kind::OpenPlayer, "fo", ""),
    (Kind::SetStatus, "fro", ""),
    (Kind::SetKycHold, "ro", ""),
    (Kind::OpenSession, "fg", ""),
    (Kind::RevokeSession, "fgro", ""),
    (Kind::SetLimit, "fr", ""),
    (Kind::DisableGame, "or", ""),
    (Kind::ExpireSession, "y", ""),
    (Kind::DepositCredit, "nc", ""),
    (Kind::DepositReverse, "nc", ""),
    (Kind::Chargeback, "c", ""),
    (Kind::AssignAddress, "fc", ""),
    (Kind::Collect, "oc", ""),
    (Kind::WriteOff, "o", "o"),
    (Kind::Lock, "r", ""),
    (Kind::Unlock, "rnc", ""),
    (Kind::WithdrawRequest, "fc", ""),
    (Kind::WithdrawApprove, "ra", ""),
    (Kind::WithdrawSigned, "n", ""),
    (Kind::WithdrawSettle, "n", ""),
    (Kind::WithdrawCancel, "fcr", ""),
    (Kind::WithdrawRelease, "an", ""),
    (Kind::AutoCollect, "y", ""),
    (Kind::ImportBalance, "o", ""),
    (Kind::ImportBet, "o", ""),
    (Kind::ImportHold, "o", ""),
    (Kind::ImportReference, "o", ""),
    (Kind::ImportUsage, "o", ""),
    (Kind::Transfer, "f", ""),
    (Kind::Exchange, "f", ""),
    (Kind::Adjust, "o", "o"),
    (Kind::AdjustApprove, "a", ""),
    (Kind::AdjustReject, "ao", ""),
    (Kind::PromoCredit, "gc", "c"),
    (Kind::JackpotContribute, "g", ""),
    (Kind::JackpotWin, "g", ""),
    (Kind::JackpotAdjust, "o", "o"),
    (Kind::FreeroundGrant, "goc", ""),
    (Kind::FreeroundConsume, "gf", ""),
    (Kind::FreeroundExpire, "go", ""),
    (Kind::FreeroundLapse, "y", ""),
    (Kind::AllowanceFund, "fg", ""),
    (Kind::AllowanceReturn, "fg", ""),
    (Kind::Reserve, "gf", ""),
    (Kind::Settle, "g", ""),
    (Kind::Cancel, "g", ""),
    (Kind::Expire, "y", ""),
    (Kind::Bet, "g", ""),
    (Kind::Win, "g", ""),
    (Kind::BetWin, "g", ""),
    (Kind::Rollback, "g", ""),
    (Kind::EndRound, "g", ""),
    (Kind::CloseRound, "y", ""),
    (Kind::VoidRound, "go", ""),
    (Kind::VoidPeriod, "o", ""),
    (Kind::LateCorrection, "go", ""),
];

#[test]
fn every_role_may_do_what_the_house_lets_it_and_nothing_else() {
    for kind in OperationKind::ALL {
        let rows: Vec<_> = MATRIX.iter().filter(|(of, _, _)| of == kind).collect();
        let [(_, may, bounded)] = rows[..] else { panic!("{}: {} rows", kind.name(), rows.len()) };
        for (letter, role) in ROLES {
            let spec = kind.spec();
            let cell = format!("{} by {}", kind.name(), role.name());
            assert_eq!(spec.roles.contains(role), may.contains(letter), "{cell}");
            assert_eq!(spec.capped.contains(role), bounded.contains(letter), "{cell}, up to a bound");
        }
    }
    assert_eq!(MATRIX.len(), OperationKind::ALL.len());
}

/// What a permit is asked for: `p` the game's provider, `h` that of the hold, `s` that of the
/// session's game, `c` the chain; `1` an asset, `2` both;
/// `a` the amount is bounded, `w` the payout as well. Written by hand, too.
const PERMITS: [(Kind, &str); 55] = [
    (Kind::SetRule, ""),
    (Kind::PublishRate, "1"),
    (Kind::Grant, ""),
    (Kind::OpenAsset, ""),
    (Kind::OpenPlayer, ""),
    (Kind::SetStatus, ""),
    (Kind::SetKycHold, ""),
    (Kind::OpenSession, "p1"),
    (Kind::RevokeSession, "s"),
    (Kind::SetLimit, ""),
    (Kind::DisableGame, ""),
    (Kind::DepositCredit, "c1a"),
    (Kind::DepositReverse, "c1a"),
    (Kind::Chargeback, "c1a"),
    (Kind::AssignAddress, ""),
    (Kind::Collect, "1a"),
    (Kind::WriteOff, "1a"),
    (Kind::Lock, "1a"),
    (Kind::Unlock, "c1a"),
    (Kind::WithdrawRequest, "1a"),
    (Kind::WithdrawApprove, "1"),
    (Kind::WithdrawSigned, "c1"),
    (Kind::WithdrawSettle, "c1"),
    (Kind::WithdrawCancel, "1"),
    (Kind::WithdrawRelease, "c1"),
    (Kind::ImportBalance, "1a"),
    (Kind::ImportBet, "1a"),
    (Kind::ImportHold, "1a"),
    (Kind::ImportReference, "1"),
    (Kind::ImportUsage, ""),
    (Kind::Transfer, "1a"),
    (Kind::Exchange, "2a"),
    (Kind::Adjust, "1a"),
    (Kind::AdjustApprove, "1"),
    (Kind::AdjustReject, "1"),
    (Kind::PromoCredit, "p1a"),
    (Kind::JackpotContribute, "p1a"),
    (Kind::JackpotWin, "p1a"),
    (Kind::JackpotAdjust, "1a"),
    (Kind::FreeroundGrant, "p1"),
    (Kind::FreeroundConsume, "p"),
    (Kind::FreeroundExpire, "p"),
    (Kind::AllowanceFund, "s1a"),
    (Kind::AllowanceReturn, "s1a"),
    (Kind::Reserve, "p1a"),
    (Kind::Settle, "h1aw"),
    (Kind::Cancel, "h1"),
    (Kind::Bet, "p1a"),
    (Kind::Win, "p1a"),
    (Kind::BetWin, "p1aw"),
    (Kind::Rollback, "p1a"),
    (Kind::EndRound, "p1"),
    (Kind::VoidRound, "p1"),
    (Kind::VoidPeriod, "1"),
    (Kind::LateCorrection, "p1a"),
];

/// A house in which everybody needs permits; and for each role one who has none.
struct Strict {
    ledger: Ledger,
    hold: RequestId,
    session: SessionId,
    usd: AssetId,
}

const NOBODY: u32 = 0xface_0ff0;
const MOST: u128 = 5;

impl Strict {
    fn new() -> Self {
        let mut ledger = Ledger::open();
        let usd = ledger.open_asset("USD");
        ledger.deposit(ALICE, 1_000);
        let hold = ledger.open_hold(ALICE, 10, 20);
        let opened = metered(ALICE, 0x70c, ledger.now.plus_millis(HOUR), 1_000);
        let session = ledger.open_session(&changed(opened, |session| session.game = PLAY));
        for role in Role::CALLERS.into_iter().filter(|role| *role != Role::Operator) {
            ledger.set_rule(Rule::PermitsRequired, role as u64, 1);
        }
        // The last rule that the operator sets before it is bound itself.
        ledger.set_rule(Rule::PermitsRequired, Role::Operator as u64, 1);
        Self { ledger, hold, session, usd }
    }

    fn permit(&mut self, rule: Rule, scope: u64, value: u128) {
        self.ledger.set_rule(rule, scope, value);
    }

    /// A request with every place filled: an amount and a payout of one more than the most.
    fn request(&mut self, kind: Kind) -> Request {
        let id = self.ledger.new_id();
        let mut request = Operation::RevokeSession { player: ALICE, session: SessionId(1) }.request(id);
        let of_session = PERMITS.iter().any(|(of, needs)| *of == kind && needs.contains('s'));
        (request.kind, request.session) = (kind, if of_session { self.session } else { SessionId(0) });
        request.player = PlayerId::NONE;
        for field in kind.fields() {
            match (field.slot, field.name) {
                (Slot::Asset, _) => request.asset = ETH,
                (Slot::Player, _) => request.player = ALICE,
                (Slot::Amount, _) => request.amount = Amount(MOST + 1),
                (Slot::Reference, _) => request.reference = self.hold.0,
                (Slot::Game, "chain" | "venue") => request.game = GameId(CHAIN),
                (Slot::Game, _) => request.game = PLAY,
                (Slot::Detail(at), "payout") => request.detail.0[at] = MOST as u8 + 1,
                (Slot::Detail(at), "to") if field.bytes == 2 => request.detail.0[at] = self.usd.0 as u8,
                _ => {}
            }
        }
        request
    }

    fn answer(&self, role: Role, request: Request) -> ResultCode {
        let asked = admitted(request, role, NOBODY, self.ledger.now);
        match decide(&self.ledger.state, self.ledger.now, &asked) {
            Decision::Answer(Answer::Not(code)) => code,
            _ => ResultCode::Done,
        }
    }
}

/// Nobody names a provider, a chain, an asset or an amount that was not permitted. Each role that
/// may ask, each operation, each thing that is named.
#[test]
fn where_permits_are_required_nothing_is_named_without_one_cell_by_cell() {
    let asked = OperationKind::ALL.iter().filter(|kind| !kind.spec().roles.contains(Role::System));
    let mut cells = 0;
    for kind in asked.copied() {
        let row = PERMITS.iter().find(|(of, _)| *of == kind);
        let (_, needs) = row.unwrap_or_else(|| panic!("{} has no row", kind.name()));
        let roles = Role::CALLERS.into_iter().filter(|role| kind.spec().roles.contains(*role));
        for (role, by_game) in roles.flat_map(|role| [(role, false), (role, true)]) {
            let mut house = Strict::new();
            let cell = format!("{} by {}", kind.name(), role.name());
            let stopped =
                [ResultCode::CallerNotPermitted, ResultCode::AssetNotPermitted, ResultCode::AmountOverRole];
            let mut expect = |house: &mut Strict, expected: Option<ResultCode>, what: &str| {
                let request = house.request(kind);
                let code = house.answer(role, request);
                cells += 1;
                match expected {
                    Some(expected) => assert_eq!(code, expected, "{cell}: {what}"),
                    None => assert!(!stopped.contains(&code), "{cell}: {what}: {code:?}"),
                }
            };
            let identity = u64::from(NOBODY);
            if let Some(letter) = needs.chars().find(|letter| "phsc".contains(*letter)) {
                expect(&mut house, Some(ResultCode::CallerNotPermitted), "no provider or chain");
                let (rule, venue) = match letter {
                    'c' => (Rule::CallerChain, CHAIN),
                    _ if by_game => (Rule::CallerGame, PLAY.0),
                    _ => (Rule::CallerProvider, u32::from(PLAY.provider())),
                };
                house.permit(rule, identity << 32 | u64::from(venue + 1), 1);
                expect(&mut house, Some(ResultCode::CallerNotPermitted), "another one");
                house.permit(rule, identity << 32 | u64::from(venue), 1);
            }
            let assets = if needs.contains('2') { vec![ETH, house.usd] } else { vec![ETH] };
            let names = needs.contains(['1', '2']);
            for asset in assets.into_iter().filter(|_| names) {
                expect(&mut house, Some(ResultCode::AssetNotPermitted), "an asset is missing");
                house.permit(Rule::CallerAmountMax, identity << 16 | u64::from(asset.0), MOST + 1);
            }
            if needs.contains('a') {
                expect(&mut house, Some(ResultCode::AmountOverRole), "one more than the most");
                let mut paying = house.request(kind);
                paying.amount = Amount(1);
                let over = house.answer(role, paying) == ResultCode::AmountOverRole;
                assert_eq!(over, needs.contains('w'), "{cell}: the payout is bounded");
                house.permit(Rule::CallerAmountMax, identity << 16 | u64::from(ETH.0), MOST + 2);
            }
            expect(&mut house, None, "all is permitted");
            // The bound of the role holds beside that of the identity.
            if needs.contains('a') {
                house.permit(Rule::RoleAmountMax, (role as u64) << 16 | u64::from(ETH.0), MOST + 1);
                expect(&mut house, Some(ResultCode::AmountOverRole), "the role's bound is the lower one");
            }
        }
    }
    assert!(cells > 200, "{cells} cells were looked at");
}

#[test]
fn readers_change_nothing_and_only_the_ledger_does_what_is_its_own() {
    for kind in OperationKind::ALL {
        let spec = kind.spec();
        assert!(
            !spec.roles.contains(Role::Auditor) && !spec.roles.contains(Role::Support),
            "{}",
            kind.name()
        );
        let own = spec.id == cage_engine::table::IdRule::Internal;
        assert_eq!(spec.roles.contains(Role::System), own, "{}", kind.name());
    }
}
