//! One worker: a connection (the casino's: two) kept loaded.
//!
//! In: a generator and a pace. Out: a tally. Each turn of the loop sends all that is due in one write and takes all
//! replies that are there; the clock is read once per turn. Never here: waiting to write while replies wait to be
//! read, which ends in both sides waiting.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cage_client::protocol::CloseCode;
use cage_client::{Connection, ConnectionError, ReplyReceiver, RequestSender, RequestStream};
use cage_engine::{Outcome, Timestamp};
use cage_protocol::{Ask, Reply};

use crate::acks::Acks;
use crate::alarm::Alarm;
use crate::run::Progress;
use crate::slots::{Sent, Slots};
use crate::tally::Tally;
use crate::workload::{Generator, Next};

/// How long what is unanswered at the end is waited for.
const LAST_REPLIES_TIME: Duration = Duration::from_secs(3);
/// How often a silent worker looks around.
const TICK: Duration = Duration::from_millis(50);

/// When a worker sends.
#[derive(Debug)]
pub(crate) enum Pace {
    /// Whenever fewer than `outstanding` are unanswered, `batch` at a time.
    Closed { outstanding: usize },
    /// Every so often, the first time after `phase`.
    Open { every: Duration, phase: Duration, alarm: Alarm },
}

/// A connection and its stream.
#[derive(Debug)]
pub(crate) struct Channel {
    connection: Connection,
    sender: RequestSender,
    receiver: ReplyReceiver,
}

impl Channel {
    pub(crate) async fn open(mut connection: Connection) -> Result<Self, ConnectionError> {
        let RequestStream { sender, receiver } = connection.open_stream().await?;
        Ok(Self { connection, sender, receiver })
    }
}

#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) channels: Vec<Channel>,
    pub(crate) generator: Generator,
    pub(crate) pace: Pace,
    /// Requests in a frame, if that is fixed.
    pub(crate) batch: Option<usize>,
    pub(crate) acks: Acks,
    pub(crate) progress: Arc<Progress>,
}

/// What a worker has to say in the end.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) tally: Tally,
    pub(crate) sent: u64,
    pub(crate) unknown: u64,
    pub(crate) last_reply: Option<Instant>,
    pub(crate) bytes: (u64, u64),
    pub(crate) fault: Option<ConnectionError>,
    pub(crate) acks: Acks,
}

/// A worker at work.
struct Loop {
    worker: Worker,
    slots: Slots,
    done: Done,
    replies: Vec<Reply>,
    /// When the next batch is due, in an open loop.
    due: Option<Instant>,
    end: Instant,
}

enum Event {
    Received,
    Due,
    Tick,
    Lost(ConnectionError),
}

impl Worker {
    /// Sends from `start` to `end`, then waits for the last replies.
    pub(crate) async fn run(mut self, start: Instant, end: Instant) -> Done {
        let acks = std::mem::take(&mut self.acks);
        let due = match &self.pace {
            Pace::Closed { .. } => None,
            Pace::Open { phase, .. } => Some(start + *phase),
        };
        let done = Done {
            tally: Tally::new(start),
            sent: 0,
            unknown: 0,
            last_reply: None,
            bytes: (0, 0),
            fault: None,
            acks,
        };
        let at_work = Loop { worker: self, slots: Slots::default(), done, replies: Vec::new(), due, end };
        at_work.run().await
    }
}

impl Loop {
    async fn run(mut self) -> Done {
        let mut quiet = false;
        loop {
            let now = Instant::now();
            if self.worker.progress.is_stopped() {
                self.end = self.end.min(now);
            }
            self.issue(now);
            let over = now >= self.end && self.due.is_none_or(|due| due >= self.end);
            if over && (self.slots.outstanding() == 0 || now >= self.end + LAST_REPLIES_TIME) {
                break;
            }
            match self.next(over).await {
                Event::Received => self.take_replies(),
                Event::Due => {}
                Event::Tick => {
                    // The server may be gone: whoever ends it wants to read what it acknowledged.
                    if std::mem::replace(&mut quiet, true) {
                        self.done.acks.flush();
                    }
                    continue;
                }
                Event::Lost(fault) => {
                    self.done.fault = Some(fault);
                    break;
                }
            }
            quiet = false;
        }
        self.finish()
    }

    fn issue(&mut self, now: Instant) {
        match self.worker.pace {
            Pace::Closed { outstanding } => {
                let batch = self.worker.batch.unwrap_or(1);
                let room = outstanding.saturating_sub(self.slots.outstanding());
                if room >= batch && now < self.end {
                    self.send(room - room % batch, now);
                }
            }
            Pace::Open { every, .. } => {
                while let Some(due) = self.due.filter(|due| *due <= now && *due < self.end) {
                    self.send(self.worker.batch.unwrap_or(1), due);
                    self.due = Some(due + every);
                }
            }
        }
    }

    /// Frames `count` requests; they count as sent `at`.
    fn send(&mut self, count: usize, at: Instant) {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.worker.generator.set_time(Timestamp(wall.as_nanos() as u64));
        let batch = self.worker.batch.unwrap_or(usize::MAX);
        for index in 1..=count {
            let Next { channel, id, operation, player, asset, stake } = self.worker.generator.next();
            let tag = self.slots.put(Sent { at, id, player, asset, stake });
            let sender = &mut self.worker.channels[channel].sender;
            sender.push(tag, &Ask::operation(operation.request(id)));
            if index % batch == 0 {
                sender.end_frame();
            }
        }
        self.done.sent += count as u64;
    }

    async fn next(&mut self, over: bool) -> Event {
        let due = self.due.filter(|_| !over);
        let alarm = match &self.worker.pace {
            Pace::Open { alarm, .. } => Some(alarm),
            Pace::Closed { .. } => None,
        };
        let mut channels = self.worker.channels.iter_mut();
        let (first, second) = (channels.next(), channels.next());
        let (first_out, first_in) = halves(first);
        let (second_out, second_in) = halves(second);
        let received = |received: Result<usize, _>| received.map_or_else(Event::Lost, |_| Event::Received);
        // Replies of both roles go to the same place, but a buffer has one owner at a time.
        let mut more = Vec::new();
        let event = tokio::select! {
            fault = flush(first_out) => Event::Lost(fault),
            fault = flush(second_out) => Event::Lost(fault),
            count = receive(first_in, &mut self.replies) => received(count),
            count = receive(second_in, &mut more) => received(count),
            waited = wait(alarm, due) => waited.map_or_else(|_| Event::Tick, |()| Event::Due),
            () = tokio::time::sleep(TICK) => Event::Tick,
        };
        self.replies.append(&mut more);
        event
    }

    fn take_replies(&mut self) {
        if self.replies.is_empty() {
            return;
        }
        let now = Instant::now();
        self.worker.progress.answered.fetch_add(self.replies.len() as u64, Ordering::Relaxed);
        self.done.last_reply = Some(now);
        for reply in self.replies.drain(..) {
            let Some(sent) = self.slots.take(reply.tag) else { continue };
            self.done.tally.count(reply.result, sent.at, now);
            self.done.acks.add(sent.id, reply.lsn, reply.result);
            if reply.result.outcome() == Outcome::Executed {
                self.worker.generator.executed(&sent);
            }
        }
    }

    fn finish(mut self) -> Done {
        self.take_replies();
        self.done.unknown = self.slots.outstanding() as u64;
        self.done.acks.flush();
        for Channel { connection, .. } in &self.worker.channels {
            let (sent, received) = connection.bytes();
            self.done.bytes.0 += sent;
            self.done.bytes.1 += received;
            connection.close(CloseCode::Done);
        }
        self.done
    }
}

fn halves(channel: Option<&mut Channel>) -> (Option<&mut RequestSender>, Option<&mut ReplyReceiver>) {
    channel.map_or((None, None), |Channel { sender, receiver, .. }| (Some(sender), Some(receiver)))
}

/// Writes what is unwritten; comes back only with a fault, so that it costs the loop no turn.
async fn flush(sender: Option<&mut RequestSender>) -> ConnectionError {
    if let Some(sender) = sender
        && let Err(fault) = sender.flush().await
    {
        return fault;
    }
    pending().await
}

async fn receive(
    receiver: Option<&mut ReplyReceiver>,
    replies: &mut Vec<Reply>,
) -> Result<usize, ConnectionError> {
    match receiver {
        Some(receiver) => receiver.receive(replies).await,
        None => pending().await,
    }
}

async fn wait(alarm: Option<&Alarm>, due: Option<Instant>) -> io::Result<()> {
    match (alarm, due) {
        (Some(alarm), Some(due)) => alarm.wait(due).await,
        _ => pending().await,
    }
}
