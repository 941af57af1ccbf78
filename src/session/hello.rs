//! The first frame of a connection.

use cage_protocol::{CloseCode, Frame, FrameKind, Hello, SignedCheckpoint, Welcome};
use quinn::RecvStream;

use super::Ended;

/// What a client that may stay is told.
#[derive(Debug)]
pub struct Greeting(pub Welcome);

/// What a client says first.
#[derive(Debug)]
pub struct First {
    /// Its hello.
    pub hello: Hello,
    /// What it proves by a checkpoint behind it.
    pub evidence: Option<SignedCheckpoint>,
}

/// Reads the hello and the checkpoint that may follow; gives what comes behind as well. Nothing if the stream ends first.
pub(super) async fn read(receive: &mut RecvStream) -> Result<Option<(First, Vec<u8>)>, Ended> {
    let mut greeted: Option<Hello> = None;
    let mut unread = Vec::with_capacity(1024);
    loop {
        match Frame::split(&unread).map_err(Ended::at)? {
            Some((Frame { kind: FrameKind::Checkpoint, items }, length)) if greeted.is_some() => {
                let evidence = SignedCheckpoint::from_bytes(items)
                    .ok_or_else(|| Ended::new(CloseCode::FrameMalformed, "this is no checkpoint"))?;
                let rest = unread.split_off(length);
                return Ok(greeted.map(|hello| (First { hello, evidence: Some(evidence) }, rest)));
            }
            Some((Frame { kind: FrameKind::Hello, items }, length)) if greeted.is_none() => {
                let hello = Hello::from_bytes(items).ok_or_else(|| {
                    Ended::new(CloseCode::FrameMalformed, "this is no hello of the cage protocol")
                })?;
                unread = unread.split_off(length);
                if !hello.evidence {
                    return Ok(Some((First { hello, evidence: None }, unread)));
                }
                greeted = Some(hello);
            }
            Some(_) => {
                return Err(Ended::new(CloseCode::HelloMisplaced, CloseCode::HelloMisplaced.meaning()));
            }
            None => match receive.read_chunk(1024, true).await {
                Ok(Some(chunk)) => unread.extend_from_slice(&chunk.bytes),
                Ok(None) if unread.is_empty() => return Ok(None),
                Ok(None) => {
                    return Err(Ended::new(CloseCode::FrameTruncated, CloseCode::FrameTruncated.meaning()));
                }
                Err(_) => return Ok(None),
            },
        }
    }
}
