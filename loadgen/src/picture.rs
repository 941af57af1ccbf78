//! Curves as SVG pictures within a page.
//!
//! In: lines of points. Out: the picture's text. Never here: a font (whoever looks at it has one), a file.

use plotters::coord::ranged1d::ValueFormatter;
use plotters::prelude::*;

const SIZE: (u32, u32) = (1_000, 360);
const INK: RGBColor = RGBColor(40, 40, 40);
const PALE: RGBColor = RGBColor(215, 215, 215);
const COLORS: [RGBColor; 3] = [RGBColor(21, 101, 192), RGBColor(239, 108, 0), RGBColor(198, 40, 40)];

/// Some points that belong together.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    /// Which of the colours.
    pub(crate) color: usize,
    /// Of an earlier run: drawn pale.
    pub(crate) earlier: bool,
    pub(crate) points: Vec<(f64, f64)>,
}

impl Line {
    pub(crate) fn new(name: &str, color: usize, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.to_owned(), color, earlier: false, points }
    }

    fn style(&self) -> ShapeStyle {
        let color = COLORS[self.color % COLORS.len()];
        if self.earlier { color.mix(0.35).stroke_width(2) } else { color.stroke_width(2) }
    }
}

/// One picture.
#[derive(Clone, Debug)]
pub(crate) struct Picture<'a> {
    pub(crate) title: &'a str,
    pub(crate) across: &'a str,
    pub(crate) up: &'a str,
    /// Whether it is over percentiles: by their distance from all, in factors of ten, and so is what is told.
    pub(crate) percentiles: bool,
    pub(crate) lines: Vec<Line>,
}

/// How many times one in ten a quantile leaves out: 1 for 0.9, 2 for 0.99, …
fn nines(quantile: f64) -> f64 {
    -(1.0 - quantile).max(1e-12).log10()
}

/// 90 %, 99 %, 99.9 %, …
fn percentile(nines: f64) -> String {
    let places = (nines.round() as usize).saturating_sub(2);
    format!("{:.places$} %", (1.0 - 10_f64.powf(-nines)) * 100.0)
}

impl Picture<'_> {
    /// The picture as the text of an SVG.
    ///
    /// # Errors
    /// What the drawing says, in words.
    pub(crate) fn svg(&self) -> Result<String, String> {
        let mut text = String::new();
        {
            let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
            area.fill(&WHITE).map_err(|fault| fault.to_string())?;
            let drawn = if self.percentiles { self.by_percentile(&area) } else { self.over_time(&area) };
            drawn.map_err(|fault| fault.to_string())?;
            area.present().map_err(|fault| fault.to_string())?;
        }
        Ok(text)
    }

    fn most(&self, of: impl Fn(&(f64, f64)) -> f64) -> f64 {
        self.lines.iter().flat_map(|line| line.points.iter().map(&of)).fold(0.0, f64::max)
    }

    fn least_above_zero(&self) -> f64 {
        let values = self.lines.iter().flat_map(|line| line.points.iter().map(|point| point.1));
        values.filter(|value| *value > 0.0).fold(f64::INFINITY, f64::min)
    }

    fn by_percentile(&self, area: &Area<'_>) -> Result<(), Box<dyn std::error::Error>> {
        let (least, most) = (self.least_above_zero(), self.most(|point| point.1));
        let up = if least.is_finite() { least * 0.8..most * 1.25 } else { 1.0..10.0 };
        let across = 0.0..self.most(|point| nines(point.0)).max(1.0);
        let mut chart = builder(area).build_cartesian_2d(across, up.log_scale())?;
        chart
            .configure_mesh()
            .x_label_formatter(&|at| percentile(*at))
            .y_label_formatter(&|at| short(*at))
            .x_desc(self.across)
            .y_desc(self.up)
            .light_line_style(TRANSPARENT)
            .bold_line_style(PALE)
            .label_style(text(12))
            .axis_desc_style(text(13))
            .draw()?;
        self.draw(&mut chart, SeriesLabelPosition::UpperLeft, |(quantile, value)| (nines(quantile), value))
    }

    fn over_time(&self, area: &Area<'_>) -> Result<(), Box<dyn std::error::Error>> {
        let across = 0.0..self.most(|point| point.0).max(1.0);
        let (least, most) = (self.least_above_zero(), self.most(|point| point.1));
        // Latencies spread over decades; what lies within one is told from nothing on.
        if least.is_finite() && most / least > 20.0 && self.lines.len() > 2 {
            let mut chart =
                builder(area).build_cartesian_2d(across, (least * 0.2..most * 1.25).log_scale())?;
            mesh(&mut chart.configure_mesh(), self)?;
            return self.draw(&mut chart, SeriesLabelPosition::LowerLeft, |point| point);
        }
        let mut chart = builder(area).build_cartesian_2d(across, 0.0..most.max(1.0) * 1.15)?;
        mesh(&mut chart.configure_mesh(), self)?;
        self.draw(&mut chart, SeriesLabelPosition::UpperLeft, |point| point)
    }

    fn draw<'b, X, Y>(
        &self,
        chart: &mut ChartContext<'b, SVGBackend<'b>, Cartesian2d<X, Y>>,
        key_position: SeriesLabelPosition,
        place: impl Fn((f64, f64)) -> (f64, f64),
    ) -> Result<(), Box<dyn std::error::Error>>
    where
        X: Ranged<ValueType = f64>,
        Y: Ranged<ValueType = f64>,
    {
        for line in &self.lines {
            let style = line.style();
            let points = line.points.iter().map(|point| place(*point)).filter(|(_, value)| *value > 0.0);
            let series =
                LineSeries::new(points, style).point_size(if line.points.len() < 40 { 2 } else { 0 });
            let key = move |(x, y): (i32, i32)| PathElement::new([(x, y), (x + 18, y)], style);
            chart.draw_series(series)?.label(line.name.clone()).legend(key);
        }
        chart
            .configure_series_labels()
            .position(key_position)
            .border_style(PALE)
            .background_style(WHITE.mix(0.85))
            .label_font(text(13))
            .draw()?;
        Ok(())
    }
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn text(size: i32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&INK)
}

fn builder<'a, 'b>(area: &'a Area<'b>) -> ChartBuilder<'a, 'b, SVGBackend<'b>> {
    let mut chart = ChartBuilder::on(area);
    chart.margin(12).margin_right(30).x_label_area_size(42).y_label_area_size(72);
    chart
}

fn mesh<X, Y>(
    style: &mut plotters::chart::MeshStyle<'_, '_, X, Y, SVGBackend<'_>>,
    picture: &Picture<'_>,
) -> Result<(), Box<dyn std::error::Error>>
where
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    style
        .x_label_formatter(&|at| short(*at))
        .y_label_formatter(&|at| short(*at))
        .x_desc(picture.across)
        .y_desc(picture.up)
        .light_line_style(TRANSPARENT)
        .bold_line_style(PALE)
        .label_style(text(12))
        .axis_desc_style(text(13))
        .draw()?;
    Ok(())
}

/// A number on an axis.
fn short(number: f64) -> String {
    match number.abs() {
        size if size >= 1e6 => format!("{} M", number / 1e6),
        size if size >= 1e3 => format!("{} k", number / 1e3),
        size if size >= 1.0 || size == 0.0 => format!("{number:.0}"),
        _ => format!("{number:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_named_as_people_write_them() {
        assert_eq!([0.0, 1.0, 2.0, 3.0, 5.0].map(percentile), ["0 %", "90 %", "99 %", "99.9 %", "99.999 %"]);
    }

    #[test]
    fn an_empty_picture_is_a_picture_all_the_same() {
        for percentiles in [true, false] {
            let lines = vec![Line::new("nothing", 0, Vec::new())];
            let picture = Picture { title: "", across: "a", up: "b", percentiles, lines };
            assert!(picture.svg().unwrap().starts_with("<svg"));
        }
    }
}
