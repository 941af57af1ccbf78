//! What rules the house sets.

use cage_engine::field::Rule;
use cage_engine::{AssetId, Operation, Role};

use crate::caller::Someone;

const DAY: u128 = 86_400_000;

impl Someone {
    /// One caller and one bridge for each provider, and bounds for all roles.
    pub(crate) fn guard(&mut self, first: &mut Vec<Operation>, assets: &[AssetId]) {
        for provider in [1, 0xfff] {
            let only = 1 + u128::from(self.dice.below(3));
            first.push(rule(Rule::ProviderActor, provider, only));
            first.push(Operation::Grant { venue: provider as u32 });
        }
        first.push(Operation::Grant { venue: 1 });
        first.push(Operation::Grant { venue: 1 });
        if self.dice.one_in(2) {
            for (actor, provider) in [(1, 1), (2, 1), (2, 0xfff), (3, 0)] {
                let game = u64::from(self.game().0);
                first.push(rule(Rule::CallerProvider, actor << 32 | provider, 1));
                first.push(rule(Rule::CallerGame, actor << 32 | game, 1));
                first.push(rule(Rule::CallerChain, actor << 32 | 1, 1));
            }
        }
        let most = 1 + u128::from(3 + self.dice.below(4));
        for (asset, role) in assets.iter().flat_map(|asset| Role::CALLERS.map(|role| (asset, role))) {
            first.push(rule(Rule::RoleAmountMax, (role as u64) << 16 | u64::from(asset.0), most));
        }
        if self.dice.one_in(2) {
            for role in Role::CALLERS {
                first.push(rule(Rule::PermitsRequired, role as u64, 1));
            }
        }
    }

    pub(crate) fn any_rule(&mut self) -> Operation {
        let strict = self.dice.one_in(self.world.strict);
        let (asset, game) = (u64::from(self.asset().0), u64::from(self.game().0));
        let flag = u128::from(strict);
        let small = self.dice.below(12).into();
        let number = match self.dice.below(16) {
            0 | 1 => Rule::ReferenceAsset as u16,
            2 | 3 => Rule::OneRound as u16,
            _ => self.dice.below(22) as u16 + 1,
        };
        let rule_of = Rule::from_number(number).expect("a rule's number");
        let (scope, value) = match rule_of {
            Rule::TransfersInBrand | Rule::TransfersInJurisdiction => {
                (self.dice.below(2), u128::from(!strict || self.dice.one_in(2)))
            }
            Rule::SessionsRequired => (self.dice.below(2), flag),
            Rule::DayBegins => (self.dice.below(2), self.dice.pick(&[0, 90, 360, 1_439])),
            Rule::ReferenceAsset => (0, if strict || self.dice.one_in(3) { asset.into() } else { 1 }),
            Rule::ExposureMax => (game << 16 | asset, if strict { small * 4 } else { 0 }),
            Rule::RoundAgeMax => (0, self.dice.pick(&[0, 0, 1, 20, 3_000, 3_600_000])),
            Rule::SecondApprovalFrom => (asset, small),
            Rule::WithdrawFee => (asset, if strict { small } else { self.dice.pick(&[0, 1]) }),
            Rule::Importing => (asset, if strict { small } else { self.world.amount_max }),
            Rule::LateCorrectionMax => (asset, if strict { small } else { self.world.amount_max }),
            Rule::RateAgeMax => (asset, if strict { self.dice.pick(&[1, 20, 3_000]) } else { 0 }),
            Rule::SecondIdentity => (0, flag),
            Rule::RoleAmountMax => {
                let role = self.dice.pick(&Role::CALLERS);
                let bound = if strict { 1 + small } else { self.world.amount_max + 1 };
                ((role as u64) << 16 | asset, if self.dice.one_in(4) { 0 } else { bound })
            }
            Rule::ProviderActor => {
                let provider = self.dice.pick(&[1, 0xfff]);
                (provider, if strict { 1 + u128::from(self.dice.below(3)) } else { 0 })
            }
            Rule::SessionsMax => (0, if strict { 1 + small / 3 } else { 0 }),
            Rule::Reconsider => (0, self.dice.pick(&[0, DAY, DAY - 1, 2 * DAY])),
            Rule::PermitsRequired => {
                (self.dice.pick(&Role::CALLERS) as u64, u128::from(strict && self.dice.one_in(2)))
            }
            Rule::CallerProvider => {
                let provider = self.dice.pick(&[1, 0xfff]);
                ((1 + self.dice.below(3)) << 32 | provider, 1 - flag)
            }
            Rule::CallerGame => ((1 + self.dice.below(3)) << 32 | game, 1 - flag),
            Rule::CallerChain => ((1 + self.dice.below(3)) << 32 | 1, 1 - flag),
            Rule::CallerAmountMax => {
                let most = if self.dice.one_in(2) { 1 + small } else { 0 };
                (
                    (1 + self.dice.below(3)) << 16 | asset,
                    if strict { most } else { self.world.amount_max + 1 },
                )
            }
            Rule::OneRound => (game, flag),
        };
        if self.dice.one_in(30) {
            let value = self.dice.pick(&[2, 1_440, 1 << 62, (1 << 125) + 2, u128::MAX, 70_000]);
            let scope = self.dice.pick(&[scope, scope | 1 << 16, scope | 1 << 48, u64::MAX]);
            return rule(rule_of, scope, value);
        }
        rule(rule_of, scope, value)
    }
}

pub(crate) const fn rule(rule: Rule, scope: u64, value: u128) -> Operation {
    Operation::SetRule { rule, scope, value }
}
