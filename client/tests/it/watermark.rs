//! What a client has seen of the log: kept over its own restart, and vouched for by signed checkpoints.

use cage_client::engine::Role;
use cage_client::protocol::{Checkpoint, SignedCheckpoint};
use cage_client::{BadCheckpoint, CheckpointKey, Client, Config, ConnectionError};
use ring::signature::{Ed25519KeyPair, KeyPair};

use crate::server::{ASSET, Ledger, Server};

fn key() -> (Ed25519KeyPair, CheckpointKey) {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap();
    let public = CheckpointKey::from_bytes(pair.public_key().as_ref().try_into().unwrap());
    (pair, public)
}

fn signed(lsn: u64, head: u8) -> SignedCheckpoint {
    let (pair, public) = key();
    let checkpoint = Checkpoint {
        log_id: 77,
        previous_lsn: 0,
        lsn,
        frames: 1,
        chain_head: [head; 32],
        root: [1; 32],
        digest_lsn: 0,
        digest: [0; 32],
        time: 1,
        key: public.id(),
    };
    let signature = pair.sign(&checkpoint.signed_bytes()).as_ref().try_into().unwrap();
    SignedCheckpoint { checkpoint, signature }
}

#[tokio::test]
async fn a_checkpoint_of_the_right_key_is_kept_and_presented() {
    let mut ledger = Ledger::with_players(1);
    let told = signed(1_000, 9);
    ledger.checkpoint = Some(told);
    let server = Server::start(ledger);
    let config = Config { checkpoint_key: Some(key().1), ..Config::new(server.address) };
    let client = Client::connect(config, server.credentials(Role::Frontend)).await.unwrap();
    client.totals(ASSET).await.unwrap();
    assert!(server.ledger().hellos[0].checkpoints, "the client asks for them");
    assert_eq!(client.checkpoint(), Some(told));
    let seen = client.watermark();
    assert_eq!((seen.log_id, seen.lsn, seen.chain_lsn, seen.chain_head), (77, 1_000, 1_000, [9; 32]));
}

#[tokio::test]
async fn a_server_that_cannot_sign_is_left() {
    for (forged, bad) in [
        (SignedCheckpoint { signature: [7; 64], ..signed(1_000, 9) }, BadCheckpoint::Signature),
        (
            SignedCheckpoint { checkpoint: Checkpoint { lsn: 9, ..signed(8, 9).checkpoint }, ..signed(8, 9) },
            BadCheckpoint::Signature,
        ),
    ] {
        let mut ledger = Ledger::with_players(1);
        ledger.checkpoint = Some(forged);
        let server = Server::start(ledger);
        let config = Config { checkpoint_key: Some(key().1), ..Config::new(server.address) };
        let client = Client::connect(config, server.credentials(Role::Frontend)).await.unwrap();
        let deadline = std::time::Duration::from_millis(500);
        let lost = client.with_deadline(deadline).totals(ASSET).await;
        assert!(lost.is_err() || client.checkpoint().is_none(), "{lost:?}");
        assert_eq!(client.checkpoint(), None);
        // Between two attempts there may be a connection for a moment, which clears the fault.
        let fault = loop {
            match client.fault() {
                Some(fault) => break fault,
                None => tokio::task::yield_now().await,
            }
        };
        assert!(matches!(fault, ConnectionError::Checkpoint(found) if found == bad), "{fault}");
    }
}

#[tokio::test]
async fn a_client_that_was_restarted_still_knows_what_it_has_seen() {
    let server = Server::start(Ledger::with_players(1));
    let dir = tempfile::tempdir().unwrap();
    let config = Config { watermark_file: Some(dir.path().join("seen")), ..Config::new(server.address) };
    let client = Client::connect(config.clone(), server.credentials(Role::Frontend)).await.unwrap();
    client.totals(ASSET).await.unwrap();
    let seen = client.watermark();
    assert!(seen.lsn > 0);
    client.close().await;
    let client = Client::connect(config.clone(), server.credentials(Role::Frontend)).await.unwrap();
    assert_eq!(server.ledger().hellos.last().unwrap().seen, seen);
    client.close().await;
    let killed = server.kill();
    killed.ledger.lock().unwrap().log_id = 78;
    let server = killed.restart();
    let error = Client::connect(config.clone(), server.credentials(Role::Frontend)).await.unwrap_err();
    assert!(matches!(error, ConnectionError::LogDiffers { known: 77, found: 78 }), "{error}");
    std::fs::write(dir.path().join("seen"), "cage-watermark 0\nlog 7").unwrap();
    let error = Client::connect(config, server.credentials(Role::Frontend)).await.unwrap_err();
    assert!(matches!(error, ConnectionError::Kept { .. }), "{error}");
}
