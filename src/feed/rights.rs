//! Who may follow what.
//!
//! In: a role, an identity, a filter, the rules. Out: nothing, or why not. Rules are looked at when a subscription begins; who
//! loses a permit is shown what it subscribed to until its connection ends. Never here: a record.
//!
//! Any role may read any balance, so those that act for all players, or watch the house, may follow everything. A bridge
//! may follow what it needs for its own business.

use cage_engine::{OperationKind, Role, Rule, State};
use cage_protocol::Filter;

use crate::certs::Identity;

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
pub fn check(state: &State, identity: &Identity, filter: &Filter) -> Result<(), String> {
    let role = identity.role;
    match role {
        Role::Frontend | Role::Cashier | Role::Risk | Role::Operator | Role::Approver | Role::Auditor => {
            Ok(())
        }
        Role::Support if filter.player.is_some() => Ok(()),
        Role::Games => match filter.provider {
            Some(provider) if may_act_for(state, identity, provider) => Ok(()),
            Some(provider) => {
                Err(format!("{} has no permit for all games of provider {provider}", identity.uri))
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
fn may_act_for(state: &State, identity: &Identity, provider: u16) -> bool {
    let provider = u64::from(provider);
    if let Some(only) = state.rule(Rule::ProviderActor, provider) {
        return only == u128::from(identity.actor);
    }
    let strict = state.rule(Rule::PermitsRequired, identity.role as u64) == Some(1);
    let permit = u64::from(identity.actor) << 32 | provider;
    !strict || state.rule(Rule::CallerProvider, permit) == Some(1)
}
