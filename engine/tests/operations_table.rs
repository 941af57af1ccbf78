//! What the documents say of the operations is what the code says: the parts between `<!-- generated: NAME -->` and
//! `<!-- end -->` are rendered from the table of operations and compared.
//!
//! `CAGE_BLESS=1 cargo test -p cage-engine --test operations_table` writes them anew. Rendering and words are in
//! `pages/`; everything around the marks is prose.

mod pages;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use cage_engine::{OperationKind, ResultCode, Role};

const BEGIN: &str = "<!-- generated: ";
const BEGIN_CLOSED: &str = " -->\n";
const END: &str = "<!-- end -->";

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("docs")
}

fn page(name: &str) -> String {
    fs::read_to_string(docs().join(name)).unwrap_or_else(|fault| panic!("docs/{name}: {fault}"))
}

/// All pages, by their names.
fn all() -> Vec<(String, String)> {
    let mut names: Vec<_> = fs::read_dir(docs())
        .expect("the documents")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .filter(|name| name.ends_with(".md"))
        .collect();
    names.sort();
    names.into_iter().map(|name| (page(&name), name)).map(|(text, name)| (name, text)).collect()
}

/// The names of the generated parts of a page, in their order.
fn marks(text: &str) -> Vec<&str> {
    text.split(BEGIN)
        .skip(1)
        .map(|part| part.split_once(BEGIN_CLOSED).expect("a mark ends with its line").0)
        .collect()
}

/// The page with all its generated parts rendered.
fn rendered(name: &str, text: &str) -> String {
    let mut parts = text.split(BEGIN);
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (mark, rest) = part.split_once(BEGIN_CLOSED).expect("a mark ends with its line");
        let (_, after) = rest.split_once(END).unwrap_or_else(|| panic!("docs/{name}: {mark} has no end"));
        let body = pages::part(mark).unwrap_or_else(|| panic!("docs/{name}: nothing is called {mark}"));
        whole.push_str(&format!("{BEGIN}{mark}{BEGIN_CLOSED}\n{body}\n{END}{after}"));
    }
    whole
}

#[test]
fn what_is_generated_in_the_documents_is_what_the_code_says() {
    for (name, text) in all() {
        let should_be = rendered(&name, &text);
        if text == should_be {
            continue;
        }
        if env::var_os("CAGE_BLESS").is_some() {
            fs::write(docs().join(&name), should_be).expect("a page that can be written");
            continue;
        }
        let line = text.lines().zip(should_be.lines()).position(|(is, should)| is != should);
        let at = line.unwrap_or_else(|| text.lines().count().min(should_be.lines().count()));
        panic!(
            "docs/{name}:{}\n  says      {:?}\n  should be {:?}\nCAGE_BLESS=1 cargo test -p cage-engine --test \
             operations_table writes the pages anew.",
            at + 1,
            text.lines().nth(at),
            should_be.lines().nth(at)
        );
    }
}

/// Nothing that an architect looks for is left out.
#[test]
fn the_table_of_operations_has_every_part() {
    let text = page("operations-table.md");
    let marks = marks(&text);
    let operations = OperationKind::ALL.iter().map(|kind| format!("operation {}", kind.name()));
    let wanted = operations.chain(pages::OF_THE_TABLE.iter().map(|name| (*name).to_owned()));
    let missing: Vec<_> = wanted.filter(|name| !marks.contains(&name.as_str())).collect();
    assert_eq!(missing, Vec::<String>::new(), "parts that docs/operations-table.md lacks");
    let ledger: Vec<_> = marks.iter().filter(|mark| mark.starts_with("operation ")).collect();
    assert_eq!(ledger.len(), OperationKind::ALL.len(), "each operation has one part");
    for kind in OperationKind::ALL {
        let title = format!("\n### {} `{}`\n", kind.number(), kind.name());
        assert!(text.contains(&title), "docs/operations-table.md has the section {title:?}");
    }
}

/// What a row of the index by task says: its operations, and the answers to expect.
fn index() -> Vec<(String, String, String)> {
    let text = page("operations-table.md");
    let (_, rest) = text.split_once("\n## What a wallet must do\n").expect("the index");
    let (section, _) = rest.split_once("\n## ").expect("something behind it");
    let rows = section.lines().filter(|line| line.starts_with("| ")).skip(1);
    rows.map(|line| {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
        let [task, how, answers] = &cells[..] else { panic!("three cells: {line}") };
        (task.clone(), how.clone(), answers.clone())
    })
    .collect()
}

fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn operations_in(text: &str) -> Vec<OperationKind> {
    let named = |name| OperationKind::ALL.iter().find(|kind| kind.name() == name).copied();
    quoted(text).filter_map(named).collect()
}

/// Whoever looks for a task finds its operation, and with it no answer that it never gives.
#[test]
fn the_index_by_task_has_every_operation_and_only_answers_that_it_gives() {
    let index = index();
    let named: Vec<_> = index.iter().flat_map(|(_, how, _)| operations_in(how)).collect();
    let asked = OperationKind::ALL.iter().filter(|kind| !kind.spec().roles.contains(Role::System));
    let missing: Vec<_> = asked.filter(|kind| !named.contains(kind)).map(|kind| kind.name()).collect();
    assert_eq!(missing, Vec::<&str>::new(), "tasks that nobody finds");
    let wagers = [OperationKind::Reserve, OperationKind::Bet, OperationKind::BetWin];
    for (task, how, answers) in &index {
        let mut kinds = [operations_in(how), operations_in(answers)].concat();
        if answers.contains("wagers:") {
            kinds.extend(wagers);
        }
        for name in quoted(answers) {
            let Some(code) = ResultCode::ALL.iter().find(|code| code.name() == name) else { continue };
            let by = pages::given_by(*code);
            let given = kinds.iter().any(|kind| by.contains(&format!("`{}`", kind.name())));
            let before = !code.is_recorded() || kinds.is_empty();
            assert!(given || before, "{task:?}: {} is given by {by:?}, not by {how}", code.name());
        }
    }
}

/// A number and the name in backquotes behind it belong together, wherever they stand.
#[test]
fn numbers_and_names_in_the_documents_belong_together() {
    let mut compared = 0;
    for (page, text) in all() {
        for (line, words) in (1..).zip(text.lines().map(|line| line.split(' ').collect::<Vec<_>>())) {
            for pair in words.windows(2) {
                let digits = pair[0].trim_start_matches(['(', '*', '|']);
                let Ok(number) = digits.parse::<u16>() else { continue };
                let Some((name, _)) = pair[1].strip_prefix('`').and_then(|rest| rest.split_once('`')) else {
                    continue;
                };
                let code = ResultCode::ALL.iter().find(|code| code.name() == name);
                let operation = OperationKind::ALL.iter().find(|kind| kind.name() == name);
                let known: Vec<u16> = code
                    .map(|code| code.number())
                    .into_iter()
                    .chain(operation.map(|kind| kind.number()))
                    .collect();
                if known.is_empty() {
                    continue;
                }
                compared += 1;
                // The protocol numbers the ends of connections by names of their own, in tables.
                assert!(known.contains(&number), "docs/{page}:{line}: {number} `{name}` is {known:?}");
            }
        }
    }
    assert!(compared > 300, "only {compared} pairs were found: how they are written has changed");
}

/// Every answer that can become a record is given by some step of some operation, or the words are not complete.
#[test]
fn every_recorded_answer_comes_from_somewhere() {
    let nowhere: Vec<_> = ResultCode::ALL
        .iter()
        .filter(|code| code.is_recorded() && pages::given_by(**code).is_empty())
        .map(|code| code.name())
        .collect();
    assert_eq!(nowhere, Vec::<&str>::new(), "no operation gives these");
}
