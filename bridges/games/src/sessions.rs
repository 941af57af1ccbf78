//! Sessions that were launched here, and when each was last heard of: one that falls silent is ended, so that what is on its meter
//! goes back to its player.
//!
//! In: launches, heartbeats, callbacks. Out: ends of sessions, asked of the ledger. Never here: money: the ledger gives back what is
//! on the meter, and pays what is won later to the player.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use cage_client::Client;
use cage_engine::{Operation, PlayerId, ResultCode, SessionId};

use crate::inbound::now;
use crate::store::{Store, StoreError};

/// How many times within its silence a session is looked at.
const LOOKS: u32 = 4;

/// A session, and when it was last heard of, in milliseconds since 1970.
#[derive(Clone, Copy, Debug)]
struct Heard {
    player: PlayerId,
    at_ms: u64,
}

/// The sessions that were launched here and have not ended.
#[derive(Debug)]
pub struct Sessions {
    store: Rc<Store>,
    /// How long a session may be silent; nothing if for ever.
    silence: Option<Duration>,
    heard: RefCell<HashMap<u32, Heard>>,
}

impl Sessions {
    /// Those that an earlier bridge launched count as heard of now: nobody could be heard meanwhile.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn open(store: Rc<Store>, silence: Option<Duration>) -> Result<Self, StoreError> {
        let at_ms = now().millis();
        let known = store.sessions()?.into_iter();
        let heard = known.map(|(session, player)| (session.0, Heard { player, at_ms })).collect();
        Ok(Self { store, silence, heard: RefCell::new(heard) })
    }

    /// A session is being launched. Done when that is durable: before that nothing may go on its meter.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be written.
    pub async fn launched(&self, player: PlayerId, session: SessionId) -> Result<(), StoreError> {
        if self.silence.is_some() {
            self.store.keep_session(session, player).await?;
            self.heard.borrow_mut().insert(session.0, Heard { player, at_ms: now().millis() });
        }
        Ok(())
    }

    /// A session is alive. False if it is none that was launched here, or has ended.
    pub fn alive(&self, session: SessionId) -> bool {
        self.heard.borrow_mut().get_mut(&session.0).map(|heard| heard.at_ms = now().millis()).is_some()
    }

    /// A session has ended.
    pub fn ended(&self, session: SessionId) {
        if self.heard.borrow_mut().remove(&session.0).is_some() {
            self.store.forget_session(session);
        }
    }

    /// The sessions that were silent for too long.
    fn silent(&self, silence: Duration) -> Vec<(PlayerId, SessionId)> {
        let since = now().millis().saturating_sub(u64::try_from(silence.as_millis()).unwrap_or(u64::MAX));
        let heard = self.heard.borrow();
        let silent = heard.iter().filter(|(_, heard)| heard.at_ms <= since);
        silent.map(|(session, heard)| (heard.player, SessionId(*session))).collect()
    }

    /// Ends what falls silent, for ever.
    pub async fn watch(&self, client: &Client) {
        let Some(silence) = self.silence else { return std::future::pending().await };
        loop {
            tokio::time::sleep(silence / LOOKS).await;
            for (player, session) in self.silent(silence) {
                let ended = client.submit(Operation::RevokeSession { player, session }).await;
                match ended.map_err(|error| error.code()) {
                    Ok(_) => {
                        tracing::info!(session = session.0, "a session was silent for too long and is ended");
                        self.ended(session);
                    }
                    Err(Some(ResultCode::SessionEnded | ResultCode::SessionUnknown)) => self.ended(session),
                    // Asked again at the next look.
                    Err(code) => {
                        tracing::warn!(?code, session = session.0, "a silent session could not be ended")
                    }
                }
            }
        }
    }
}
