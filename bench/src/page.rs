//! The figures of `docs/benchmarks.md`: between two marks of the page stands what a file of figures says.
//!
//! In: the page, and figures as JSON. Out: the page with its blocks made anew; the words around them stay. Never here:
//! a figure that was typed.

use std::fmt::Write;
use std::path::Path;

use crate::compare::Compared;
use crate::growth::Growth;
use crate::instructions::Costs;
use crate::ladder::Ladder;
use crate::limits::LimitError;
use crate::rung::HEADER;
use crate::stages::Stages;

/// The folder of the figures in the tree.
pub const FIGURES: &str = "bench/figures";
/// The page.
pub const PAGE: &str = "docs/benchmarks.md";
/// The file of the instruction counts.
pub const INSTRUCTIONS: &str = "bench/instructions.toml";

/// Makes every block of `page` anew whose figures lie in `figures`; says which.
///
/// # Errors
/// Figures that cannot be read, or marks that are missing.
pub fn renew(
    page: &str,
    figures: &Path,
    instructions: &Path,
) -> Result<(String, Vec<&'static str>), LimitError> {
    let (mut page, mut done) = (page.to_owned(), Vec::new());
    for (name, render) in BLOCKS {
        let path = figures.join(format!("{name}.json"));
        if path.exists() {
            let text = std::fs::read_to_string(&path)?;
            let block = render(&text).map_err(|fault| format!("{}: {fault}", path.display()))?;
            page = replaced(&page, name, &block)?;
            done.push(*name);
        }
    }
    page = replaced(&page, "instructions", &costs(&Costs::read(instructions)?))?;
    done.push("instructions");
    Ok((page, done))
}

/// A block's name, which is that of its file as well, and how it is made of it.
type Block = (&'static str, fn(&str) -> Result<String, LimitError>);

const BLOCKS: &[Block] = &[
    ("ladder", |json| Ok(ladder(&serde_json::from_str(json)?))),
    ("ladder-apart", |json| Ok(ladder(&serde_json::from_str(json)?))),
    ("growth", |json| Ok(growth(&serde_json::from_str(json)?))),
    ("stages", |json| Ok(stages(&serde_json::from_str(json)?))),
    ("compare", |json| Ok(compared(&serde_json::from_str(json)?))),
];

fn replaced(page: &str, name: &str, block: &str) -> Result<String, LimitError> {
    let (begin, end) = (format!("<!-- figures: {name} -->\n"), format!("<!-- end: {name} -->"));
    let parts = page.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    let (before, after) = parts.ok_or_else(|| format!("the page has no {} ... {end}", begin.trim_end()))?;
    Ok(format!("{before}{begin}\n{}\n\n{end}{after}", block.trim_end()))
}

fn warning(is_quick: bool) -> &'static str {
    if is_quick { "**Made with --quick: the figures say nothing.**\n\n" } else { "" }
}

fn ladder(ladder: &Ladder) -> String {
    let runs = ladder.rungs.iter().map(|rung| rung.runs.len()).max().unwrap_or(0);
    let mut text = format!(
        "{}{} Medians of up to {runs} runs of {} s; the ratio is the median of the runs' own ratios. A row alone: `--only STEP`.\n\n{HEADER}\n",
        warning(ladder.quick),
        ladder.taken.sentence(),
        ladder.seconds,
    );
    for rung in &ladder.rungs {
        let _ = writeln!(text, "{}", rung.row());
    }
    text
}

fn growth(growth: &Growth) -> String {
    let mut text = format!("{}{}\n", warning(growth.quick), growth.taken.sentence());
    for curve in &growth.curves {
        let _ = write!(text, "\n{}", curve.table());
    }
    text
}

fn stages(stages: &Stages) -> String {
    format!("{}\n\n{}", stages.taken.sentence(), stages.table())
}

fn compared(compared: &Compared) -> String {
    format!("{}{}\n\n{}", warning(compared.quick), compared.taken.sentence(), compared.table())
}

fn costs(costs: &Costs) -> String {
    let mut text = "| operation | instructions |\n|---|---:|\n".to_owned();
    for (name, cost) in &costs.instructions {
        let _ = writeln!(text, "| {name} | {cost} |");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Taken;
    use crate::growth::tests::curve;
    use crate::rung::{Better, Goal, Run, Rung};

    const EMPTY: &str = "# Words\n\n<!-- figures: ladder -->\nold\n<!-- end: ladder -->\n\nbetween\n\n\
        <!-- figures: growth -->\n<!-- end: growth -->\n\
        <!-- figures: instructions -->\n<!-- end: instructions -->\nafter\n";

    fn figures() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let mut rung =
            Rung::new("transfers", "transfers", "M/s", Better::More).to_reach(Goal::value(1.3, 2.0));
        rung.runs = vec![Run::of(1.5)];
        let taken = Taken { command: "cage-bench ladder".to_owned(), ..Taken::default() };
        let ladder = Ladder { taken: taken.clone(), quick: true, seconds: 2.0, rungs: vec![rung] };
        let growth = Growth { taken, quick: false, curves: vec![curve("players")] };
        let write = |name, json: String| std::fs::write(dir.path().join(name), json).unwrap();
        write("ladder.json", serde_json::to_string(&ladder).unwrap());
        write("growth.json", serde_json::to_string(&growth).unwrap());
        write("instructions.toml", "[instructions]\nreserve = 4495\n".to_owned());
        dir
    }

    #[test]
    fn blocks_are_made_anew_and_the_words_around_them_stay() {
        let dir = figures();
        let renewed = |page: &str| renew(page, dir.path(), &dir.path().join("instructions.toml")).unwrap();
        let (page, done) = renewed(EMPTY);
        assert_eq!(done, ["ladder", "growth", "instructions"]);
        assert!(
            page.starts_with("# Words\n\n<!-- figures: ladder -->\n\n") && page.ends_with("after\n"),
            "{page}"
        );
        assert!(page.contains("\n\nbetween\n\n") && !page.contains("old"), "{page}");
        assert!(
            page.contains("| `transfers` | transfers | 1.50 M/s |") && page.contains("| floor |"),
            "{page}"
        );
        assert!(page.contains("| 10 k | 1.20 |") && page.contains("| reserve | 4495 |"), "{page}");
        assert_eq!(page.matches("the figures say nothing").count(), 1, "the ladder alone was quick: {page}");
        assert_eq!(renewed(&page).0, page, "a second time changes nothing");
    }

    #[test]
    fn figures_without_a_place_and_figures_that_are_none_are_told() {
        let dir = figures();
        let renewed = |page: &str| renew(page, dir.path(), &dir.path().join("instructions.toml"));
        let missing = renewed("no marks").unwrap_err().to_string();
        assert!(missing.contains("<!-- figures: ladder -->"), "{missing}");
        std::fs::write(dir.path().join("growth.json"), "{}").unwrap();
        let wrong = renewed(EMPTY).unwrap_err().to_string();
        assert!(wrong.contains("growth.json") && wrong.contains("taken"), "{wrong}");
    }

    #[test]
    fn the_page_in_the_tree_is_what_its_figures_say() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let page = std::fs::read_to_string(root.join(PAGE)).unwrap();
        let (renewed, _) = renew(&page, &root.join(FIGURES), &root.join(INSTRUCTIONS)).unwrap();
        assert!(renewed == page, "run `cargo run --release -p cage-bench -- page`");
    }
}
