//! Providers that call the bridge, each in its own format. Bodies are written by hand: nothing of the bridge's own
//! reading or writing is used.

use cage_games::signature::{RsaSigner, SharedSecret};

use super::casino::Seat;
use super::http::{Got, Sent};

pub(crate) const TOKEN_SECRET: &str = "token-secret-of-the-tests";
pub(crate) const SHARED: &str = "shared-secret-of-the-tests";
pub(crate) const BEARER: &str = "bearer-token-of-the-tests";
pub(crate) const PROVIDER_KEY: &str = include_str!("../../keys/provider.key");
pub(crate) const OTHER_KEY: &str = include_str!("../../keys/other.key");

/// The files that the configuration names.
pub(crate) const KEYS: [(&str, &str); 4] = [
    ("token.secret", TOKEN_SECRET),
    ("shared.secret", SHARED),
    ("bearer.secret", BEARER),
    ("provider.pub", include_str!("../../keys/provider.pub")),
];

/// Three providers, one of each format. `more` stands in the part of each.
pub(crate) fn providers(asset: cage_engine::AssetId, more: &str) -> String {
    let mut text =
        format!("[currencies]\nEUR = {{ asset = {asset}, scale = 6 }}\nUSD = {{ asset = 99, scale = 2 }}\n");
    for format in Format::ALL {
        let (name, number, key) = (format.name(), format.number(), format.key_file());
        text += &format!(
            "[providers.{name}]\nnumber = {number}\nformat = \"{name}\"\nkey_file = \"{key}\"\n{more}\n\
             [providers.{name}.games]\ndragon = 1\nwheel = 2\n"
        );
    }
    text
}

/// A provider that is called: the house's games, and the casino's side of the bridge.
pub(crate) fn outbound(asset: cage_engine::AssetId, house: &super::House) -> String {
    let (casino, games) = (house.casino_address, house.games_address);
    format!(
        "[casino]\nlisten = \"{casino}\"\nkey_file = \"bearer.secret\"\n\
         [currencies]\nEUR = {{ asset = {asset}, scale = 6 }}\n\
         [providers.house]\nnumber = 11\nformat = \"rgs\"\nkey_file = \"bearer.secret\"\naddress = \"{games}\"\n\
         answer_time_ms = 1000\nrepeats = true\nwin_max_hundredths = 10000\n[providers.house.games]\ndice = 1\ncrash = 2\n"
    )
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Hub88,
    Softswiss,
    Pam,
}

/// What a provider says.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Says<'a> {
    /// A stake in units.
    Bet { tx: &'a str, units: &'a str, round: &'a str },
    /// A win for a bet.
    Win { tx: &'a str, bet: &'a str, units: &'a str, round: &'a str, ends: bool },
    /// A bet or win is undone.
    Rollback { tx: &'a str, target: &'a str, round: &'a str },
    /// The balance.
    Balance,
}

impl Format {
    pub(crate) const ALL: [Self; 3] = [Self::Hub88, Self::Softswiss, Self::Pam];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Hub88 => "hub88",
            Self::Softswiss => "softswiss",
            Self::Pam => "pam",
        }
    }

    pub(crate) const fn number(self) -> u16 {
        match self {
            Self::Hub88 => 7,
            Self::Softswiss => 8,
            Self::Pam => 9,
        }
    }

    const fn key_file(self) -> &'static str {
        match self {
            Self::Hub88 => "provider.pub",
            Self::Softswiss => "shared.secret",
            Self::Pam => "bearer.secret",
        }
    }

    /// A call of this provider's for a player.
    pub(crate) fn says(self, seat: &Seat, says: Says<'_>) -> Sent {
        self.says_in(seat, "EUR", says)
    }

    pub(crate) fn says_in(self, seat: &Seat, currency: &str, says: Says<'_>) -> Sent {
        match self {
            Self::Hub88 => hub88(seat, currency, says),
            Self::Softswiss => softswiss(seat, currency, says),
            Self::Pam => pam(seat, currency, says),
        }
    }

    /// How it went, in the provider's own word, and the balance that was shown, as text.
    pub(crate) fn understands(self, got: &Got) -> (String, Option<String>) {
        let value = |name: &str| field(&got.body, name);
        match self {
            Self::Hub88 => (value("status").unwrap_or_default(), value("balance")),
            Self::Softswiss if got.status == 200 => ("200".to_owned(), value("balance")),
            Self::Softswiss => {
                (format!("{}/{}", got.status, value("code").unwrap_or_default()), value("balance"))
            }
            Self::Pam => {
                let code = value("code").or_else(|| value("status")).unwrap_or_default();
                (code, value("cashAmount"))
            }
        }
    }

    /// An amount of so many hundredths as this provider is shown it.
    pub(crate) fn shown(self, hundredths: u128) -> String {
        match self {
            Self::Hub88 => (hundredths * 1_000).to_string(),
            Self::Softswiss => hundredths.to_string(),
            Self::Pam => format!("{}.{:02}0000", hundredths / 100, hundredths % 100),
        }
    }
}

/// The text of a field, wherever it stands; quotation marks taken off.
fn field(body: &str, name: &str) -> Option<String> {
    let (_, rest) = body.split_once(&format!("\"{name}\":"))?;
    let end = rest.find([',', '}', ']'])?;
    Some(rest[..end].trim_matches('"').to_owned())
}

/// Units with two decimals, times a power of ten, as an integer's text: what a provider would write.
fn scaled(units: &str, places: usize) -> String {
    let (sign, units) = units.strip_prefix('-').map_or(("", units), |rest| ("-", rest));
    let (whole, part) = units.split_once('.').unwrap_or((units, ""));
    let text = format!("{whole}{part:0<places$}");
    let text = text.trim_start_matches('0');
    format!("{sign}{}", if text.is_empty() { "0" } else { text })
}

pub(crate) fn signed_by(key: &str, path: &str, body: String) -> Sent {
    let signature = RsaSigner::from_pem(key).expect("a key").sign(body.as_bytes()).expect("a signature");
    let headers = vec![("x-hub88-signature", signature)];
    Sent { method: "POST", path: path.to_owned(), headers, body: body.into_bytes() }
}

fn hub88(seat: &Seat, currency: &str, says: Says<'_>) -> Sent {
    let who = format!("\"user\":\"{}\",\"token\":\"{}\",\"request_uuid\":\"q\"", seat.player, seat.token);
    let (path, rest) = match says {
        Says::Bet { tx, units, round } => (
            "/transaction/bet",
            format!(
                ",\"transaction_uuid\":\"{tx}\",\"round\":\"{round}\",\"round_closed\":false,\"game_code\":\"dragon\",\
                 \"currency\":\"{currency}\",\"amount\":{},\"is_free\":false,\"supplier_user\":null,\"reward_uuid\":null",
                scaled(units, 5)
            ),
        ),
        Says::Win { tx, bet, units, round, ends } => (
            "/transaction/win",
            format!(
                ",\"transaction_uuid\":\"{tx}\",\"reference_transaction_uuid\":\"{bet}\",\"round\":\"{round}\",\
                 \"round_closed\":{ends},\"game_code\":\"dragon\",\"currency\":\"{currency}\",\"amount\":{}",
                scaled(units, 5)
            ),
        ),
        Says::Rollback { tx, target, round } => (
            "/transaction/rollback",
            format!(
                ",\"transaction_uuid\":\"{tx}\",\"reference_transaction_uuid\":\"{target}\",\"round\":\"{round}\",\
                 \"round_closed\":false,\"game_code\":\"dragon\""
            ),
        ),
        Says::Balance => ("/user/balance", String::new()),
    };
    signed_by(PROVIDER_KEY, &format!("/hub88{path}"), format!("{{{who}{rest}}}"))
}

pub(crate) fn with_secret(secret: &str, path: &str, body: String) -> Sent {
    let signature = SharedSecret::new(secret.as_bytes()).sign(body.as_bytes());
    let headers = vec![("x-request-sign", signature)];
    Sent { method: "POST", path: path.to_owned(), headers, body: body.into_bytes() }
}

fn softswiss(seat: &Seat, currency: &str, says: Says<'_>) -> Sent {
    let head = |round: &str| {
        format!(
            "\"session_id\":\"{}\",\"user_id\":\"{}\",\"currency\":\"{currency}\",\"game\":\"dragon\",\"game_id\":\"{round}\"",
            seat.token, seat.player
        )
    };
    let (path, body) = match says {
        Says::Bet { tx, units, round } => (
            "/play",
            format!(
                "{{{},\"finished\":false,\"actions\":[{{\"action\":\"bet\",\"action_id\":\"{tx}\",\"amount\":{}}}]}}",
                head(round),
                scaled(units, 2)
            ),
        ),
        Says::Win { tx, units, round, ends, .. } => (
            "/play",
            format!(
                "{{{},\"finished\":{ends},\"actions\":[{{\"action\":\"win\",\"action_id\":\"{tx}\",\"amount\":{}}}]}}",
                head(round),
                scaled(units, 2)
            ),
        ),
        Says::Rollback { tx, target, round } => (
            "/rollback",
            format!(
                "{{{},\"finished\":false,\"actions\":[{{\"action\":\"rollback\",\"action_id\":\"{tx}\",\"original_action_id\":\"{target}\"}}]}}",
                head(round)
            ),
        ),
        Says::Balance => ("/play", format!("{{{},\"actions\":[]}}", head("r"))),
    };
    with_secret(SHARED, &format!("/softswiss{path}"), body)
}

fn pam(seat: &Seat, currency: &str, says: Says<'_>) -> Sent {
    let add = |word: &str, tx: &str, bet: &str, units: &str, round: &str, ends: bool| {
        format!(
            "{{\"currency\":\"{currency}\",\"provider\":\"evolution\",\"transactionType\":\"{word}\",\"cashAmount\":{units},\
             \"bonusAmount\":0,\"promoAmount\":0,\"transactionDateTime\":\"2026-01-02T03:04:05Z\",\
             \"providerTransactionId\":\"{tx}\",\"providerBetRef\":\"ref-{bet}\",\"providerGameId\":\"dragon\",\
             \"providerRoundId\":\"{round}\",\"isGameOver\":{ends}}}"
        )
    };
    let (method, what, body) = match says {
        Says::Bet { tx, units, round } => {
            ("POST", "transactions", add("WITHDRAW", tx, tx, units, round, false))
        }
        Says::Win { tx, bet, units, round, ends } => {
            ("POST", "transactions", add("DEPOSIT", tx, bet, units, round, ends))
        }
        Says::Rollback { target, round, .. } => {
            ("POST", "transactions", add("CANCEL", target, target, "0", round, false))
        }
        Says::Balance => ("GET", "balance", String::new()),
    };
    let path = format!("/pam/players/{}/{what}?provider=evolution", seat.player);
    pam_call(method, path, &seat.token, body)
}

pub(crate) fn pam_call(method: &'static str, path: String, token: &str, body: String) -> Sent {
    let headers = vec![
        ("authorization", format!("Bearer {BEARER}")),
        ("x-player-token", token.to_owned()),
        ("x-correlation-id", "c-1".to_owned()),
    ];
    Sent { method, path, headers, body: body.into_bytes() }
}
