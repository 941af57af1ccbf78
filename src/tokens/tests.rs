//! Tokens that do, and all that do not.

use std::time::Duration;

use cage_engine::{Amount, AssetId, GameId, Operation, PlayerId, Reference, Timestamp};

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn claims() -> Claims {
    Claims {
        player: PlayerId::from_index(4),
        token: 0x0123_4567_89ab_cdef,
        not_before: None,
        expires: NOW.plus_millis(60_000),
        asset: Some(AssetId(3)),
        topup_max: Amount(10_u128.pow(20)),
        game: GameId::new(7, 1),
    }
}

/// A folder with a development key, its gate and its signer.
fn gate() -> (tempfile::TempDir, Tokens, Signer) {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join(KEYS_DIR);
    ensure_development_keys(&keys).unwrap();
    let tokens = Tokens::open(&keys).unwrap();
    (dir, tokens, development_signer(&keys).unwrap())
}

#[test]
fn a_signed_token_gives_the_session_that_it_claims() {
    let (_dir, tokens, signer) = gate();
    let token = signer.sign(&claims());
    let opened = tokens.check(token.as_bytes(), NOW).unwrap();
    let digest = blake3::hash(token.as_bytes());
    let name = u128::from_le_bytes(*digest.as_bytes().first_chunk().unwrap());
    let Claims { player, asset, topup_max, game, expires, .. } = claims();
    assert_eq!(
        opened,
        Operation::OpenSession { player, token: Reference(name), asset, topup_max, game, expires }
    );
    assert_eq!(tokens.check(token.as_bytes(), NOW), Ok(opened), "verified before");
    let plain = Claims { asset: None, topup_max: Amount::ZERO, game: GameId(0), ..claims() };
    assert!(tokens.check(signer.sign(&plain).as_bytes(), NOW).is_ok());
}

#[test]
fn a_token_holds_from_its_beginning_to_its_end_even_if_it_was_verified_before() {
    let (_dir, tokens, signer) = gate();
    let token = signer.sign(&Claims { not_before: Some(NOW), ..claims() });
    let at = |time| tokens.check(token.as_bytes(), time).map(|_| ());
    assert_eq!(at(NOW), Ok(()));
    assert_eq!(at(Timestamp(NOW.0 - 1)), Err(TokenFault::TooEarly));
    assert_eq!(at(Timestamp(claims().expires.0 - 1)), Ok(()));
    assert_eq!(at(claims().expires), Err(TokenFault::Expired));
}

#[test]
fn no_byte_of_a_token_can_be_changed() {
    let (_dir, tokens, signer) = gate();
    let token = signer.sign(&claims());
    for at in 0..token.len() {
        // Every bit: the last characters of a part have bits that mean nothing.
        for bit in 0..8 {
            let mut forged = token.clone().into_bytes();
            forged[at] ^= 1 << bit;
            assert!(tokens.check(&forged, NOW).is_err(), "byte {at}, bit {bit}");
        }
    }
    for cut in 0..token.len() {
        assert!(tokens.check(&token.as_bytes()[..cut], NOW).is_err(), "cut at {cut}");
    }
    assert!(tokens.check(format!("{token}.").as_bytes(), NOW).is_err());
    assert!(tokens.check(format!("{token}=").as_bytes(), NOW).is_err());
    assert_eq!(tokens.check(&[b'a'; TOKEN_BYTES_MAX + 1], NOW), Err(TokenFault::TooLong));
}

#[test]
fn claims_that_are_missing_or_wrong_are_refused() {
    let (_dir, tokens, signer) = gate();
    let right = r#"{"sub":"195","jti":"00112233445566778899aabbccddeeff","exp":"2030-01-01T00:00:00Z"}"#;
    let check = |payload: &str| tokens.check(signer.sign_payload(payload).as_bytes(), NOW).map(|_| ());
    assert_eq!(check(right), Ok(()));
    for (from, to, fault) in [
        ("195", "196", TokenFault::Claim("sub")),
        ("\"195\"", "\"\"", TokenFault::Claim("sub")),
        ("\"195\"", "195", TokenFault::Form),
        ("001122", "0011", TokenFault::Claim("jti")),
        ("001122", "+01122", TokenFault::Claim("jti")),
        ("2030-01-01T00:00:00Z", "tomorrow", TokenFault::Claim("exp")),
        ("2030-01-01T00:00:00Z", "1960-01-01T00:00:00Z", TokenFault::Claim("exp")),
        ("\"exp\"", "\"nbf\"", TokenFault::Form),
        ("{", "{\"topup_max\":\"-1\",", TokenFault::Claim("topup_max")),
        ("{", "{\"topup_max\":\"340282366920938463463374607431768211455\",", TokenFault::Claim("topup_max")),
        ("{", "{\"topup_max\":5,", TokenFault::Form),
        ("{", "{\"asset\":65536,", TokenFault::Form),
        ("{", "{\"game\":-1,", TokenFault::Form),
        ("{", "{\"sub\":\"195\",", TokenFault::Form),
        ("}", "", TokenFault::Form),
    ] {
        assert_eq!(check(&right.replace(from, to)), Err(fault), "{to} for {from}");
    }
}

#[test]
fn keys_come_and_go_while_the_server_runs() {
    let (dir, tokens, old) = gate();
    let keys = dir.path().join(KEYS_DIR);
    let new = Signer::generate("new").unwrap();
    let check = |signer: &Signer| tokens.check(signer.sign(&claims()).as_bytes(), NOW).map(|_| ());
    assert_eq!(check(&new), Err(TokenFault::KeyUnknown));
    publish(&new, &keys).unwrap();
    assert_eq!(check(&new), Ok(()), "a name that is not known is looked for at once");
    assert_eq!(check(&old), Ok(()));
    let impostor = Signer::generate("new").unwrap();
    assert_eq!(check(&impostor), Err(TokenFault::Signature));
    std::fs::remove_file(keys.join("dev.pub")).unwrap();
    std::thread::sleep(SESSION_KEYS_LOOK_EVERY + Duration::from_millis(50));
    assert_eq!(check(&old), Err(TokenFault::KeyUnknown), "although it was verified before");
    // Something that is no key leaves those in force that were read before.
    std::fs::write(keys.join("half.pub"), "3f").unwrap();
    std::thread::sleep(SESSION_KEYS_LOOK_EVERY + Duration::from_millis(50));
    assert_eq!(check(&new), Ok(()));
}

#[test]
fn a_key_may_be_written_as_openssl_does() {
    let (dir, _, _) = gate();
    let keys = dir.path().join(KEYS_DIR);
    // The example of RFC 8410, 10.1.
    let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
    std::fs::write(keys.join("rfc.pub"), pem).unwrap();
    assert!(Keys::open(&keys).unwrap().find("rfc").is_some());
    std::fs::write(keys.join("rsa.pub"), pem.replace("BQYDK2Vw", "BQYDK2Vx")).unwrap();
    assert!(matches!(Keys::open(&keys), Err(KeysError::NoKey { .. })), "another kind of key");
}

#[test]
fn the_development_key_is_private_and_made_once() {
    use std::os::unix::fs::PermissionsExt;
    let (dir, _, _) = gate();
    let keys = dir.path().join(KEYS_DIR);
    let key = || std::fs::read(keys.join("dev.key")).unwrap();
    let before = key();
    let mode = std::fs::metadata(keys.join("dev.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    ensure_development_keys(&keys).unwrap();
    assert_eq!(key(), before);
    std::fs::remove_file(keys.join("dev.pub")).unwrap();
    ensure_development_keys(&keys).unwrap();
    assert!(!keys.join("dev.pub").exists(), "a key that was taken away stays away");
}
