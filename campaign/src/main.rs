//! `cage-campaign`: runs the fault campaign, prints a table, fails if any promise was broken.

use std::process::ExitCode;
use std::time::Instant;

use cage_campaign::{CAMPAIGNS, Campaign, Plan, SEED};
use clap::Parser;

/// Damages logs, cuts them off and lets their disks fail; then judges what is recovered.
///
/// Exit codes: 0 no promise was broken, 1 at least one was, 2 wrong usage.
#[derive(Debug, Parser)]
#[command(
    name = "cage-campaign",
    version,
    after_help = "Example: cargo run --release -p cage-campaign -- --scale full"
)]
struct Cli {
    /// All random choices follow from it
    #[arg(long, default_value_t = SEED)]
    seed: u64,
    /// Only these parts (see --list); may be given several times
    #[arg(long, value_name = "NAME", value_parser = part)]
    only: Vec<&'static str>,
    /// How many cases: those of every change, those of a release, or about so many in each part
    #[arg(long, value_name = "ci|full|N", default_value = "ci", value_parser = scale)]
    scale: Scale,
    /// List the parts with their cases, and end
    #[arg(long)]
    list: bool,
}

#[derive(Clone, Copy, Debug)]
enum Scale {
    Ci,
    Full,
    About(u64),
}

fn scale(text: &str) -> Result<Scale, String> {
    match text {
        "ci" => Ok(Scale::Ci),
        "full" => Ok(Scale::Full),
        number => {
            number.parse().map(Scale::About).map_err(|_| "expected ci, full or a number of cases".to_owned())
        }
    }
}

fn part(text: &str) -> Result<&'static str, String> {
    let names = CAMPAIGNS.map(|campaign| campaign.name);
    let known = names.into_iter().find(|name| *name == text);
    known.ok_or_else(|| format!("the parts are {}", names.join(", ")))
}

impl Scale {
    const fn cases(self, campaign: &Campaign) -> u64 {
        match self {
            Self::Ci => campaign.ci,
            Self::Full => campaign.full,
            Self::About(cases) => cases,
        }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.list {
        CAMPAIGNS.iter().for_each(|campaign| println!("{:15} {}", campaign.name, campaign.about));
        return ExitCode::SUCCESS;
    }
    println!(
        "| part | cases | refused | recovered | violations | seconds | seed |\n|---|---:|---:|---:|---:|---:|---:|"
    );
    let mut broken = 0;
    for campaign in CAMPAIGNS.iter().filter(|one| cli.only.is_empty() || cli.only.contains(&one.name)) {
        let begun = Instant::now();
        let tally = (campaign.run)(Plan { seed: cli.seed, cases: cli.scale.cases(campaign) });
        let seconds = begun.elapsed().as_secs_f64();
        println!(
            "| {} | {} | {} | {} | {} | {seconds:.1} | {} |",
            campaign.name, tally.cases, tally.refused, tally.recovered, tally.violations, cli.seed
        );
        broken += tally.violations;
    }
    if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
