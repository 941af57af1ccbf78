//! `cage verify-roll`: an outcome of the house's games, computed again from what was revealed.

use std::process::ExitCode;

use cage_games::house::fair::{chance, commitment, is_client_seed, is_server_seed};
use cage_games::house::game::Mode;
use clap::Args;

use super::fail;

/// Exit code: the outcome or the hash is another one.
const EXIT_DIFFERS: u8 = 1;
/// Exit code: what was given is no seed, mode or hash.
const EXIT_UNFIT: u8 = 2;

/// Compute an outcome of the house's games again.
///
/// The server's seed was announced by its SHA-256 before it was used, and is revealed when it is used no more; with the
/// player's seed and the bet's nonce it says what was rolled. Exit codes: 0 computed, and as expected where an expectation
/// was given, 1 another one, 2 what was given does not do.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: cage verify-roll --server-seed 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f --client-seed my-client-seed --nonce 1 --mode dice-under-5000"
)]
pub(crate) struct VerifyRoll {
    /// The revealed seed: 64 lowercase hexadecimal letters
    #[arg(long, value_name = "HEX")]
    server_seed: String,
    /// The player's seed
    #[arg(long, value_name = "TEXT")]
    client_seed: String,
    /// The bet's number under these seeds
    #[arg(long, value_name = "NUMBER")]
    nonce: u64,
    /// What was played: dice-under-1 to dice-under-9900, crash-at-101 to crash-at-1000000, in hundredths
    #[arg(long, value_name = "MODE")]
    mode: String,
    /// The stake, to compute the payout in the same unit
    #[arg(long, value_name = "AMOUNT", default_value_t = 1_000_000)]
    stake: u64,
    /// What the server's seed was announced as
    #[arg(long, value_name = "HEX")]
    hash: Option<String>,
    /// What was told as the result, in hundredths
    #[arg(long, value_name = "HUNDREDTHS")]
    result: Option<u32>,
}

impl VerifyRoll {
    pub(crate) fn run(self) -> ExitCode {
        if !is_server_seed(&self.server_seed) {
            return fail(EXIT_UNFIT, &"--server-seed: expected 64 lowercase hexadecimal letters");
        }
        if !is_client_seed(&self.client_seed) {
            return fail(EXIT_UNFIT, &"--client-seed: expected 1 to 64 letters, digits, - _ .");
        }
        let Some(mode) = Mode::read(&self.mode) else {
            return fail(
                EXIT_UNFIT,
                &"--mode: expected dice-under-1 to dice-under-9900 or crash-at-101 to crash-at-1000000",
            );
        };
        let hash = commitment(&self.server_seed);
        let rolled =
            mode.roll(u128::from(self.stake), chance(&self.server_seed, &self.client_seed, self.nonce));
        say!("server_seed_hash {hash}");
        say!("result {}.{:02}", rolled.result / 100, rolled.result % 100);
        say!("payout {}", rolled.payout);
        if self.hash.is_some_and(|told| told != hash) {
            return fail(EXIT_DIFFERS, &"the seed is not the one that was announced");
        }
        if self.result.is_some_and(|told| told != rolled.result) {
            return fail(EXIT_DIFFERS, &"the result is another one");
        }
        ExitCode::SUCCESS
    }
}
