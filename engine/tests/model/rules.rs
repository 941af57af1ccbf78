//! Settings, rules, prices and grants, and what they permit to whom.
//!
//! In: a request and who asks. Out: whether it may be asked, and the new rules.

use cage_engine::field::Rule;
use cage_engine::{AssetId, GameId, Operation, ResultCode, Role, Settings, Timestamp};

use super::words::{self, AMOUNT_MAX};
use super::{Asked, Caller, Checks, Model, calendar, refuse_unless};

const TEN_YEARS_MILLIS: u128 = 10 * 365 * 24 * 3_600 * 1_000;
const DAY_MILLIS: u128 = 24 * 3_600 * 1_000;
const PRICE_MAX: u128 = 1 << 100;

/// Whose business a request is, as far as bridges need a right to it.
enum Venue {
    Game(GameId),
    Chain(u32),
}

/// What a bridge needs the latest grant of.
const fn fenced_scope(role: Role, venue: &Option<Venue>) -> Option<(Role, u32)> {
    match (role, venue) {
        (Role::Games, Some(Venue::Game(game))) => Some((Role::Games, game.provider() as u32)),
        (Role::Chain, Some(Venue::Chain(chain))) => Some((Role::Chain, *chain)),
        _ => None,
    }
}

impl Model {
    pub(super) fn look_at_rule(&self, asked: &Asked, c: &mut Checks) {
        match asked.operation {
            Operation::Configure { settings } => {
                let fits = self.settings_fit(settings, asked.now);
                c.look("settings fit", refuse_unless(fits, ResultCode::SettingsUnfit));
            }
            Operation::SetRule { rule, scope, value } => {
                c.look("rule", refuse_unless(self.rule_fits(rule, scope, value), ResultCode::RuleUnfit));
                let own = self.proposals.get(&(rule, scope)) == Some(&(value, asked.caller.actor));
                c.look("identity", refuse_unless(!own, ResultCode::SameIdentity));
            }
            Operation::PublishRate { price, .. } => {
                c.look("price", refuse_unless(price.0 <= PRICE_MAX, ResultCode::RuleUnfit));
            }
            Operation::StateDigest { .. } | Operation::Grant { .. } => {}
            _ => unreachable!("the model knows every operation"),
        }
    }

    pub(super) fn carry_out_rule(&mut self, asked: &Asked) -> ResultCode {
        match asked.operation {
            Operation::Configure { settings } => {
                self.settings = Some(settings);
                self.forget_closed(settings.closed_wagers_max as usize);
            }
            Operation::StateDigest { .. } => {}
            Operation::SetRule { rule, scope, value } => {
                // Whoever asks second for the same confirms it; whoever asks for another value begins anew.
                let proposed = self.proposals.remove(&(rule, scope));
                let confirmed = proposed.is_some_and(|(proposed, _)| proposed == value);
                let two = self.rule(Rule::SecondIdentity, 0).is_some();
                if two && words::is_guarded(rule) && !confirmed {
                    self.proposals.insert((rule, scope), (value, asked.caller.actor));
                    return ResultCode::OneMore;
                }
                if rule == Rule::DayBegins {
                    // The day that it is lasts until the next one begins.
                    let until = calendar::next_day_begins(asked.now, value);
                    let day = self.day_in(scope, asked.now);
                    self.long_days.insert(scope, (day, until));
                }
                self.rules.remove(&(rule, scope));
                if value != 0 {
                    self.rules.insert((rule, scope), value);
                }
            }
            Operation::PublishRate { asset, price } => {
                self.prices.insert(asset, price);
                self.priced_at.insert(asset, asked.now);
            }
            Operation::Grant { venue } => {
                self.granted += 1;
                let number = self.granted;
                self.grants.insert((asked.caller.role, venue), number);
                self.deed.named.number = Some(number);
            }
            _ => unreachable!("the model knows every operation"),
        }
        ResultCode::Done
    }

    fn settings_fit(&self, settings: Settings, now: Timestamp) -> bool {
        (16..=1 << 30).contains(&settings.ids_capacity)
            && self.has_room_under(settings, self.room_owed(), now)
            && settings.holds_max <= 1 << 27
            && settings.players_max <= (1 << 28) - 2
            && settings.closed_wagers_max <= 1 << 26
    }

    fn rule_fits(&self, rule: Rule, scope: u64, value: u128) -> bool {
        let asset_open =
            |asset: u64| u16::try_from(asset).is_ok_and(|asset| self.asset(AssetId(asset)).is_ok());
        let flag = value <= 1;
        match rule {
            Rule::TransfersInBrand | Rule::TransfersInJurisdiction | Rule::SessionsRequired => {
                scope < 1 << 16 && flag
            }
            Rule::DayBegins => scope < 1 << 16 && value < 24 * 60,
            Rule::ReferenceAsset => scope == 0 && (value == 0 || u64::try_from(value).is_ok_and(asset_open)),
            Rule::ExposureMax => scope < 1 << 48 && asset_open(scope & 0xffff) && value <= AMOUNT_MAX,
            Rule::RoundAgeMax => scope == 0 && value <= TEN_YEARS_MILLIS,
            Rule::Reconsider => {
                scope == 0 && (value == 0 || (DAY_MILLIS..=TEN_YEARS_MILLIS).contains(&value))
            }
            Rule::PermitsRequired => (1..=9).contains(&scope) && flag,
            Rule::CallerProvider => scope & 0xffff_ffff < 4_096 && flag,
            Rule::CallerChain | Rule::CallerGame => flag,
            Rule::CallerAmountMax => scope < 1 << 48 && asset_open(scope & 0xffff) && value <= AMOUNT_MAX + 1,
            Rule::OneRound => scope < 1 << 32 && flag,
            Rule::SecondApprovalFrom | Rule::WithdrawFee | Rule::Importing | Rule::LateCorrectionMax => {
                asset_open(scope) && value <= AMOUNT_MAX
            }
            Rule::RateAgeMax => asset_open(scope) && value <= TEN_YEARS_MILLIS,
            Rule::SecondIdentity => scope == 0 && flag,
            Rule::RoleAmountMax => {
                (1..=9).contains(&(scope >> 16)) && asset_open(scope & 0xffff) && value <= AMOUNT_MAX + 1
            }
            Rule::ProviderActor => scope < 4_096 && value <= u128::from(u32::MAX),
            Rule::SessionsMax => scope == 0 && value <= 1 << 26,
        }
    }

    /// Whether the caller may act here at all: for this provider or chain, in these assets, for so much, under the
    /// latest grant.
    pub(super) fn look_at_permits(&self, asked: &Asked, c: &mut Checks) {
        let caller = asked.caller;
        let strict = self.rule(Rule::PermitsRequired, u64::from(caller.role as u8)).is_some();
        let venue = self.venue(asked);
        if let Some(venue) = &venue {
            let may = self.may_act_for(venue, caller, strict);
            c.look("caller", refuse_unless(may, ResultCode::CallerNotPermitted));
        }
        let request = asked.operation.request(asked.id);
        if words::is_asked_for(asked.kind()) && words::may_name_asset(asked.kind()) {
            let other = match asked.operation {
                Operation::Exchange { to, .. } => to,
                _ => AssetId::NONE,
            };
            let mut named = [request.asset, other].into_iter().filter(|asset| *asset != AssetId::NONE);
            let may = !strict || named.all(|asset| self.most(caller, asset).is_some());
            c.look("permit for the asset", refuse_unless(may, ResultCode::AssetNotPermitted));
        }
        if words::moves_an_amount(asked.kind()) {
            let payout = match asked.operation {
                Operation::Settle { payout, .. } | Operation::BetWin { payout, .. } => payout.0,
                _ => 0,
            };
            let unsaid = if words::is_capped(asked.kind(), caller.role) { 0 } else { u128::MAX };
            let most = self.most(caller, request.asset).unwrap_or(unsaid);
            let within = request.amount.0 <= most && payout <= most;
            c.look("role's amount", refuse_unless(within, ResultCode::AmountOverRole));
        }
        if let Some(scope) = fenced_scope(caller.role, &venue) {
            let latest = self.grants.get(&scope);
            let right = latest.is_none_or(|latest| *latest as u16 == caller.grant);
            c.look("grant", refuse_unless(right, ResultCode::Fenced));
        }
    }

    /// A provider's only caller if it has one; else, where permits are required, whoever has one.
    fn may_act_for(&self, venue: &Venue, caller: Caller, strict: bool) -> bool {
        let permit = |rule, venue: u32| {
            !strict || self.rule(rule, u64::from(caller.actor) << 32 | u64::from(venue)).is_some()
        };
        match *venue {
            Venue::Game(game) => match self.rule(Rule::ProviderActor, u64::from(game.provider())) {
                Some(only) if caller.role == Role::Games => only == u128::from(caller.actor),
                _ => {
                    permit(Rule::CallerGame, game.0)
                        || permit(Rule::CallerProvider, u32::from(game.provider()))
                }
            },
            Venue::Chain(chain) => permit(Rule::CallerChain, chain),
        }
    }

    /// The most that a caller may name of an asset: the stricter one of its role's bound and its own; nothing if
    /// nothing is said.
    fn most(&self, caller: Caller, asset: AssetId) -> Option<u128> {
        let asset = u64::from(asset.0);
        let of_role = self.rule(Rule::RoleAmountMax, u64::from(caller.role as u8) << 16 | asset);
        let of_caller = self.rule(Rule::CallerAmountMax, u64::from(caller.actor) << 16 | asset);
        of_role.into_iter().chain(of_caller).min().map(|value| value - 1)
    }

    /// By which identity and under which grant this can be asked for, if that matters.
    pub(crate) fn right_to(&self, asked: &Asked) -> (Option<u32>, Option<u16>) {
        let (only, scope) = match self.venue(asked) {
            Some(Venue::Game(game)) => {
                let only = self.rule(Rule::ProviderActor, u64::from(game.provider()));
                let only = only.filter(|_| asked.caller.role == Role::Games);
                (only.map(|only| only as u32), (Role::Games, u32::from(game.provider())))
            }
            Some(Venue::Chain(chain)) => (None, (Role::Chain, chain)),
            None => return (None, None),
        };
        let latest = if asked.caller.role == scope.0 { self.grants.get(&scope) } else { None };
        (only, latest.map(|latest| *latest as u16))
    }

    /// Assets and players are looked at before everything else, as far as the request names them.
    pub(super) fn look_at_names(&self, asked: &Asked, c: &mut Checks) {
        let request = asked.operation.request(asked.id);
        if words::names_asset(asked.kind()) {
            c.look("asset", self.asset(request.asset).map(drop));
        }
        if words::names_player(asked.kind()) {
            c.look("player", self.player(request.player).map(drop));
        }
        if let Operation::Transfer { to, .. } = asked.operation {
            let known = self.player(to).is_ok();
            c.look("receiver", refuse_unless(known, ResultCode::CounterpartyUnknown));
        }
    }

    fn venue(&self, asked: &Asked) -> Option<Venue> {
        let game = asked.operation.request(asked.id).game;
        match asked.operation {
            Operation::Settle { hold, .. } | Operation::Cancel { hold, .. } => {
                self.holds.get(&hold).map(|hold| Venue::Game(hold.game))
            }
            Operation::AllowanceFund { session, .. }
            | Operation::AllowanceReturn { session, .. }
            | Operation::RevokeSession { session, .. } => {
                self.sessions.get(&session).map(|row| Venue::Game(row.game))
            }
            _ if words::has_chain(asked.kind()) => Some(Venue::Chain(game.0)),
            _ if words::has_provider(asked.kind()) => Some(Venue::Game(game)),
            _ => None,
        }
    }
}
