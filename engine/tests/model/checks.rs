//! What stands in the way of a request: a list in the order of precedence, each looked at by itself.
//!
//! In: what was looked at, and what was found. Out: the first refusal, which is the answer. The others are kept: they
//! tell which two of them met in one request.

use cage_engine::ResultCode;

use super::Step;

#[derive(Clone, Debug, Default)]
pub(crate) struct Checks {
    list: Vec<(&'static str, Step)>,
    done: Option<ResultCode>,
    /// What is referred to is not there: nothing more can be looked at.
    missing: bool,
}

impl Checks {
    pub(crate) fn look(&mut self, what: &'static str, found: Step) {
        // Who is not known has no status, brand or balance that could stand in the way.
        let nobody = matches!(found, Err(ResultCode::PlayerUnknown)) && what != "player";
        let nothing = matches!(found, Err(ResultCode::AssetUnknown)) && !what.contains("asset");
        self.list.push((what, if nobody || nothing { Ok(()) } else { found }));
    }

    /// Looks up what everything that follows is about.
    pub(super) fn find(&mut self, what: &'static str, found: Step) {
        self.missing = found.is_err();
        self.look(what, found);
    }

    /// There is nothing to do, and that is the answer.
    pub(super) const fn nothing_to_do(&mut self, code: ResultCode) {
        self.done = Some(code);
    }

    pub(super) fn done(&self) -> Option<ResultCode> {
        self.done
    }

    pub(super) const fn is_done(&self) -> bool {
        self.done.is_some()
    }

    /// The answer, if something stands in the way.
    pub(crate) fn refused(&self) -> Option<ResultCode> {
        self.list.iter().find_map(|(_, found)| found.err())
    }

    /// Whether it is known what the money would be for.
    pub(super) const fn can_be_paid(&self) -> bool {
        !self.missing && !self.is_done()
    }

    pub(crate) fn list(&self) -> &[(&'static str, Step)] {
        &self.list
    }
}
