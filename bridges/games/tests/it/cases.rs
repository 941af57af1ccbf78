//! The hard cases of the trade, for each format: what the provider is told, and what the money did.
//!
//! What breaks: a repeat that moves money, a win that is refused for the wrong reason, a bet that is taken after it was
//! rolled back.

use cage_engine::{GameId, Operation, Status};

use crate::harness::casino::{Casino, Seat, UNIT};
use crate::harness::http::{Caller, Got};
use crate::harness::provider::{Format, Says, providers};
use crate::harness::{House, folder, run};

/// What happens in a case, in order.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The provider calls, and is told this, in the words of each format.
    Call(Says<'static>, [&'static str; 3]),
    /// The call before comes again, and is answered with the same bytes.
    Again,
    /// The provider calls in a currency.
    In(&'static str, Says<'static>, [&'static str; 3]),
    /// The player puts more on the meter.
    Fund(u128),
    /// The player's session ends.
    End,
    /// The player is blocked.
    Block,
    /// The game is stopped, or goes on.
    Stop(bool),
}

/// A case; the player has 1000.00 on the meter, and in the end so much more or less in all, in hundredths.
struct Case {
    name: &'static str,
    steps: &'static [Step],
    difference: [i128; 3],
}

use Step::{Again, Block, Call, End, Fund, In, Stop};

const OK: [&str; 3] = ["RS_OK", "200", "OK"];

const fn bet(tx: &'static str, units: &'static str) -> Says<'static> {
    Says::Bet { tx, units, round: "r" }
}

const fn win(tx: &'static str, bet: &'static str, units: &'static str, ends: bool) -> Says<'static> {
    Says::Win { tx, bet, units, round: "r", ends }
}

const fn rollback(tx: &'static str, target: &'static str) -> Says<'static> {
    Says::Rollback { tx, target, round: "r" }
}

const CASES: &[Case] = &[
    Case {
        name: "a bet and its win",
        steps: &[Call(bet("b", "2.50"), OK), Call(win("w", "b", "7.00", true), OK)],
        difference: [450; 3],
    },
    Case {
        name: "the same bet again, same facts",
        steps: &[Call(bet("b", "2.50"), OK), Again, Again],
        difference: [-250; 3],
    },
    Case {
        name: "the same id, other facts",
        steps: &[
            Call(bet("b", "2.50"), OK),
            Call(bet("b", "2.51"), ["RS_ERROR_DUPLICATE_TRANSACTION", "412/400", "PAM_ERR_DUPLICATE_TRANS"]),
            Call(
                Says::Bet { tx: "b", units: "2.50", round: "other" },
                ["RS_ERROR_DUPLICATE_TRANSACTION", "412/400", "PAM_ERR_DUPLICATE_TRANS"],
            ),
        ],
        difference: [-250; 3],
    },
    Case {
        name: "insufficient funds; it stays refused after more came",
        steps: &[
            Call(bet("b", "1000.01"), ["RS_ERROR_NOT_ENOUGH_MONEY", "412/100", "PAM_ERR_CASH_OVERDRAFT"]),
            Again,
            Fund(500),
            Call(bet("b", "1000.01"), ["RS_ERROR_NOT_ENOUGH_MONEY", "412/100", "PAM_ERR_CASH_OVERDRAFT"]),
            Call(bet("b2", "1000.01"), OK),
        ],
        difference: [-100_001; 3],
    },
    Case {
        name: "a bet that timed out is rolled back",
        steps: &[Call(bet("b", "2.50"), OK), Call(rollback("x", "b"), OK), Again],
        difference: [0; 3],
    },
    Case {
        name: "rollback of an unknown bet, and the bet comes after it",
        steps: &[
            Call(rollback("x", "b"), ["RS_OK", "200", "PAM_ERR_CANCEL_NOT_FOUND"]),
            Again,
            Call(
                bet("b", "2.50"),
                ["RS_ERROR_TRANSACTION_ROLLED_BACK", "200", "PAM_ERR_TRANS_ALREADY_CANCELLED"],
            ),
            Again,
        ],
        difference: [0; 3],
    },
    Case {
        name: "a second rollback of the same bet under a new id",
        steps: &[
            Call(bet("b", "2.50"), OK),
            Call(rollback("x", "b"), OK),
            // One format has no names for rollbacks: there it is the same one again.
            Call(rollback("y", "b"), OK),
        ],
        difference: [0; 3],
    },
    Case {
        name: "win for a bet that was rolled back",
        steps: &[
            Call(bet("b", "2.50"), OK),
            Call(rollback("x", "b"), OK),
            Call(
                win("w", "b", "7.00", true),
                ["RS_ERROR_TRANSACTION_ROLLED_BACK", "412/400", "PAM_ERR_TRANS_ALREADY_CANCELLED"],
            ),
        ],
        difference: [0; 3],
    },
    Case {
        name: "rollback of a bet that has won is refused",
        steps: &[
            Call(bet("b", "2.50"), OK),
            Call(win("w", "b", "7.00", false), OK),
            Call(
                rollback("x", "b"),
                ["RS_ERROR_TRANSACTION_DOES_NOT_EXIST", "412/400", "PAM_ERR_TRANS_ALREADY_SETTLED"],
            ),
        ],
        difference: [450; 3],
    },
    Case {
        name: "rollback of a win",
        steps: &[
            Call(bet("b", "2.50"), OK),
            Call(win("w", "b", "7.00", false), OK),
            Call(rollback("x", "w"), ["RS_OK", "200", "PAM_ERR_CANCEL_NON_WITHDRAW"]),
        ],
        difference: [-250, -250, 450],
    },
    Case {
        name: "win for an unknown bet",
        steps: &[Call(
            win("w", "b", "7.00", true),
            ["RS_ERROR_TRANSACTION_DOES_NOT_EXIST", "412/400", "PAM_ERR_TRANS_NOT_FOUND"],
        )],
        difference: [0; 3],
    },
    Case {
        name: "several wins of a bet",
        steps: &[
            Call(bet("b", "2.50"), OK),
            Call(win("w", "b", "1.00", false), OK),
            Call(win("w2", "b", "1.25", false), OK),
            Again,
        ],
        difference: [-25; 3],
    },
    Case {
        name: "a win of nothing closes the round; another bet in it is refused",
        steps: &[
            Call(bet("b", "2.50"), OK),
            Call(win("w", "b", "0", true), OK),
            Again,
            Call(bet("b2", "1.00"), ["RS_ERROR_UNKNOWN", "412/400", "PAM_ERR_BET_NOT_ALLOWED"]),
        ],
        difference: [-250; 3],
    },
    Case {
        name: "a win after the round was closed",
        steps: &[
            Call(bet("b", "2.50"), OK),
            Call(win("w", "b", "1.00", true), OK),
            Call(win("w2", "b", "1.00", true), ["RS_OK", "200", "PAM_ERR_TRANS_ALREADY_SETTLED"]),
        ],
        difference: [-50, -50, -150],
    },
    Case {
        name: "a bet after a payout, round open",
        steps: &[
            Call(bet("b", "2.50"), OK),
            Call(win("w", "b", "7.00", false), OK),
            Call(bet("b2", "1.00"), OK),
            Call(win("w2", "b2", "0.50", true), OK),
        ],
        difference: [400; 3],
    },
    Case {
        name: "the session has ended: bets are refused, wins and rollbacks are not",
        steps: &[
            Call(bet("b", "2.50"), OK),
            Call(bet("c", "2.50"), OK),
            End,
            Call(bet("d", "2.50"), ["RS_ERROR_INVALID_TOKEN", "412/101", "PAM_ERR_SESSION_NOT_FOUND"]),
            Call(rollback("x", "c"), OK),
            Call(win("w", "b", "7.00", true), OK),
            Again,
        ],
        difference: [450; 3],
    },
    Case {
        name: "the player is blocked: bets are refused, wins and rollbacks are not",
        steps: &[
            Call(bet("b", "2.50"), OK),
            Call(bet("c", "2.50"), OK),
            Block,
            Call(bet("d", "2.50"), ["RS_ERROR_USER_DISABLED", "412/110", "PAM_ERR_BET_NOT_ALLOWED"]),
            Call(rollback("x", "c"), OK),
            Call(win("w", "b", "7.00", true), OK),
        ],
        difference: [450; 3],
    },
    Case {
        name: "GLI-19 4.15.1 (R7), 2.4.1 (R8): a stopped game takes no bets and lets rounds in play finish",
        steps: &[
            Call(bet("b", "2.50"), OK),
            Stop(true),
            Call(bet("c", "2.50"), ["RS_ERROR_INVALID_GAME", "412/107", "PAM_ERR_BET_NOT_ALLOWED"]),
            Call(win("w", "b", "7.00", true), OK),
            Stop(false),
            Call(Says::Bet { tx: "d", units: "1.00", round: "r2" }, OK),
        ],
        difference: [350; 3],
    },
    Case {
        name: "a currency of the house, and not of the session",
        steps: &[In(
            "USD",
            bet("b", "2.50"),
            ["RS_ERROR_WRONG_CURRENCY", "412/154", "PAM_ERR_TRANS_CURRENCY"],
        )],
        difference: [0; 3],
    },
    Case {
        name: "a currency that nobody knows",
        steps: &[In(
            "XYZ",
            bet("b", "2.50"),
            ["RS_ERROR_WRONG_CURRENCY", "412/154", "PAM_ERR_TRANS_CURRENCY"],
        )],
        difference: [0; 3],
    },
    Case {
        name: "an amount below zero",
        steps: &[Call(bet("b", "-2.50"), ["RS_ERROR_WRONG_TYPES", "400/400", "PAM_ERR_NEGATIVE_STAKE"])],
        difference: [0; 3],
    },
    Case {
        name: "an amount beyond what any ledger counts (W5)",
        steps: &[
            Call(
                bet("b", "99999999999999999999999999999999999999.00"),
                ["RS_ERROR_WRONG_TYPES", "400/400", "PAM_ERR_UNDEFINED"],
            ),
            Call(bet("c", "0.01"), OK),
            Call(win("w", "c", "63727092.34", true), OK),
        ],
        difference: [6_372_709_233; 3],
    },
    Case {
        name: "a stake of nothing moves nothing",
        steps: &[Call(bet("b", "0"), OK), Call(Says::Balance, OK)],
        difference: [0; 3],
    },
];

fn place(format: Format) -> usize {
    Format::ALL.iter().position(|other| *other == format).expect("a format")
}

/// Names of transactions are a case's own: the ledger knows each of them once.
struct Names {
    case: usize,
}

impl Names {
    fn of(&self, name: &str) -> String {
        format!("{}-{name}", self.case)
    }
}

struct Play<'a> {
    casino: &'a Casino,
    format: Format,
    seat: Seat,
    names: Names,
    last: Option<(crate::harness::http::Sent, Got)>,
}

impl Play<'_> {
    fn call(&mut self, caller: &mut Caller, currency: &str, says: Says<'_>, told: [&str; 3], case: &Case) {
        let names = &self.names;
        let [a, b, c] = match says {
            Says::Bet { tx, round, .. } => [names.of(tx), names.of(round), String::new()],
            Says::Win { tx, bet, round, .. } => [names.of(tx), names.of(round), names.of(bet)],
            Says::Rollback { tx, target, round } => [names.of(tx), names.of(round), names.of(target)],
            Says::Balance => [String::new(), String::new(), String::new()],
        };
        let says = match says {
            Says::Bet { units, .. } => Says::Bet { tx: &a, units, round: &b },
            Says::Win { units, ends, .. } => Says::Win { tx: &a, bet: &c, units, round: &b, ends },
            Says::Rollback { .. } => Says::Rollback { tx: &a, target: &c, round: &b },
            Says::Balance => Says::Balance,
        };
        let sent = self.format.says_in(&self.seat, currency, says);
        let got = caller.call(&sent);
        let (word, _) = self.format.understands(&got);
        assert_eq!(word, told[place(self.format)], "{:?}, {}: {says:?}: {got:?}", self.format, case.name);
        self.last = Some((sent, got));
    }

    async fn step(&mut self, caller: &mut Caller, step: Step, case: &Case) {
        let Self { casino, seat, .. } = self;
        match step {
            Call(says, told) => self.call(caller, "EUR", says, told, case),
            In(currency, says, told) => self.call(caller, currency, says, told, case),
            Again => {
                let (sent, got) = self.last.as_ref().expect("a call before");
                assert_eq!(caller.call(sent), *got, "{:?}, {}: the same bytes", self.format, case.name);
            }
            Fund(units) => {
                let amount = cage_engine::Amount(units * UNIT);
                let (player, asset, session) = (seat.player, casino.asset, seat.session);
                let fund = Operation::AllowanceFund { player, asset, amount, session };
                casino.frontend.submit(fund).await.expect("more on the meter");
            }
            End => {
                let revoke = Operation::RevokeSession { player: seat.player, session: seat.session };
                casino.frontend.submit(revoke).await.expect("an end");
            }
            Block => {
                let (player, status) = (seat.player, Status::WagerBlocked);
                casino
                    .risk
                    .submit(Operation::SetStatus { player, status, reason: 1 })
                    .await
                    .expect("a block");
            }
            Stop(stop) => {
                let game = GameId::new(self.format.number(), 1);
                let stop = Operation::DisableGame { game, disabled: stop };
                casino.operator.submit(stop).await.expect("a stop");
            }
        }
    }
}

/// Every hard case, for every format, in real processes.
#[test]
fn each_hard_case_is_answered_in_each_providers_own_words_and_moves_what_it_should() {
    run(async {
        let dir = folder();
        let mut house = House::ledger(dir.path());
        let casino = Casino::open(&house).await;
        house.open_bridge(&providers(casino.asset, ""));
        let mut caller = Caller::new(house.bridge_address);
        for format in Format::ALL {
            for (number, case) in CASES.iter().enumerate() {
                let seat = casino.seat(format.number(), 2_000, 1_000).await;
                let names = Names { case: number };
                let mut play = Play { casino: &casino, format, seat, names, last: None };
                for step in case.steps {
                    play.step(&mut caller, *step, case).await;
                }
                let (available, meter) = casino.purses(play.seat.player).await;
                let had = i128::try_from(2_000 * UNIT).expect("a sum");
                let difference = (available + meter - had) / 10_000;
                assert_eq!(difference, case.difference[place(format)], "{format:?}, {}", case.name);
            }
        }
        println!("{} cases of {} formats", CASES.len(), Format::ALL.len());
        casino.close().await;
        house.audit();
    });
}
