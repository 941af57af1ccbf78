//! The only place that knows the libraries `ethers-core`, `ethers-signers` and `coins-bip32`.
//!
//! In: keys, fields of transactions, what a node answered. Out: types of this package. Never here: the network. What
//! this module must give is pinned by golden vectors, so that another library can take the place of these.

use std::fmt;
use std::path::Path;

use coins_bip32::prelude::{MainnetEncoder, Parent as _, XKeyEncoder as _, XPriv, XPub};
use ethers_core::abi::ethereum_types::BloomInput;
use ethers_core::types::transaction::eip2718::TypedTransaction;
use ethers_core::types::{
    Block as EthersBlock, Bloom, Bytes, Eip1559TransactionRequest, H160, H256, Log, Signature, Transaction,
    TransactionReceipt, U64, U256,
};
use ethers_core::utils::rlp::Rlp;
use ethers_core::utils::{hash_message, keccak256, public_key_to_address, to_checksum};
use ethers_signers::coins_bip39::{English, Mnemonic};
use ethers_signers::{LocalWallet, Signer as _};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::types::{
    Address, BlockHash, BlockRef, Coin, Inflow, NotHex, Outflow, Quantity, TransactionId, TransferId,
};

/// `Transfer(address,address,uint256)`.
const TRANSFER_TOPIC: [u8; 32] = [
    0xdd, 0xf2, 0x52, 0xad, 0x1b, 0xe2, 0xc8, 0x9b, 0x69, 0xc2, 0xb0, 0x68, 0xfc, 0x37, 0x8d, 0xaa, 0x95,
    0x2b, 0xa7, 0xf1, 0x63, 0xc4, 0xa1, 0x16, 0x28, 0xf5, 0x5a, 0x4d, 0xf5, 0x23, 0xb3, 0xef,
];
/// The first bytes of a call of `transfer(address,uint256)`, `balanceOf(address)`, `decimals()`.
const TRANSFER_CALL: [u8; 4] = [0xa9, 0x05, 0x9c, 0xbb];
const BALANCE_CALL: [u8; 4] = [0x70, 0xa0, 0x82, 0x31];
const DECIMALS_CALL: [u8; 4] = [0x31, 0x3c, 0xe5, 0x67];
/// An extended public key as text always has so many characters.
const XPUB_CHARS: usize = 111;
/// Ordinals of inner calls begin here.
const INNER_ORDINALS_FROM: u32 = 1 << 31;

/// An address that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// It is no address.
    #[error(transparent)]
    NotHex(#[from] NotHex),
    /// Its capital letters are not those of its checksum.
    #[error(
        "{0} has a wrong checksum: a digit was mistyped (expected the letters of EIP-55, or only small ones)"
    )]
    Checksum(String),
}

/// Reads an address as people write it: with the capital letters of EIP-55, or with small letters only.
///
/// # Errors
/// [`BadAddress`] says what is wrong with it.
pub fn parse_address(text: &str) -> Result<Address, BadAddress> {
    let address: Address = text.parse()?;
    let mixed = text.bytes().any(|byte| byte.is_ascii_uppercase());
    if mixed && checksummed(&address) != text {
        return Err(BadAddress::Checksum(text.to_owned()));
    }
    Ok(address)
}

/// The address with the capital letters of EIP-55.
#[must_use]
pub fn checksummed(address: &Address) -> String {
    to_checksum(&H160(address.0), None)
}

/// A key or phrase that cannot be used. It never says what the key is.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadKey(String);

/// A public key from which addresses are derived, and no private key can be.
#[derive(Clone)]
pub struct AddressKey(XPub);

impl fmt::Debug for AddressKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AddressKey")
    }
}

impl AddressKey {
    /// Reads an extended public key (`xpub…`).
    ///
    /// # Errors
    /// [`BadKey`] if it is none. A private key is refused, too: it has no business here.
    pub fn parse(text: &str) -> Result<Self, BadKey> {
        if text.starts_with("xprv") {
            return Err(BadKey(
                "this is an extended private key: a watcher must hold the public one (xpub)".into(),
            ));
        }
        let not =
            || BadKey(format!("no extended public key (expected xpub and {} characters)", XPUB_CHARS - 4));
        // The library takes a shorter text apart without looking at its length.
        if text.len() != XPUB_CHARS {
            return Err(not());
        }
        text.parse().map(Self).map_err(|_| not())
    }

    /// The key as text (`xpub…`): whoever has it can tell which addresses belong together, and spend nothing.
    ///
    /// # Errors
    /// [`BadKey`] if the library refuses.
    pub fn text(&self) -> Result<String, BadKey> {
        MainnetEncoder::xpub_to_base58(&self.0).map_err(|_| BadKey("the key was not written".into()))
    }

    /// The address of this number.
    ///
    /// # Errors
    /// [`BadKey`] if there is none: numbers from 2^31 on are for private keys.
    pub fn address(&self, number: u32) -> Result<Address, BadKey> {
        let child =
            self.0.derive_child(number).map_err(|_| BadKey(format!("no address of number {number}")))?;
        Ok(Address(public_key_to_address(child.as_ref()).0))
    }
}

/// A mnemonic phrase: the root of all keys of a set-up.
pub struct Phrase(Zeroizing<String>);

impl fmt::Debug for Phrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Phrase")
    }
}

impl Phrase {
    /// Takes the words.
    #[must_use]
    pub fn new(words: &str) -> Self {
        Self(Zeroizing::new(words.trim().to_owned()))
    }

    fn derive(&self, path: &str) -> Result<XPriv, BadKey> {
        let phrase = Mnemonic::<English>::new_from_phrase(&self.0).map_err(|_| {
            BadKey("the mnemonic phrase is not valid (expected 12 to 24 English words)".into())
        })?;
        let key = phrase.derive_key(path, None).map_err(|_| BadKey(format!("no key of path {path}")))?;
        Ok(key)
    }

    /// The extended public key at a path such as `m/44'/60'/0'/0`.
    ///
    /// # Errors
    /// [`BadKey`] if phrase or path are none.
    pub fn address_key(&self, path: &str) -> Result<AddressKey, BadKey> {
        Ok(AddressKey(self.derive(path)?.verify_key()))
    }

    /// The private key at a path such as `m/44'/60'/1'/0/0`.
    ///
    /// # Errors
    /// [`BadKey`] if phrase or path are none.
    pub fn key(&self, path: &str) -> Result<Key, BadKey> {
        let key = self.derive(path)?;
        let signer: &coins_bip32::ecdsa::SigningKey = key.as_ref();
        Ok(Key(LocalWallet::from(signer.clone())))
    }
}

/// What a transaction of ours says. It moves one coin to one receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Transfer {
    /// For which chain alone it is valid.
    pub chain_id: u64,
    /// The slot of the paying account.
    pub slot: u64,
    /// Who is paid.
    pub to: Address,
    /// In what.
    pub coin: Coin,
    /// How much.
    pub units: u128,
    /// How much work it may be.
    pub gas: u64,
    /// The most that is paid for a unit of work.
    pub fee_max: u128,
    /// The most of it that goes to the block's maker.
    pub tip_max: u128,
}

impl Transfer {
    /// The most that it can cost besides what it moves, in the native coin.
    #[must_use]
    pub const fn cost_max(&self) -> u128 {
        self.fee_max.saturating_mul(self.gas as u128)
    }
}

/// A signed transaction: its bytes, and its name, known before anybody is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// What is sent.
    pub raw: Vec<u8>,
    /// Its hash.
    pub transaction: TransactionId,
}

/// A private key. It is wiped from memory when it is dropped, and printed nowhere.
pub struct Key(LocalWallet);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key of {}", self.address())
    }
}

impl Key {
    /// Opens a keystore file of version 3.
    ///
    /// # Errors
    /// [`BadKey`] if the file cannot be read, is none, or the passphrase is another one.
    pub fn open(path: &Path, passphrase: &[u8]) -> Result<Self, BadKey> {
        let opened = LocalWallet::decrypt_keystore(path, passphrase);
        opened.map(Self).map_err(|fault| {
            let expected = "expected a keystore of version 3 and its passphrase";
            BadKey(format!("{}: {fault} ({expected})", path.display()))
        })
    }

    /// Makes a new key and writes it into a keystore file of version 3. The file is never overwritten.
    ///
    /// # Errors
    /// [`BadKey`] if it cannot be written, or is there already.
    pub fn create(path: &Path, passphrase: &[u8]) -> Result<Self, BadKey> {
        let fault = |reason: &str| BadKey(format!("{}: {reason}", path.display()));
        if path.exists() {
            return Err(fault("there is a file already, and a key is never overwritten"));
        }
        let folder =
            path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        let name =
            path.file_name().and_then(|name| name.to_str()).ok_or_else(|| fault("no name of a file"))?;
        let mut random = ethers_core::rand::thread_rng();
        let made = LocalWallet::new_keystore(folder, &mut random, passphrase, Some(name));
        made.map(|(wallet, _)| Self(wallet)).map_err(|reason| fault(&reason.to_string()))
    }

    /// The account that it opens.
    #[must_use]
    pub fn address(&self) -> Address {
        Address(self.0.address().0)
    }

    /// Signs a transfer. The same fields give the same bytes, always (RFC 6979).
    ///
    /// # Errors
    /// [`BadKey`] if the library refuses.
    pub fn sign(&self, transfer: &Transfer) -> Result<Signed, BadKey> {
        let typed = typed(transfer);
        let signature = self
            .0
            .sign_transaction_sync(&typed)
            .map_err(|_| BadKey("the transaction was not signed".into()))?;
        let raw = typed.rlp_signed(&signature).to_vec();
        let transaction = transaction_id(&raw);
        Ok(Signed { raw, transaction })
    }

    /// Signs a message as wallets do (EIP-191): what is signed so can be no transaction.
    ///
    /// # Errors
    /// [`BadKey`] if the library refuses.
    pub fn sign_message(&self, message: &[u8]) -> Result<Vec<u8>, BadKey> {
        let signed = self.0.sign_hash(hash_message(message));
        signed.map(|signature| signature.to_vec()).map_err(|_| BadKey("the message was not signed".into()))
    }
}

/// Whose signature of a message this is; nobody's if it is none.
#[must_use]
pub fn message_signer(message: &[u8], signature: &[u8]) -> Option<Address> {
    let signature = Signature::try_from(signature).ok()?;
    signature.recover(message).ok().map(|address| Address(address.0))
}

fn typed(transfer: &Transfer) -> TypedTransaction {
    let request = Eip1559TransactionRequest::new()
        .chain_id(transfer.chain_id)
        .nonce(transfer.slot)
        .gas(transfer.gas)
        .max_fee_per_gas(transfer.fee_max)
        .max_priority_fee_per_gas(transfer.tip_max);
    match transfer.coin {
        Coin::Native => request.to(H160(transfer.to.0)).value(transfer.units),
        Coin::Token(contract) => request
            .to(H160(contract.0))
            .value(0)
            .data(Bytes::from(transfer_call(&transfer.to, transfer.units))),
    }
    .into()
}

/// Reads a signed transfer back: who pays, and what it says.
///
/// # Errors
/// [`Nonsense`] if the bytes are no signed transfer of the kind that [`Key::sign`] makes.
pub fn read_signed(raw: &[u8]) -> Result<(Address, Transfer), Nonsense> {
    let not = || nonsense("no signed transfer");
    let (typed, signature) = TypedTransaction::decode_signed(&Rlp::new(raw)).map_err(|_| not())?;
    let from = signature.recover(typed.sighash()).map_err(|_| not())?;
    let TypedTransaction::Eip1559(request) = typed else { return Err(not()) };
    let small = |value: Option<U256>| value.filter(|value| value.bits() <= 128).map(|value| value.low_u128());
    let receiver = request.to.as_ref().and_then(|to| to.as_address()).ok_or_else(not)?;
    let (to, coin, quantity) = moved_by(
        Address(receiver.0),
        request.value.unwrap_or_default(),
        request.data.as_deref().unwrap_or_default(),
    )
    .ok_or_else(not)?;
    let Quantity::Units(units) = quantity else { return Err(not()) };
    let transfer = Transfer {
        chain_id: request.chain_id.ok_or_else(not)?.as_u64(),
        slot: small(request.nonce).and_then(|slot| u64::try_from(slot).ok()).ok_or_else(not)?,
        to,
        coin,
        units,
        gas: small(request.gas).and_then(|gas| u64::try_from(gas).ok()).ok_or_else(not)?,
        fee_max: small(request.max_fee_per_gas).ok_or_else(not)?,
        tip_max: small(request.max_priority_fee_per_gas).ok_or_else(not)?,
    };
    Ok((Address(from.0), transfer))
}

/// The name of a transaction of these bytes.
#[must_use]
pub fn transaction_id(raw: &[u8]) -> TransactionId {
    TransactionId(keccak256(raw))
}

fn word(address: &Address) -> [u8; 32] {
    let mut word = [0; 32];
    word[12..].copy_from_slice(&address.0);
    word
}

/// The call that moves tokens.
#[must_use]
pub fn transfer_call(to: &Address, units: u128) -> Vec<u8> {
    let mut amount = [0; 32];
    U256::from(units).to_big_endian(&mut amount);
    [&TRANSFER_CALL[..], &word(to), &amount].concat()
}

/// The call that asks a token how much an account has.
#[must_use]
pub fn balance_call(of: &Address) -> Vec<u8> {
    [&BALANCE_CALL[..], &word(of)].concat()
}

/// The call that asks a token for its decimals.
#[must_use]
pub const fn decimals_call() -> [u8; 4] {
    DECIMALS_CALL
}

/// One word of an answer as a quantity; nothing if it is no word.
#[must_use]
pub fn quantity(word: &[u8]) -> Option<Quantity> {
    (word.len() == 32).then(|| quantity_of(U256::from_big_endian(word)))
}

fn quantity_of(value: U256) -> Quantity {
    if value.bits() > 128 { Quantity::TooGreat } else { Quantity::Units(value.low_u128()) }
}

/// A block as a node tells it, with its transactions, and their receipts.
#[derive(Clone, Debug)]
pub struct RawBlock {
    block: EthersBlock<Transaction>,
    receipts: Vec<TransactionReceipt>,
}

/// What a node answered is not what it must be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Nonsense(pub String);

fn nonsense(what: &str) -> Nonsense {
    Nonsense(what.to_owned())
}

/// The reference of a block in a node's answer; nothing if the node does not know it.
///
/// # Errors
/// [`Nonsense`] if it is no block.
pub fn block_ref(answer: &Value) -> Result<Option<BlockRef>, Nonsense> {
    if answer.is_null() {
        return Ok(None);
    }
    let field = |name: &str| {
        answer.get(name).and_then(Value::as_str).ok_or_else(|| Nonsense(format!("a block without {name}")))
    };
    let number = |name: &str| {
        let digits = field(name)?
            .strip_prefix("0x")
            .map(str::to_owned)
            .ok_or_else(|| Nonsense(format!("{name} of a block")))?;
        u64::from_str_radix(&digits, 16).map_err(|_| Nonsense(format!("{name} of a block")))
    };
    let hash = |name: &str| -> Result<BlockHash, Nonsense> {
        field(name)?.parse().map_err(|fault: NotHex| Nonsense(fault.to_string()))
    };
    Ok(Some(BlockRef {
        height: number("number")?,
        hash: hash("hash")?,
        parent: hash("parentHash")?,
        time_s: number("timestamp")?,
    }))
}

/// Reads a block and its receipts, and sees to it that they belong together: every receipt is of this block and of
/// the transaction at its place, and the logs are those that the header's bloom filter was made of. An endpoint that
/// lags, or leaves a log out, is found by that.
///
/// # Errors
/// [`Nonsense`] says what does not fit.
pub fn raw_block(at: &BlockRef, block: Value, receipts: Value) -> Result<RawBlock, Nonsense> {
    let block: EthersBlock<Transaction> =
        serde_json::from_value(block).map_err(|fault| Nonsense(format!("a block: {fault}")))?;
    let receipts: Vec<TransactionReceipt> =
        serde_json::from_value(receipts).map_err(|fault| Nonsense(format!("receipts: {fault}")))?;
    if block.hash != Some(H256(at.hash.0)) {
        return Err(nonsense("another block than was asked for"));
    }
    if receipts.len() != block.transactions.len() {
        return Err(Nonsense(format!(
            "{} receipts for {} transactions",
            receipts.len(),
            block.transactions.len()
        )));
    }
    let mut bloom = Bloom::zero();
    for (transaction, receipt) in block.transactions.iter().zip(&receipts) {
        if receipt.transaction_hash != transaction.hash || receipt.block_hash != block.hash {
            return Err(nonsense("a receipt of another transaction or block"));
        }
        for log in &receipt.logs {
            accrue(&mut bloom, log);
        }
    }
    if block.logs_bloom.is_some_and(|told| told != bloom) {
        return Err(nonsense("logs that are not those of the block's header"));
    }
    Ok(RawBlock { block, receipts })
}

fn accrue(bloom: &mut Bloom, log: &Log) {
    bloom.accrue(BloomInput::Raw(&log.address.0));
    for topic in &log.topics {
        bloom.accrue(BloomInput::Raw(&topic.0));
    }
}

impl RawBlock {
    /// Transfers to addresses that are `watched`, of native coin and of any contract, in the order of the chain.
    /// Whether a contract is worth anything, others decide.
    pub fn inflows<'a>(
        &'a self,
        watched: impl Fn(&Address) -> bool + 'a,
    ) -> impl Iterator<Item = Inflow> + 'a {
        self.block.transactions.iter().zip(&self.receipts).filter(|(_, receipt)| succeeded(receipt)).flat_map(
            move |(transaction, receipt)| {
                let own = native(transaction);
                let logs = (1..).zip(&receipt.logs).filter_map(|(ordinal, log)| {
                    let (from, to, quantity) = transfer_log(log)?;
                    let id = TransferId { transaction: TransactionId(transaction.hash.0), ordinal };
                    Some(Inflow { id, from, to, coin: Coin::Token(Address(log.address.0)), quantity })
                });
                let found: Vec<_> =
                    own.into_iter().chain(logs).filter(|inflow| watched(&inflow.to)).collect();
                found
            },
        )
    }

    /// Transactions that accounts of ours sent.
    pub fn outflows<'a>(
        &'a self,
        ours: impl Fn(&Address) -> bool + 'a,
    ) -> impl Iterator<Item = Outflow> + 'a {
        let pairs = self.block.transactions.iter().zip(&self.receipts);
        pairs.filter(move |(transaction, _)| ours(&Address(transaction.from.0))).map(
            |(transaction, receipt)| {
                let price = receipt.effective_gas_price.unwrap_or_default();
                let fee = receipt.gas_used.unwrap_or_default().saturating_mul(price);
                Outflow {
                    transaction: TransactionId(transaction.hash.0),
                    from: Address(transaction.from.0),
                    slot: transaction.nonce.low_u64(),
                    succeeded: succeeded(receipt),
                    fee: if fee.bits() > 128 { u128::MAX } else { fee.low_u128() },
                    moved: moved(transaction),
                }
            },
        )
    }
}

fn succeeded(receipt: &TransactionReceipt) -> bool {
    receipt.status == Some(U64::one())
}

fn native(transaction: &Transaction) -> Option<Inflow> {
    let to = transaction.to?;
    (!transaction.value.is_zero()).then(|| Inflow {
        id: TransferId { transaction: TransactionId(transaction.hash.0), ordinal: 0 },
        from: Address(transaction.from.0),
        to: Address(to.0),
        coin: Coin::Native,
        quantity: quantity_of(transaction.value),
    })
}

/// What a plain transfer says that it moves.
fn moved(transaction: &Transaction) -> Option<(Address, Coin, Quantity)> {
    moved_by(Address(transaction.to?.0), transaction.value, &transaction.input)
}

fn moved_by(to: Address, value: U256, input: &[u8]) -> Option<(Address, Coin, Quantity)> {
    if input.is_empty() {
        return Some((to, Coin::Native, quantity_of(value)));
    }
    let plain = input.len() == 68 && input[..4] == TRANSFER_CALL && input[4..16] == [0; 12];
    if !plain || !value.is_zero() {
        return None;
    }
    let receiver = Address(input[16..36].try_into().ok()?);
    Some((receiver, Coin::Token(to), quantity(&input[36..68])?))
}

/// From, to and how much, if the log is a token's transfer. With a fourth topic it is one of a collectible.
fn transfer_log(log: &Log) -> Option<(Address, Address, Quantity)> {
    let [topic, from, to] = log.topics.as_slice() else { return None };
    let party = |topic: &H256| {
        let (zeroes, address) = topic.0.split_at(12);
        (zeroes == [0; 12]).then(|| Address(address.try_into().unwrap_or_default()))
    };
    if topic.0 != TRANSFER_TOPIC {
        return None;
    }
    Some((party(from)?, party(to)?, quantity(&log.data)?))
}

/// The transfers of native coin that contracts made, in one transaction's trace (`callTracer`), to watched addresses.
pub fn inner_inflows(
    transaction: TransactionId,
    trace: &Value,
    watched: impl Fn(&Address) -> bool,
) -> Vec<Inflow> {
    let mut found = Vec::new();
    let mut count = 0;
    // The outermost call is the transaction itself.
    inner_calls(trace, &mut |call| {
        let ordinal = INNER_ORDINALS_FROM + count;
        count += 1;
        let text = |name: &str| call.get(name).and_then(Value::as_str);
        let moves = matches!(text("type"), Some("CALL" | "CREATE" | "CREATE2" | "SELFDESTRUCT"));
        let address = |name: &str| text(name).and_then(|text| text.parse::<Address>().ok());
        let value = text("value").and_then(|text| U256::from_str_radix(text, 16).ok()).unwrap_or_default();
        let Some((from, to)) = address("from").zip(address("to")) else { return };
        if moves && !value.is_zero() && watched(&to) {
            let id = TransferId { transaction, ordinal };
            found.push(Inflow { id, from, to, coin: Coin::Native, quantity: quantity_of(value) });
        }
    });
    found
}

/// The calls inside a call, in order, but for those that failed and what they called.
fn inner_calls(call: &Value, each: &mut impl FnMut(&Value)) {
    if call.get("error").is_some() {
        return;
    }
    for inner in call.get("calls").and_then(Value::as_array).into_iter().flatten() {
        if inner.get("error").is_none() {
            each(inner);
            inner_calls(inner, each);
        }
    }
}
