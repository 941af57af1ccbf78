//! Queries: look-ups, lists of what is open, histories.
//!
//! In: what is asked. Out: a page of typed rows, each list in the order that its method names, with the place where the next page
//! begins. Asked again after a lost connection, until the client's deadline. Never here: what is not durable, a page without
//! a bound.

use bytes::BytesMut;
use cage_engine::{
    Amount, AssetId, GameId, Lsn, PlayerId, Record, Reference, RequestId, SessionId, Timestamp,
};
use cage_protocol::query::{Query, QueryEnd, QueryKind, Row};
use cage_protocol::{CloseCode, FeedEndCode, Frame, FrameFault, FrameKind, feed, frame, seek};
use tokio::time::{Instant, sleep, timeout_at};

use crate::client::Client;
use crate::error::ConnectionError;
use crate::feed::FeedRecord;
use crate::limits::{BACKOFF_MAX, BACKOFF_MIN, FEED_READ_BYTES};
use crate::pool::{Pool, Source, Stream};

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The role or its permits do not cover it.
    #[error("the server does not allow this query: {reason}")]
    NotAllowed {
        /// What is missing.
        reason: String,
    },
    /// The query has something that the server does not take.
    #[error("the server does not understand this query: {reason}")]
    Malformed {
        /// What.
        reason: String,
    },
    /// The server's log does not go back so far, or cannot be read there.
    #[error("the server cannot read its log: {reason}")]
    Unavailable {
        /// Why.
        reason: String,
    },
    /// No answer in time.
    #[error("no answer in time{}", .last.as_ref().map(|fault| format!("; last: {fault}")).unwrap_or_default())]
    Deadline {
        /// What went wrong last, if anything did.
        last: Option<ConnectionError>,
    },
    /// There is no connection, and trying again would change nothing.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}

/// A part of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// What was found.
    pub items: Vec<T>,
    /// Where the next page begins; none if this was the last one.
    pub next: Option<Cursor>,
    /// The latest record that was seen; it is durable.
    pub as_of: Lsn,
}

/// Where a page begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor(pub u64);

/// What a list is narrowed to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Only {
    /// Only what is this player's.
    pub player: Option<PlayerId>,
    /// Only what is of games of this provider.
    pub provider: Option<u16>,
    /// Only what is in this asset.
    pub asset: Option<AssetId>,
    /// Where to begin: [`Page::next`] of the page before.
    pub from: Cursor,
}

/// A hold that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenHold {
    /// Its name: the id of its reserve.
    pub hold: RequestId,
    /// Whose.
    pub player: PlayerId,
    /// In what.
    pub asset: AssetId,
    /// On which game.
    pub game: GameId,
    /// In which session.
    pub session: SessionId,
    /// In which round; 0 = none.
    pub round: Reference,
    /// What is left of the stake.
    pub remaining: Amount,
    /// What it can still pay.
    pub payout_left: Amount,
    /// The record of its reserve.
    pub opened: Lsn,
    /// When that was decided.
    pub opened_at: Timestamp,
    /// When it is released by time, if ever.
    pub deadline: Option<Timestamp>,
}

/// A round that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenRound {
    /// Its name.
    pub round: Reference,
    /// Whose.
    pub player: PlayerId,
    /// In what.
    pub asset: AssetId,
    /// On which game.
    pub game: GameId,
    /// What was staked and not given back.
    pub stake: Amount,
    /// What was won.
    pub won: Amount,
    /// How many of its holds are not decided.
    pub open_holds: u32,
    /// The record that opened it.
    pub opened: Lsn,
    /// When that was decided.
    pub opened_at: Timestamp,
    /// When it is closed by time.
    pub closes: Timestamp,
}

/// What the open bets on a game can pay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exposure {
    /// On which game.
    pub game: GameId,
    /// In what.
    pub asset: AssetId,
    /// How much.
    pub amount: Amount,
}

/// What a player owes the house.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receivable {
    /// Who.
    pub player: PlayerId,
    /// In what.
    pub asset: AssetId,
    /// How much.
    pub amount: Amount,
}

/// The items of a page and how it ended.
#[derive(Debug, Default)]
struct Answer {
    rows: Vec<Row>,
    records: Vec<FeedRecord>,
    next: Option<Cursor>,
    as_of: Lsn,
}

impl Answer {
    /// Of a ledger in this process.
    fn of_page(answered: Result<seek::Page, seek::Refusal>) -> Result<Self, QueryError> {
        let page = answered.map_err(|(code, reason)| fault(code, &reason))?;
        let seek::Page { rows, records, more, cursor, as_of } = page;
        let next = more.then_some(Cursor(cursor));
        let records = records.iter().filter_map(|(lsn, record)| {
            Record::from_bytes(record).ok().map(|record| FeedRecord { lsn: *lsn, record })
        });
        Ok(Self { rows, records: records.collect(), next, as_of })
    }

    fn of_rows<T>(self, item: impl Fn(&Row) -> Option<T>) -> Page<T> {
        Page { items: self.rows.iter().filter_map(item).collect(), next: self.next, as_of: self.as_of }
    }
}

impl Client {
    /// The records that were decided under an id: a request id, a hold's name, a permanent key. None if it was never asked, or
    /// is forgotten. Each is followed by its continuations.
    ///
    /// # Errors
    /// [`QueryError`] if there is no answer.
    pub async fn operation(&self, id: RequestId) -> Result<Vec<FeedRecord>, QueryError> {
        let query = Query { id: id.0, ..Query::new(QueryKind::Operation) };
        Ok(self.ask_for(query).await?.records)
    }

    /// The record of a provider's transaction, and its continuations. None if it is unknown, or forgotten.
    ///
    /// # Errors
    /// As [`Self::operation`].
    pub async fn transaction(&self, key: Reference) -> Result<Vec<FeedRecord>, QueryError> {
        let query = Query { id: key.0, ..Query::new(QueryKind::Transaction) };
        Ok(self.ask_for(query).await?.records)
    }

    /// A player's records, the latest first. A record comes behind its continuations.
    ///
    /// # Errors
    /// As [`Self::operation`].
    pub async fn history(&self, player: PlayerId, from: Cursor) -> Result<Page<FeedRecord>, QueryError> {
        let query = Query { player: Some(player), cursor: from.0, ..Query::new(QueryKind::History) };
        let Answer { records, next, as_of, .. } = self.ask_for(query).await?;
        Ok(Page { items: records, next, as_of })
    }

    /// Open holds, the oldest first.
    ///
    /// # Errors
    /// As [`Self::operation`].
    pub async fn open_holds(&self, only: Only) -> Result<Page<OpenHold>, QueryError> {
        Ok(self.ask_for(only.query(QueryKind::OpenHolds)).await?.of_rows(OpenHold::of))
    }

    /// Open rounds, the oldest first.
    ///
    /// # Errors
    /// As [`Self::operation`].
    pub async fn open_rounds(&self, only: Only) -> Result<Page<OpenRound>, QueryError> {
        Ok(self.ask_for(only.query(QueryKind::OpenRounds)).await?.of_rows(OpenRound::of))
    }

    /// A round, if it is open.
    ///
    /// # Errors
    /// As [`Self::operation`].
    pub async fn round(&self, round: Reference) -> Result<Option<OpenRound>, QueryError> {
        let query = Query { id: round.0, ..Query::new(QueryKind::Round) };
        Ok(self.ask_for(query).await?.rows.first().and_then(OpenRound::of))
    }

    /// What open bets can pay, by game and asset, in the order of their numbers.
    ///
    /// # Errors
    /// As [`Self::operation`].
    pub async fn exposures(&self, only: Only) -> Result<Page<Exposure>, QueryError> {
        let page = self.ask_for(only.query(QueryKind::Exposures)).await?;
        Ok(page.of_rows(|row| {
            let (game, asset, amount) = (GameId(row.game), AssetId(row.asset), Amount(row.amount));
            Some(Exposure { game, asset, amount })
        }))
    }

    /// What players owe, by asset and player, in the order of their numbers.
    ///
    /// # Errors
    /// As [`Self::operation`].
    pub async fn receivables(&self, only: Only) -> Result<Page<Receivable>, QueryError> {
        let page = self.ask_for(only.query(QueryKind::Receivables)).await?;
        Ok(page.of_rows(|row| {
            let (asset, amount) = (AssetId(row.asset), Amount(row.amount));
            Some(Receivable { player: PlayerId::new(row.player).ok()?, asset, amount })
        }))
    }

    async fn ask_for(&self, query: Query) -> Result<Answer, QueryError> {
        let pool = match self.source() {
            Source::Server(pool) => pool,
            Source::Here(here) => return Answer::of_page(here.ask(&query)),
        };
        let until = Instant::now() + self.deadline();
        let (mut last, mut pause) = (None, BACKOFF_MIN);
        loop {
            let Ok(answer) = timeout_at(until, attempt(pool, query)).await else {
                return Err(QueryError::Deadline { last });
            };
            match answer {
                Err(QueryError::Connection(fault)) if !fault.is_final() => last = Some(fault),
                done => return done,
            }
            if timeout_at(until, sleep(pause)).await.is_err() {
                return Err(QueryError::Deadline { last });
            }
            pause = (pause * 2).min(BACKOFF_MAX);
        }
    }
}

impl Only {
    fn query(self, kind: QueryKind) -> Query {
        let Self { player, provider, asset, from } = self;
        let asset = asset.unwrap_or(AssetId::NONE);
        Query { player, provider, asset, cursor: from.0, ..Query::new(kind) }
    }
}

impl OpenHold {
    fn of(row: &Row) -> Option<Self> {
        Some(Self {
            hold: RequestId(row.key),
            player: PlayerId::new(row.player).ok()?,
            asset: AssetId(row.asset),
            game: GameId(row.game),
            session: SessionId(row.session),
            round: Reference(row.round),
            remaining: Amount(row.amount),
            payout_left: Amount(row.payout),
            opened: Lsn(row.place),
            opened_at: Timestamp(row.opened_at),
            deadline: (row.until != 0).then_some(Timestamp(row.until)),
        })
    }
}

impl OpenRound {
    fn of(row: &Row) -> Option<Self> {
        Some(Self {
            round: Reference(row.key),
            player: PlayerId::new(row.player).ok()?,
            asset: AssetId(row.asset),
            game: GameId(row.game),
            stake: Amount(row.amount),
            won: Amount(row.payout),
            open_holds: row.open_holds,
            opened: Lsn(row.place),
            opened_at: Timestamp(row.opened_at),
            closes: Timestamp(row.until),
        })
    }
}

/// One attempt, on a stream of its own.
async fn attempt(pool: &Pool, query: Query) -> Result<Answer, QueryError> {
    let Stream { mut send, mut receive, place: _place } = pool.open().await?;
    send.write_all(&frame::query(&query)).await.map_err(ConnectionError::from)?;
    let _ = send.finish();
    let (mut unread, mut answer) = (BytesMut::new(), Answer::default());
    loop {
        while let Some((frame, length)) = Frame::split(&unread).map_err(ConnectionError::Protocol)? {
            if take(&frame, &mut answer)? {
                pool.saw(answer.as_of);
                return Ok(answer);
            }
            let _ = unread.split_to(length);
        }
        match receive.read_chunk(FEED_READ_BYTES, true).await.map_err(ConnectionError::from)? {
            Some(chunk) => unread.extend_from_slice(&chunk.bytes),
            None => return Err(ConnectionError::ended().into()),
        }
    }
}

/// Takes a frame of an answer; says whether it was the last one.
fn take(frame: &Frame<'_>, answer: &mut Answer) -> Result<bool, QueryError> {
    let malformed = || ConnectionError::Protocol(FrameFault { code: CloseCode::FrameMalformed, offset: 8 });
    match frame.kind {
        FrameKind::Rows => answer.rows.extend(frame.items().filter_map(Row::from_bytes)),
        FrameKind::Feed => {
            for item in frame.items() {
                let (lsn, record) = feed::read_feed_item(item).ok_or_else(malformed)?;
                let record = Record::from_bytes(record).map_err(|_| malformed())?;
                answer.records.push(FeedRecord { lsn, record });
            }
        }
        FrameKind::QueryEnd => {
            let end = QueryEnd::from_bytes(frame.items).ok_or_else(malformed)?;
            if let Some(code) = end.fault {
                return Err(fault(code, end.reason));
            }
            answer.as_of = end.as_of;
            answer.next = end.more.then_some(Cursor(end.cursor));
            return Ok(true);
        }
        FrameKind::Goodbye => {
            let (code, reason) = frame::read_goodbye(frame.items);
            return Err(ConnectionError::Closed { code, reason: reason.to_owned() }.into());
        }
        _ => return Err(malformed().into()),
    }
    Ok(false)
}

fn fault(code: FeedEndCode, reason: &str) -> QueryError {
    let reason = reason.to_owned();
    match code {
        FeedEndCode::NotAllowed => QueryError::NotAllowed { reason },
        FeedEndCode::Malformed => QueryError::Malformed { reason },
        FeedEndCode::Unavailable => QueryError::Unavailable { reason },
        // It passes: the server drains, or has too much to do.
        _ => ConnectionError::Lost(format!("{}: {reason}", code.name())).into(),
    }
}
