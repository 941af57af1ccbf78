//! Spoils requests: old and future ids, and one to four fields changed for something else.

use cage_engine::field::Slot;
use cage_engine::{GameId, Operation, RequestId, Timestamp};

use crate::caller::Someone;
use crate::model::Model;
use crate::model::words::{self, IdKind};

impl Someone {
    pub(crate) fn spoilt_id(&mut self, operation: &Operation, model: &Model, now: Timestamp) -> RequestId {
        if words::id_kind(operation.kind()) != IdKind::Request {
            return RequestId(u128::from(self.dice.below(3)));
        }
        let millis = match self.dice.below(6) {
            0 => self.dice.below(3),
            1 | 2 => now.millis() + 5_001 + self.dice.below(4_000_000),
            3 => return RequestId(u128::from(self.dice.below(2))),
            _ => (model.horizon.millis() + self.dice.below(2)).saturating_sub(1),
        };
        self.names.made += 1;
        RequestId::from_time(Timestamp::from_millis(millis), self.names.made)
    }

    /// The same request with one to three of its fields changed for something else.
    pub(crate) fn spoil(
        &mut self,
        operation: Operation,
        id: RequestId,
        model: &Model,
        now: Timestamp,
    ) -> Operation {
        let fields = operation.kind().fields();
        if fields.is_empty() {
            return operation;
        }
        let mut request = operation.request(id);
        for _ in 0..self.dice.pick(&[1, 2, 2, 3, 4]) {
            let field = self.dice.pick(fields);
            match field.slot {
                Slot::Player => request.player = self.any_player(),
                Slot::Asset => request.asset = self.any_asset(),
                Slot::Amount => request.amount = self.spoilt_amount(),
                Slot::Game => request.game = GameId(self.any_game(field.name)),
                Slot::Session => request.session = self.any_session(model, now),
                Slot::EndsRound => request.ends_round = !request.ends_round,
                Slot::Reference => request.reference = self.any_name(model, now),
                Slot::Detail(at) => {
                    let value = self.spoilt_detail(field.name, field.bytes, field.amount, model, now);
                    let bytes = &value.to_le_bytes()[..field.bytes.min(16)];
                    request.detail.0[at..at + bytes.len()].copy_from_slice(bytes);
                }
            }
        }
        // What no type can say is a matter of the bytes, and tried elsewhere.
        Operation::try_from(&request).unwrap_or(operation)
    }

    fn spoilt_detail(
        &mut self,
        name: &str,
        bytes: usize,
        amount: bool,
        model: &Model,
        now: Timestamp,
    ) -> u128 {
        match name {
            _ if amount => self.spoilt_amount().0,
            "expires" | "expiry" => u128::from(now.0 - self.dice.below(2).min(now.0)),
            "round" | "order" => self.any_name(model, now),
            "to" if bytes == 8 && self.dice.one_in(2) => self.any_player().number().into(),
            "to" if bytes == 2 => self.any_asset().0.into(),
            "target" | "target_lsn" | "original" | "from" | "to" => {
                let next = model.next_lsn();
                u128::from(self.dice.pick(&[0, 1, next - 1, next, next + 1]))
            }
            _ => u128::from(self.dice.below(4)),
        }
    }
}
