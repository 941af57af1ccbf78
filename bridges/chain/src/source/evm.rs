//! Chains of the Ethereum family, over JSON-RPC.
//!
//! In: endpoints, and how many of them have to agree. Out: blocks, what they hold for us, signed bytes sent. A block's
//! contents are asked for by its hash, checked against its header, and compared between endpoints: an endpoint behind
//! a balancer that lags, or one that lies, gives a fault and never an empty block. Never here: a guess.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{ChainPayer, ChainSource, Fees, Interest, Sent, Token, Whereabouts};
use crate::ethers;
use crate::limits;
use crate::rpc::{self, Endpoint, Fault};
use crate::types::{Address, BlockHash, BlockRef, Coin, Contents, Quantity, Tips, TransactionId};

/// A chain of the Ethereum family.
#[derive(Clone, Debug)]
pub struct Evm {
    name: String,
    chain_id: u64,
    /// The first block's hash, if the configuration names it.
    genesis: Option<BlockHash>,
    endpoints: Vec<Endpoint>,
    /// How many endpoints have to say the same.
    quorum: usize,
    /// Whether the endpoints can tell what contracts send.
    traces: bool,
}

impl Evm {
    /// A chain by its endpoints. Nothing is asked yet.
    #[must_use]
    pub fn new(chain_id: u64, endpoints: Vec<Endpoint>, quorum: usize) -> Self {
        Self { name: format!("eip155:{chain_id}"), chain_id, genesis: None, endpoints, quorum, traces: false }
    }

    /// With the first block that every endpoint must have.
    #[must_use]
    pub fn with_genesis(self, genesis: Option<BlockHash>) -> Self {
        Self { genesis, ..self }
    }

    /// With traces: what contracts send is found as well.
    #[must_use]
    pub fn with_traces(self, traces: bool) -> Self {
        Self { traces, ..self }
    }

    /// The number that is signed into every transaction.
    #[must_use]
    pub const fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// Asks every endpoint whether it is of this chain.
    ///
    /// # Errors
    /// [`Fault::OtherChain`] if one of those that answer is not; any other if too few answer.
    pub async fn check(&self) -> Result<(), Fault> {
        let mut answered = 0;
        let mut last = None;
        for endpoint in &self.endpoints {
            match self.check_one(endpoint).await {
                Ok(()) => answered += 1,
                Err(fault @ Fault::OtherChain { .. }) => return Err(fault),
                Err(fault) => last = Some(fault),
            }
        }
        match last {
            Some(fault) if answered < self.quorum => Err(fault),
            _ => Ok(()),
        }
    }

    async fn check_one(&self, endpoint: &Endpoint) -> Result<(), Fault> {
        let other = |what, found: String, expected: String| Fault::OtherChain {
            endpoint: Arc::clone(endpoint.name()),
            what,
            found,
            expected,
        };
        let found = endpoint.number("eth_chainId", vec![]).await?;
        if found != u128::from(self.chain_id) {
            return Err(other("its chain id", found.to_string(), self.chain_id.to_string()));
        }
        if let Some(expected) = self.genesis {
            let first =
                block(endpoint, &json!("0x0")).await?.map_or_else(BlockHash::default, |first| first.hash);
            if first != expected {
                return Err(other("its first block", first.to_string(), expected.to_string()));
            }
        }
        Ok(())
    }

    /// Asks every endpoint at once the same. Gives what [`Self::quorum`] of them say alike, as soon as they have.
    async fn agreed<T, A>(&self, what: &str, ask: impl Fn(Endpoint) -> A) -> Result<T, Fault>
    where
        T: PartialEq + Send + 'static,
        A: Future<Output = Result<T, Fault>> + Send + 'static,
    {
        let mut asked: JoinSet<_> = self.endpoints.iter().map(|endpoint| ask(endpoint.clone())).collect();
        let mut said: Vec<(T, usize)> = Vec::new();
        let mut last = None;
        while let Some(answer) = asked.join_next().await {
            let answer = match answer {
                Ok(Ok(answer)) => answer,
                Ok(Err(fault)) => {
                    last = Some(fault);
                    continue;
                }
                Err(_) => continue,
            };
            let place = said.iter().position(|(known, _)| *known == answer).unwrap_or(said.len());
            if place == said.len() {
                said.push((answer, 0));
            }
            said[place].1 += 1;
            if said[place].1 >= self.quorum {
                return Ok(said.swap_remove(place).0);
            }
        }
        let agreeing = said.iter().map(|(_, count)| *count).max().unwrap_or(0);
        // With one voice only, its own words say more than that nobody agrees.
        Err(match last {
            Some(fault) if said.len() <= 1 => fault,
            _ => Fault::Disagreement { what: what.to_owned(), agreeing, needed: self.quorum },
        })
    }

    /// A height that enough endpoints have reached: the least of the first answers.
    async fn reached(&self, tag: &'static str) -> Result<Option<u64>, Fault> {
        let ask = |endpoint: Endpoint| async move { block(&endpoint, &json!(tag)).await };
        let mut asked: JoinSet<_> = self.endpoints.iter().cloned().map(ask).collect();
        let (mut heights, mut last) = (Vec::new(), None);
        while let Some(answer) = asked.join_next().await {
            match answer {
                Ok(Ok(found)) => heights.extend(found.map(|found| found.height)),
                Ok(Err(fault)) => last = Some(fault),
                Err(_) => {}
            }
            if heights.len() >= self.quorum {
                return Ok(heights.into_iter().min());
            }
        }
        last.map_or(Ok(None), Err)
    }

    /// Asks one endpoint after the other until one answers.
    async fn any<T, A: Future<Output = Result<T, Fault>>>(
        &self,
        ask: impl Fn(Endpoint) -> A,
    ) -> Result<T, Fault> {
        let mut last = Fault::Disagreement { what: "anything".to_owned(), agreeing: 0, needed: 1 };
        for endpoint in &self.endpoints {
            match ask(endpoint.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(fault) => last = fault,
            }
        }
        Err(last)
    }
}

async fn block(endpoint: &Endpoint, at: &Value) -> Result<Option<BlockRef>, Fault> {
    const METHOD: &str = "eth_getBlockByNumber";
    let answer = endpoint.ask(METHOD, vec![at.clone(), json!(false)]).await?;
    ethers::block_ref(&answer).map_err(endpoint.not(METHOD))
}

async fn raw_block(endpoint: &Endpoint, at: &BlockRef) -> Result<ethers::RawBlock, Fault> {
    const METHOD: &str = "eth_getBlockReceipts";
    let hash = json!(at.hash.to_string());
    let (block, receipts) = tokio::join!(
        endpoint.ask("eth_getBlockByHash", vec![hash.clone(), json!(true)]),
        endpoint.ask(METHOD, vec![hash]),
    );
    let (block, receipts) = (block?, receipts?);
    if block.is_null() || receipts.is_null() {
        return Err(Fault::Gone { height: at.height, hash: at.hash.to_string() });
    }
    ethers::raw_block(at, block, receipts).map_err(endpoint.not(METHOD))
}

/// The traces of a block's transactions, each with its transaction.
async fn traces(endpoint: &Endpoint, at: &BlockRef) -> Result<Vec<(TransactionId, Value)>, Fault> {
    const METHOD: &str = "debug_traceBlockByHash";
    let tracer = json!({"tracer": "callTracer"});
    let answer = endpoint.ask(METHOD, vec![json!(at.hash.to_string()), tracer]).await?;
    let Value::Array(traces) = answer else { return Err(endpoint.nonsense(METHOD, "no list")) };
    let one = |trace: Value| {
        let transaction = trace.get("txHash").and_then(Value::as_str).and_then(|text| text.parse().ok());
        let result = trace.get("result").cloned();
        transaction.zip(result).ok_or_else(|| endpoint.nonsense(METHOD, "a trace without txHash or result"))
    };
    traces.into_iter().map(one).collect()
}

/// Everything of a block that could matter to anybody, so that it can be compared between endpoints.
async fn everything(endpoint: Endpoint, at: BlockRef, with_traces: bool) -> Result<Contents, Fault> {
    let raw = raw_block(&endpoint, &at).await?;
    let mut contents =
        Contents { inflows: raw.inflows(|_| true).collect(), outflows: raw.outflows(|_| true).collect() };
    if with_traces {
        for (transaction, trace) in traces(&endpoint, &at).await? {
            contents.inflows.extend(ethers::inner_inflows(transaction, &trace, |_| true));
        }
    }
    Ok(contents)
}

impl ChainSource for Evm {
    fn name(&self) -> &str {
        &self.name
    }

    async fn tips(&self) -> Result<Tips, Fault> {
        let nothing = || Fault::Disagreement { what: "the tip".to_owned(), agreeing: 0, needed: self.quorum };
        let height = self.reached("latest").await?.ok_or_else(nothing)?;
        let latest = self.block_at(height).await?.ok_or_else(nothing)?;
        // Not every chain knows these two; whose rule needs them waits.
        let safe = self.reached("safe").await.unwrap_or(None);
        let finalized = self.reached("finalized").await.unwrap_or(None);
        Ok(Tips { latest, safe, finalized })
    }

    async fn block_at(&self, height: u64) -> Result<Option<BlockRef>, Fault> {
        let what = format!("the block at height {height}");
        self.agreed(&what, |endpoint| async move { block(&endpoint, &rpc::number(height)).await }).await
    }

    async fn contents(&self, at: &BlockRef, interest: &impl Interest) -> Result<Contents, Fault> {
        let (at, with_traces) = (*at, self.traces);
        let what = format!("the contents of block {}", at.hash);
        let mut all = self.agreed(&what, move |endpoint| everything(endpoint, at, with_traces)).await?;
        all.inflows.retain(|inflow| interest.is_watched(&inflow.to));
        all.outflows.retain(|outflow| interest.is_ours(&outflow.from));
        Ok(all)
    }

    async fn whereabouts(&self, transaction: TransactionId) -> Result<Whereabouts, Fault> {
        const METHOD: &str = "eth_getTransactionByHash";
        let mut found = Whereabouts::Unknown;
        let mut last = None;
        for endpoint in &self.endpoints {
            let answer = match endpoint.ask(METHOD, vec![json!(transaction.to_string())]).await {
                Ok(answer) => answer,
                Err(fault) => {
                    last = Some(fault);
                    continue;
                }
            };
            match answer.get("blockHash").and_then(Value::as_str) {
                Some(hash) => {
                    let block = endpoint.ask("eth_getBlockByHash", vec![json!(hash), json!(false)]).await?;
                    if let Some(block) = ethers::block_ref(&block).map_err(endpoint.not(METHOD))? {
                        return Ok(Whereabouts::Mined(block));
                    }
                }
                None if answer.is_object() => found = Whereabouts::Waiting,
                None => {}
            }
        }
        match (found, last) {
            // Nobody who answered knows it, but not everybody answered.
            (Whereabouts::Unknown, Some(fault)) => Err(fault),
            _ => Ok(found),
        }
    }

    async fn holding(&self, at: &BlockRef, of: Address, coin: Coin) -> Result<Quantity, Fault> {
        let at = json!({"blockHash": at.hash.to_string()});
        self.agreed("a balance", move |endpoint| {
            let at = at.clone();
            async move { holding(&endpoint, at, of, coin).await }
        })
        .await
    }

    async fn token(&self, contract: Address) -> Result<Token, Fault> {
        self.agreed("a token", move |endpoint| async move { token(&endpoint, contract).await }).await
    }
}

async fn holding(endpoint: &Endpoint, at: Value, of: Address, coin: Coin) -> Result<Quantity, Fault> {
    let (method, answer) = match coin {
        Coin::Native => {
            let answer = endpoint.number("eth_getBalance", vec![json!(of.to_string()), at]).await?;
            return Ok(Quantity::Units(answer));
        }
        Coin::Token(contract) => {
            let call = json!({"to": contract.to_string(), "data": rpc::bytes(&ethers::balance_call(&of))});
            ("eth_call", endpoint.ask("eth_call", vec![call, at]).await?)
        }
    };
    let word = answer.as_str().and_then(|text| text.parse::<BlockHash>().ok());
    word.and_then(|word| ethers::quantity(&word.0))
        .ok_or_else(|| endpoint.nonsense(method, "no word of 32 bytes"))
}

async fn token(endpoint: &Endpoint, contract: Address) -> Result<Token, Fault> {
    const METHOD: &str = "eth_getCode";
    let code = endpoint.ask(METHOD, vec![json!(contract.to_string()), json!("latest")]).await?;
    let code = code.as_str().ok_or_else(|| endpoint.nonsense(METHOD, "no bytes"))?.to_owned();
    let call = json!({"to": contract.to_string(), "data": rpc::bytes(&ethers::decimals_call())});
    let decimals = match endpoint.ask("eth_call", vec![call, json!("latest")]).await {
        Ok(answer) => answer
            .as_str()
            .and_then(|text| text.parse::<BlockHash>().ok())
            .and_then(|word| ethers::quantity(&word.0))
            .and_then(|quantity| match quantity {
                Quantity::Units(units) => u8::try_from(units).ok(),
                Quantity::TooGreat => None,
            }),
        // The contract has no such function.
        Err(Fault::Refused { .. }) => None,
        Err(fault) => return Err(fault),
    };
    Ok(Token { decimals, code: *blake3::hash(code.as_bytes()).as_bytes() })
}

impl ChainPayer for Evm {
    async fn slots_used(&self, account: Address) -> Result<u64, Fault> {
        const METHOD: &str = "eth_getTransactionCount";
        let used = self
            .agreed("a count of transactions", move |endpoint| async move {
                endpoint.number(METHOD, vec![json!(account.to_string()), json!("latest")]).await
            })
            .await?;
        u64::try_from(used).map_err(|_| Fault::Nonsense {
            endpoint: "all".into(),
            method: METHOD,
            what: used.to_string(),
        })
    }

    async fn fees(&self) -> Result<Fees, Fault> {
        self.any(|endpoint| async move {
            let tip_max = endpoint.number("eth_maxPriorityFeePerGas", vec![]).await?;
            let block = endpoint.ask("eth_getBlockByNumber", vec![json!("latest"), json!(false)]).await?;
            let base =
                block.get("baseFeePerGas").and_then(Value::as_str).and_then(|text| text.strip_prefix("0x"));
            let base = base.and_then(|digits| u128::from_str_radix(digits, 16).ok()).unwrap_or(0);
            // Twice the base fee lasts for six full blocks in a row.
            Ok(Fees { fee_max: base.saturating_mul(2).saturating_add(tip_max), tip_max })
        })
        .await
    }

    async fn work(&self, from: Address, to: Address, coin: Coin, units: u128) -> Result<u64, Fault> {
        let call = match coin {
            Coin::Native => {
                json!({"from": from.to_string(), "to": to.to_string(), "value": format!("{units:#x}")})
            }
            Coin::Token(contract) => json!({
                "from": from.to_string(),
                "to": contract.to_string(),
                "data": rpc::bytes(&ethers::transfer_call(&to, units)),
            }),
        };
        let needed = self
            .any(|endpoint| {
                let call = call.clone();
                async move { endpoint.number("eth_estimateGas", vec![call]).await }
            })
            .await?;
        let needed = u64::try_from(needed).unwrap_or(u64::MAX).max(limits::GAS_NATIVE);
        // What a token's work is depends on what it has stored; a quarter more is enough for what changes meanwhile.
        Ok(if needed == limits::GAS_NATIVE { needed } else { needed.saturating_add(needed / 4) })
    }

    async fn broadcast(&self, raw: &[u8], transaction: TransactionId) -> Sent {
        let mut said = Vec::new();
        let mut accepted = false;
        for endpoint in &self.endpoints {
            match endpoint.ask("eth_sendRawTransaction", vec![rpc::bytes(raw)]).await {
                Ok(_) => accepted = true,
                // Nodes have different words for "I know it" and "no": what it means is asked for below.
                Err(fault) => said.push(fault.to_string()),
            }
        }
        if accepted {
            return Sent::Accepted;
        }
        match self.whereabouts(transaction).await {
            Ok(Whereabouts::Waiting | Whereabouts::Mined(_)) => Sent::Known,
            Ok(Whereabouts::Unknown) | Err(_) => Sent::Unknown(said.join("; ")),
        }
    }
}
