//! What keys, transactions and logs must come to, whichever library does it.
//!
//! What breaks: an address that nobody can spend from, a transaction that pays somebody else, a log that is read wrong.

use cage_chain::addresses::invitation;
use cage_chain::ethers::{
    AddressKey, Key, Transfer, block_ref, checksummed, inner_inflows, message_signer, parse_address,
    raw_block, read_signed, transaction_id,
};
use cage_chain::types::{Address, Coin, Quantity, TransactionId, hex};
use serde_json::{Value, json};

use crate::harness::{address, phrase, wallet};

/// The first two accounts of the words that every developer's chain is set up with.
const FIRST: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
const SECOND: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

fn transfer(coin: Coin) -> Transfer {
    let to = parse_address(SECOND).expect("an address");
    let (fee_max, tip_max) = (2_000_000_000, 1_000_000_000);
    Transfer { chain_id: 31_337, slot: 7, to, coin, units: 123_456_789, gas: 60_000, fee_max, tip_max }
}

fn first_key() -> Key {
    phrase().key("m/44'/60'/0'/0/0").expect("a key")
}

#[test]
fn the_public_key_gives_the_addresses_that_the_private_key_opens() {
    assert_eq!((checksummed(&address(0)).as_str(), checksummed(&address(1)).as_str()), (FIRST, SECOND));
    let opened =
        (0..5).map(|number| phrase().key(&format!("m/44'/60'/0'/0/{number}")).expect("a key").address());
    assert_eq!(opened.collect::<Vec<_>>(), (0..5).map(address).collect::<Vec<_>>());
    let text = phrase().address_key("m/44'/60'/0'/0").expect("a key").text().expect("text");
    let again = AddressKey::parse(&text).expect("a key");
    assert_eq!(again.address(1).expect("an address"), address(1));
    assert!(again.address(1 << 31).is_err(), "such numbers are for private keys");
}

#[test]
fn a_watcher_takes_no_private_key_and_says_nothing_of_it() {
    let private = "xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi";
    let fault = AddressKey::parse(private).expect_err("a private key").to_string();
    assert!(fault.contains("private") && !fault.contains(&private[8..]), "{fault}");
    assert!(AddressKey::parse("xpub").is_err());
    assert!(!format!("{:?} {:?}", first_key(), phrase()).contains("junk"));
}

#[test]
fn an_address_with_a_wrong_letter_is_refused() {
    assert_eq!(parse_address(FIRST).expect("an address"), address(0));
    assert_eq!(parse_address(&FIRST.to_lowercase()).expect("an address"), address(0));
    let wrong = FIRST.replace('F', "f");
    assert!(parse_address(&wrong).expect_err("a wrong checksum").to_string().contains("EIP-55"));
}

#[test]
fn a_signed_transfer_is_these_bytes_and_is_read_back_as_what_it_was() {
    for (coin, golden) in [
        (Coin::Native, "0x090266e87df356a7660bbca1b8dfd65447a76bc5ead192afc47f6edec7bf12c6"),
        (
            Coin::Token(Address([0x11; 20])),
            "0x1dc186069b4ba0a9d55942285a698fdbfb441930e1e6d49338a939e40d9ef505",
        ),
    ] {
        let signed = first_key().sign(&transfer(coin)).expect("signed");
        assert_eq!(signed.transaction.to_string(), golden, "{}", hex(&signed.raw));
        assert_eq!(signed.transaction, transaction_id(&signed.raw));
        assert_eq!(
            first_key().sign(&transfer(coin)).expect("signed"),
            signed,
            "the same fields, the same bytes"
        );
        assert_eq!(read_signed(&signed.raw).expect("a transfer"), (address(0), transfer(coin)));
    }
}

#[test]
fn bytes_that_are_no_transfer_are_not_read_as_one() {
    let signed = first_key().sign(&transfer(Coin::Native)).expect("signed");
    for end in 0..signed.raw.len() {
        assert!(read_signed(&signed.raw[..end]).is_err());
    }
    assert!(read_signed(b"").is_err());
}

#[test]
fn a_signed_message_names_its_signer_and_is_no_transaction() {
    let signature = wallet().sign_message(b"reserves").expect("signed");
    assert_eq!(message_signer(b"reserves", &signature), Some(wallet().address()));
    assert_ne!(message_signer(b"reserve", &signature), Some(wallet().address()));
    assert_eq!(message_signer(b"reserves", &signature[1..]), None);
}

#[test]
fn a_keystore_opens_with_its_passphrase_alone_and_is_never_overwritten() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let path = folder.path().join("wallet.json");
    let made = Key::create(&path, b"correct horse").expect("a key");
    assert_eq!(Key::open(&path, b"correct horse").expect("the key").address(), made.address());
    let fault = Key::open(&path, b"battery staple").expect_err("another passphrase").to_string();
    assert!(fault.contains("wallet.json") && !fault.contains("battery"), "{fault}");
    assert!(Key::create(&path, b"correct horse").is_err(), "the file is there");
    let text = std::fs::read_to_string(&path).expect("the file");
    assert!(serde_json::from_str::<Value>(&text).expect("JSON")["version"] == 3);
}

#[test]
fn an_invitation_says_chain_coin_and_amount() {
    let key = phrase().address_key("m/44'/60'/0'/0").expect("a key");
    let invite = |coin, units| invitation(&key, 0, 1, coin, units).expect("an invitation").uri;
    assert_eq!(invite(Coin::Native, None), format!("ethereum:{FIRST}@1"));
    assert_eq!(invite(Coin::Native, Some(5)), format!("ethereum:{FIRST}@1?value=5"));
    let token = "0x1111111111111111111111111111111111111111";
    let coin = Coin::Token(parse_address(token).expect("an address"));
    assert_eq!(invite(coin, Some(5)), format!("ethereum:{token}@1/transfer?address={FIRST}&uint256=5"));
}

/// What anvil answered for a block with one transfer of ether, and a log put into it.
fn answers(quantity: &str, topics: usize, status: &str) -> (Value, Value) {
    let hash = "0x7bc8b1d9e9c09e16c4fd40eef28574d1fd60893b58b9fd0cba4d6e3383b86db4";
    let transaction = "0x15601706abe62a44a86bd67b6aead89d404fe1e53a58881f7905e58bc07a837b";
    let party = |address: &str| format!("0x{:0>64}", address.trim_start_matches("0x").to_lowercase());
    let transfer = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";
    let all = [transfer.to_owned(), party(FIRST), party(SECOND), party("0x7")];
    let log = json!({
        "address": "0x1111111111111111111111111111111111111111", "topics": all[..topics], "data": quantity,
        "blockHash": hash, "blockNumber": "0x1", "transactionHash": transaction, "transactionIndex": "0x0",
        "logIndex": "0x0", "removed": false,
    });
    let block = json!({
        "hash": hash, "parentHash": "0xb124547dd53d9f8d6c91f2b203b8ac502e779c2e4ea0138eea2d6c14a0d172fe",
        "sha3Uncles": format!("0x{:064x}", 0), "miner": format!("0x{:040x}", 0), "stateRoot": format!("0x{:064x}", 0),
        "transactionsRoot": format!("0x{:064x}", 0), "receiptsRoot": format!("0x{:064x}", 0), "difficulty": "0x0",
        "number": "0x1", "gasLimit": "0x1c9c380", "gasUsed": "0x5208", "timestamp": "0x6b08b2c3", "extraData": "0x",
        "uncles": [], "transactions": [{
            "hash": transaction, "nonce": "0x0", "blockHash": hash, "blockNumber": "0x1", "transactionIndex": "0x0",
            "from": FIRST, "to": SECOND, "value": "0x5", "gas": "0x5208", "gasPrice": "0x3b9aca00", "input": "0x",
            "v": "0x0", "r": "0x1", "s": "0x1", "type": "0x4", "authorizationList": [],
        }],
    });
    let receipts = json!([{
        "transactionHash": transaction, "transactionIndex": "0x0", "blockHash": hash, "blockNumber": "0x1",
        "from": FIRST, "to": SECOND, "cumulativeGasUsed": "0x5208", "gasUsed": "0x5208",
        "effectiveGasPrice": "0x3b9aca00", "status": status, "logs": [log], "logsBloom": format!("0x{:0512x}", 0),
    }]);
    (block, receipts)
}

const MOST: &str = "0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";
const FIVE: &str = "0x0000000000000000000000000000000000000000000000000000000000000005";

#[test]
fn a_block_is_read_with_its_transfers_fees_and_slots() {
    let (block, receipts) = answers(FIVE, 3, "0x1");
    let at = block_ref(&block).expect("a block").expect("there");
    let raw = raw_block(&at, block, receipts).expect("a block");
    let inflows: Vec<_> = raw.inflows(|to| *to == address(1)).collect();
    let brief: Vec<_> = inflows.iter().map(|one| (one.id.ordinal, one.from, one.quantity)).collect();
    assert_eq!(brief, [(0, address(0), Quantity::Units(5)), (1, address(0), Quantity::Units(5))]);
    assert_eq!((inflows[0].coin, inflows[1].coin), (Coin::Native, Coin::Token(Address([0x11; 20]))));
    let [outflow] = raw.outflows(|from| *from == address(0)).collect::<Vec<_>>()[..] else { panic!("one") };
    assert_eq!((outflow.slot, outflow.fee, outflow.succeeded), (0, 21_000_000_000_000, true));
    assert_eq!(outflow.moved, Some((address(1), Coin::Native, Quantity::Units(5))));
}

#[test]
fn what_is_no_transfer_of_money_is_not_read_as_one() {
    let read = |quantity, topics, status| {
        let (block, receipts) = answers(quantity, topics, status);
        let at = block_ref(&block).expect("a block").expect("there");
        let raw = raw_block(&at, block, receipts).expect("a block");
        raw.inflows(|_| true).map(|one| (one.id.ordinal, one.quantity)).collect::<Vec<_>>()
    };
    let native = (0, Quantity::Units(5));
    assert_eq!(read(FIVE, 3, "0x0"), [], "a failed transaction");
    assert_eq!(read(FIVE, 4, "0x1"), [native], "a collectible");
    assert_eq!(read("0x05", 3, "0x1"), [native], "data that is no word");
    assert_eq!(read(MOST, 3, "0x1"), [native, (1, Quantity::TooGreat)]);
}

#[test]
fn receipts_that_do_not_belong_to_the_block_are_nonsense() {
    let (block, receipts) = answers(FIVE, 3, "0x1");
    let at = block_ref(&block).expect("a block").expect("there");
    let nonsense = |block: &Value, receipts: &Value| {
        raw_block(&at, block.clone(), receipts.clone()).expect_err("nonsense").to_string()
    };
    assert!(nonsense(&block, &json!([])).contains("0 receipts for 1"), "an endpoint that lags");
    let mut other = receipts.clone();
    other[0]["blockHash"] = json!(format!("0x{:064x}", 9));
    assert!(nonsense(&block, &other).contains("another transaction or block"));
    // The header's filter says that there is no log: this one was invented. The other way round one is left out.
    let mut header = block.clone();
    header["logsBloom"] = json!(format!("0x{:0512x}", 0));
    assert!(nonsense(&header, &receipts).contains("header"));
    let mut another = block;
    another["hash"] = json!(format!("0x{:064x}", 9));
    assert!(nonsense(&another, &receipts).contains("another block"));
}

#[test]
fn what_contracts_send_is_found_in_a_trace_but_not_what_failed() {
    let call = |value: &str, error: Option<&str>, calls: Value| {
        let mut call = json!({"type": "CALL", "from": FIRST, "to": SECOND.to_lowercase(), "value": value, "calls": calls});
        if let Some(error) = error {
            call["error"] = json!(error);
        }
        call["from"] = json!(FIRST.to_lowercase());
        call
    };
    let trace = call(
        "0x9",
        None,
        json!([
            call("0x5", None, json!([call("0x6", None, json!([]))])),
            call("0x7", Some("execution reverted"), json!([call("0x8", None, json!([]))])),
        ]),
    );
    let found = inner_inflows(TransactionId([1; 32]), &trace, |to| *to == address(1));
    let brief: Vec<_> = found.iter().map(|one| (one.id.ordinal - (1 << 31), one.quantity)).collect();
    assert_eq!(brief, [(0, Quantity::Units(5)), (1, Quantity::Units(6))]);
}

/// So that another library can take their place by writing one file anew.
#[test]
fn one_file_knows_the_signing_libraries() {
    let mut folders = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut knowing = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("a source");
            let mut code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            if code.any(|line| ["ethers_", "coins_"].iter().any(|name| line.contains(name))) {
                knowing.extend(path.file_name().map(|name| name.to_string_lossy().into_owned()));
            }
        }
    }
    assert_eq!(knowing, ["ethers.rs"]);
}
