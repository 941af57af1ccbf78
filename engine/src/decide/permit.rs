//! Whether this caller may do this, though its role may: for which provider or chain, in which assets, for how much,
//! and under which grant.
//!
//! In: a request and who asks. Out: nothing, or an answer that is never recorded. Never here: what the books hold.

use super::Admitted;
use crate::amount::Amount;
use crate::code::ResultCode;
use crate::field::Rule;
use crate::id::{AssetId, GameId};
use crate::request::Request;
use crate::role::Role;
use crate::state::State;
use crate::table::{Side, Source, Spec, Venue};

/// Who asks for what.
struct Caller<'a> {
    state: &'a State,
    request: &'a Request,
    spec: &'a Spec,
    role: Role,
    actor: u32,
    /// Whether the role may name only what it, or the identity, has a permit for.
    strict: bool,
}

/// Whose business a request is.
#[derive(Clone, Copy)]
enum Business {
    /// That of the provider of this game.
    Game(GameId),
    Chain(u32),
}

/// Why the caller may not, if so; in the order of the answers.
pub(super) fn not_permitted(state: &State, admitted: &Admitted, spec: &Spec) -> Option<ResultCode> {
    let Admitted { request, role, actor, grant, .. } = admitted;
    let strict = state.switches.any(Rule::PermitsRequired)
        && state.rule(Rule::PermitsRequired, *role as u64) == Some(1);
    let caller = Caller { state, request, spec, role: *role, actor: *actor, strict };
    let guarded = strict || state.rows.grants.len() > 0 || state.switches.any(Rule::ProviderActor);
    let business = if guarded { caller.business() } else { None };
    if business.is_some_and(|business| !caller.may_act_for(business)) {
        return Some(ResultCode::CallerNotPermitted);
    }
    if strict && !caller.may_name_assets() {
        return Some(ResultCode::AssetNotPermitted);
    }
    if caller.names_too_much() {
        return Some(ResultCode::AmountOverRole);
    }
    let number = match (role, business) {
        (Role::Games, Some(Business::Game(game))) => state.granted(*role, u32::from(game.provider())),
        (Role::Chain, Some(Business::Chain(chain))) => state.granted(*role, chain),
        _ => 0,
    };
    (number != 0 && number as u16 != *grant).then_some(ResultCode::Fenced)
}

impl Caller<'_> {
    fn business(&self) -> Option<Business> {
        let Self { state, request, .. } = self;
        match self.spec.venue {
            Venue::None => None,
            Venue::Game => Some(Business::Game(request.game)),
            Venue::Hold => {
                let hold = state.hold(request.target());
                hold.map(|hold| Business::Game(hold.game))
            }
            Venue::Session => {
                let session = state.session(request.session);
                session.map(|session| Business::Game(session.game))
            }
            Venue::Chain => Some(Business::Chain(request.chain())),
        }
    }

    fn may_act_for(&self, business: Business) -> bool {
        let has = |rule, venue: u32| {
            self.state.rule(rule, u64::from(self.actor) << 32 | u64::from(venue)) == Some(1)
        };
        let game = match business {
            Business::Chain(chain) => return !self.strict || has(Rule::CallerChain, chain),
            Business::Game(game) => game,
        };
        let provider = u32::from(game.provider());
        let only = self.state.rule(Rule::ProviderActor, u64::from(provider));
        if let Some(only) = only.filter(|_| matches!(self.role, Role::Games)) {
            return only == u128::from(self.actor);
        }
        !self.strict || has(Rule::CallerProvider, provider) || has(Rule::CallerGame, game.0)
    }

    /// Every asset that is named is one of the role's or of the identity's.
    fn may_name_assets(&self) -> bool {
        let other = self.spec.legs.iter().any(|leg| matches!(leg.credit, Side::PlayerOther(_)));
        let other = if other { AssetId(self.request.detail.u16_at(0)) } else { AssetId::NONE };
        [self.request.asset, other]
            .iter()
            .all(|asset| *asset == AssetId::NONE || self.bound(*asset).is_some())
    }

    /// One more than the most that the caller may name of an asset; nothing if nothing is said of it.
    fn bound(&self, asset: AssetId) -> Option<u128> {
        let asset = u64::from(asset.0);
        let role = self.state.rule(Rule::RoleAmountMax, (self.role as u64) << 16 | asset);
        let own = self.state.rule(Rule::CallerAmountMax, u64::from(self.actor) << 16 | asset);
        match (role, own) {
            (Some(role), Some(own)) => Some(role.min(own)),
            (one, other) => one.or(other),
        }
    }

    fn names_too_much(&self) -> bool {
        let Self { state, request, spec, .. } = self;
        let switches = &state.switches;
        let bounded = switches.any(Rule::RoleAmountMax) || switches.any(Rule::CallerAmountMax);
        // A price, a top-up or the cost of a transaction is no amount that the role moves.
        let moves = !spec.legs.is_empty() || !spec.capped.is_empty();
        if !bounded && spec.capped.is_empty() || !moves || request.asset == AssetId::NONE {
            return false;
        }
        let pays = spec.legs.iter().any(|leg| matches!(leg.amount, Source::Payout));
        let payout = if pays { request.payout() } else { Amount::ZERO };
        let most = request.amount.max(payout);
        match self.bound(request.asset) {
            Some(bound) => most.0 >= bound,
            None => spec.capped.contains(self.role) && !most.is_zero(),
        }
    }
}
