//! What is asked of house, players, sessions, limits, promotions and corrections.

use cage_engine::field::Rule;
use cage_engine::{
    Amount, AssetCode, AssetId, CallerId, GameId, LimitKind, Operation, OperationKind, Period, PlayerClass,
    PlayerId, Reference, Role, SessionId, Settings, Status, Timestamp,
};

use crate::caller::{GAMES, Someone};
use crate::model::Model;
use crate::rules::rule;

use OperationKind as Kind;

/// What comes up more often than the rest, and how often.
const OFTEN: [(Kind, u64); 25] = [
    (Kind::SetLimit, 14),
    (Kind::ImportBet, 12),
    (Kind::Transfer, 16),
    (Kind::Bet, 60),
    (Kind::BetWin, 25),
    (Kind::Win, 45),
    (Kind::Rollback, 40),
    (Kind::Reserve, 50),
    (Kind::Settle, 40),
    (Kind::Cancel, 20),
    (Kind::EndRound, 12),
    (Kind::VoidRound, 14),
    (Kind::LateCorrection, 10),
    (Kind::DepositCredit, 50),
    (Kind::DepositReverse, 10),
    (Kind::WithdrawRequest, 18),
    (Kind::WithdrawApprove, 18),
    (Kind::WithdrawSigned, 22),
    (Kind::WithdrawSettle, 16),
    (Kind::OpenSession, 24),
    (Kind::FreeroundGrant, 8),
    (Kind::FreeroundConsume, 12),
    (Kind::Adjust, 8),
    (Kind::AdjustApprove, 10),
    (Kind::AllowanceFund, 8),
];
/// How often any other kind comes up.
const SELDOM: u64 = 8;

impl Someone {
    /// What a house needs before anybody can play; some of it is left out.
    pub(crate) fn a_house(&mut self) -> Vec<Operation> {
        let mut first = Vec::new();
        if !self.world.late {
            first.push(Operation::Configure { settings: self.world.settings });
        }
        let assets: Vec<_> = (1..=self.world.assets as u16).map(AssetId).collect();
        for number in 0..self.world.assets {
            first.push(self.open_asset(number, 0));
        }
        for number in 0..self.world.players {
            first.push(self.open_player(number, 0));
        }
        let most = self.world.amount_max.min(1 << 122) * self.dice.pick(&[1, 1, 8]);
        let trusted = most.max(self.world.amount_max) + 1;
        for (role, asset) in
            assets.iter().flat_map(|asset| [Role::Operator, Role::Cashier].map(|role| (role, *asset)))
        {
            if !self.dice.one_in(5) {
                first.push(rule(Rule::RoleAmountMax, (role as u64) << 16 | u64::from(asset.0), trusted));
            }
        }
        if !self.dice.one_in(4) {
            first.push(rule(Rule::ReferenceAsset, 0, 1));
            for asset in &assets {
                first.push(rule(
                    Rule::Importing,
                    asset.0.into(),
                    self.dice.pick(&[1, 40, self.world.amount_max]),
                ));
                first.push(rule(Rule::LateCorrectionMax, asset.0.into(), self.dice.pick(&[1, 9, most])));
            }
        }
        let priceless = self.dice.one_in(3);
        for asset in &assets {
            if !priceless && !self.dice.one_in(4) {
                first.push(Operation::PublishRate { asset: *asset, price: self.price() });
            }
        }
        for scope in 0..2 {
            for allowed in [Rule::TransfersInBrand, Rule::TransfersInJurisdiction] {
                first.push(rule(allowed, scope, u128::from(!self.dice.one_in(4))));
            }
            first.push(rule(Rule::DayBegins, scope, self.dice.pick(&[0, 90, 360])));
        }
        if self.world.limits {
            let players: Vec<_> = (0..self.world.players as u32).map(PlayerId::from_index).collect();
            for player in players {
                first.push(self.set_limit(player));
            }
        }
        if self.dice.one_in(4) {
            for (asset, game) in assets.iter().flat_map(|asset| GAMES.map(|game| (asset, game))) {
                let most = 1 + u128::from(self.dice.below(30));
                first.push(rule(Rule::ExposureMax, u64::from(game.0) << 16 | u64::from(asset.0), most));
            }
        }
        if self.dice.one_in(2) {
            let small = self.dice.below(6).into();
            for asset in &assets {
                first.push(rule(Rule::WithdrawFee, asset.0.into(), 1));
                first.push(rule(Rule::SecondApprovalFrom, asset.0.into(), small));
            }
        }
        if self.dice.one_in(5) {
            for game in GAMES {
                first.push(rule(Rule::OneRound, u64::from(game.0), 1));
            }
        }
        if self.dice.one_in(5) {
            first.push(rule(Rule::SecondIdentity, 0, 1));
        }
        if self.world.guarded {
            self.guard(&mut first, &assets);
        }
        for _ in 0..2 * self.world.players {
            first.push(self.deposit());
        }
        first
    }

    /// Nothing goes well without settings, assets and players: what failed is tried again now and then.
    pub(crate) fn what_is_missing(&mut self, model: &Model) -> Option<Operation> {
        let (assets, players) = (model.assets.len() as u64, model.players.len() as u64);
        let players_max = self.world.settings.players_max;
        if model.settings.is_none() && self.dice.one_in(if self.world.late { 400 } else { 12 }) {
            Some(Operation::Configure { settings: self.world.settings })
        } else if assets < self.world.assets && self.dice.one_in(8) {
            Some(self.open_asset(assets, 0))
        } else if players < self.world.players.min(players_max) && self.dice.one_in(8) {
            Some(self.open_player(players, 0))
        } else {
            None
        }
    }

    pub(crate) fn operation(&mut self, model: &Model, now: Timestamp) -> Operation {
        if self.dice.one_in(2) {
            let kinds = companions(self.world.favourite);
            let kind = if self.dice.one_in(2) { self.world.favourite } else { self.dice.pick(kinds) };
            return self.operation_of(kind, model, now);
        }
        let others = OperationKind::ALL.len() as u64 * SELDOM;
        let mut at = self.dice.below(others + OFTEN.iter().map(|(_, weight)| weight).sum::<u64>());
        if at < others {
            let kind = OperationKind::ALL[(at / SELDOM) as usize];
            return self.operation_of(kind, model, now);
        }
        at -= others;
        for (kind, weight) in OFTEN {
            if at < weight {
                return self.operation_of(kind, model, now);
            }
            at -= weight;
        }
        unreachable!("the weights are exhausted")
    }

    pub(crate) fn operation_of(&mut self, kind: Kind, model: &Model, now: Timestamp) -> Operation {
        match kind.number() {
            64..80 => self.cashier(kind, model),
            80..112 => self.correction(kind, model, now),
            112..119 | 121 => self.promotion(kind, model, now),
            128.. => self.wager(kind, model, now),
            _ => self.of_house(kind, model, now),
        }
    }

    fn of_house(&mut self, kind: Kind, model: &Model, now: Timestamp) -> Operation {
        let kind = if kind == Kind::Continue { Kind::SetRule } else { kind };
        match kind {
            Kind::Configure if self.world.reconfigured && self.dice.one_in(4) => {
                Operation::Configure { settings: self.settings() }
            }
            Kind::StateDigest if self.dice.one_in(8) => Operation::StateDigest { digest: [0; 32] },
            Kind::Configure | Kind::StateDigest => self.operation_of(Kind::Bet, model, now),
            Kind::SetRule => self.any_rule(),
            Kind::PublishRate => Operation::PublishRate { asset: self.asset(), price: self.price() },
            // A grant once given fences everybody who does not show it.
            Kind::Grant => Operation::Grant { venue: self.dice.pick(&[1, 1, 0xfff, 2]) },
            Kind::OpenAsset => {
                let (number, slip) = (self.dice.below(self.world.assets), self.dice.below(12));
                self.open_asset(number, slip)
            }
            Kind::OpenPlayer => {
                let (number, slip) = (self.dice.below(self.world.players + 2), self.dice.below(9));
                self.open_player(number, slip)
            }
            Kind::SetStatus => {
                let strict = self.dice.one_in(self.world.strict);
                let status = if strict { self.dice.pick(Status::ALL) } else { Status::Active };
                let reason = self.dice.below(3) as u16;
                Operation::SetStatus { player: self.player(), status, reason }
            }
            Kind::SetKycHold => Operation::SetKycHold {
                player: self.player(),
                text: Reference(1),
                text_rest: 2,
                reason: self.dice.below(3) as u16,
                held: self.dice.one_in(self.world.strict),
            },
            Kind::SetLimit => {
                let player = self.player();
                self.set_limit(player)
            }
            Kind::DisableGame => {
                let game = self.dice.pick(&GAMES);
                Operation::DisableGame { game, disabled: self.dice.one_in(self.world.strict) }
            }
            _ => self.session_or_meter(kind, model, now),
        }
    }

    fn session_or_meter(&mut self, kind: Kind, model: &Model, now: Timestamp) -> Operation {
        let (player, session) = self.session_and_player(model);
        match kind {
            Kind::OpenSession if self.dice.one_in(4) && !model.sessions.is_empty() => self.open_again(model),
            Kind::OpenSession => Operation::OpenSession {
                player,
                token: Reference(1 + u128::from(self.dice.below(6)) + model.records as u128 / 200 * 6),
                asset: (!self.dice.one_in(4)).then(|| self.asset()),
                topup_max: if self.dice.one_in(3) { Amount(0) } else { self.amount() },
                game: if self.dice.one_in(2) { GameId(0) } else { self.game() },
                expires: self.soon(now),
            },
            Kind::RevokeSession => Operation::RevokeSession { player, session },
            Kind::ExpireSession => Operation::ExpireSession { player, session },
            Kind::AllowanceFund => Operation::AllowanceFund {
                player,
                asset: self.asset_of_session(model, session),
                amount: self.amount(),
                session,
            },
            _ => Operation::AllowanceReturn {
                player,
                asset: self.asset_of_session(model, session),
                amount: if self.dice.one_in(2) { Amount(0) } else { self.amount() },
                session,
            },
        }
    }

    /// A token that was used, with the facts that it was used for.
    fn open_again(&mut self, model: &Model) -> Operation {
        let rows: Vec<_> = model.sessions.values().collect();
        let row = self.dice.recent(&rows, 8).expect("there are sessions");
        Operation::OpenSession {
            player: row.player,
            token: row.token,
            asset: row.asset,
            topup_max: Amount(row.topup_max),
            game: row.game,
            expires: row.expires,
        }
    }

    fn asset_of_session(&mut self, model: &Model, session: SessionId) -> AssetId {
        let asset = model.sessions.get(&session).and_then(|row| row.asset);
        asset.unwrap_or_else(|| self.asset())
    }

    /// A session and its player; seldom another's, or one that has ended.
    pub(crate) fn session_and_player(&mut self, model: &Model) -> (PlayerId, SessionId) {
        let open: Vec<_> = model.sessions.iter().map(|(number, row)| (row.player, *number)).collect();
        match self.dice.recent(&open, 8) {
            Some(found) if !self.dice.one_in(8) => found,
            _ => {
                let number = self.dice.below(u64::from(model.sessions_opened) + 2) as u32;
                (self.player(), SessionId(number))
            }
        }
    }

    /// Now and then at once, mostly in a while.
    pub(crate) fn soon(&mut self, now: Timestamp) -> Timestamp {
        match self.dice.below(12) {
            0 => Timestamp(now.0 + 1),
            1 => now.plus_millis(1),
            2..6 => now.plus_millis(self.dice.below(50)),
            6..10 => now.plus_millis(self.dice.below(3_000)),
            _ => now.plus_millis(3_600_000 * (1 + self.dice.below(60))),
        }
    }

    fn open_asset(&self, number: u64, slip: u64) -> Operation {
        Operation::OpenAsset {
            code: AssetCode::new(["ETH", "USDT.TRON", "A-LONG_CODE.0-16"][number as usize]).expect("a code"),
            scale: match slip {
                1 => 31,
                2 => 1,
                _ => [18, 0, 6][number as usize],
            },
            transfers: (number != 1) ^ (slip == 3),
            amount_max: Amount(if slip == 4 { 1 } else { self.world.amount_max }),
        }
    }

    fn open_player(&self, number: u64, slip: u64) -> Operation {
        Operation::OpenPlayer {
            caller_id: CallerId(u128::from(number) * 0x1_0000_0000_0000_0001 + u128::from(slip != 7)),
            brand: (number % 2) as u16 ^ u16::from(slip == 1),
            jurisdiction: (number / 2 % 2) as u16 ^ u16::from(slip == 2),
            class: if (slip == 3) != (self.world.tester && number == 1) {
                PlayerClass::Test
            } else {
                PlayerClass::Real
            },
        }
    }

    fn settings(&mut self) -> Settings {
        let mut settings = self.world.settings;
        match self.dice.below(12) {
            0 => settings.ids_capacity = self.dice.pick(&[0, 15, (1 << 30) + 1, u64::MAX]),
            1 => settings.holds_max = (1 << 27) + 1,
            2 => settings.players_max = (1 << 28) - 1,
            3 => settings.ids_retention_millis = self.dice.pick(&[0, 3, 50]),
            4..6 => settings.ids_capacity = self.dice.pick(&[16, 24, 40, 65]),
            6 => settings.holds_max = self.dice.below(9),
            7 => settings.players_max = self.dice.below(5),
            8 => settings.closed_wagers_max = self.dice.pick(&[0, 1, 2, 5, (1 << 26) + 1, 1 << 33]),
            _ => {}
        }
        settings
    }

    /// About one unit for one, or thereabouts; in a huge world also prices that nothing can be counted at.
    fn price(&mut self) -> Amount {
        if self.dice.one_in(40) {
            return Amount(self.dice.pick(&[1 << 100, (1 << 100) + 1, 1]));
        }
        let unit = self.dice.pick(&[1_000_000_000, 1_500_000_000, 333_333_333, 7]);
        let scale = self.dice.pick(&[1, 1_000_000, 1_000_000_000_000_000_000]);
        Amount(unit * scale)
    }

    pub(crate) fn set_limit(&mut self, player: PlayerId) -> Operation {
        let kind = self.dice.pick(LimitKind::ALL);
        let period = match kind {
            LimitKind::Bet => Period::Once,
            _ => self.dice.pick(&[Period::Day, Period::Day, Period::Week, Period::Month]),
        };
        let remove = self.dice.one_in(8);
        let value = match self.dice.below(40) {
            0 => 1 << 63,
            1 => (1 << 63) - 1,
            2..12 => self.dice.below(4).into(),
            _ if self.world.huge => (1 << 63) - u128::from(1 + self.dice.below(9)),
            _ => u128::from(self.dice.below(60)),
        };
        Operation::SetLimit { player, kind, period, remove, value: Amount(if remove { 0 } else { value }) }
    }

    pub(crate) fn promotion(&mut self, kind: Kind, model: &Model, now: Timestamp) -> Operation {
        let (player, asset, game) = (self.player(), self.asset(), self.game());
        let provider = if self.dice.one_in(12) { 1 } else { game.provider() };
        let pool = u32::from(provider) << 20 | self.dice.below(2) as u32;
        match kind {
            Kind::PromoCredit => Operation::PromoCredit {
                player,
                asset,
                amount: self.amount(),
                game,
                campaign: self.dice.one_in(2).then_some(Reference(5)),
                house_paid: self.dice.one_in(2),
                turnover: self.turnover(),
            },
            Kind::JackpotContribute => Operation::JackpotContribute {
                asset,
                base: self.amount(),
                game,
                bet: self.dice.one_in(2).then_some(Reference(5)),
                pool,
                rate_ppm: self.dice.pick(&[1, 10_000, 333_333, 500_000, 999_999, 1_000_000, 0, 1_000_001]),
            },
            Kind::JackpotWin => Operation::JackpotWin {
                player,
                asset,
                amount: self.amount(),
                game,
                bet: None,
                pool,
                shown: 7,
            },
            Kind::JackpotAdjust => Operation::JackpotAdjust {
                asset,
                amount: self.amount(),
                text: Reference(self.dice.below(20).into()),
                pool,
                debit: self.dice.one_in(2),
                reason: 3,
                text_rest: 9,
            },
            Kind::FreeroundGrant => Operation::FreeroundGrant {
                player,
                asset,
                bet_value: self.amount(),
                game,
                count: self.dice.pick(&[1, 2, 3, 5, 1_000_000]),
                expires: self.soon(now),
            },
            _ => self.use_of_freerounds(kind, model),
        }
    }

    fn use_of_freerounds(&mut self, kind: Kind, model: &Model) -> Operation {
        let open: Vec<_> = model.freerounds.keys().copied().collect();
        let grant = self.of_these(&open, |names| &names.freerounds);
        let row = model.freerounds.get(&grant).cloned();
        let (player, game) =
            row.as_ref().map_or_else(|| (self.player(), self.game()), |row| (row.player, row.game));
        let left = row.map_or(1, |row| row.left);
        match kind {
            Kind::FreeroundConsume => Operation::FreeroundConsume {
                player,
                grant,
                session: self.session_for(model, player, game),
                game,
                count: self.dice.pick(&[1, 1, left, left, left + 1]),
            },
            Kind::FreeroundExpire => Operation::FreeroundExpire { player, grant, game },
            _ => Operation::FreeroundLapse { player, grant },
        }
    }
}

/// What has to be asked for, so that there is something to ask this for.
const fn companions(kind: Kind) -> &'static [Kind] {
    match kind {
        Kind::WriteOff | Kind::Collect | Kind::AutoCollect => &[Kind::LateCorrection, Kind::DepositCredit],
        Kind::WithdrawApprove
        | Kind::WithdrawSigned
        | Kind::WithdrawSettle
        | Kind::WithdrawCancel
        | Kind::WithdrawRelease => {
            &[Kind::DepositCredit, Kind::WithdrawRequest, Kind::WithdrawApprove, Kind::WithdrawSigned]
        }
        Kind::AdjustApprove | Kind::AdjustReject => &[Kind::Adjust, Kind::LateCorrection],
        Kind::Exchange => &[Kind::PublishRate, Kind::DepositCredit],
        Kind::FreeroundConsume => &[Kind::FreeroundGrant, Kind::OpenSession],
        Kind::FreeroundExpire | Kind::FreeroundLapse => &[Kind::FreeroundGrant],
        Kind::AllowanceReturn => &[Kind::OpenSession, Kind::AllowanceFund],
        Kind::Transfer | Kind::AllowanceFund | Kind::RevokeSession | Kind::ExpireSession => {
            &[Kind::OpenSession]
        }
        Kind::Bet | Kind::BetWin => &[Kind::Reserve, Kind::SetLimit, Kind::DepositCredit],
        Kind::Settle | Kind::Cancel | Kind::Expire => &[Kind::Reserve],
        Kind::EndRound | Kind::CloseRound | Kind::VoidRound => &[Kind::Bet, Kind::Reserve, Kind::Win],
        Kind::LateCorrection => &[Kind::VoidPeriod, Kind::Bet, Kind::Win],
        Kind::Unlock => &[Kind::Lock],
        _ => &[Kind::DepositCredit, Kind::SetLimit],
    }
}
