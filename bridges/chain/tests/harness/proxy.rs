//! A node that lies: a door to a real one that changes some of its answers.

use std::sync::{Arc, Mutex};

use cage_chain::rpc::{Endpoint, Fault};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Changes an answer to a method.
pub(crate) type Lie = fn(&str, &mut Value);

/// The door. Gone when its runtime is.
pub(crate) struct Proxy {
    pub(crate) url: String,
    lie: Arc<Mutex<Option<Lie>>>,
}

impl Proxy {
    pub(crate) async fn start(to: Endpoint) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let lie = Arc::new(Mutex::new(None));
        let told = Arc::clone(&lie);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (to, told) = (to.clone(), Arc::clone(&told));
                // A connection that ends, ends.
                tokio::spawn(async move { serve(stream, to, told).await });
            }
        });
        Self { url, lie }
    }

    /// Lies from now on, or not any more.
    pub(crate) fn lie(&self, lie: Option<Lie>) {
        *self.lie.lock().expect("the lie") = lie;
    }
}

/// One HTTP/1.1 connection.
async fn serve(stream: TcpStream, to: Endpoint, lie: Arc<Mutex<Option<Lie>>>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            let line = line.trim().to_lowercase();
            if let Some(text) = line.strip_prefix("content-length:") {
                length = text.trim().parse().ok()?;
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        let answer = answer(&serde_json::from_slice(&body).ok()?, &to, &lie).await?.to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        stream.write_all(head.as_bytes()).await.ok()?;
        stream.write_all(answer.as_bytes()).await.ok()?;
    }
}

/// The methods that are passed on: names live as long as the program.
const METHODS: [&str; 8] = [
    "eth_chainId",
    "eth_getBlockByNumber",
    "eth_getBlockByHash",
    "eth_getBlockReceipts",
    "eth_getBalance",
    "eth_call",
    "eth_getTransactionCount",
    "eth_getCode",
];

async fn answer(question: &Value, to: &Endpoint, lie: &Mutex<Option<Lie>>) -> Option<Value> {
    let method = METHODS.into_iter().find(|method| question["method"] == *method)?;
    let parameters = question["params"].as_array().cloned().unwrap_or_default();
    let id = &question["id"];
    Some(match to.ask(method, parameters).await {
        Ok(mut result) => {
            if let Some(lie) = *lie.lock().expect("the lie") {
                lie(method, &mut result);
            }
            json!({"jsonrpc": "2.0", "id": id, "result": result})
        }
        Err(Fault::Refused { code, message, .. }) => {
            json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
        }
        Err(_) => return None,
    })
}
