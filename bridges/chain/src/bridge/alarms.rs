//! What somebody should look at.
//!
//! In: a fault, when it is there and when it is gone. Out: a line in the log at each change, the list of what is wrong
//! now. Never here: a secret, the same line over and over.

use std::collections::BTreeMap;
use std::fmt::Display;

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Alarm {
    /// The endpoints do not answer, disagree, belong to another chain, or the chain gave up too much.
    ChainUnusable,
    /// The ledger refused what it must not refuse.
    LedgerRefused,
    /// A credited deposit was taken back by the chain.
    CreditTakenBack,
    /// The wallet's key was used by somebody else.
    ForeignSlot,
    /// Payments are stopped.
    BreakerTripped,
    /// The wallet has not enough for what is to be paid.
    WalletShort,
    /// A withdrawal waits for somebody.
    Review,
    /// A payment that the ledger has as paid is on the chain no more.
    PaymentVanished,
    /// The signer does not sign.
    SignerUnusable,
}

/// What is wrong now, and since when it was told last.
#[derive(Clone, Debug, Default)]
pub struct Alarms {
    now: BTreeMap<Alarm, String>,
}

impl Alarms {
    /// Something is wrong. It is told once, and again when it changes.
    pub fn raise(&mut self, alarm: Alarm, what: &(impl Display + ?Sized)) {
        let text = what.to_string();
        if self.now.get(&alarm) != Some(&text) {
            tracing::error!(alarm = ?alarm, "{text}");
            self.now.insert(alarm, text);
        }
    }

    /// It is well again.
    pub fn clear(&mut self, alarm: Alarm) {
        if self.now.remove(&alarm).is_some() {
            tracing::info!(alarm = ?alarm, "well again");
        }
    }

    /// What is wrong, with its words.
    pub fn now(&self) -> impl Iterator<Item = (Alarm, &str)> {
        self.now.iter().map(|(alarm, text)| (*alarm, text.as_str()))
    }

    /// Whether this is wrong.
    #[must_use]
    pub fn is_raised(&self, alarm: Alarm) -> bool {
        self.now.contains_key(&alarm)
    }
}
