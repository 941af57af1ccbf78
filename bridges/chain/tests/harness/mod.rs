//! What all tests share: books in memory, a scripted chain, a bridge between them that can be killed.

pub(crate) mod anvil;
pub(crate) mod books;
pub(crate) mod ledger;
pub(crate) mod proxy;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cage_chain::bridge::{Bridge, BridgeFault, Settings, Turn};
use cage_chain::deposits::{CoinRule, Finality, Tier};
use cage_chain::ethers::{Key, Phrase};
use cage_chain::reconcile::{Scan, Terms, scan};
use cage_chain::source::scripted::ScriptedChain;
use cage_chain::source::{ChainSource as _, Token};
use cage_chain::store::Store;
use cage_chain::types::{Address, Coin};
use cage_chain::withdrawals::{Bound, Policy};
use cage_client::engine::{AssetId, Lsn, PlayerId, Purse};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tempfile::TempDir;

use books::{Books, ETH, USD};

/// The words that every developer's chain is set up with.
pub(crate) const PHRASE: &str = "test test test test test test test test test test test junk";
/// The chain's number in the ledger, and its own.
pub(crate) const CHAIN: u32 = 1;
pub(crate) const CHAIN_ID: u64 = 31_337;
/// Blocks until a deposit counts.
pub(crate) const DEPTH: u64 = 3;
/// Blocks that may be given up.
pub(crate) const REORG_MAX: usize = 8;
/// A token of 6 decimals, one that nobody listed.
pub(crate) const TOKEN: Address = Address([0xaa; 20]);
pub(crate) const COUNTERFEIT: Address = Address([0xbb; 20]);

pub(crate) fn phrase() -> Phrase {
    Phrase::new(PHRASE)
}

/// The wallet: on another hardened account than the deposit addresses.
pub(crate) fn wallet() -> Key {
    phrase().key("m/44'/60'/1'/0/0").expect("a key")
}

/// The address of a number.
pub(crate) fn address(number: u32) -> Address {
    phrase().address_key("m/44'/60'/0'/0").expect("a key").address(number).expect("an address")
}

/// Runs a test's asynchronous part; fails if it hangs.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(HANGS, future).await.expect("the test hangs") })
}

/// How long a test may take that talks to another process. Longer means that it hangs.
const HANGS: std::time::Duration = std::time::Duration::from_secs(120);

/// Randomness that is repeated by setting `CAGE_SEED` to what is printed.
pub(crate) fn seed(test: &str) -> u64 {
    let seed = std::env::var("CAGE_SEED").ok();
    let seed = seed.map_or_else(rand::random, |seed| seed.parse().expect("CAGE_SEED is a number"));
    println!("{test}: repeat with CAGE_SEED={seed}");
    seed
}

pub(crate) fn random(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

pub(crate) fn rule(coin: Coin, asset: AssetId, decimals: u8, scale: u8, deposit_min_units: u128) -> CoinRule {
    let tiers = vec![Tier { from_units: 0, finality: Finality::Confirmations(DEPTH) }];
    CoinRule { coin, asset, decimals, scale, deposit_min_units, tiers, by_balance: false }
}

/// Ether with 9 of its 18 decimals in the ledger, the token with all of its 6.
pub(crate) fn coins() -> Vec<CoinRule> {
    vec![rule(Coin::Native, ETH, 18, 9, 1_000_000_000), rule(Coin::Token(TOKEN), USD, 6, 6, 100)]
}

pub(crate) fn settings(coins: Vec<CoinRule>) -> Settings {
    let bound =
        |rule: &CoinRule| Bound { coin: rule.coin, one_max_units: u128::MAX, day_max_units: u128::MAX };
    let policy = Policy {
        bounds: coins.iter().map(bound).collect(),
        refused: BTreeSet::from([TOKEN, wallet().address()]),
        declared: BTreeSet::new(),
        fee_max: 1_000_000_000_000,
        stuck_blocks: 6,
    };
    Settings {
        chain: CHAIN,
        chain_id: CHAIN_ID,
        start_height: 0,
        reorg_max: REORG_MAX,
        coins,
        address_key: phrase().address_key("m/44'/60'/0'/0").expect("a key"),
        suspects: BTreeSet::new(),
        policy,
        drill: None,
    }
}

/// What a comparison of a rig's books with its chain has to know.
pub(crate) fn terms_of(rig: &Rig) -> Terms {
    let numbers = rig.books.count(cage_client::engine::OperationKind::AssignAddress) as u32;
    Terms {
        chain: CHAIN,
        coins: rig.settings.coins.clone(),
        wallet: Some(wallet().address()),
        addresses: (0..numbers).map(|number| (number, address(number))).collect(),
        declared: BTreeSet::new(),
        tokens: BTreeMap::from([(TOKEN, THE_TOKEN)]),
        lag_blocks: 2,
        open_max_s: 3_600,
    }
}

/// A rig's chain, seen from its first block to its last.
pub(crate) fn scan_of(rig: &Rig, terms: &Terms) -> Scan {
    run(async {
        let tips = rig.chain.tips().await.expect("a tip");
        scan(&rig.chain, terms, 0, &tips).await.expect("a scan")
    })
}

/// The token as its contract describes itself.
pub(crate) const THE_TOKEN: Token = Token { decimals: Some(6), code: [6; 32] };

/// A chain, books, and a bridge between them.
pub(crate) struct Rig {
    pub(crate) chain: ScriptedChain,
    pub(crate) books: Books,
    pub(crate) settings: Settings,
    folder: TempDir,
    bridge: Option<Bridge<ScriptedChain, Books, Key>>,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(settings(coins()))
    }

    pub(crate) fn with(settings: Settings) -> Self {
        // Thousands of small writes: where there is memory to write to, the disk is spared. What a kill leaves is the same.
        let memory = Path::new("/dev/shm");
        let place = if memory.is_dir() { memory } else { Path::new(env!("CARGO_TARGET_TMPDIR")) };
        let folder = tempfile::tempdir_in(place).expect("a folder");
        let chain = ScriptedChain::new(CHAIN_ID);
        chain.set_token(TOKEN, THE_TOKEN);
        let mut rig = Self { chain, books: Books::open(), settings, folder, bridge: None };
        rig.start();
        rig
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("chain.redb")
    }

    fn start(&mut self) {
        let store = Store::open(&self.file()).expect("the store");
        let (chain, books, settings) = (self.chain.clone(), self.books.clone(), self.settings.clone());
        self.bridge = Some(Bridge::open(chain, books, Some(wallet()), store, settings).expect("a bridge"));
    }

    /// The process is gone, and started again.
    pub(crate) fn kill(&mut self) {
        self.bridge = None;
        self.start();
    }

    /// The process is gone, and so is its file.
    pub(crate) fn lose_store(&mut self) {
        self.bridge = None;
        std::fs::remove_file(self.file()).expect("the file");
        self.start();
    }

    pub(crate) fn bridge(&mut self) -> &mut Bridge<ScriptedChain, Books, Key> {
        self.bridge.as_mut().expect("a bridge")
    }

    /// Turns until nothing is left to do, or something goes wrong.
    pub(crate) fn turn(&mut self) -> Result<(), BridgeFault> {
        let books = self.books.clone();
        let bridge = self.bridge.as_mut().expect("a bridge");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            loop {
                match bridge.turn().await? {
                    Turn::NeedsLedger(position) => bridge.take(&books.after(bridge.position()), position)?,
                    Turn::Busy => {}
                    Turn::Idle => return Ok(()),
                }
            }
        })
    }

    /// [`Self::turn`], which has to go well.
    #[track_caller]
    pub(crate) fn settle(&mut self) {
        self.turn().expect("a turn");
    }

    /// Makes blocks, with a turn after each.
    #[track_caller]
    pub(crate) fn mine(&mut self, count: u64) {
        for _ in 0..count {
            self.chain.mine();
            self.settle();
        }
    }

    pub(crate) fn available(&self, player: PlayerId, asset: AssetId) -> u128 {
        self.books.purse(player, asset, Purse::Available)
    }

    /// A payment from outside to the address of this number.
    pub(crate) fn pay(&self, number: u32, coin: Coin, units: u128) {
        self.chain.pay(&[(address(number), coin, cage_chain::types::Quantity::Units(units))]);
    }

    pub(crate) fn position(&self) -> Lsn {
        self.books.position()
    }
}
