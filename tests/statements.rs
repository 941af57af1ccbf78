//! Statements and exports: what is told of a log is what its records say, whoever reads it and however.
//!
//! What breaks: a movement that a statement leaves out (it is found by following a player's records, the test scans all of
//! them), one that is told twice, a balance that is not the ledger's, a record that is newer than the newest snapshot or
//! archived, a damaged record that is passed over, a format that drops digits.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use cage::data::DataDir;
use cage::recovery;
use cage_engine::{
    AccountId, Amount, GameId, Lsn, Operation, PlayerId, Purse, Record, Reference, RequestId, Role,
    SessionId, State,
};
use cage_wal::{Limits, scan_from};
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::Value;

use crate::harness::casino::{Casino, client, key};
use crate::harness::{Ledger, audit, folder, hex, random, run, run_cage, stderr, stdout, text};

/// Asks for some random play, money in and out, refusals among it.
async fn play(ledger: &Ledger, casino: &Casino, random: &mut StdRng, requests: u32) {
    let games = client(ledger, Role::Games).await;
    let frontend = client(ledger, Role::Frontend).await;
    let cashier = client(ledger, Role::Cashier).await;
    let mut bets = Vec::new();
    for _ in 0..requests {
        let mut any = || random.random_range(0..casino.players.len());
        let (one, other) = (any(), any());
        let (player, asset, session) = (casino.players[one], casino.asset, SessionId::default());
        let (game, amount) = (GameId::new(7, random.random_range(1..4)), Amount(random.random_range(1..400)));
        let reference = Reference(random.random());
        // Some of it is refused: that is told by no statement.
        let _answer = match random.random_range(0..7) {
            0 => cashier.submit_with_id(key("more", random.random()), casino.deposit(one, amount.0)).await,
            1 => frontend.submit(casino.transfer(one, other, amount.0)).await,
            2 => {
                bets.push((player, game, reference));
                let (payout_max, round) = (Amount::ZERO, Reference(random.random()));
                let bet = reference;
                games
                    .submit(Operation::Bet {
                        player,
                        asset,
                        stake: amount,
                        bet,
                        game,
                        session,
                        payout_max,
                        round,
                        ends_round: false,
                    })
                    .await
            }
            3 if !bets.is_empty() => {
                let (player, game, bet) = bets[random.random_range(0..bets.len())];
                let win = Operation::Win {
                    player,
                    asset,
                    amount,
                    bet,
                    game,
                    target: Lsn::NONE,
                    round: None,
                    ends_round: false,
                };
                games.submit_with_id(RequestId(reference.0), win).await
            }
            4 if !bets.is_empty() => {
                let (player, game, target) = bets[random.random_range(0..bets.len())];
                let back = Operation::Rollback {
                    player,
                    asset,
                    amount: Amount::ZERO,
                    target,
                    game,
                    target_lsn: Lsn::NONE,
                    reverse_settled: false,
                    round: None,
                };
                games.submit_with_id(RequestId(reference.0), back).await
            }
            5 => {
                let id = games.mint_id();
                let held = games.submit_with_id(id, casino.reserve(one, amount.0, 1_000)).await;
                if random.random() { held } else { games.submit(casino.settle(one, id, amount.0, 300)).await }
            }
            _ => frontend.submit(casino.transfer(one, other, 1 << 29)).await,
        };
    }
    games.close().await;
    frontend.close().await;
    cashier.close().await;
}

fn statement(data_dir: &Path, player: PlayerId, arguments: &[&str]) -> Output {
    let number = player.number().to_string();
    run_cage(&[&["statement", text(data_dir), "--player", &number], arguments].concat())
}

/// A row of a statement: what kind, which record, of which purse, by how much, what it holds then.
type Row = (String, u64, String, i128, i128);

fn rows_of(output: &Output) -> Vec<Row> {
    assert!(output.status.success(), "{}", stderr(output));
    let word = |row: &Value, name: &str| row[name].as_str().map_or_else(String::new, str::to_owned);
    let number = |row: &Value, name: &str| word(row, name).parse().unwrap_or(0);
    let row = |line: &str| {
        let row: Value = serde_json::from_str(line).expect("a JSON object a line");
        let lsn = row["lsn"].as_u64().unwrap_or(0);
        (word(&row, "entry"), lsn, word(&row, "purse"), number(&row, "amount"), number(&row, "balance"))
    };
    stdout(output).lines().map(row).collect()
}

/// The same, by looking at every leg of every record.
fn by_scan(records: &[(Lsn, Record)], player: PlayerId, from: u64, until: u64) -> Vec<Row> {
    let (mut opening, mut closing) = (BTreeMap::new(), BTreeMap::new());
    let (mut inside, mut moved) = (Vec::new(), Vec::new());
    let own = |account: AccountId| {
        account.player() == Some(player) || account == AccountId::receivable(account.asset(), player)
    };
    for (lsn, record) in records.iter().filter(|(lsn, _)| lsn.0 <= until) {
        for leg in record.legs() {
            let amount = i128::try_from(leg.amount.0).expect("a small amount");
            for (account, amount, after) in
                [(leg.debit, -amount, leg.debit_after), (leg.credit, amount, leg.credit_after)]
            {
                if own(account) {
                    closing.insert(account, after.0);
                    if lsn.0 < from {
                        opening.insert(account, after.0);
                    } else {
                        moved.push(account);
                        inside.push(("movement".to_owned(), lsn.0, name(account), amount, after.0));
                    }
                }
            }
        }
    }
    let balance =
        |entry: &str, account: &AccountId, held: i128| (entry.to_owned(), 0, name(*account), 0, held);
    // What held nothing and did not move is not told.
    let told = moved
        .into_iter()
        .chain(opening.iter().chain(&closing).filter(|held| *held.1 != 0).map(|held| *held.0));
    let told: BTreeSet<_> = told.collect();
    let all = |entry: &'static str, held: &BTreeMap<AccountId, i128>| {
        let held = |account: &AccountId| held.get(account).copied().unwrap_or(0);
        told.iter().map(|account| balance(entry, account, held(account))).collect::<Vec<_>>()
    };
    [all("opening", &opening), inside, all("closing", &closing)].concat()
}

fn name(account: AccountId) -> String {
    account.purse().map_or("?", Purse::name).to_owned()
}

/// Each player's statement, of all and of a part, is what a scan of `records` says.
#[track_caller]
fn assert_statements(data_dir: &Path, casino: &Casino, records: &[(Lsn, Record)], random: &mut StdRng) {
    let last = records.last().expect("records").0.0;
    for player in &casino.players {
        let all = rows_of(&statement(data_dir, *player, &["--format", "json"]));
        assert_eq!(all, by_scan(records, *player, 0, u64::MAX), "player {player}");
        assert!(all.iter().any(|row| row.0 == "movement"), "player {player} played");
        let from = random.random_range(1..=last);
        let until = random.random_range(from..=last);
        let (from_text, until_text) = (from.to_string(), until.to_string());
        let part = ["--format", "json", "--from", &from_text, "--until", &until_text];
        let part = rows_of(&statement(data_dir, *player, &part));
        assert_eq!(part, by_scan(records, *player, from, until), "player {player}, {from} to {until}");
    }
}

/// A ledger with players who have played; segments are sealed meanwhile.
async fn played(data_dir: &Path, random: &mut StdRng) -> (Ledger, Casino) {
    let ledger = Ledger::small(data_dir);
    let casino = Casino::funded(&ledger, 4, 5_000).await;
    play(&ledger, &casino, random, 400).await;
    (ledger, casino)
}

#[test]
fn a_players_statement_is_what_a_scan_of_all_records_gives() {
    run(async {
        let mut random = random("a_players_statement_is_what_a_scan_of_all_records_gives");
        let dir = folder();
        let (ledger, casino) = played(dir.path(), &mut random).await;
        // Beside a server, from the log alone.
        assert_statements(dir.path(), &casino, &records(dir.path()), &mut random);
        // Two do nothing any more: where their newest record is, soon only a snapshot says. The oldest segments are archived.
        let still_playing = Casino { players: casino.players[..2].to_vec(), ..casino.clone() };
        for _ in 0..2 {
            play(&ledger, &still_playing, &mut random, 400).await;
            let made = run_cage(&["snapshot", text(dir.path()), "--hot-mib", "0"]);
            assert!(made.status.success(), "{}", stderr(&made));
        }
        let archived = fs::read_dir(dir.path().join("archive")).expect("an archive").count();
        assert!(archived > 0, "some of it is archived");
        let ledger = ledger.kill().ledger();
        assert_statements(dir.path(), &casino, &records(dir.path()), &mut random);
        drop(ledger.close().await);
        audit(dir.path(), &[]).assert_clean();
    });
}

#[test]
fn there_is_no_statement_of_a_player_who_never_was_nor_of_a_damaged_record() {
    run(async {
        let mut random = random("there_is_no_statement_of_a_player_who_never_was_nor_of_a_damaged_record");
        let dir = folder();
        let nothing = statement(dir.path(), PlayerId::from_index(0), &[]);
        assert_eq!(nothing.status.code(), Some(2));
        assert!(stderr(&nothing).contains("there is no log in"), "{}", stderr(&nothing));
        let (ledger, casino) = played(dir.path(), &mut random).await;
        drop(ledger.close().await);
        let stranger = statement(dir.path(), PlayerId::from_index(77), &[]);
        assert_eq!(stranger.status.code(), Some(2));
        assert!(stderr(&stranger).contains("is not in this log"), "{}", stderr(&stranger));
        let mistyped = run_cage(&["statement", text(dir.path()), "--player", "196"]);
        assert!(stderr(&mistyped).contains("check digits"), "{}", stderr(&mistyped));
        // One byte of a record in the middle.
        let player = casino.players[0];
        let of_player = rows_of(&statement(dir.path(), player, &["--format", "json"]));
        let lsn = of_player[of_player.len() / 2].1;
        damage(dir.path(), &records(dir.path()), lsn);
        let damaged = statement(dir.path(), player, &[]);
        assert_eq!((damaged.status.code(), stdout(&damaged).as_str()), (Some(2), ""), "{}", stderr(&damaged));
        assert!(stderr(&damaged).contains("CRC32"), "{}", stderr(&damaged));
    });
}

/// Changes a byte of a record where it lies.
fn damage(data_dir: &Path, records: &[(Lsn, Record)], lsn: u64) {
    let (_, record) = records.iter().find(|(found, _)| found.0 == lsn).expect("the record");
    let wanted = record.to_bytes();
    for file in fs::read_dir(data_dir.join("log")).expect("segments") {
        let path = file.expect("a file").path();
        let bytes = fs::read(&path).expect("its bytes");
        if let Some(at) = bytes.windows(wanted.len()).step_by(wanted.len()).position(|found| found == wanted)
        {
            let file = fs::File::options().write(true).open(&path).expect("the segment");
            let place = (at * wanted.len() + 200) as u64;
            return file.write_all_at(&[bytes[at * wanted.len() + 200] ^ 1], place).expect("a byte");
        }
    }
    panic!("record {lsn} lies in no segment");
}

#[test]
fn a_statement_holds_the_same_in_every_format() {
    run(async {
        let mut random = random("a_statement_holds_the_same_in_every_format");
        let dir = folder();
        let (ledger, casino) = played(dir.path(), &mut random).await;
        drop(ledger.close().await);
        let player = casino.players[1];
        let rows = rows_of(&statement(dir.path(), player, &["--format", "json"]));
        // Comma-separated: the purse in column 6, amount and balance behind it; no cell needs quotes.
        let csv = stdout(&statement(dir.path(), player, &["--format", "csv"]));
        let cells = |line: &str| line.split(',').map(str::to_owned).collect::<Vec<_>>();
        let number = |cell: &str| cell.parse::<i128>().unwrap_or(0);
        let from_csv: Vec<Row> = csv
            .lines()
            .skip(1)
            .map(cells)
            .map(|cells| {
                (
                    cells[0].clone(),
                    cells[1].parse().unwrap_or(0),
                    cells[6].clone(),
                    number(&cells[7]),
                    number(&cells[8]),
                )
            })
            .collect();
        assert_eq!(from_csv, rows);
        // Text: a line of names, then one for each row.
        let lines = stdout(&statement(dir.path(), player, &[])).lines().count();
        assert_eq!(lines, rows.len() + 1);
        // A file gets its name when it is whole.
        let file = dir.path().join("statement.parquet");
        let written = statement(dir.path(), player, &["--format", "parquet", "--out", text(&file)]);
        assert!(written.status.success() && stdout(&written).is_empty(), "{}", stderr(&written));
        let Some(found) = duckdb(&format!(
            "select entry, coalesce(lsn, 0)::varchar, purse, coalesce(amount, 0)::varchar, balance::varchar from '{}'",
            file.display()
        )) else {
            return;
        };
        let found: Vec<Row> = found
            .iter()
            .map(|row| {
                (
                    row[0].clone(),
                    row[1].parse().expect("a number"),
                    row[2].clone(),
                    number(&row[3]),
                    number(&row[4]),
                )
            })
            .collect();
        assert_eq!(found, rows);
    });
}

#[test]
fn an_export_gives_another_engine_every_record_and_every_balance() {
    run(async {
        let mut random = random("an_export_gives_another_engine_every_record_and_every_balance");
        let dir = folder();
        let (ledger, _) = played(dir.path(), &mut random).await;
        drop(ledger.close().await);
        let out = dir.path().join("tables");
        let export = ["export", text(dir.path()), "--out", text(&out)];
        let exported = run_cage(&[&export[..], &["--json"]].concat());
        assert!(exported.status.success(), "{}", stderr(&exported));
        let again = run_cage(&export);
        assert_eq!(again.status.code(), Some(3), "a folder that holds something is left alone");
        let records = records(dir.path());
        let page: Value =
            serde_json::from_slice(&fs::read(out.join("export.json")).expect("a page")).expect("JSON");
        assert_eq!(page["records"].as_u64(), Some(records.len() as u64));
        let tables = |table: &str| format!("read_parquet('{}/*.parquet')", out.join(table).display());
        let Some(lines) = duckdb(&format!(
            "select lsn::varchar, operation, result, replace(id::varchar, '-', ''), amount::varchar, player::varchar,
             epoch_ns(time)::varchar from {} order by lsn",
            tables("records")
        )) else { return };
        let expected = records.iter().map(|(lsn, record)| {
            let request = &record.request;
            let or_null = |number: u128, text: String| if number == 0 { "None".to_owned() } else { text };
            vec![
                lsn.to_string(),
                request.kind.name().to_owned(),
                record.result.name().to_owned(),
                or_null(request.id.0, format!("{:032x}", request.id.0)),
                request.amount.to_string(),
                or_null(request.player.number().into(), request.player.to_string()),
                record.decided.0.to_string(),
            ]
        });
        assert_eq!(lines, expected.collect::<Vec<_>>());
        let balances = duckdb(&format!(
            "select account::varchar, sum(moved)::varchar from (
                 select debit as account, -amount as moved from {legs}
                 union all select credit, amount from {legs}
             ) group by account having sum(moved) <> 0 order by account",
            legs = tables("legs")
        ));
        let held = balances
            .expect("the engine is there")
            .into_iter()
            .map(|row| (row[0].parse().expect("an account"), row[1].parse().expect("a balance")));
        assert_eq!(held.collect::<BTreeMap<u64, i128>>(), books(dir.path(), &records));
    });
}

#[test]
fn the_page_of_reports_names_every_column_with_its_meaning() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reports.md");
    let page = fs::read_to_string(page).expect("the page");
    for table in cage::reports::TABLES {
        for column in table.columns {
            let begin = format!("| `{}` | ", column.name);
            let row = page
                .lines()
                .find(|line| line.starts_with(&begin) && line.ends_with(&format!("| {} |", column.meaning)));
            assert!(row.is_some(), "{}: a row {begin}… | {} |", table.name, column.meaning);
        }
    }
    for (event, meaning) in cage::reports::events::SORTS {
        assert!(page.contains(&format!("| `{event}` | {meaning} |\n")), "{event}");
    }
}

/// What every account holds that holds something, by the state that an audit computes.
fn books(data_dir: &Path, records: &[(Lsn, Record)]) -> BTreeMap<u64, i128> {
    let mut state = State::new(1);
    for (lsn, record) in records {
        state.apply(*lsn, record).expect("a record of this log");
    }
    assert_eq!(
        audit(data_dir, &[]).json["digest"],
        hex(&state.digest()),
        "the state that the audit ends with"
    );
    let players = state.players().flat_map(|(player, _)| {
        let purses = Purse::ALL.iter().filter(|purse| purse.is_player());
        purses.map(move |purse| (player, *purse))
    });
    let of_players = players.flat_map(|(player, purse)| {
        state.asset_ids().map(move |asset| AccountId::of_player(asset, purse, player))
    });
    let of_players = of_players.map(|account| (account, state.balance(account)));
    let all = of_players.chain(state.house_accounts()).filter(|(_, held)| held.0 != 0);
    all.map(|(account, held)| (account.0, held.0)).collect()
}

/// All records of a log, its archive included.
fn records(data_dir: &Path) -> Vec<(Lsn, Record)> {
    let mut records = Vec::new();
    let log = DataDir::new(data_dir, None).whole_log(1);
    let report = scan_from(&log, Limits::default(), |frame| {
        for (lsn, record) in recovery::records(&frame)? {
            records.push((lsn, record?));
        }
        Ok::<_, recovery::ReplayFault>(())
    });
    report.expect("the log can be read");
    records
}

/// The version of the engine that reads the tables: any that knows Parquet would do.
const DUCKDB: &str = "duckdb==1.4.*";

/// What DuckDB answers to a question, row by row as words; nothing if it is not to be had here, which is told aloud and is
/// a failure where `CAGE_MUST_NOT_SKIP` is 1.
fn duckdb(question: &str) -> Option<Vec<Vec<String>>> {
    let python = match duckdb_python() {
        Ok(python) => python,
        Err(why) => {
            let must = std::env::var("CAGE_MUST_NOT_SKIP").is_ok_and(|value| value == "1");
            assert!(!must, "DuckDB is not to be had: {why}");
            println!("SKIPPED: DuckDB is not to be had, nothing was read back: {why}");
            return None;
        }
    };
    let script = "import duckdb, json, sys
rows = duckdb.sql(sys.argv[1]).fetchall()
print(json.dumps([[str(cell) for cell in row] for row in rows]))";
    let asked = Command::new(python).args(["-c", script, question]).output().expect("python runs");
    assert!(asked.status.success(), "{question}: {}", stderr(&asked));
    Some(serde_json::from_slice(&asked.stdout).expect("JSON"))
}

/// Python with DuckDB, in a place of its own in the folder of the build.
fn duckdb_python() -> Result<PathBuf, String> {
    static MADE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let make = || {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("duckdb-1.4");
        let python = place.join("bin/python");
        let has_it = || succeeds(Command::new(&python).args(["-c", "import duckdb"]));
        if has_it().is_err() {
            succeeds(Command::new("python3").args(["-m", "venv", text(&place)]))?;
            succeeds(Command::new(&python).args(["-m", "pip", "install", "--quiet", DUCKDB]))?;
            has_it()?;
        }
        Ok(python)
    };
    MADE.get_or_init(make).clone()
}

fn succeeds(command: &mut Command) -> Result<(), String> {
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{command:?}: {}", stderr(&output))),
        Err(fault) => Err(format!("{command:?}: {fault}")),
    }
}
