//! Proves that the model is able to find errors: plants faults in a copy of the engine, one at a time, and lets the
//! model look for them. A fault that it does not find is a hole in the model or in its dice.
//!
//! Compiles the engine anew for each fault, and so is asked for by name:
//! `cargo test --release -p cage-engine --test planted_faults -- --ignored --nocapture`
//! `CAGE_FAULT` (a part of what is said of one) plants only those.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A fault: in which file, what stands there, and what a tired programmer could have written instead.
struct Fault {
    what: &'static str,
    file: &'static str,
    right: &'static str,
    wrong: &'static str,
}

const fn fault(what: &'static str, file: &'static str, right: &'static str, wrong: &'static str) -> Fault {
    Fault { what, file, right, wrong }
}

const FAULTS: &[Fault] = &[
    fault(
        "the end of a hold does not name its game",
        "decide/mod.rs",
        "record.request.game = target.game().unwrap_or_default();",
        "",
    ),
    fault(
        "a purse may fall below zero",
        "decide/money.rs",
        "if debit_after < Balance::ZERO && must",
        "if debit_after.0 == i128::MIN && must",
    ),
    fault(
        "an old id opens something again",
        "decide/known.rs",
        "if is_old && (spec.opens",
        "if is_old && (false && spec.opens",
    ),
    fault(
        "a bet is taken after its rollback",
        "decide/refer.rs",
        "Refers::NewBet if ended(target, Space::Wager).is_some() => Err(ResultCode::CancelledBefore),",
        "",
    ),
    fault(
        "a bet that has won is rolled back",
        "decide/gates.rs",
        "Target::Bet(bet) => bet.wins == 0 && bet.paid.is_zero() || request.detail.0[8] == 1,",
        "Target::Bet(_) => true,",
    ),
    fault(
        "a rollback does not restore the limits",
        "apply/wagers.rs",
        "self.restore(bet.player, (counted, bet.counted_paid), bet.counted_on, record.decided);",
        "",
    ),
    fault(
        "the same limit again counts as looser",
        "limits.rs",
        "let later = limit > current;",
        "let later = limit >= current;",
    ),
    fault("weeks begin on Sunday", "limits.rs", "(day + 3).rem_euclid(7)", "(day + 4).rem_euclid(7)"),
    fault("exposure stops one short", "decide/gates.rs", "|sum| sum <= bound", "|sum| sum < bound"),
    fault(
        "one identity approves twice",
        "decide/gates.rs",
        "Stage::Requested if row.approver != 0 && row.approver == self.actor => {",
        "Stage::Requested if row.approver == u32::MAX => {",
    ),
    fault(
        "what was requested is signed for in spite of a hold on withdrawals",
        "decide/gates.rs",
        "Gate::MayPayOut => self.may_withdraw(),",
        "Gate::MayPayOut => only(self.status() != Status::Frozen),",
    ),
    fault(
        "the fee is paid out as well",
        "decide/money.rs",
        "Amount(row.amount.0 - row.fee.0)",
        "Amount(row.amount.0)",
    ),
    fault(
        "a jackpot forgets its remainder",
        "decide/money.rs",
        ".checked_add(u128::from(before))?",
        ".checked_add(u128::from(before) * 0)?",
    ),
    fault(
        "an exchange rounds up",
        "state/mod.rs",
        "Some(crate::wide::mul_div(worth, self.whole(asset), price.0))",
        "Some(crate::wide::mul_div_up(worth, self.whole(asset), price.0))",
    ),
    fault(
        "a session lives a moment too long",
        "decide/gates.rs",
        "refuse_unless(session.expires > self.now",
        "refuse_unless(session.expires >= self.now",
    ),
    fault(
        "a fenced bridge goes on",
        "decide/permit.rs",
        "(number != 0 && number as u16 != *grant).then_some(ResultCode::Fenced)",
        "(number == u64::from(*grant) + 1).then_some(ResultCode::Fenced)",
    ),
    fault(
        "a bet of other content counts as the same",
        "decide/known.rs",
        "answer(!bet.is_win && bet.digest == content(), bet.opened)",
        "answer(!bet.is_win && content() != 0, bet.opened)",
    ),
    fault(
        "a refused bet is forgotten",
        "apply/mod.rs",
        "if self.ended(target, Space::Wager).is_some()",
        "if !record.result.is_executed()",
    ),
    fault(
        "a refused group leaves its traces",
        "decide/group.rs",
        "state.end_trial();",
        "state.scratch = None;",
    ),
    fault(
        "debts are not collected",
        "state/store.rs",
        "if owes && account.is_of(Purse::Available) {",
        "if owes && account.is_of(Purse::Bonus) {",
    ),
    fault(
        "a deposit is reversed twice",
        "decide/gates.rs",
        "let left = deposit.amount.0 - deposit.reversed.0;",
        "let left = deposit.amount.0;",
    ),
    fault(
        "locked money that waits is withdrawn",
        "decide/money.rs",
        "LockReason::WITHDRAWABLE.into_iter().map(locked)",
        "LockReason::ALL.iter().copied().map(locked)",
    ),
    fault(
        "the last free round is never given",
        "decide/gates.rs",
        "self.request.detail.u32_at(0) <= row.left",
        "self.request.detail.u32_at(0) < row.left",
    ),
    fault(
        "what a chain brings over a limit can be played",
        "decide/facts.rs",
        "self.over_limit(OF_DEPOSITS).err().map(|_| LockReason::OverLimit)",
        "None",
    ),
    fault(
        "the greatest payout does not fall with what is paid",
        "apply/wagers.rs",
        "hold.payout_left = less(hold.payout_left, payout).ok_or(ApplyFault::Missing(\"a hold's payout\"))?;",
        "less(hold.payout_left, payout).ok_or(ApplyFault::Missing(\"a hold's payout\"))?;",
    ),
    fault(
        "a round with an undecided hold is closed",
        "state/rows.rs",
        "due if row.open_holds == 0 { Some((row.closes, Sort::Round)) } else { None } => {",
        "due Some((row.closes, Sort::Round)) => {",
    ),
    fault(
        "a deadline is looked at behind the status",
        "table/wagers.rs",
        "Gate::DeadlineAhead,\n        Gate::MayPlay,",
        "Gate::MayPlay,\n        Gate::DeadlineAhead,",
    ),
    fault(
        "what is given back makes room in another day",
        "limits.rs",
        "let lasting = tally.day.shares(today);",
        "let lasting = [true; 3];",
    ),
    fault(
        "a bet that won at once and once more keeps its payout",
        "state/rows.rs",
        "        !self.paid.is_zero()",
        "        self.wins == 0 && !self.paid.is_zero()",
    ),
    fault(
        "a void forgets what settled holds staked",
        "apply/wagers.rs",
        "self.tally(hold.round, (counted, 0), hold.counted_on);",
        "",
    ),
    fault(
        "a void forgets what settled holds turned over",
        "apply/wagers.rs",
        "self.tally_turned(hold.round, turned, hold.counted_on);",
        "let _ = turned;",
    ),
    fault(
        "a day ends when the beginning of days is moved",
        "apply/players.rs",
        "if day != through {",
        "if day > through {",
    ),
    fault(
        "a cancel before its reserve leaves no tombstone",
        "apply/wagers.rs",
        "self.end(target, Space::Hold, Ending::Tombstone, lsn, record.decided);",
        "",
    ),
    fault(
        "between its two sides a movement of the house passes the bound",
        "state/store.rs",
        "            total.0.wrapping_add(change)\n        };",
        "            total.0.checked_add(change).ok_or(ApplyFault::Missing(\"a total\"))?\n        };",
    ),
    fault(
        "a caller needs no permit for a provider",
        "decide/permit.rs",
        "!self.strict || has(Rule::CallerProvider, provider)",
        "!self.strict || !has(Rule::CallerProvider, provider)",
    ),
    fault(
        "a permit for a game is one for all games",
        "decide/permit.rs",
        "has(Rule::CallerGame, game.0)",
        "has(Rule::CallerGame, game.0 | 1)",
    ),
    fault(
        "a payout slips past the role's bound",
        "decide/permit.rs",
        "let most = request.amount.max(payout);",
        "let most = request.amount.max(payout.min(request.amount));",
    ),
    fault(
        "an undone payout is not taken from its meter",
        "decide/money.rs",
        "open.map_or(Amount::ZERO, |session| session.remainder.min(self.undone_payout()))",
        "open.map_or(Amount::ZERO, |_| Amount::ZERO)",
    ),
    fault(
        "a round that was given back still stands in the way of the next",
        "decide/gates.rs",
        "let staked = |round: &Round| !round.stake.is_zero() || round.open_holds > 0;",
        "let staked = |round: &Round| round.opened.0 > 0;",
    ),
    fault(
        "whoever owes takes money out",
        "decide/gates.rs",
        "Gate::NothingOwed => only(!state.players.owes(request.player, request.asset)),",
        "Gate::NothingOwed => only(request.asset != AssetId::NONE),",
    ),
    fault(
        "whoever owes is paid out",
        "decide/gates.rs",
        "only(signed || !state.players.owes(request.player, request.asset))",
        "only(signed || request.asset != AssetId::NONE)",
    ),
    fault(
        "an approval does not look at debts",
        "table/cashier.rs",
        "Gate::MayWithdraw, Gate::NothingOwed, Gate::Approvable",
        "Gate::MayWithdraw, Gate::Approvable",
    ),
    fault(
        "an unlock slips past an exclusion or a limit",
        "decide/money.rs",
        "Source::Freed if self.lock_reason().is_some() => Amount::ZERO,",
        "",
    ),
    fault(
        "what stays locked changes no reason",
        "apply/effect.rs",
        "Effect::Unlocked => self.apply_unlock(record),",
        "Effect::Unlocked => Ok(()),",
    ),
    fault(
        "one identity sets a guarded rule",
        "decide/facts.rs",
        "self.state.rule(Rule::SecondIdentity, 0).is_some() && self.proposal().is_none()",
        "self.state.rule(Rule::SecondIdentity, 1).is_some() && self.proposal().is_none()",
    ),
    fault(
        "an import passes its total by what came before",
        "decide/gates.rs",
        "before.checked_add(request.amount.0).is_some_and(|sum| sum <= total)",
        "(before * 0).checked_add(request.amount.0).is_some_and(|sum| sum <= total)",
    ),
    fault(
        "a bridge corrects as much as it likes",
        "decide/facts.rs",
        "before.0.checked_add(amount.0).is_none_or(|sum| sum > bound)",
        "before.0.checked_add(amount.0).is_none_or(|sum| sum > bound && bound == 0)",
    ),
    fault(
        "a day's corrections do not add up",
        "apply/corrections.rs",
        "Amount(self.corrected(provider, asset, day).0.saturating_add(amount.0))",
        "amount",
    ),
    fault(
        "a win that was paid is corrected",
        "decide/gates.rs",
        "refuse_unless(!(row.is_win && credits), ResultCode::CarriedOut)?;",
        "",
    ),
    fault(
        "what was corrected is paid under its own name",
        "apply/corrections.rs",
        "if self.is_unknown(Reference(id.0)) {",
        "if self.is_unknown(Reference(id.0)) && order != 0 {",
    ),
    fault(
        "a provider tops a meter up without end",
        "apply/mod.rs",
        "let topped_up = (wager || by_provider)",
        "let topped_up = (wager || by_provider && false)",
    ),
    fault(
        "a stake that no limit counted is won back",
        "apply/players.rs",
        "if staked_on == Day::NONE {",
        "if staked_on == Day::NONE && payout.is_zero() {",
    ),
    fault(
        "a price is a millisecond too old",
        "state/mod.rs",
        "published.plus_millis(most) < now",
        "published.plus_millis(most) <= now",
    ),
    fault(
        "a hold is taken for a round of its number",
        "decide/gates.rs",
        "if playing.round.0 == 0 {",
        "if playing.round.0 == 0 && playing.hold.0 == 0 {",
    ),
    fault(
        "an imported hold carries the horizon ahead of the clock",
        "decide/refer.rs",
        "if request.kind == OperationKind::ImportHold && is_ahead(target, now) {",
        "if request.kind == OperationKind::ImportBet && is_ahead(target, now) {",
    ),
    fault("an order to void is never used up", "apply/wagers.rs", "row.done += 1;", "row.done += 0;"),
    fault(
        "a session is topped up without end",
        "apply/mod.rs",
        "let topup = if topped_up { leg.amount.0 } else { 0 };",
        "let topup = if topped_up { 0 } else { 0 };",
    ),
    fault(
        "a withdrawal that is given up forgets what was locked",
        "apply/cashier.rs",
        "self.lock(account, reason, Amount(drawn));",
        "self.lock(account, reason, Amount(drawn.min(1)));",
    ),
    fault(
        "a bet is paid by the session of a hold of the same number",
        "apply/mod.rs",
        "match request.kind.spec().refers {",
        "match if self.hold(request.target()).is_some() { Refers::OpenHold } else { request.kind.spec().refers } {",
    ),
    fault(
        "a bet of a hold's number is taken for the hold",
        "decide/refer.rs",
        "Some(wager) if wager.is_win => return Err(ResultCode::NotABet),",
        "Some(wager) if wager.is_win || state.hold(target).is_some() => return Err(ResultCode::NotABet),",
    ),
    fault(
        "a round of a bet's number is taken for the bet",
        "decide/gates.rs",
        "match self.state.round_ending(key) {",
        "match self.state.round_ending(key).or(self.state.wager_ending(key)) {",
    ),
    fault(
        "a closed bet is given back under a new round's sums",
        "apply/closed.rs",
        "let (left, _) = self.give_back(bet, record);",
        "let (left, amount) = self.give_back(bet, record);\n        self.update(bet.round.0, |row: &mut crate::state::Round| row.stake.0 = row.stake.0.saturating_sub(amount.0));",
    ),
    fault(
        "a closed bet that is undone is covered a second time",
        "apply/wagers.rs",
        "self.keep(Wager { payout_left: Amount::ZERO, ..wager });",
        "self.keep(wager);",
    ),
    fault(
        "a closed win that is undone stays counted",
        "apply/closed.rs",
        "self.restore(win.player, (0, win.counted), win.counted_on, now);",
        "let _ = now;",
    ),
    fault(
        "a closed win that is undone still stands in its bet's way",
        "apply/closed.rs",
        "row.wager.wins.saturating_sub(1)",
        "row.wager.wins.saturating_sub(0)",
    ),
    fault(
        "a late win does not stand in its bet's way",
        "apply/closed.rs",
        "row.wager.wins += 1",
        "row.wager.wins += 0",
    ),
    fault(
        "one closed bet too many is kept",
        "apply/closed.rs",
        "self.forget_closed(most - 1);",
        "self.forget_closed(most);",
    ),
    fault(
        "the latest closed bet is forgotten first",
        "apply/closed.rs",
        "map(|ends| ends.first)",
        "map(|ends| ends.last)",
    ),
    fault(
        "a closed bet that was undone is remembered as settled",
        "state/ids.rs",
        "latest.get().is_none_or(|known| age(row) > age(known))",
        "latest.get().is_none_or(|known| age(row) < age(known))",
    ),
    fault(
        "what has its name is corrected by hand as well",
        "decide/gates.rs",
        "return Err(ResultCode::UseItsName);",
        "return if row.bet.0 == 1 { Err(ResultCode::UseItsName) } else { Ok(()) };",
    ),
    fault(
        "a closed bet is taken again when it is forgotten as a fact",
        "decide/known.rs",
        "if let Some(bet) = state.any_wager(Reference(request.reference)) {",
        "if let Some(bet) = state.wager(Reference(request.reference)) {",
    ),
    fault(
        "what was voided is kept",
        "apply/wagers.rs",
        "if matches!(how, Ending::Settled) {",
        "if matches!(how, Ending::Settled | Ending::Cancelled) {",
    ),
    fault(
        "a refused transfer to oneself in a group comes before itself",
        "decide/group.rs",
        "    if let Some(previous) = before(latest, counterparty).filter(|_| transfers) {",
        "    latest.push((player, lsn));\n    if let Some(previous) = before(latest, counterparty).filter(|_| transfers) {",
    ),
];

#[test]
#[ignore = "compiles the engine once for each fault; see the top of the file"]
fn the_model_finds_each_planted_fault() {
    let copy = Copy::new();
    assert!(copy.model_agrees(), "without a fault the model agrees with the engine");
    let mut missed = Vec::new();
    let named = env::var("CAGE_FAULT").unwrap_or_default();
    for fault in FAULTS.iter().filter(|fault| fault.what.contains(&named)) {
        let found = copy.with(fault, || !copy.model_agrees());
        println!("{} {}", if found { "found " } else { "MISSED" }, fault.what);
        if !found {
            missed.push(fault.what);
        }
    }
    println!("{} missed of {}", missed.len(), FAULTS.len());
    assert!(missed.is_empty(), "not found: {missed:?}");
}

#[test]
fn each_fault_has_its_place_in_the_engine() {
    for fault in FAULTS {
        let text = fs::read_to_string(engine().join("src").join(fault.file)).expect("a file of the engine");
        assert_eq!(text.matches(fault.right).count(), 1, "{}: where is it in {}?", fault.what, fault.file);
    }
    assert!(FAULTS.len() >= 20, "twenty at least");
}

fn engine() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// A copy of the engine that can be spoiled.
struct Copy {
    root: PathBuf,
}

impl Copy {
    fn new() -> Self {
        let workspace = engine().parent().expect("the workspace").to_owned();
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("planted");
        let _ = fs::remove_dir_all(root.join("engine"));
        fs::create_dir_all(&root).expect("a folder");
        copy_all(&engine(), &root.join("engine"));
        fs::copy(workspace.join("Cargo.lock"), root.join("Cargo.lock")).expect("the lock file");
        let manifest = fs::read_to_string(workspace.join("Cargo.toml")).expect("the workspace's manifest");
        let from = manifest.find("[workspace.package]").expect("what packages share");
        let to = manifest.find("\n[package]").expect("the root package");
        let shared =
            format!("[workspace]\nresolver = \"3\"\nmembers = [\"engine\"]\n\n{}", &manifest[from..to]);
        fs::write(root.join("Cargo.toml"), shared).expect("a manifest");
        Self { root }
    }

    /// Spoils one place, and mends it again.
    fn with(&self, fault: &Fault, look: impl FnOnce() -> bool) -> bool {
        let path = self.root.join("engine/src").join(fault.file);
        let right = fs::read_to_string(&path).expect("a file of the engine");
        let wrong = right.replacen(fault.right, fault.wrong, 1);
        assert_ne!(wrong, right, "{}", fault.what);
        fs::write(&path, wrong).expect("a fault");
        let found = look();
        fs::write(&path, right).expect("mended");
        found
    }

    /// Whether the model agrees with what is there. A fault that does not compile is no fault.
    fn model_agrees(&self) -> bool {
        let cargo = || {
            let mut cargo = Command::new(env!("CARGO"));
            cargo.current_dir(&self.root).env("CARGO_TARGET_DIR", self.root.join("target"));
            cargo.args([
                "test",
                "--offline",
                "--quiet",
                "-p",
                "cage-engine",
                "--test",
                "model_against_engine",
            ]);
            cargo
        };
        let built = cargo().arg("--no-run").output().expect("cargo");
        assert!(built.status.success(), "it compiles: {}", String::from_utf8_lossy(&built.stderr));
        let tested = cargo().env("CAGE_OPERATIONS", "900000").output().expect("cargo");
        tested.status.success()
    }
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder to copy").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_all(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a copy");
        }
    }
}
