//! Money: counts of an asset's smallest unit. Never a float, never a sign outside house books.

use core::fmt;

/// An unsigned count of an asset's smallest unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(pub u128);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The greatest amount that any operation may name: a quarter of what an `i128` balance can hold, so that
    /// one leg never overflows by itself and a sum of two still fits.
    pub const MAX: Self = Self(1 << 125);

    /// Whether there is nothing.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What an account holds, in the asset's smallest unit. Players' purses are never below zero; house purses are
/// the other side of the books and may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Balance(pub i128);

impl Balance {
    /// An untouched account.
    pub const ZERO: Self = Self(0);

    /// This balance less `amount`; `None` if it does not fit.
    #[must_use]
    pub fn less(self, amount: Amount) -> Option<Self> {
        i128::try_from(amount.0).ok().and_then(|amount| self.0.checked_sub(amount)).map(Self)
    }

    /// This balance and `amount`; `None` if it does not fit.
    #[must_use]
    pub fn plus(self, amount: Amount) -> Option<Self> {
        i128::try_from(amount.0).ok().and_then(|amount| self.0.checked_add(amount)).map(Self)
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
