//! One player's row, without the rest of the image.
//!
//! In: the beginning of an image, which may be anything. Out: what it says of the assets and of one player. Never here: a
//! state.

use alloc::vec::Vec;

use super::read::Input;
use super::rest::PLAYER_BYTES;
use super::{ImageFault, Part};
use crate::id::{Lsn, PlayerId};
use crate::operation::AssetCode;
use crate::state::State;

/// What the beginning of an image says of one player, and of the assets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Glance {
    /// The code and the decimal places of each asset, from number 1 on.
    pub assets: Vec<(AssetCode, u8)>,
    /// The player's latest record; none if there is no such player.
    pub latest: Option<Lsn>,
}

impl Glance {
    /// Reads an image up to a player's row. Players come near the beginning and lie in the order of their numbers, so that
    /// the first part of an image is enough.
    ///
    /// # Errors
    /// [`ImageFault`] at the first bytes that no image has there, or if these bytes end before the row does.
    pub fn of(image: &[u8], player: PlayerId) -> Result<Self, ImageFault> {
        let mut input = Input { image, at: 0, part: "beginning", table: Part::Table as u16 };
        input.begin()?;
        let mut state = State::new(0);
        state.get_head(&mut input)?;
        state.get_assets(&mut input)?;
        let assets = state.assets.iter().map(|asset| (asset.code, asset.scale)).collect();
        let players = input.part(Part::Players as u16, "players", PlayerId::COUNT_MAX)?;
        let wanted = player.index() as u64;
        if players <= wanted {
            return Ok(Self { assets, latest: None });
        }
        for _ in 0..wanted {
            input.skip_player()?;
        }
        input.bytes(PLAYER_BYTES)?;
        let latest: Lsn = input.get("a position")?;
        input.check(latest < state.next_lsn, "a position before the image's")?;
        Ok(Self { assets, latest: Some(latest) })
    }
}
