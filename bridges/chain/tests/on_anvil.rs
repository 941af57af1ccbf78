//! The bridge on a real node.
//!
//! What breaks: what only a real node does: its blocks, its logs, its reorganisations, its words.

use cage_chain::bridge::{Alarm, Bridge, Turn};
use cage_chain::deposits::Stage;
use cage_chain::ethers::{Key, transfer_call};
use cage_chain::rpc::{Endpoint, Fault};
use cage_chain::source::evm::Evm;
use cage_chain::source::{ChainSource as _, Whereabouts};
use cage_chain::store::Store;
use cage_chain::types::{Address, Coin, hex};
use cage_client::engine::{OperationKind, PlayerId};
use serde_json::json;
use tempfile::TempDir;

use crate::harness::anvil::{Anvil, anvil};
use crate::harness::books::{Books, ETH, USD};
use crate::harness::proxy::Proxy;
use crate::harness::{CHAIN_ID, DEPTH, TOKEN, address, coins, phrase, run, settings, wallet};

const UNIT: u128 = 1_000_000_000;

struct Rig {
    anvil: Anvil,
    books: Books,
    player: PlayerId,
    bridge: Bridge<Evm, Books, Key>,
    _folder: TempDir,
}

impl Rig {
    fn new(anvil: Anvil, source: Evm, by_balance: bool) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let store = Store::open(&folder.path().join("chain.redb")).expect("a store");
        let mut list = coins();
        list[1].by_balance = by_balance;
        let books = Books::open();
        let player = books.open_player();
        assert_eq!(books.assign(player), 0);
        let bridge =
            Bridge::open(source, books.clone(), Some(wallet()), store, settings(list)).expect("a bridge");
        Self { anvil, books, player, bridge, _folder: folder }
    }

    async fn settle(&mut self) {
        loop {
            match self.bridge.turn().await.expect("a turn") {
                Turn::NeedsLedger(position) => {
                    let records = self.books.after(self.bridge.position());
                    self.bridge.take(&records, position).expect("taken in");
                }
                Turn::Busy => {}
                Turn::Idle => return,
            }
        }
    }

    async fn mine(&mut self, count: u64) {
        self.anvil.mine(count).await;
        self.settle().await;
    }

    fn available(&self) -> (u128, u128) {
        let purse = |asset| self.books.purse(self.player, asset, cage_client::engine::Purse::Available);
        (purse(ETH), purse(USD))
    }

    /// Puts a token at its address, and gives account 9 some of it.
    async fn token(&self, code: &str) {
        self.anvil.set_code(TOKEN, code.trim()).await;
        let mint = [&[0x40, 0xc1, 0x0f, 0x19][..], &transfer_call(&address(9), 1_000_000)[4..]].concat();
        self.anvil.call(TOKEN, &mint).await;
        self.anvil.mine(1).await;
    }
}

/// D1, D2, D3, D4 on a real node.
#[test]
fn deposits_survive_what_a_real_chain_does() {
    let Some(anvil) = anvil() else { return };
    let source = anvil.source();
    run(async {
        let mut rig = Rig::new(anvil, source, false);
        rig.settle().await;
        rig.anvil.pay(address(0), 5 * UNIT).await;
        rig.mine(DEPTH - 1).await;
        assert_eq!(rig.available(), (0, 0), "D1: one block too early");
        rig.mine(1).await;
        assert_eq!(rig.available(), (5, 0), "D1");
        // D2: gone before it was deep enough.
        rig.anvil.pay(address(0), 7 * UNIT).await;
        rig.mine(2).await;
        assert_eq!(rig.bridge.deposits().pending().count(), 1);
        rig.anvil.reorganise(2).await;
        rig.mine(DEPTH + 1).await;
        assert_eq!(rig.available(), (5, 0), "D2");
        // D3: the very transaction in another block.
        let signed =
            rig.anvil.send(&phrase().key("m/44'/60'/0'/0/8").expect("a key"), 0, address(0), 9 * UNIT).await;
        rig.mine(1).await;
        let again = json!([[hex(&signed.raw), 1]]);
        rig.anvil.ask("anvil_reorg", vec![json!(2), again]).await;
        rig.mine(DEPTH + 1).await;
        assert_eq!(rig.available(), (14, 0), "D3");
        // D4: gone after it was credited.
        rig.anvil.reorganise(DEPTH + 3).await;
        rig.mine(1).await;
        assert_eq!(rig.available(), (5, 0), "D4");
        assert!(rig.bridge.alarms().is_raised(Alarm::CreditTakenBack));
    });
}

/// D10, D12 on a real node.
#[test]
fn tokens_of_every_kind_are_credited_with_what_arrived() {
    let kinds = [
        (include_str!("contracts/plain.hex"), false, 10_000),
        (include_str!("contracts/silent.hex"), false, 10_000),
        (include_str!("contracts/fee.hex"), true, 9_900),
        (include_str!("contracts/false.hex"), false, 0),
        (include_str!("contracts/reverting.hex"), false, 0),
    ];
    for (number, (code, by_balance, arrives)) in kinds.into_iter().enumerate() {
        let Some(anvil) = anvil() else { return };
        let source = anvil.source();
        run(async {
            let mut rig = Rig::new(anvil, source, by_balance);
            rig.token(code).await;
            rig.settle().await;
            rig.anvil.call(TOKEN, &transfer_call(&address(0), 10_000)).await;
            rig.mine(DEPTH).await;
            assert_eq!(rig.available(), (0, arrives), "token {number}");
            let token = rig.anvil.source().token(TOKEN).await.expect("a token");
            assert_eq!(token.decimals, Some(6));
        });
    }
}

/// D11 on a real node: what a contract sends on is found by traces, and by nothing else.
#[test]
fn what_a_contract_sends_is_found_by_traces() {
    for traces in [true, false] {
        let Some(anvil) = anvil() else { return };
        let source = anvil.source().with_traces(traces);
        run(async {
            let mut rig = Rig::new(anvil, source, false);
            let forwarder = Address([0xf0; 20]);
            // push 0 0 0 0, the value, the address, all gas: call.
            let code = format!("0x5f5f5f5f3473{}5af100", &address(0).to_string()[2..]);
            rig.anvil.set_code(forwarder, &code).await;
            rig.settle().await;
            let pay = json!({"from": address(9).to_string(), "to": forwarder.to_string(), "value": format!("{:#x}", 6 * UNIT), "gas": "0x30d40"});
            rig.anvil.ask("eth_sendTransaction", vec![pay]).await;
            rig.mine(DEPTH).await;
            assert_eq!(rig.available(), (if traces { 6 } else { 0 }, 0));
        });
    }
}

/// W1, W6, W7 on a real node.
#[test]
fn a_withdrawal_is_paid_once_though_the_node_forgets_it_and_the_chain_gives_it_up() {
    let Some(anvil) = anvil() else { return };
    let source = anvil.source();
    run(async {
        let mut rig = Rig::new(anvil, source, false);
        let to = Address([0xcc; 20]);
        rig.token(include_str!("contracts/silent.hex")).await;
        rig.anvil.pay(wallet().address(), 1_000_000_000 * UNIT).await;
        rig.anvil.call(TOKEN, &transfer_call(&wallet().address(), 500)).await;
        rig.anvil.pay(address(0), 50 * UNIT).await;
        rig.anvil.call(TOKEN, &transfer_call(&address(0), 400)).await;
        rig.mine(DEPTH).await;
        let ether = rig.books.withdraw(rig.player, ETH, 10, to.0);
        let dollars = rig.books.withdraw(rig.player, USD, 300, to.0);
        rig.books.approve(rig.player, ETH, ether);
        rig.books.approve(rig.player, USD, dollars);
        rig.settle().await;
        let names: Vec<_> =
            rig.bridge.withdrawals().rows().filter_map(|row| row.attempts.first()?.transaction).collect();
        assert_eq!(names.len(), 2);
        for name in &names {
            rig.anvil.ask("anvil_dropTransaction", vec![json!(name.to_string())]).await;
        }
        rig.mine(1).await;
        rig.mine(1).await;
        assert_eq!(rig.anvil.balance(to).await, 10 * UNIT, "sent again");
        rig.anvil.reorganise(1).await;
        rig.settle().await;
        assert_eq!(rig.anvil.balance(to).await, 0, "given up");
        rig.mine(1).await;
        rig.mine(DEPTH + 2).await;
        assert_eq!(rig.anvil.balance(to).await, 10 * UNIT);
        for name in names {
            let found = rig.anvil.source().whereabouts(name).await.expect("an answer");
            assert!(matches!(found, Whereabouts::Mined(_)), "the same transactions: {found:?}");
        }
        assert_eq!(rig.books.count(OperationKind::WithdrawSettle), 2);
        assert_eq!(rig.available(), (40, 100));
    });
}

/// D14: an endpoint that lies stops crediting; among several it is outvoted.
#[test]
fn an_endpoint_that_lies_is_found_or_outvoted() {
    type Lie = fn(&str, &mut serde_json::Value);
    let empty: Lie = |method, answer| {
        if method == "eth_getBlockReceipts" {
            *answer = json!([]);
        }
    };
    let drops_a_log: Lie = |method, answer| {
        if method == "eth_getBlockReceipts" {
            answer.as_array_mut().into_iter().flatten().for_each(|receipt| receipt["logs"] = json!([]));
        }
    };
    let invents_a_log: Lie = |method, answer| {
        let receipts = if method == "eth_getBlockReceipts" { answer.as_array_mut() } else { None };
        for receipt in receipts.into_iter().flatten() {
            let log = receipt["logs"].get(0).cloned();
            let Some(mut log) = log else { continue };
            log["address"] = json!("0x00000000000000000000000000000000000000ab");
            receipt["logs"] = json!([receipt["logs"][0].clone(), log]);
        }
    };
    let garbles: Lie = |method, answer| {
        if method == "eth_getBlockByHash" {
            *answer = json!({"hash": 7});
        }
    };
    for (number, lie) in [empty, drops_a_log, invents_a_log, garbles].into_iter().enumerate() {
        let Some(anvil) = anvil() else { return };
        run(async {
            let proxy = Proxy::start(anvil.endpoint.clone()).await;
            let liar = Endpoint::new(&proxy.url, "liar").expect("an endpoint");
            let source = Evm::new(CHAIN_ID, vec![liar.clone()], 1);
            let mut rig = Rig::new(anvil, source, false);
            rig.token(include_str!("contracts/plain.hex")).await;
            rig.settle().await;
            proxy.lie(Some(lie));
            rig.anvil.call(TOKEN, &transfer_call(&address(0), 10_000)).await;
            rig.anvil.mine(DEPTH).await;
            let fault = rig.bridge.turn().await.expect_err("a lie");
            assert!(fault.to_string().contains("liar"), "lie {number}: {fault}");
            assert!(rig.bridge.alarms().is_raised(Alarm::ChainUnusable));
            // Two honest ones are enough, whatever the third says.
            let honest = rig.anvil.endpoint.clone();
            let three = Evm::new(CHAIN_ID, vec![liar, honest.clone(), honest], 2);
            let tip = three.tips().await.expect("a tip").latest;
            let book = Everybody;
            let first = three.block_at(tip.height + 1 - DEPTH).await.expect("an answer").expect("a block");
            let contents = three.contents(&first, &book).await.expect("two agree");
            assert_eq!(contents.inflows.len(), 1, "lie {number}");
            // It goes on by itself when the endpoint is well again.
            proxy.lie(None);
            rig.settle().await;
            assert_eq!(rig.available(), (0, 10_000), "lie {number}");
            let rows = rig.bridge.deposits().rows().filter(|row| matches!(row.stage, Stage::Credited { .. }));
            assert_eq!(rows.count(), 1);
        });
    }
}

struct Everybody;

impl cage_chain::source::Interest for Everybody {
    fn is_watched(&self, _: &Address) -> bool {
        true
    }

    fn is_ours(&self, _: &Address) -> bool {
        false
    }
}

/// D14: another chain, another first block, nobody there, too few who agree.
#[test]
fn an_endpoint_of_another_chain_is_refused_with_what_was_expected() {
    let Some(anvil) = anvil() else { return };
    run(async {
        let other = Evm::new(1, vec![anvil.endpoint.clone()], 1).check().await.expect_err("another chain");
        assert!(matches!(other, Fault::OtherChain { .. }), "{other}");
        assert!(other.to_string().contains("31337 (expected 1)"), "{other}");
        let genesis = Some(cage_chain::types::BlockHash([1; 32]));
        let other = anvil.source().with_genesis(genesis).check().await.expect_err("another first block");
        assert!(other.to_string().contains("first block"), "{other}");
        let first = anvil.source().block_at(0).await.expect("an answer").expect("a block").hash;
        anvil.source().with_genesis(Some(first)).check().await.expect("this chain");
        let gone = Endpoint::new("http://127.0.0.1:1/secret-key", "gone").expect("an endpoint");
        let alone = Evm::new(CHAIN_ID, vec![gone.clone()], 1).tips().await.expect_err("nobody");
        assert!(alone.to_string().contains("gone") && !alone.to_string().contains("secret"), "{alone}");
        let one_of_two = Evm::new(CHAIN_ID, vec![anvil.endpoint.clone(), gone], 2);
        one_of_two.tips().await.expect_err("one voice is not two");
        let at = cage_chain::types::BlockRef { height: 0, hash: first, parent: first, time_s: 0 };
        let unknown = one_of_two.holding(&at, address(0), Coin::Native);
        unknown.await.expect_err("one voice is not two");
    });
}
