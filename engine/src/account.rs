//! Accounts: (asset, purse, owner), packed into one number.

use core::fmt;

use crate::id::{AssetId, PlayerId};

/// What the money of an account is for. Numbers are permanent; gaps are for purses to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Purse {
    /// A player's: may be staked, sent, withdrawn.
    Available = 1,
    /// A player's: may never be played.
    Locked = 2,
    /// A player's: open bets.
    Reserved = 3,
    /// A player's: on the credit meters of the sessions.
    Allowance = 4,
    /// A player's: withdrawals under way.
    Withdrawing = 5,
    /// A player's: bonus money.
    Bonus = 6,
    /// The house's, per provider: stakes in, payouts out.
    ProviderClearing = 64,
    /// The house's, per chain: what came in from outside.
    DepositClearing = 65,
    /// The house's, per chain: what goes out.
    WithdrawalClearing = 66,
    /// The house's, per player: below zero by what the player owes.
    Receivable = 67,
    /// The house's: what was owed and given up.
    WriteOffs = 68,
    /// The house's: what withdrawals cost the players.
    Fees = 69,
    /// The house's: prizes at its own expense.
    BonusExpense = 70,
    /// The house's, per pool: a jackpot.
    Jackpot = 71,
    /// The house's, per pool: what jackpots paid beyond what they held.
    JackpotShortfall = 72,
    /// The house's: the other side of exchanges.
    Fx = 73,
    /// The house's: corrections.
    Adjustments = 74,
    /// The house's: what was taken over from another system.
    Imports = 75,
}

impl Purse {
    /// Whether a player owns accounts of this purse.
    #[must_use]
    pub const fn is_player(self) -> bool {
        (self as u8) < 64
    }

    /// Every purse, in the order of their numbers.
    pub const ALL: &[Self] = &[
        Self::Available,
        Self::Locked,
        Self::Reserved,
        Self::Allowance,
        Self::Withdrawing,
        Self::Bonus,
        Self::ProviderClearing,
        Self::DepositClearing,
        Self::WithdrawalClearing,
        Self::Receivable,
        Self::WriteOffs,
        Self::Fees,
        Self::BonusExpense,
        Self::Jackpot,
        Self::JackpotShortfall,
        Self::Fx,
        Self::Adjustments,
        Self::Imports,
    ];

    /// The purse with this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Available,
            2 => Self::Locked,
            3 => Self::Reserved,
            4 => Self::Allowance,
            5 => Self::Withdrawing,
            6 => Self::Bonus,
            64 => Self::ProviderClearing,
            65 => Self::DepositClearing,
            66 => Self::WithdrawalClearing,
            67 => Self::Receivable,
            68 => Self::WriteOffs,
            69 => Self::Fees,
            70 => Self::BonusExpense,
            71 => Self::Jackpot,
            72 => Self::JackpotShortfall,
            73 => Self::Fx,
            74 => Self::Adjustments,
            75 => Self::Imports,
            _ => return None,
        })
    }

    /// The purse's name, as logs and documents print it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Locked => "locked",
            Self::Reserved => "reserved",
            Self::Allowance => "allowance",
            Self::Withdrawing => "withdrawing",
            Self::Bonus => "bonus",
            Self::ProviderClearing => "provider_clearing",
            Self::DepositClearing => "deposit_clearing",
            Self::WithdrawalClearing => "withdrawal_clearing",
            Self::Receivable => "receivable",
            Self::WriteOffs => "write_offs",
            Self::Fees => "fees",
            Self::BonusExpense => "bonus_expense",
            Self::Jackpot => "jackpot",
            Self::JackpotShortfall => "jackpot_shortfall",
            Self::Fx => "fx",
            Self::Adjustments => "adjustments",
            Self::Imports => "imports",
        }
    }
}

/// One account: asset in the upper 16 bits, purse in the next 8, owner in the lower 40. The owner of a player's
/// purse is the player's number; that of a house purse is the provider, chain or pool it stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(pub u64);

const OWNER_BITS: u32 = 40;
const OWNER_MASK: u64 = (1 << OWNER_BITS) - 1;

const _: () = assert!(PlayerId::COUNT_MAX * 100 + 200 < OWNER_MASK, "a player's number fits the owner bits");

impl AccountId {
    /// A player's purse.
    #[must_use]
    pub const fn of_player(asset: AssetId, purse: Purse, player: PlayerId) -> Self {
        Self::new(asset, purse, player.number())
    }

    /// A purse of the house that stands for `counterpart` (a provider, a chain, a pool).
    #[must_use]
    pub const fn of_house(asset: AssetId, purse: Purse, counterpart: u32) -> Self {
        Self::new(asset, purse, counterpart as u64)
    }

    /// What `player` owes the house.
    #[must_use]
    pub const fn receivable(asset: AssetId, player: PlayerId) -> Self {
        Self::new(asset, Purse::Receivable, player.number())
    }

    const fn new(asset: AssetId, purse: Purse, owner: u64) -> Self {
        Self(((asset.0 as u64) << 48) | ((purse as u64) << OWNER_BITS) | (owner & OWNER_MASK))
    }

    /// The unit the account is kept in.
    #[must_use]
    pub const fn asset(self) -> AssetId {
        AssetId((self.0 >> 48) as u16)
    }

    /// What the money is for; `None` if the number names no purse.
    #[must_use]
    pub const fn purse(self) -> Option<Purse> {
        Purse::from_number(self.purse_number())
    }

    pub(crate) const fn purse_number(self) -> u8 {
        (self.0 >> OWNER_BITS) as u8
    }

    /// Whether the money is for this.
    #[must_use]
    pub const fn is_of(self, purse: Purse) -> bool {
        self.purse_number() == purse as u8
    }

    /// Whether it is a purse of a player.
    #[must_use]
    pub const fn is_players(self) -> bool {
        let number = self.purse_number();
        number != 0 && number <= Purse::Bonus as u8
    }

    /// The owner's number.
    #[must_use]
    pub const fn owner(self) -> u64 {
        self.0 & OWNER_MASK
    }

    /// The owner, if the purse is a player's.
    #[must_use]
    pub fn player(self) -> Option<PlayerId> {
        self.is_players().then(|| PlayerId::trusted(self.owner()))
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let purse = self.purse().map_or("?", Purse::name);
        write!(f, "{purse}:{}/{}", self.owner(), self.asset())
    }
}
