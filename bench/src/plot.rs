//! Figures as SVG pictures.
//!
//! In: rungs or curves. Out: a file. Never here: a measurement, or a font: whoever looks at it has one.

use std::ops::Range;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::growth::Curve;
use crate::ladder::many;
use crate::limits::LimitError;
use crate::rung::{Rung, Verdict};

const INK: RGBColor = RGBColor(40, 40, 40);
const PALE: RGBColor = RGBColor(200, 200, 200);
const GOOD: RGBColor = RGBColor(46, 125, 50);
const FAIR: RGBColor = RGBColor(21, 101, 192);
const BAD: RGBColor = RGBColor(198, 40, 40);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn text(size: i32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&INK)
}

/// Pixels of a row, of the names, of a row's bar where it reaches its floor.
const ROW: i32 = 26;
const NAMES: i32 = 460;
const FLOOR: i32 = 160;
const WIDTH: i32 = NAMES + 4 * FLOOR;

/// Every rung with a goal as a bar: how many times its floor it reaches.
///
/// # Errors
/// If the file cannot be written.
pub fn ladder(rungs: &[Rung], path: &Path) -> Result<(), LimitError> {
    let rows: Vec<_> = rungs.iter().filter_map(|rung| Some((rung, rung.of_floor()?))).collect();
    let height = ROW * (rows.len() as i32 + 2);
    let area = SVGBackend::new(path, (WIDTH as u32, height as u32)).into_drawing_area();
    area.fill(&WHITE)?;
    area.draw(&Text::new("how many times its floor each rung reaches (more is better)", (8, 6), text(15)))?;
    for times in 1..=3 {
        let x = NAMES + times * FLOOR;
        let line = PathElement::new([(x, ROW), (x, height)], if times == 1 { INK } else { PALE });
        area.draw(&line)?;
        area.draw(&Text::new(format!("{times} x"), (x + 3, height - 16), text(12)))?;
    }
    for (number, (rung, times)) in rows.into_iter().enumerate() {
        bar(&area, rung, times, ROW * (number as i32 + 1) + 4)?;
    }
    Ok(area.present()?)
}

fn bar(area: &Area<'_>, rung: &Rung, times: f64, y: i32) -> Result<(), LimitError> {
    let color = match rung.verdict() {
        Verdict::Stretch => GOOD,
        Verdict::Missed(_) => BAD,
        Verdict::Floor | Verdict::None => FAIR,
    };
    let end = NAMES + (times.min(3.7) * f64::from(FLOOR)) as i32;
    area.draw(&Text::new(rung.name.clone(), (8, y), text(13)))?;
    area.draw(&Rectangle::new([(NAMES, y), (end, y + ROW - 8)], color.filled()))?;
    area.draw(&Text::new(format!("{times:.2}"), (end + 4, y), text(12)))?;
    Ok(())
}

/// One picture for each curve: requests a second over the quantity, which grows by factors.
///
/// # Errors
/// If the file cannot be written.
pub fn growth(curves: &[Curve], path: &Path) -> Result<(), LimitError> {
    let rows = curves.len().div_ceil(2).max(1);
    let area = SVGBackend::new(path, (1_000, 300 * rows as u32)).into_drawing_area();
    area.fill(&WHITE)?;
    for (curve, part) in curves.iter().zip(area.split_evenly((rows, 2))) {
        picture(curve, &part)?;
    }
    Ok(area.present()?)
}

fn picture(curve: &Curve, area: &Area<'_>) -> Result<(), LimitError> {
    let Some(across) = range(curve.points.iter().map(|point| point.at)) else { return Ok(()) };
    let most = curve.points.iter().map(|point| point.per_second / 1e6).fold(0.0, f64::max);
    let mut chart = ChartBuilder::on(area);
    let caption = format!("M requests/s over {}", curve.of);
    chart.caption(caption, text(15)).margin(12).x_label_area_size(28).y_label_area_size(44);
    let line: Vec<_> = curve.points.iter().map(|point| (point.at, point.per_second / 1e6)).collect();
    // A quantity that spans less than a decade has no use for a scale of factors.
    if across.end / across.start.max(1e-9) < 20.0 {
        let mut chart = chart.build_cartesian_2d(across, 0.0..most * 1.15)?;
        chart.configure_mesh().light_line_style(TRANSPARENT).bold_line_style(PALE).draw()?;
        chart.draw_series(LineSeries::new(line, FAIR.stroke_width(2)).point_size(3))?;
    } else {
        let mut chart = chart.build_cartesian_2d(across.log_scale(), 0.0..most * 1.15)?;
        let label = |at: &f64| many(*at as u64);
        chart
            .configure_mesh()
            .x_label_formatter(&label)
            .light_line_style(TRANSPARENT)
            .bold_line_style(PALE)
            .draw()?;
        chart.draw_series(LineSeries::new(line, FAIR.stroke_width(2)).point_size(3))?;
    }
    Ok(())
}

/// From the least to the greatest; nothing if they are the same.
fn range(values: impl Iterator<Item = f64> + Clone) -> Option<Range<f64>> {
    let least = values.clone().fold(f64::INFINITY, f64::min);
    let greatest = values.fold(f64::NEG_INFINITY, f64::max);
    (least < greatest).then_some(least..greatest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::growth::tests::curve;
    use crate::rung::{Better, Goal, Run};

    fn drawn(draw: impl FnOnce(&Path) -> Result<(), LimitError>) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("figures.svg");
        draw(&path).unwrap();
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn the_ladder_has_a_bar_for_each_rung_with_a_goal_in_the_colour_of_its_verdict() {
        let rung = |name: &str, goal, value| {
            let mut rung = Rung::new("step", name, "M/s", Better::More).to_reach(goal);
            rung.runs.push(Run::of(value));
            rung
        };
        let rungs = [
            rung("reached", Goal::value(1.0, 2.0), 2.5),
            rung("missed", Goal::value(1.0, 2.0), 0.5),
            rung("without a goal", None, 7.0),
        ];
        let svg = drawn(|path| ladder(&rungs, path));
        assert!(svg.contains("reached") && svg.contains("missed") && !svg.contains("without a goal"));
        assert!(svg.contains("2.50") && svg.contains("0.50"), "{svg}");
        assert!(svg.contains("#2E7D32") && svg.contains("#C62828"), "{svg}");
    }

    #[test]
    fn growth_has_a_picture_for_each_curve() {
        let svg = drawn(|path| growth(&[curve("players"), curve("assets"), curve("ids")], path));
        for name in ["over players", "over assets", "over ids", "100 k", "1 M"] {
            assert!(svg.contains(name), "{name}");
        }
        assert_eq!(svg.matches("<circle").count(), 6, "two points on each");
    }
}
