//! The plots: a bar for each system, its median in figures, and a line from the lowest to the highest.

use std::path::Path;

use anyhow::anyhow;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use posthaste_rig::servers::Fsync;

use super::table::{Column, Results, Spread, Subject};
use crate::figures::show;

const WIDTH: u32 = 860;
const ROW: i32 = 34;
const TOP: i32 = 56;
/// Where bars begin, and how long the longest is.
const LEFT: i32 = 300;
const LONGEST: f64 = 420.0;

const INK: RGBColor = RGBColor(0x24, 0x29, 0x2f);
const OURS: RGBColor = RGBColor(0x0b, 0x6e, 0x4f);
const OTHERS: RGBColor = RGBColor(0xb4, 0xbb, 0xc4);
const LINE: RGBColor = RGBColor(0x57, 0x60, 0x6a);

/// How long a bar is for its value.
#[derive(Clone, Copy, PartialEq)]
enum Scale {
    Linear,
    /// By powers of ten from 1 on.
    Logarithmic,
}

/// Writes a plot for each subject that has figures; returns the names of the files.
pub(super) fn write(results: &Results, into: &Path) -> anyhow::Result<Vec<String>> {
    let mut written = Vec::new();
    for subject in results.subjects() {
        let (name, column, scale) = match subject {
            Subject::Drain(fsync) => (format!("drain-{}", word(fsync)), Column::Rate, Scale::Linear),
            Subject::Enqueue(fsync) => (format!("enqueue-{}", word(fsync)), Column::Enqueued, Scale::Linear),
            Subject::Lateness(pending) => (format!("lateness-{pending}"), Column::P99, Scale::Logarithmic),
        };
        let bars: Vec<(&str, Spread)> = results
            .systems(subject)
            .into_iter()
            .filter_map(|system| Some((system, results.spread(subject, system, column)?)))
            .collect();
        let title = format!("{}: {}", subject.title(), column.title());
        let name = format!("peers-{name}.svg");
        std::fs::write(into.join(&name), draw(&title, &bars, scale)?)?;
        written.push(name);
    }
    Ok(written)
}

fn word(fsync: Fsync) -> &'static str {
    if fsync == Fsync::Off { "no-aof" } else { "aof" }
}

fn draw(title: &str, bars: &[(&str, Spread)], scale: Scale) -> anyhow::Result<String> {
    let rows = i32::try_from(bars.len())?;
    let height = u32::try_from(TOP + rows * ROW + 14)?;
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
    let broken = |error| anyhow!("drawing a plot: {error}");
    area.fill(&WHITE).map_err(broken)?;
    let heading =
        if scale == Scale::Logarithmic { format!("{title}, logarithmic") } else { title.to_owned() };
    write_at(&area, &heading, (16, 26), 21, HPos::Left).map_err(broken)?;
    let most = bars.iter().map(|(_, spread)| spread.max).fold(0.0, f64::max);
    for (row, (system, spread)) in (0..).zip(bars) {
        let middle = TOP + row * ROW + ROW / 2;
        let end = |value| LEFT + length(value, most, scale);
        let colour = if system.starts_with("Posthaste") { OURS } else { OTHERS };
        let bar = [(LEFT, middle - 9), (end(spread.median), middle + 9)];
        area.draw(&Rectangle::new(bar, colour.filled())).map_err(broken)?;
        let reach = vec![(end(spread.min), middle), (end(spread.max), middle)];
        area.draw(&PathElement::new(reach, LINE.stroke_width(2))).map_err(broken)?;
        write_at(&area, system, (LEFT - 10, middle), 17, HPos::Right).map_err(broken)?;
        let value = show(spread.median.round()).trim_end_matches(".00").to_owned();
        write_at(&area, &value, (end(spread.max) + 8, middle), 17, HPos::Left).map_err(broken)?;
    }
    area.present().map_err(broken)?;
    drop(area);
    Ok(svg)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn<'a> = Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

fn write_at<'a>(area: &Area<'a>, text: &str, at: (i32, i32), size: i32, from: HPos) -> Drawn<'a> {
    let style = ("sans-serif", size).into_font().color(&INK).pos(Pos::new(from, VPos::Center));
    area.draw(&Text::new(text.to_owned(), at, style))
}

/// The length of a bar, in points.
fn length(value: f64, most: f64, scale: Scale) -> i32 {
    let share = match scale {
        Scale::Linear => value / most.max(f64::MIN_POSITIVE),
        Scale::Logarithmic => value.max(1.0).log10() / most.max(10.0).log10(),
    };
    #[expect(clippy::cast_possible_truncation, reason = "between 0 and some hundred")]
    let points = (share.clamp(0.0, 1.0) * LONGEST).round() as i32;
    points.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_is_the_highest_value() {
        assert_eq!(length(100.0, 100.0, Scale::Linear), 420);
        assert_eq!(length(50.0, 100.0, Scale::Linear), 210);
        assert_eq!(length(10.0, 100.0, Scale::Logarithmic), 210);
        assert_eq!(length(0.0, 0.0, Scale::Linear), 1);
        assert_eq!(length(0.0, 0.0, Scale::Logarithmic), 1);
    }

    #[test]
    fn a_plot_names_every_system_and_its_median() {
        let spread = |median| Spread { median, min: median * 0.9, max: median * 1.1 };
        let bars = [("Posthaste, orders of one", spread(20_000.0)), ("BullMQ", spread(6_270.0))];
        let svg = draw("Drain: messages a second", &bars, Scale::Linear).expect("a plot");
        for part in ["<svg", "Posthaste, orders of one", "20,000", "BullMQ", "6,270", "#0B6E4F"] {
            assert!(svg.contains(part), "{part}: {svg}");
        }
    }
}
