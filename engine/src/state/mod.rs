//! The state of the ledger: everything that decisions depend on. Changed by [`apply`](State::apply) alone.

mod chunked;
mod digest;
mod holds;
mod house;
mod ids;
mod index;
mod keys;
mod players;

use alloc::vec::Vec;

pub(crate) use holds::Holds;
pub(crate) use house::House;
pub(crate) use ids::{Ids, Remembered};
pub(crate) use index::fold;
pub(crate) use keys::Keys;
pub(crate) use players::Players;

pub use holds::Hold;
pub use ids::Ending;
pub use players::Player;

use crate::account::{AccountId, Purse};
use crate::amount::{Amount, Balance};
use crate::id::{AssetId, CallerId, Lsn, PlayerId, RequestId};
use crate::operation::{AssetCode, Settings};
use crate::request::Request;
use crate::time::Timestamp;

/// The greatest number of assets in one ledger.
pub const ASSETS_MAX: usize = 1024;

/// An asset and the sums over all its accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asset {
    /// Its short name.
    pub code: AssetCode,
    /// How many decimal places the smallest unit stands behind the usual one.
    pub scale: u8,
    /// Whether players may send it to each other.
    pub transfers: bool,
    /// The most that one operation may name.
    pub amount_max: Amount,
    /// What all players hold together.
    pub players_total: Balance,
    /// What the house holds; with the players' total it is zero.
    pub house_total: Balance,
}

/// A player's money in one asset, purse by purse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balances {
    /// May be staked, sent, withdrawn.
    pub available: Balance,
    /// Open bets.
    pub reserved: Balance,
}

/// The ledger.
#[derive(Debug)]
pub struct State {
    pub(crate) next_lsn: Lsn,
    pub(crate) clock: Timestamp,
    pub(crate) settings: Option<Settings>,
    pub(crate) assets: Vec<Asset>,
    pub(crate) players: Players,
    pub(crate) house: House,
    pub(crate) holds: Holds,
    pub(crate) ids: Option<Ids>,
    pub(crate) keys: Keys,
    pub(crate) seed: u64,
}

impl State {
    /// An empty ledger, before its first record. `seed` shuffles the hash tables and changes nothing that can be
    /// seen from outside; a process takes a random one so that callers cannot aim at one bucket.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            next_lsn: Lsn::FIRST,
            clock: Timestamp(0),
            settings: None,
            assets: Vec::new(),
            players: Players::new(seed),
            house: House::new(),
            holds: Holds::new(seed),
            ids: None,
            keys: Keys::new(seed),
            seed,
        }
    }

    /// The position that the next record gets.
    #[must_use]
    pub const fn next_lsn(&self) -> Lsn {
        self.next_lsn
    }

    /// The time of the latest record. Decisions are never older.
    #[must_use]
    pub const fn clock(&self) -> Timestamp {
        self.clock
    }

    /// The settings in force; none before the first record.
    #[must_use]
    pub const fn settings(&self) -> Option<Settings> {
        self.settings
    }

    /// An asset by its number.
    #[must_use]
    pub fn asset(&self, asset: AssetId) -> Option<&Asset> {
        self.assets.get(usize::from(asset.0).checked_sub(1)?)
    }

    /// The numbers of all assets, in order.
    pub fn asset_ids(&self) -> impl Iterator<Item = AssetId> + use<> {
        (1..=self.assets.len() as u16).map(AssetId)
    }

    /// How many players are open.
    #[must_use]
    pub const fn player_count(&self) -> usize {
        self.players.len()
    }

    /// What is known of a player besides money.
    #[must_use]
    pub fn player(&self, player: PlayerId) -> Option<&Player> {
        self.players.get(player)
    }

    /// All players, in the order of their numbers.
    pub fn players(&self) -> impl Iterator<Item = (PlayerId, &Player)> {
        self.players.iter()
    }

    /// The player whom a caller knows by this id.
    #[must_use]
    pub fn player_of(&self, caller_id: CallerId) -> Option<PlayerId> {
        self.players.find(caller_id).map(|(id, _)| id)
    }

    /// The latest record of a player.
    #[must_use]
    pub fn latest(&self, player: PlayerId) -> Lsn {
        self.players.latest(player)
    }

    /// An open hold.
    #[must_use]
    pub fn hold(&self, id: RequestId) -> Option<&Hold> {
        self.holds.get(id)
    }

    /// All open holds, in no particular order.
    pub fn holds(&self) -> impl Iterator<Item = &Hold> {
        self.holds.iter()
    }

    /// How many holds are open.
    #[must_use]
    pub const fn hold_count(&self) -> usize {
        self.holds.len()
    }

    /// How a hold ended, as long as that is remembered.
    #[must_use]
    pub fn ending(&self, hold: RequestId) -> Option<Ending> {
        self.ids.as_ref()?.ending(hold)
    }

    /// The hold that has been due the longest at `now`.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> Option<&Hold> {
        self.holds.due(now)
    }

    /// When the next hold falls due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.holds.next_deadline()
    }

    /// Ids at or before this time are refused: what was forgotten may have been among them.
    #[must_use]
    pub fn id_horizon(&self) -> Timestamp {
        self.ids.as_ref().map_or(Timestamp(0), Ids::horizon)
    }

    /// How many ids and endings are remembered.
    #[must_use]
    pub fn id_count(&self) -> u64 {
        self.ids.as_ref().map_or(0, Ids::len)
    }

    /// What an account holds; zero if it was never touched.
    #[must_use]
    pub fn balance(&self, account: AccountId) -> Balance {
        match (account.purse(), account.player()) {
            (Some(purse), Some(player)) => self.players.balance(player, account.asset(), purse),
            _ => self.house.balance(account),
        }
    }

    /// A player's purses in an asset.
    #[must_use]
    pub fn balances(&self, player: PlayerId, asset: AssetId) -> Balances {
        Balances {
            available: self.players.balance(player, asset, Purse::Available),
            reserved: self.players.balance(player, asset, Purse::Reserved),
        }
    }

    /// The house's accounts, in no particular order.
    pub fn house_accounts(&self) -> impl Iterator<Item = (AccountId, Balance)> {
        self.house.iter()
    }

    /// What all purses of all players and of the house add up to, recomputed account by account: zero for every
    /// asset, or the books are wrong. Cost: one pass over all accounts.
    #[must_use]
    pub fn recomputed_sum(&self, asset: AssetId) -> Balance {
        let players = self.players.iter().flat_map(|(id, _)| self.players.holdings(id));
        let players = players.filter(|(held, _)| *held == asset);
        let players = players.flat_map(|(_, purses)| purses).map(|held| held as i128);
        let house = self.house.iter().filter(|(account, _)| account.asset() == asset);
        // On the way the sum may pass what an i128 holds, in an order that nobody knows; in the end it fits again.
        Balance(players.chain(house.map(|(_, held)| held.0)).fold(0, i128::wrapping_add))
    }

    /// Reads what deciding these requests will read, all of it at once, so that the processor waits for memory once
    /// and not for each. Changes nothing; worth it for some 16 requests at a time.
    pub fn touch<'a>(&self, requests: impl IntoIterator<Item = &'a Request>) {
        let Some(ids) = &self.ids else { return };
        let mut seen = 0;
        for (ahead, request) in (0..).zip(requests) {
            let spec = request.kind.spec();
            seen ^= ids.touch(request.id) ^ ids.touch_oldest(ahead);
            if spec.player {
                seen ^= self.players.touch(request.player);
            }
            if spec.counterparty {
                seen ^= self.players.touch(request.counterparty());
            }
            if spec.reference {
                let target = RequestId(request.reference);
                seen ^= ids.touch(target) ^ self.holds.touch(target);
            }
        }
        core::hint::black_box(seen);
    }

    /// How a request of this id was answered, if that is remembered where its operation's ids are.
    pub(crate) fn remembered(&self, id: RequestId) -> Option<Remembered> {
        self.ids.as_ref()?.request(id)
    }
}
