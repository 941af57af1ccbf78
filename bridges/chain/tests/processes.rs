//! The bridge inside the real server, on a real node, killed at every point of a payment.
//!
//! What breaks: a withdrawal that was under way when the process died, and is paid twice or never.

use std::path::Path;

use cage_chain::config::ChainConfig;
use cage_chain::ethers::{AddressKey, Key, parse_address};
use cage_chain::types::Address;
use cage_client::Client;
use cage_client::engine::{
    Amount, AssetCode, AssetId, CallerId, Operation, PlayerClass, PlayerId, Purse, Role, SessionId,
};

use crate::harness::anvil::{Anvil, anvil};
use crate::harness::ledger::{Ledger, run_cage};
use crate::harness::{phrase, run};

const ETHER: u128 = 1_000_000_000_000_000_000;

/// Of an account that the node gives nothing at its beginning.
fn deposit_key() -> AddressKey {
    phrase().address_key("m/44'/60'/2'/0").expect("a key")
}

/// The first deposit address.
fn deposit_address() -> Address {
    deposit_key().address(0).expect("an address")
}

/// A configuration for a node, with a wallet beside it.
fn configure(folder: &Path, anvil: &Anvil, wallet_lines: &str) -> String {
    let xpub = deposit_key().text().expect("text");
    let text = format!(
        r#"
[[network]]
chain = 1
chain_id = 31337
address_key = "{xpub}"
reorg_max = 16
poll_ms = 20
[[network.endpoint]]
name = "anvil"
url = "{url}"
[[network.coin]]
asset = 1
scale = 18
decimals = 18
deposit_min = "1000"
withdraw_max = "{most}"
withdraw_day_max = "{most}"
tier = [{{ finality = {{ confirmations = 2 }} }}]
[network.wallet]
{wallet_lines}
fee_max = "1000000000000"
stuck_blocks = 1000
"#,
        url = anvil.url,
        most = 1_000 * ETHER,
    );
    let path = folder.join("chain.toml");
    std::fs::write(&path, text).expect("a file");
    ChainConfig::load(&path).expect("a configuration");
    path.to_str().expect("plain characters").to_owned()
}

/// Makes a wallet with the program, as an operator does.
fn make_wallet(folder: &Path) -> Address {
    std::fs::write(folder.join("wallet.pass"), "correct horse\n").expect("a file");
    let text = |name: &str| folder.join(name).to_str().expect("plain characters").to_owned();
    let (code, said) =
        run_cage(&["chain", "wallet", &text("wallet.json"), "--passphrase-file", &text("wallet.pass")]);
    assert_eq!(code, Some(0));
    let made = parse_address(said.trim()).expect("its address, with its checksum");
    assert_eq!(Key::open(&folder.join("wallet.json"), b"correct horse").expect("the key").address(), made);
    made
}

struct House {
    operator: Client,
    frontend: Client,
    risk: Client,
    asset: AssetId,
    player: PlayerId,
}

impl House {
    async fn open(ledger: &Ledger) -> Self {
        let operator = ledger.client(Role::Operator).await;
        let (frontend, risk) = (ledger.client(Role::Frontend).await, ledger.client(Role::Risk).await);
        let code = AssetCode::new("ETH").expect("a code");
        let asset = operator.open_asset(code, 18, false, Amount::MAX).await.expect("an asset");
        let player = operator.open_player(CallerId(1), 1, 1, PlayerClass::Real).await.expect("a player");
        Self { operator, frontend, risk, asset, player }
    }

    /// Asks for money to be paid out, and approves it.
    async fn withdraw(&self, amount: u128, to: Address) {
        let (player, asset, amount, chain, session) =
            (self.player, self.asset, Amount(amount), 1, SessionId::NONE);
        let mut destination = [0; 32];
        destination[..20].copy_from_slice(&to.0);
        let request = Operation::WithdrawRequest { player, asset, amount, session, chain, destination };
        let withdrawal = self.frontend.submit(request).await.expect("set aside").id;
        let approve = Operation::WithdrawApprove { player, asset, withdrawal };
        // It is on its way. The answer may go down with the server: whether it was heard, is seen by what comes of it.
        drop(self.risk.submit(approve));
    }

    async fn purse(&self, purse: Purse) -> u128 {
        let held = self.operator.purse(self.player, self.asset, purse).await.expect("a purse");
        held.0.try_into().expect("never below zero")
    }

    /// Makes blocks for what waits until the player has exactly this.
    async fn mine_until(&self, anvil: &Anvil, purse: Purse, expected: u128) {
        while self.purse(purse).await != expected {
            anvil.mine_what_waits().await;
        }
    }

    async fn close(self) {
        for client in [self.operator, self.frontend, self.risk] {
            client.close().await;
        }
    }
}

/// How often each point is tried unless `CAGE_ROUNDS` says otherwise.
const ROUNDS: u32 = 2;
/// Where a bridge kills its own process: after the hold was seen, bound, signed, on record, sent, and mined.
const POINTS: [&str; 6] = ["approved", "planned", "signed", "recorded", "sent", "mined"];

/// W2, D1 on real processes.
#[test]
fn a_server_that_is_killed_at_any_point_of_a_payment_pays_exactly_once() {
    let Some(anvil) = anvil() else { return };
    let rounds = std::env::var("CAGE_ROUNDS")
        .map_or(ROUNDS, |rounds| rounds.parse().expect("CAGE_ROUNDS is a number"));
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let hot = make_wallet(folder.path());
    let config =
        configure(folder.path(), &anvil, "keystore = \"wallet.json\"\npassphrase_file = \"wallet.pass\"");
    let (data_dir, chain) = (folder.path().join("data"), ["--chain", &config]);
    let mut ledger = Ledger::start(&data_dir, None, &chain, None);
    run(async {
        let house = House::open(&ledger).await;
        let assign = Operation::AssignAddress { player: house.player, chain: 1, fresh: false };
        let number = house.frontend.submit(assign).await.expect("an address").player;
        let number = u32::try_from(number).expect("a number");
        let shown = run_cage(&[
            "chain",
            "address",
            "--config",
            &config,
            "--chain",
            "1",
            "--number",
            &number.to_string(),
        ])
        .1;
        let shown = parse_address(shown.lines().next().expect("a line")).expect("an address");
        assert_eq!((number, shown), (0, deposit_address()), "what the player is shown is what is watched");
        anvil.pay(hot, 1_000 * ETHER).await;
        anvil.pay(shown, 100 * ETHER).await;
        house.mine_until(&anvil, Purse::Available, 100 * ETHER).await;
        house.close().await;
    });
    let mut left = 100 * ETHER;
    for (number, point) in (0..rounds).flat_map(|_| POINTS).enumerate() {
        let listen = ledger.kill();
        ledger = Ledger::start(&data_dir, Some(listen), &chain, Some(point));
        let to = Address([number as u8 + 1; 20]);
        run(async {
            let house = House::open(&ledger).await;
            house.withdraw(ETHER, to).await;
            while ledger.ended().is_none() {
                anvil.mine_what_waits().await;
            }
        });
        ledger = Ledger::start(&data_dir, Some(listen), &chain, None);
        left -= ETHER;
        run(async {
            let house = House::open(&ledger).await;
            house.mine_until(&anvil, Purse::Withdrawing, 0).await;
            assert_eq!(house.purse(Purse::Available).await, left, "at {point}");
            assert_eq!(anvil.balance(to).await, ETHER, "killed at {point}: exactly one payment");
            house.close().await;
        });
    }
    let sent = run(async { anvil.slots_used(hot).await });
    assert_eq!(sent, u64::from(rounds) * POINTS.len() as u64, "one transaction for each withdrawal");
    let (connect, certs) = (ledger.address.to_string(), data_dir.join("certs"));
    let certs = certs.to_str().expect("plain characters");
    let compare = ["reconcile", "--config", &config, "--chain", "1", "--connect", &connect, "--certs", certs];
    let hot_text = hot.to_string();
    let (code, report) = run_cage(&[&compare[..], &["--wallet", &hot_text, "--json"]].concat());
    assert_eq!(code, Some(0), "{report}");
    assert!(report.contains("\"verdict\":\"clean\""), "{report}");
    // Without the wallet, what it holds is not seen, and players have more than the rest.
    let (code, report) = run_cage(&compare);
    assert_eq!(code, Some(1), "{report}");
    let said = ledger.said();
    ledger.kill();
    assert!(!said.contains("correct horse"), "no secret is ever told");
    let (code, audit) = run_cage(&["audit", data_dir.to_str().expect("plain characters"), "--json"]);
    assert_eq!(code, Some(0), "{audit}");
}

/// A signer in a process of its own, whose bounds hold whatever the bridge thinks.
#[test]
fn a_signer_process_signs_within_its_own_bounds() {
    let Some(anvil) = anvil() else { return };
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let hot = make_wallet(folder.path());
    let theirs = folder.path().join("signer");
    std::fs::create_dir(&theirs).expect("a folder");
    for name in ["wallet.json", "wallet.pass"] {
        std::fs::rename(folder.path().join(name), theirs.join(name)).expect("moved");
    }
    let own = configure(&theirs, &anvil, "keystore = \"wallet.json\"\npassphrase_file = \"wallet.pass\"");
    let bounded = std::fs::read_to_string(&own).expect("a file").replace(
        &format!("withdraw_max = \"{}\"", 1_000 * ETHER),
        &format!("withdraw_max = \"{}\"", 2 * ETHER),
    );
    std::fs::write(&own, bounded).expect("a file");
    let text = |name: &str| folder.path().join(name).to_str().expect("plain characters").to_owned();
    let (socket, store) = (text("signer.sock"), text("signer.redb"));
    let arguments =
        ["chain", "signer", "--config", &own, "--chain", "1", "--socket", &socket, "--store", &store];
    let _signer = crate::harness::ledger::Program::start(&arguments);
    let config = configure(folder.path(), &anvil, "signer = \"signer.sock\"");
    let data_dir = folder.path().join("data");
    let ledger = Ledger::start(&data_dir, None, &["--chain", &config], None);
    run(async {
        let house = House::open(&ledger).await;
        let assign = Operation::AssignAddress { player: house.player, chain: 1, fresh: false };
        house.frontend.submit(assign).await.expect("an address");
        anvil.pay(hot, 1_000 * ETHER).await;
        anvil.pay(deposit_address(), 100 * ETHER).await;
        house.mine_until(&anvil, Purse::Available, 100 * ETHER).await;
        house.withdraw(2 * ETHER, Address([1; 20])).await;
        house.mine_until(&anvil, Purse::Withdrawing, 0).await;
        assert_eq!(anvil.balance(Address([1; 20])).await, 2 * ETHER);
        house.withdraw(3 * ETHER, Address([2; 20])).await;
        while !ledger.said().contains("the signer refused") {
            anvil.mine_what_waits().await;
        }
        assert_eq!(anvil.balance(Address([2; 20])).await, 0);
        house.close().await;
    });
}
