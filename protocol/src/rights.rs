//! Who may follow what.
//!
//! In: who asks, a filter or a query, the rules. Out: nothing, or why not. Rules are looked at when a subscription begins; who
//! loses a permit is shown what it subscribed to until its connection ends. Never here: a record.
//!
//! Any role may read any balance, so those that act for all players, or watch the house, may follow everything. A bridge
//! may follow what it needs for its own business.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;

use cage_engine::{OperationKind, Role, Rule, State};

use crate::query::{Query, QueryKind};
use crate::{FeedEndCode, Filter};

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller<'a> {
    /// Under which role.
    pub role: Role,
    /// The number that stands for the identity in records.
    pub actor: u32,
    /// The identity, as people read it.
    pub uri: &'a str,
}

/// What a bridge to a blockchain has to know: deposits, addresses, withdrawals, and who has the right to act.
pub const CHAIN_KINDS: &[OperationKind] = &[
    OperationKind::Grant,
    OperationKind::DepositCredit,
    OperationKind::DepositReverse,
    OperationKind::Chargeback,
    OperationKind::AssignAddress,
    OperationKind::Unlock,
    OperationKind::WithdrawRequest,
    OperationKind::WithdrawApprove,
    OperationKind::WithdrawSigned,
    OperationKind::WithdrawSettle,
    OperationKind::WithdrawCancel,
    OperationKind::WithdrawRelease,
    // A withdrawal's fee is the one of the rule that was in force when it was asked for.
    OperationKind::SetRule,
];

/// Whether a caller may follow what a filter lets through.
///
/// # Errors
/// What is missing, in words.
pub fn check(state: &State, caller: &Caller<'_>, filter: &Filter) -> Result<(), String> {
    let role = caller.role;
    match role {
        Role::Frontend | Role::Cashier | Role::Risk | Role::Operator | Role::Approver | Role::Auditor => {
            Ok(())
        }
        Role::Support if filter.player.is_some() => Ok(()),
        Role::Games => match filter.provider {
            Some(provider) if may_act_for(state, caller, provider) => Ok(()),
            Some(provider) => {
                Err(format!("{} has no permit for all games of provider {provider}", caller.uri))
            }
            None => Err("the role games follows one provider".to_owned()),
        },
        Role::Chain => match filter.kinds.named() {
            Some(kinds) if kinds.iter().all(|kind| CHAIN_KINDS.contains(kind)) => Ok(()),
            _ => Err("the role chain follows deposits, addresses, withdrawals".to_owned()),
        },
        _ => Err(format!("the role {} follows one player", role.name())),
    }
}

/// As for requests: the provider's one identity if there is one; else, if the role is strict, who has a permit.
fn may_act_for(state: &State, caller: &Caller<'_>, provider: u16) -> bool {
    let provider = u64::from(provider);
    if let Some(only) = state.rule(Rule::ProviderActor, provider) {
        return only == u128::from(caller.actor);
    }
    let strict = state.rule(Rule::PermitsRequired, caller.role as u64) == Some(1);
    let permit = u64::from(caller.actor) << 32 | provider;
    !strict || state.rule(Rule::CallerProvider, permit) == Some(1)
}

/// What a caller must be allowed to follow for a query to be answered, and sees of the answer.
///
/// # Errors
/// The role does not ask such queries.
pub fn of_query(role: Role, query: &Query) -> Result<Filter, (FeedEndCode, String)> {
    let filter = Filter { player: query.player, provider: query.provider, ..Filter::EVERYTHING };
    let not_for = |reason: &str| Err((FeedEndCode::NotAllowed, reason.to_owned()));
    match (role, query.kind) {
        (Role::Chain, QueryKind::Operation | QueryKind::History) => Ok(filter.of_kinds(CHAIN_KINDS)),
        (Role::Chain, _) => not_for("the role chain asks for operations and histories"),
        (Role::Games, QueryKind::Receivables) => not_for("what players owe is not the games' business"),
        _ => Ok(filter),
    }
}
