//! What the ledger does by itself.
//!
//! In: a time. Out: what is to be done first. Never here: how it is done.

use cage_engine::{Operation, Timestamp};

use super::Model;

impl Model {
    /// What was due first, by time, then sort, then key.
    pub(crate) fn due(&self, now: Timestamp) -> Option<Operation> {
        let (at, _, _, operation) = self.first_due()?;
        (at <= now).then_some(operation)
    }

    /// When there is next something to do.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.first_due().map(|(at, ..)| at)
    }

    fn first_due(&self) -> Option<(Timestamp, u8, u128, Operation)> {
        self.dues().into_iter().min_by_key(|(at, sort, key, _)| (*at, *sort, *key))
    }

    fn dues(&self) -> Vec<(Timestamp, u8, u128, Operation)> {
        let mut dues = Vec::new();
        for (id, hold) in self.holds.iter() {
            let expire = Operation::Expire { player: hold.player, asset: hold.asset, hold: *id };
            dues.extend(hold.deadline.map(|deadline| (deadline, 0, id.0, expire)));
        }
        for (key, round) in self.rounds.iter().filter(|(_, round)| round.open_holds == 0) {
            let close = Operation::CloseRound { player: round.player, asset: round.asset, round: *key };
            dues.push((round.closes, 1, key.0, close));
        }
        for (number, session) in self.sessions.iter() {
            let expire = Operation::ExpireSession { player: session.player, session: *number };
            dues.push((session.expires, 2, u128::from(number.0), expire));
        }
        for (player, asset) in self.collectable() {
            let key = u128::from(player.number()) << 16 | u128::from(asset.0);
            dues.push((Timestamp(0), 3, key, Operation::AutoCollect { player, asset }));
        }
        for (id, freeround) in self.freerounds.iter() {
            let lapse = Operation::FreeroundLapse { player: freeround.player, grant: *id };
            dues.push((freeround.expires, 4, id.0, lapse));
        }
        dues
    }
}
