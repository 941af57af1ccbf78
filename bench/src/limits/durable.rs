//! The prototype: what arrives over QUIC is written down in groups, and answered when it is durable. Nothing is read
//! of it, nothing decided, nothing remembered; the answers say nothing. Below it no durable server over QUIC can be.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use quinn::{RecvStream, SendStream};
use tokio::sync::watch;

use super::quic::{self, Pace, QuicRun, READ_BYTES, REPLY_BYTES, REQUEST_BYTES};
use super::{DurableFile, LimitError, PAGE, Pages};

const FILE_BYTES: u64 = 256 << 20;
/// The most that is made durable at once.
const FLUSH_BYTES_MAX: usize = 4 << 20;

/// What waits for the disk.
#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// How many bytes there were in all.
    until: u64,
    is_over: bool,
}

#[derive(Default)]
struct Log {
    waiting: Mutex<Waiting>,
    more: Condvar,
}

impl Log {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, bytes: &[u8]) {
        let mut waiting = self.lock();
        waiting.bytes.extend_from_slice(bytes);
        waiting.until += bytes.len() as u64;
        drop(waiting);
        self.more.notify_one();
    }

    fn end(&self) {
        self.lock().is_over = true;
        self.more.notify_one();
    }

    /// Makes durable all that there is, again and again; says up to where it is.
    fn flush(&self, mut file: DurableFile, durable: &watch::Sender<u64>) -> std::io::Result<()> {
        let (mut taken, mut pages) = (Vec::new(), Pages::new(FLUSH_BYTES_MAX));
        loop {
            let until = {
                let idle = |waiting: &mut Waiting| waiting.bytes.is_empty() && !waiting.is_over;
                let mut waiting =
                    self.more.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
                if waiting.bytes.is_empty() {
                    return Ok(());
                }
                std::mem::swap(&mut waiting.bytes, &mut taken);
                waiting.until
            };
            for piece in taken.chunks(FLUSH_BYTES_MAX) {
                let bytes = pages.bytes();
                bytes[..piece.len()].copy_from_slice(piece);
                file.append(&bytes[..piece.len().next_multiple_of(PAGE)])?;
            }
            taken.clear();
            durable.send_replace(until);
        }
    }
}

/// Loads the prototype at `pace` for `time`; its file lies in `dir`.
///
/// # Errors
/// What goes wrong.
pub fn run(dir: &Path, pace: Pace, time: Duration) -> Result<QuicRun, LimitError> {
    let file = DurableFile::create(dir, FILE_BYTES)?;
    let log = Arc::new(Log::default());
    let (durable, answers) = watch::channel(0);
    std::thread::scope(|scope| {
        let flusher = scope.spawn(|| log.flush(file, &durable));
        let served = Arc::clone(&log);
        let run = quic::against(move |send, receive| serve(send, receive, served, answers), pace, time);
        log.end();
        flusher.join().map_err(|_| "the flusher panicked")??;
        run
    })
}

async fn serve(
    send: SendStream,
    receive: RecvStream,
    log: Arc<Log>,
    durable: watch::Receiver<u64>,
) -> Result<(), LimitError> {
    tokio::select! {
        over = take(receive, &log) => over,
        over = answer(send, durable) => over,
    }
}

async fn take(mut receive: RecvStream, log: &Log) -> Result<(), LimitError> {
    let mut buffer = vec![0; READ_BYTES];
    while let Some(count) = receive.read(&mut buffer).await? {
        log.push(&buffer[..count]);
    }
    Ok(())
}

async fn answer(mut send: SendStream, mut durable: watch::Receiver<u64>) -> Result<(), LimitError> {
    let (replies, mut answered) = (vec![0; READ_BYTES], 0);
    loop {
        durable.changed().await?;
        let until = *durable.borrow_and_update() / REQUEST_BYTES as u64;
        let mut bytes = (until - answered) as usize * REPLY_BYTES;
        answered = until;
        while bytes > 0 {
            let piece = bytes.min(replies.len());
            send.write_all(&replies[..piece]).await?;
            bytes -= piece;
        }
    }
}
