//! What a signer in a process of its own signs, whatever the bridge thinks.
//!
//! In: transfers that a bridge wants signed. Out: signed bytes, or which bound stands against it. Its own file remembers
//! what each slot of the wallet was used for: two payments are never signed for one slot. Never here: the ledger's word,
//! the bridge's policy.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use super::remote::{Answer, Question};
use crate::ethers::{Key, Transfer};
use crate::limits;
use crate::store::{Store, StoreFault, Table, Write};
use crate::types::{Address, Coin};
use crate::withdrawals::Policy;

/// The seconds of a day.
const DAY_S: u64 = 86_400;

/// What a slot was used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Used {
    to: Address,
    coin: Coin,
    units: u128,
    at_s: u64,
}

/// A key behind bounds.
#[derive(Debug)]
pub struct Guard {
    key: Key,
    chain_id: u64,
    policy: Policy,
    store: Store,
    used: BTreeMap<u64, Used>,
}

impl Guard {
    /// A key with its bounds, and the file that remembers what was signed.
    ///
    /// # Errors
    /// [`StoreFault`] if the file cannot be read.
    pub fn open(key: Key, chain_id: u64, policy: Policy, store: Store) -> Result<Self, StoreFault> {
        let rows = store.rows::<(u64, Used)>(Table::Outflows)?;
        let used = rows.into_iter().map(|(_, row)| row).collect();
        Ok(Self { key, chain_id, policy, store, used })
    }

    /// The account.
    #[must_use]
    pub fn address(&self) -> Address {
        self.key.address()
    }

    /// What stands against a transfer at this time; nothing if it may be signed.
    fn objection(&self, transfer: &Transfer, now_s: u64) -> Option<String> {
        let Transfer { chain_id, slot, to, coin, units, fee_max, .. } = *transfer;
        if chain_id != self.chain_id {
            return Some(format!("it is for chain {chain_id}, and this key pays on {}", self.chain_id));
        }
        if fee_max > self.policy.fee_max {
            return Some(format!(
                "it offers {fee_max} for a unit of work, more than {}",
                self.policy.fee_max
            ));
        }
        if self.policy.refused.contains(&to) || to == Address::default() || to == self.address() {
            return Some(format!("{to} is never paid"));
        }
        // A dearer one for what the slot was used for before is no new payment.
        if let Some(used) = self.used.get(&slot) {
            let same = (used.to, used.coin, used.units) == (to, coin, units);
            return (!same).then(|| format!("slot {slot} was signed for another payment, to {}", used.to));
        }
        let Some(bound) = self.policy.bounds.iter().find(|bound| bound.coin == coin) else {
            return Some(format!("coin {coin} has no bound"));
        };
        let lately = self.used.values().filter(|used| used.coin == coin && used.at_s + DAY_S > now_s);
        let paid = lately.fold(units, |sum, used| sum.saturating_add(used.units));
        if units > bound.one_max_units {
            return Some(format!("{units} units are more than the {} of one payment", bound.one_max_units));
        }
        (paid > bound.day_max_units)
            .then(|| format!("with it {paid} units in a day, more than {}", bound.day_max_units))
    }

    fn sign(&mut self, transfer: &Transfer) -> Answer {
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        if let Some(objection) = self.objection(transfer, now_s) {
            tracing::warn!(slot = transfer.slot, to = %transfer.to, "refused: {objection}");
            return Answer::Refused(objection);
        }
        let Transfer { slot, to, coin, units, .. } = *transfer;
        if !self.used.contains_key(&slot) {
            let used = Used { to, coin, units, at_s: now_s };
            let row = Write::put(Table::Outflows, slot.to_le_bytes(), &(slot, used));
            // Before it is signed: what is not remembered must not be out.
            if let Err(fault) = self.store.commit(&[row]) {
                return Answer::Refused(fault.to_string());
            }
            self.used.insert(slot, used);
        }
        match self.key.sign(transfer) {
            Ok(signed) => Answer::Signed(signed.raw),
            Err(fault) => Answer::Refused(fault.to_string()),
        }
    }

    fn answer(&mut self, line: &str) -> Answer {
        match serde_json::from_str(line) {
            Ok(Question::Address) => Answer::Address(self.address()),
            Ok(Question::Sign { withdrawal, transfer }) => {
                tracing::info!(withdrawal, slot = transfer.slot, to = %transfer.to, units = %transfer.units, "asked to sign");
                self.sign(&transfer)
            }
            Err(fault) => Answer::Refused(format!("no question: {fault}")),
        }
    }

    /// Answers whoever may open the socket, one after the other, for ever; says when it is `ready`.
    ///
    /// # Errors
    /// If the socket cannot be made.
    pub async fn serve(mut self, socket: &Path, ready: impl FnOnce()) -> std::io::Result<()> {
        // A socket that was left behind by a kill is nobody's; the store's lock keeps a second signer away.
        let _ = std::fs::remove_file(socket);
        let listener = UnixListener::bind(socket)?;
        std::fs::set_permissions(socket, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        ready();
        loop {
            let (stream, _) = listener.accept().await?;
            if let Err(fault) = self.converse(stream).await {
                tracing::warn!("a question was not answered: {fault}");
            }
        }
    }

    async fn converse(&mut self, stream: UnixStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        let mut bounded = (&mut stream).take(limits::SIGNER_MESSAGE_BYTES_MAX as u64);
        timeout(limits::CONNECT_TIME_MAX, bounded.read_line(&mut line)).await??;
        let mut answer = serde_json::to_vec(&self.answer(&line))?;
        answer.push(b'\n');
        timeout(limits::CONNECT_TIME_MAX, stream.write_all(&answer)).await?
    }
}
