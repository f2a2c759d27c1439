//! Small charts as SVG, written by hand: lines over time, stacked areas, bars.

use std::fmt::Write as _;

/// Colours that stay apart for most eyes, in the order of use.
const COLOURS: [&str; 8] =
    ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#999999"];
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 42.0;

/// A named row of points, in order of x.
#[derive(Clone, Debug)]
pub struct Series {
    /// What the legend says.
    pub name: String,
    /// The points.
    pub points: Vec<(f64, f64)>,
}

/// How series are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A line each.
    Lines,
    /// Areas on top of each other; all series have the same x.
    Stacked,
}

/// One chart of a page.
#[derive(Clone, Debug)]
pub struct Chart {
    /// Its title.
    pub title: String,
    /// What x is, with its unit.
    pub x: &'static str,
    /// What y is, with its unit.
    pub y: &'static str,
    /// How it is drawn.
    pub style: Style,
    /// What is drawn.
    pub series: Vec<Series>,
}

/// A page of charts below each other.
#[must_use]
pub fn page(title: &str, charts: &[Chart]) -> String {
    let height = 40.0 + charts.len() as f64 * (HEIGHT + 10.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"16\" y=\"26\" font-size=\"17\" font-weight=\"bold\">{}</text>\n",
        escape(title)
    );
    for (place, chart) in charts.iter().enumerate() {
        let top = 40.0 + place as f64 * (HEIGHT + 10.0);
        let _ = writeln!(svg, "<g transform=\"translate(0 {top})\">");
        draw(&mut svg, chart);
        svg.push_str("</g>\n");
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw(svg: &mut String, chart: &Chart) {
    let layers = match chart.style {
        Style::Lines => chart.series.iter().map(|series| series.points.clone()).collect(),
        Style::Stacked => stack(&chart.series),
    };
    let points = || layers.iter().flatten();
    let x_max = nice(points().map(|point| point.0).fold(0.0, f64::max));
    let y_max = nice(points().map(|point| point.1).fold(0.0, f64::max));
    let x = |value: f64| LEFT + value / x_max * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| HEIGHT - BOTTOM - value / y_max * (HEIGHT - TOP - BOTTOM);
    let _ = writeln!(
        svg,
        "<text x=\"16\" y=\"18\" font-weight=\"bold\">{}</text>",
        escape(&chart.title)
    );
    for step in 0..=4 {
        let share = f64::from(step) / 4.0;
        let (at_x, at_y) = (x(x_max * share), y(y_max * share));
        let (end_x, end_y) = (x(x_max), y(0.0));
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {at_y:.1}H{end_x:.1}\" stroke=\"#e4e4e4\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#444\">{}</text>\
             <text x=\"{at_x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#444\">{}</text>",
            LEFT - 6.0,
            at_y + 4.0,
            number(y_max * share),
            end_y + 16.0,
            number(x_max * share),
        );
    }
    // The upper layers of a stack are drawn first, so that the lower ones cover them.
    for (place, layer) in layers.iter().enumerate().rev() {
        let colour = COLOURS[place % COLOURS.len()];
        let mut path = String::new();
        for (number, point) in layer.iter().enumerate() {
            let letter = if number == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{letter}{:.1} {:.1}", x(point.0), y(point.1));
        }
        match chart.style {
            Style::Lines => {
                let _ = writeln!(
                    svg,
                    "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" \
                     stroke-linejoin=\"round\"/>"
                );
            }
            Style::Stacked => {
                let ends = (layer.first(), layer.last());
                if let (Some(first), Some(last)) = ends {
                    let floor = y(0.0);
                    let _ = writeln!(
                        svg,
                        "<path d=\"{path}L{:.1} {floor:.1}L{:.1} {floor:.1}Z\" fill=\"{colour}\"/>",
                        x(last.0),
                        x(first.0)
                    );
                }
            }
        }
    }
    for (place, series) in chart.series.iter().enumerate() {
        let at = TOP + 8.0 + place as f64 * 18.0;
        let _ = writeln!(
            svg,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"12\" height=\"12\" fill=\"{}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            WIDTH - RIGHT + 14.0,
            at - 10.0,
            COLOURS[place % COLOURS.len()],
            WIDTH - RIGHT + 32.0,
            at,
            escape(&series.name)
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\
         <text transform=\"translate(14 {:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - 8.0,
        escape(chart.x),
        (TOP + HEIGHT - BOTTOM) / 2.0,
        escape(chart.y)
    );
}

/// Each series on top of those before it.
fn stack(series: &[Series]) -> Vec<Vec<(f64, f64)>> {
    let mut floor: Vec<f64> = Vec::new();
    series
        .iter()
        .map(|series| {
            floor.resize(series.points.len(), 0.0);
            let points = series.points.iter().zip(&mut floor);
            points
                .map(|((x, y), floor)| {
                    *floor += y;
                    (*x, *floor)
                })
                .collect()
        })
        .collect()
}

/// The next number of few digits that divides well by four: the end of an axis.
fn nice(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powi(value.log10().floor() as i32);
    let digits = [1.0, 1.2, 1.6, 2.0, 2.4, 3.2, 4.0, 5.0, 6.0, 8.0, 10.0];
    digits.into_iter().map(|digit| digit * power).find(|end| *end >= value * 0.999).unwrap_or(value)
}

/// A number with as many places as it needs.
fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let places = if value >= 10.0 {
        0
    } else if value >= 1.0 {
        1
    } else {
        3
    };
    let text = format!("{value:.places$}");
    match text.split_once('.') {
        Some(_) => text.trim_end_matches('0').trim_end_matches('.').into(),
        None => text,
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers_and_layers_add_up() {
        assert_eq!([0.0, 0.7, 3.0, 9.0, 11.0].map(nice), [1.0, 0.8, 3.2, 10.0, 12.0]);
        assert_eq!([0.0, 0.25, 2.5, 300.0].map(number), ["0", "0.25", "2.5", "300"]);
        let series =
            |ys: [f64; 2]| Series { name: String::new(), points: vec![(0.0, ys[0]), (1.0, ys[1])] };
        let layers = stack(&[series([1.0, 2.0]), series([3.0, 4.0])]);
        assert_eq!(layers, [[(0.0, 1.0), (1.0, 2.0)], [(0.0, 4.0), (1.0, 6.0)]]);
    }

    #[test]
    fn names_cannot_break_the_picture() {
        let chart = Chart {
            title: "a < b & c".into(),
            x: "s",
            y: "MB",
            style: Style::Lines,
            series: vec![Series { name: "<p>".into(), points: vec![(0.0, 0.0), (1.0, 1.0)] }],
        };
        let svg = page("t", &[chart]);
        assert!(svg.contains("a &lt; b &amp; c") && svg.contains("&lt;p&gt;"));
    }
}
