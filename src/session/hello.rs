//! The first frame of a connection.

use cage_protocol::{CloseCode, Frame, FrameKind, Hello, Welcome};
use quinn::RecvStream;

use super::Ended;

/// What a client that may stay is told.
#[derive(Debug)]
pub struct Greeting(pub Welcome);

/// Reads the hello; gives what follows it as well. Nothing if the stream ends first.
pub(super) async fn read(receive: &mut RecvStream) -> Result<Option<(Hello, Vec<u8>)>, Ended> {
    let mut unread = Vec::with_capacity(1024);
    loop {
        match Frame::split(&unread).map_err(Ended::at)? {
            Some((Frame { kind: FrameKind::Hello, items }, length)) => {
                let hello = Hello::from_bytes(items).ok_or_else(|| {
                    Ended::new(CloseCode::FrameMalformed, "this is no hello of the cage protocol")
                })?;
                return Ok(Some((hello, unread.split_off(length))));
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
