//! Assets and players: how they are opened, and what a player may do.
//!
//! In: requests about them. Out: the new rows. Never here: money.

use cage_engine::field::{Rule, Status};
use cage_engine::{AssetId, GameId, Operation, PlayerId, ResultCode, Role};

use super::books::{AssetRow, PlayerRow};
use super::{Asked, Checks, Model, Step, refuse_unless};

const ASSETS_MAX: usize = 1024;

impl Model {
    pub(super) fn look_at_player(&self, asked: &Asked, c: &mut Checks) {
        match asked.operation {
            Operation::OpenAsset { code, scale, transfers, amount_max } => {
                let there = self.assets.iter().find(|asset| asset.code == code);
                let same =
                    there.is_none_or(|asset| *asset == AssetRow { code, scale, transfers, amount_max });
                c.look("facts", refuse_unless(same, ResultCode::AssetDiffers));
                let fits = there.is_some() || self.assets.len() < ASSETS_MAX;
                c.look("table", refuse_unless(fits, ResultCode::AssetTableFull));
            }
            Operation::OpenPlayer { caller_id, brand, jurisdiction, class } => {
                let there = self.players.iter().find(|player| player.caller_id == caller_id);
                let same = there.is_none_or(|player| {
                    (player.brand, player.jurisdiction, player.class) == (brand, jurisdiction, class)
                });
                c.look("facts", refuse_unless(same, ResultCode::PlayerDiffers));
                let players_max = self.settings.map_or(0, |settings| settings.players_max);
                let fits = there.is_some() || (self.players.len() as u64) < players_max;
                c.look("table", refuse_unless(fits, ResultCode::PlayerTableFull));
            }
            Operation::SetStatus { player, status, .. } => {
                let closed = self.player(player).is_ok_and(|row| row.status == Status::Closed);
                let reopened = closed && status != Status::Closed;
                let may = !reopened || asked.caller.role == Role::Operator;
                c.look("reopening", refuse_unless(may, ResultCode::PlayerClosed));
                // A front-end excludes at the player's own wish, and does nothing else.
                let before = self.player(player).map_or(Status::Active, |row| row.status);
                let excludes = status == Status::SelfExcluded
                    && matches!(before, Status::Active | Status::WagerBlocked | Status::SelfExcluded);
                let may = asked.caller.role != Role::Frontend || excludes;
                c.look("role's status", refuse_unless(may, ResultCode::StatusNotAllowed));
            }
            Operation::SetKycHold { .. } => {}
            Operation::SetLimit { value, .. } => c.look("limit", self.limit_fits(value)),
            Operation::DisableGame { .. } => {}
            _ => self.look_at_session_itself(asked, c),
        }
    }

    pub(super) fn carry_out_player(&mut self, asked: &Asked) -> ResultCode {
        match asked.operation {
            Operation::OpenAsset { .. } => self.open_asset(asked),
            Operation::OpenPlayer { .. } => self.open_player(asked),
            Operation::SetStatus { player, status, reason } => {
                if let Ok(row) = self.player_mut(player) {
                    (row.status, row.reason) = (status, reason);
                }
                ResultCode::Done
            }
            Operation::SetKycHold { player, reason, held, .. } => {
                if let Ok(row) = self.player_mut(player) {
                    (row.unchecked, row.check_reason) = (held, reason);
                }
                ResultCode::Done
            }
            Operation::SetLimit { .. } => self.set_limit(asked),
            Operation::DisableGame { game, disabled } => {
                self.disabled.remove(&game);
                if disabled {
                    self.disabled.insert(game);
                }
                ResultCode::Done
            }
            _ => self.carry_out_session(asked),
        }
    }

    fn open_asset(&mut self, asked: &Asked) -> ResultCode {
        let Operation::OpenAsset { code, scale, transfers, amount_max } = asked.operation else {
            unreachable!("open_asset")
        };
        if let Some(place) = self.assets.iter().position(|asset| asset.code == code) {
            self.deed.named.asset = Some(AssetId(place as u16 + 1));
            return ResultCode::Existing;
        }
        self.assets.push(AssetRow { code, scale, transfers, amount_max });
        self.deed.named.asset = Some(AssetId(self.assets.len() as u16));
        ResultCode::Done
    }

    fn open_player(&mut self, asked: &Asked) -> ResultCode {
        let Operation::OpenPlayer { caller_id, brand, jurisdiction, class } = asked.operation else {
            unreachable!("open_player")
        };
        if let Some(place) = self.players.iter().position(|player| player.caller_id == caller_id) {
            self.deed.named.player = Some(PlayerId::from_index(place as u32));
            return ResultCode::Existing;
        }
        self.deed.named.player = Some(PlayerId::from_index(self.players.len() as u32));
        self.players.push(PlayerRow {
            caller_id,
            brand,
            jurisdiction,
            class,
            status: Status::Active,
            reason: 0,
            unchecked: false,
            check_reason: 0,
            latest: 0,
        });
        ResultCode::Done
    }

    pub(super) fn may_play(&self, player: PlayerId) -> Step {
        match self.player(player)?.status {
            Status::Active => Ok(()),
            Status::WagerBlocked => Err(ResultCode::WagerBlocked),
            Status::SelfExcluded => Err(ResultCode::SelfExcluded),
            Status::Frozen => Err(ResultCode::PlayerFrozen),
            Status::Closed => Err(ResultCode::PlayerClosed),
        }
    }

    pub(super) fn may_withdraw(&self, player: PlayerId) -> Step {
        refuse_unless(self.player(player)?.status != Status::Frozen, ResultCode::PlayerFrozen)
    }

    /// Whoever has to be checked takes nothing out before; play and deposits go on.
    pub(super) fn is_checked(&self, player: PlayerId) -> Step {
        refuse_unless(!self.player(player)?.unchecked, ResultCode::KycHold)
    }

    pub(super) fn may_fund(&self, player: PlayerId) -> Step {
        match self.player(player)?.status {
            Status::WagerBlocked => Ok(()),
            _ => self.may_play(player),
        }
    }

    pub(super) fn game_enabled(&self, game: GameId) -> Step {
        refuse_unless(!self.disabled.contains(&GameId(0)), ResultCode::GamingDisabled)?;
        refuse_unless(!self.disabled.contains(&game), ResultCode::GameDisabled)
    }

    pub(super) fn amount_bound(&self, asset: AssetId, amount: u128) -> Step {
        refuse_unless(amount <= self.asset(asset)?.amount_max.0, ResultCode::AmountOverBound)
    }

    /// Whether the rules of this player's brand and jurisdiction allow transfers.
    pub(super) fn is_allowed(&self, player: PlayerId, rule: Rule) -> bool {
        let Ok(row) = self.player(player) else { return false };
        let scope = if rule == Rule::TransfersInBrand { row.brand } else { row.jurisdiction };
        self.rule(rule, u64::from(scope)).is_some()
    }
}
