//! One scene for each kind of operation, and some for what an operation can cost besides: what each needs beforehand, and
//! what is counted. The tables are in the order of the table of operations.
//!
//! In: a stage and a number. Out: records. A kind without a scene fails a test.

mod cashier;
mod house;
mod players;
mod promotions;
mod wagers;

use cage_engine::OperationKind;

use super::stage::Stage;

/// How many operations are told at most, unless they are dear.
const MANY: u64 = 3_000;

/// What is told of an operation.
#[derive(Debug)]
pub(super) struct Scene {
    /// The operation's name, and what is special about it.
    pub(super) name: &'static str,
    /// The kind of the last record that a telling leaves; nothing if it leaves none.
    pub(super) kind: OperationKind,
    /// How often it is told at most: as often it is prepared.
    pub(super) many: u64,
    /// What is needed beforehand.
    before: fn(&mut Stage, u64),
    /// What is counted.
    told: fn(&mut Stage, u64),
}

/// The scene of a kind under its own name.
const fn scene(kind: OperationKind, before: fn(&mut Stage, u64), told: fn(&mut Stage, u64)) -> Scene {
    Scene { name: kind.name(), kind, many: MANY, before, told }
}

/// Another scene of a kind.
const fn besides(
    name: &'static str,
    kind: OperationKind,
    before: fn(&mut Stage, u64),
    told: fn(&mut Stage, u64),
) -> Scene {
    Scene { name, kind, many: MANY, before, told }
}

const fn nothing(_: &mut Stage, _: u64) {}

/// All of them.
pub(super) fn all() -> impl Iterator<Item = &'static Scene> {
    let parts = [house::SCENES, players::SCENES, cashier::SCENES, promotions::SCENES, wagers::SCENES];
    parts.into_iter().flatten()
}

impl Scene {
    /// Sets the stage, always for as many as can be told, and tells so many.
    pub(super) fn once(&self, count: u64) -> Stage {
        let mut stage = Stage::new();
        for number in 0..self.many {
            (self.before)(&mut stage, number);
        }
        for number in 0..count {
            (self.told)(&mut stage, number);
        }
        let told = stage.latest.map(|(kind, _)| kind);
        assert_eq!(told, Some(self.kind), "{} tells of another operation", self.name);
        stage
    }
}

#[cfg(test)]
mod tests {
    use cage_engine::ResultCode;

    use super::*;

    #[test]
    fn every_kind_of_the_table_of_operations_has_a_scene_under_its_name() {
        let missing: Vec<_> = OperationKind::ALL
            .iter()
            .filter(|kind| !all().any(|scene| scene.name == kind.name() && scene.kind == **kind))
            .map(|kind| kind.name())
            .collect();
        assert!(missing.is_empty(), "add a scene to bench/src/instructions/scenes for: {missing:?}");
        let mut names: Vec<_> = all().map(|scene| scene.name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "a name is given twice");
    }

    /// Otherwise refusals would be counted, and nobody would see.
    #[test]
    fn every_scene_of_a_kind_executes_it() {
        for scene in all() {
            let told = scene.once(2).latest.expect("there are records");
            let expected = if scene.name == "reserve, refused" {
                ResultCode::InsufficientFunds
            } else {
                ResultCode::Done
            };
            assert_eq!(told, (scene.kind, expected), "{}", scene.name);
        }
    }
}
