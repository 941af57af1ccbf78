//! Assets and players: how they are opened, and what a player may do.
//!
//! In: requests about them. Out: the new rows. Never here: money.

use cage_engine::field::{Rule, Status};
use cage_engine::{AssetId, GameId, Operation, PlayerId, ResultCode, Role};

use super::books::{AssetRow, PlayerRow};
use super::{Asked, Model, Step, refuse_unless};

const ASSETS_MAX: usize = 1024;

impl Model {
    pub(super) fn execute_player(&mut self, asked: &Asked) -> Step<ResultCode> {
        match asked.operation {
            Operation::OpenAsset { .. } => self.open_asset(asked),
            Operation::OpenPlayer { .. } => self.open_player(asked),
            Operation::SetStatus { .. } => self.set_status(asked),
            Operation::OpenSession { .. } => self.open_session(asked),
            Operation::RevokeSession { player, session } => self.end_session(player, session),
            Operation::ExpireSession { player, session } => {
                let row = self.session_of(player, session)?;
                refuse_unless(row.expires <= asked.now, ResultCode::HoldNotDue)?;
                self.end_session(player, session)
            }
            Operation::SetLimit { .. } => self.set_limit(asked),
            Operation::DisableGame { game, disabled } => {
                self.disabled.remove(&game);
                if disabled {
                    self.disabled.insert(game);
                }
                Ok(ResultCode::Done)
            }
            _ => unreachable!("the model knows every operation"),
        }
    }

    fn open_asset(&mut self, asked: &Asked) -> Step<ResultCode> {
        let Operation::OpenAsset { code, scale, transfers, amount_max } = asked.operation else {
            unreachable!("open_asset")
        };
        let wanted = AssetRow { code, scale, transfers, amount_max };
        if let Some(place) = self.assets.iter().position(|asset| asset.code == code) {
            refuse_unless(self.assets[place] == wanted, ResultCode::AssetDiffers)?;
            self.deed.named.asset = Some(AssetId(place as u16 + 1));
            return Ok(ResultCode::Existing);
        }
        refuse_unless(self.assets.len() < ASSETS_MAX, ResultCode::AssetTableFull)?;
        self.assets.push(wanted);
        self.deed.named.asset = Some(AssetId(self.assets.len() as u16));
        Ok(ResultCode::Done)
    }

    fn open_player(&mut self, asked: &Asked) -> Step<ResultCode> {
        let Operation::OpenPlayer { caller_id, brand, jurisdiction, class } = asked.operation else {
            unreachable!("open_player")
        };
        if let Some(place) = self.players.iter().position(|player| player.caller_id == caller_id) {
            let player = &self.players[place];
            let same = (player.brand, player.jurisdiction, player.class);
            refuse_unless(same == (brand, jurisdiction, class), ResultCode::PlayerDiffers)?;
            self.deed.named.player = Some(PlayerId::from_index(place as u32));
            return Ok(ResultCode::Existing);
        }
        let players_max = self.settings.map_or(0, |settings| settings.players_max);
        refuse_unless((self.players.len() as u64) < players_max, ResultCode::PlayerTableFull)?;
        self.deed.named.player = Some(PlayerId::from_index(self.players.len() as u32));
        let status = Status::Active;
        self.players.push(PlayerRow { caller_id, brand, jurisdiction, class, status, reason: 0, latest: 0 });
        Ok(ResultCode::Done)
    }

    fn set_status(&mut self, asked: &Asked) -> Step<ResultCode> {
        let Operation::SetStatus { player, status, reason } = asked.operation else {
            unreachable!("set_status")
        };
        let row = self.player_mut(player)?;
        let reopened = row.status == Status::Closed && status != Status::Closed;
        refuse_unless(!reopened || asked.caller.role == Role::Operator, ResultCode::PlayerClosed)?;
        (row.status, row.reason) = (status, reason);
        Ok(ResultCode::Done)
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
