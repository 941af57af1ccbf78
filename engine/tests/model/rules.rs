//! Settings, rules, prices and grants, and what they permit to whom.
//!
//! In: a request and who asks. Out: whether it may be asked, and the new rules.

use cage_engine::field::Rule;
use cage_engine::id::Reference;
use cage_engine::{AssetId, Operation, OperationKind as Kind, ResultCode, Role, Settings, Timestamp};

use super::words::{self, AMOUNT_MAX};
use super::{Asked, Model, Step, refuse_unless};

const TEN_YEARS_MILLIS: u128 = 10 * 365 * 24 * 3_600 * 1_000;
const PRICE_MAX: u128 = 1 << 100;

/// Whose business a request is, as far as bridges need a right to it.
enum Venue {
    Provider(u16),
    Chain(u32),
}

impl Model {
    pub(super) fn execute_rule(&mut self, asked: &Asked) -> Step<ResultCode> {
        match asked.operation {
            Operation::Configure { settings } => {
                refuse_unless(self.settings_fit(settings, asked.now), ResultCode::SettingsUnfit)?;
                self.settings = Some(settings);
            }
            Operation::StateDigest { .. } => {}
            Operation::SetRule { rule, scope, value } => {
                refuse_unless(self.rule_fits(rule, scope, value), ResultCode::RuleUnfit)?;
                self.rules.remove(&(rule, scope));
                if value != 0 {
                    self.rules.insert((rule, scope), value);
                }
            }
            Operation::PublishRate { asset, price } => {
                refuse_unless(price.0 <= PRICE_MAX, ResultCode::RuleUnfit)?;
                self.prices.insert(asset, price);
            }
            Operation::Grant { venue } => {
                self.granted += 1;
                self.grants.insert((asked.caller.role, venue), self.granted);
                self.deed.named.number = Some(self.granted);
            }
            _ => unreachable!("the model knows every operation"),
        }
        Ok(ResultCode::Done)
    }

    fn settings_fit(&self, settings: Settings, now: Timestamp) -> bool {
        settings.ids_capacity >= 16
            && settings.ids_capacity <= 1 << 30
            && settings.ids_capacity >= self.fact_count()
            && self.has_room_under(settings, self.room_owed(), now)
            && settings.holds_max <= 1 << 27
            && settings.players_max <= (1 << 28) - 2
    }

    fn rule_fits(&self, rule: Rule, scope: u64, value: u128) -> bool {
        let asset_open = |asset: u64| u16::try_from(asset).is_ok_and(|asset| self.asset(AssetId(asset)).is_ok());
        let flag = value <= 1;
        match rule {
            Rule::TransfersInBrand | Rule::TransfersInJurisdiction | Rule::SessionsRequired => {
                scope < 1 << 16 && flag
            }
            Rule::DayBegins => scope < 1 << 16 && value < 24 * 60,
            Rule::ReferenceAsset => {
                scope == 0 && (value == 0 || u64::try_from(value).is_ok_and(asset_open))
            }
            Rule::ExposureMax => scope < 1 << 48 && asset_open(scope & 0xffff) && value <= AMOUNT_MAX,
            Rule::RoundAgeMax | Rule::Reconsider => scope == 0 && value <= TEN_YEARS_MILLIS,
            Rule::SecondApprovalFrom | Rule::WithdrawFee => asset_open(scope) && value <= AMOUNT_MAX,
            Rule::Importing => scope == 0 && flag,
            Rule::RoleAmountMax => {
                (1..=9).contains(&(scope >> 16)) && asset_open(scope & 0xffff) && value <= AMOUNT_MAX + 1
            }
            Rule::ProviderActor => scope < 4_096 && value <= u128::from(u32::MAX),
            Rule::SessionsMax => scope == 0 && value <= 1 << 26,
        }
    }

    pub(super) fn importing(&self) -> Step {
        refuse_unless(self.rule(Rule::Importing, 0).is_some(), ResultCode::NotImporting)
    }

    /// Whether the caller may act here at all: the provider's own bridge, its amounts, its latest grant.
    pub(super) fn permitted(&self, asked: &Asked) -> Step {
        let caller = asked.caller;
        let venue = self.venue(asked);
        if let (Role::Games, Some(Venue::Provider(provider))) = (caller.role, &venue) {
            let actor = self.rule(Rule::ProviderActor, u64::from(*provider));
            let permitted = actor.is_none_or(|actor| actor == u128::from(caller.actor));
            refuse_unless(permitted, ResultCode::CallerNotPermitted)?;
        }
        let request = asked.operation.request(asked.id);
        let names_amount = asked.kind().fields().iter().any(|field| field.slot == cage_engine::field::Slot::Amount);
        if request.asset != AssetId::NONE && names_amount {
            let scope = u64::from(caller.role as u8) << 16 | u64::from(request.asset.0);
            let most = match self.rule(Rule::RoleAmountMax, scope) {
                Some(value) => value - 1,
                None if words::is_capped(asked.kind(), caller.role) => 0,
                None => u128::MAX,
            };
            refuse_unless(request.amount.0 <= most, ResultCode::AmountOverRole)?;
        }
        let scope = match (caller.role, venue) {
            (Role::Games, Some(Venue::Provider(provider))) => (Role::Games, u32::from(provider)),
            (Role::Chain, Some(Venue::Chain(chain))) => (Role::Chain, chain),
            _ => return Ok(()),
        };
        let latest = self.grants.get(&scope);
        refuse_unless(latest.is_none_or(|latest| *latest as u16 == caller.grant), ResultCode::Fenced)
    }

    fn venue(&self, asked: &Asked) -> Option<Venue> {
        match asked.operation {
            Operation::Settle { hold, .. } | Operation::Cancel { hold, .. } => {
                self.holds.get(&hold).map(|hold| Venue::Provider(hold.game.provider()))
            }
            _ => {
                let game = asked.operation.request(asked.id).game;
                match asked.kind() {
                    Kind::DepositCredit
                    | Kind::DepositReverse
                    | Kind::Chargeback
                    | Kind::WithdrawSigned
                    | Kind::WithdrawSettle => Some(Venue::Chain(game.0)),
                    Kind::OpenSession
                    | Kind::PromoCredit
                    | Kind::JackpotContribute
                    | Kind::JackpotWin
                    | Kind::FreeroundGrant
                    | Kind::FreeroundConsume
                    | Kind::FreeroundExpire
                    | Kind::Reserve
                    | Kind::Bet
                    | Kind::Win
                    | Kind::BetWin
                    | Kind::Rollback
                    | Kind::EndRound
                    | Kind::VoidRound
                    | Kind::LateCorrection => Some(Venue::Provider(game.provider())),
                    _ => None,
                }
            }
        }
    }

    /// The key under which nothing may be known of what is imported.
    pub(super) fn unknown(&self, key: Reference) -> Step {
        use super::memory::Space;
        let spaces = [Space::Request, Space::Hold, Space::Wager, Space::Reference];
        let known = self.wagers.contains_key(&key)
            || self.holds.contains_key(&cage_engine::RequestId(key.0))
            || spaces.into_iter().any(|space| self.fact(space, key.0).is_some());
        refuse_unless(!known, ResultCode::AlreadyKnown)
    }
}
