//! Plots as inline SVG: lines over numbers, with axes, a legend, and the value at each point on hovering.

use std::fmt::Write as _;

/// One line of a plot.
#[derive(Clone, Debug)]
pub struct Series {
    /// Name in the legend.
    pub name: String,
    /// Points, by x.
    pub points: Vec<(f64, f64)>,
}

/// A plot.
#[derive(Clone, Debug)]
pub struct Plot {
    /// Over it.
    pub title: String,
    /// Below the x axis.
    pub x: String,
    /// Beside the y axis.
    pub y: String,
    /// A logarithmic y axis.
    pub log: bool,
    /// Marks on the x axis instead of numbers.
    pub marks: Vec<(f64, String)>,
    /// Lines.
    pub series: Vec<Series>,
    /// Points are drawn, not only lines.
    pub dots: bool,
}

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 250.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 44.0;

impl Plot {
    /// An empty linear one.
    #[must_use]
    pub fn new(title: &str, x: &str, y: &str) -> Self {
        Self {
            title: title.into(),
            x: x.into(),
            y: y.into(),
            log: false,
            marks: Vec::new(),
            series: Vec::new(),
            dots: false,
        }
    }

    /// With a line.
    #[must_use]
    pub fn line(mut self, name: &str, points: Vec<(f64, f64)>) -> Self {
        let points: Vec<_> = points.into_iter().filter(|p| p.0.is_finite() && p.1.is_finite()).collect();
        self.series.push(Series { name: name.into(), points });
        self
    }

    /// With dots.
    #[must_use]
    pub fn dotted(mut self) -> Self {
        self.dots = true;
        self
    }

    /// As a `figure` of HTML; nothing if there is nothing to show.
    #[must_use]
    pub fn svg(&self) -> String {
        let all = || self.series.iter().flat_map(|s| &s.points);
        if all().count() == 0 {
            return String::new();
        }
        let fold =
            |f: fn(f64, f64) -> f64, of: fn(&(f64, f64)) -> f64| all().map(of).reduce(f).unwrap_or(0.0);
        let (x0, mut x1) = (fold(f64::min, |p| p.0), fold(f64::max, |p| p.0));
        if x1 <= x0 {
            x1 = x0 + 1.0;
        }
        let top = fold(f64::max, |p| p.1);
        let (y0, y1) = if self.log {
            let low = all().map(|p| p.1).filter(|y| *y > 0.0).reduce(f64::min).unwrap_or(1.0);
            (low.log10().floor(), top.max(low * 10.0).log10().ceil())
        } else {
            (fold(f64::min, |p| p.1).min(0.0), if top <= 0.0 { 1.0 } else { top * 1.08 })
        };
        let px = |x: f64| LEFT + (x - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT);
        let py = |y: f64| {
            let y = if self.log { y.max(1e-12).log10().max(y0) } else { y };
            HEIGHT - BOTTOM - (y - y0) / (y1 - y0) * (HEIGHT - TOP - BOTTOM)
        };
        let mut out = format!(
            "<figure><figcaption>{}</figcaption><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
            escape(&self.title),
            escape(&self.title)
        );
        self.axes(&mut out, (x0, x1), (y0, y1), &px, &py);
        for (i, s) in self.series.iter().enumerate() {
            draw(&mut out, s, i % 6, self.dots || s.points.len() == 1, &px, &py);
        }
        out.push_str("</svg>");
        if self.series.len() > 1 {
            out.push_str("<p class=\"legend\">");
            for (i, s) in self.series.iter().enumerate() {
                let _ = write!(out, "<span><i class=\"b{}\"></i>{}</span>", i % 6, escape(&s.name));
            }
            out.push_str("</p>");
        }
        out.push_str("</figure>\n");
        out
    }

    fn axes(
        &self,
        out: &mut String,
        x: (f64, f64),
        y: (f64, f64),
        px: &dyn Fn(f64) -> f64,
        py: &dyn Fn(f64) -> f64,
    ) {
        let ys: Vec<f64> = if self.log {
            let mut decades = Vec::new();
            let mut d = y.0;
            while d <= y.1 + 0.01 {
                decades.push(10f64.powf(d));
                d += 1.0;
            }
            decades
        } else {
            ticks(y.0, y.1)
        };
        for v in ys {
            let at = py(v);
            let _ = write!(
                out,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                at + 4.0,
                number(v)
            );
        }
        let xs: Vec<(f64, String)> = if self.marks.is_empty() {
            ticks(x.0, x.1).into_iter().map(|v| (v, number(v))).collect()
        } else {
            self.marks.clone()
        };
        for (v, text) in xs {
            let _ = write!(
                out,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                px(v),
                HEIGHT - BOTTOM + 16.0,
                escape(&text)
            );
        }
        let middle = (HEIGHT - BOTTOM + TOP) / 2.0;
        let _ = write!(
            out,
            "<text class=\"name\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\
             <text class=\"name\" transform=\"translate(13 {middle}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            f64::midpoint(WIDTH, LEFT),
            HEIGHT - 8.0,
            escape(&self.x),
            escape(&self.y)
        );
    }
}

fn draw(
    out: &mut String,
    s: &Series,
    colour: usize,
    dots: bool,
    px: &dyn Fn(f64) -> f64,
    py: &dyn Fn(f64) -> f64,
) {
    let path: Vec<String> = s.points.iter().map(|p| format!("{:.1},{:.1}", px(p.0), py(p.1))).collect();
    let _ = write!(out, "<polyline class=\"s{colour}\" points=\"{}\"/>", path.join(" "));
    let every = s.points.len().div_ceil(120).max(1);
    for p in s.points.iter().step_by(every) {
        let _ = write!(
            out,
            "<circle class=\"b{colour}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"{}\"{}><title>{}: {} at {}</title></circle>",
            px(p.0),
            py(p.1),
            if dots { 3.2 } else { 5.0 },
            if dots { "" } else { " opacity=\"0\"" },
            escape(&s.name),
            number(p.1),
            number(p.0)
        );
    }
}

/// Round numbers between two, about five of them.
fn ticks(low: f64, high: f64) -> Vec<f64> {
    let raw = (high - low) / 5.0;
    if raw <= 0.0 || !raw.is_finite() {
        return vec![low];
    }
    let unit = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].iter().map(|m| m * unit).find(|s| *s >= raw).unwrap_or(raw);
    let mut at = (low / step).ceil() * step;
    let mut all = Vec::new();
    while at <= high + step * 1e-6 {
        all.push(at);
        at += step;
    }
    all
}

/// A number as people write it.
#[must_use]
pub fn number(v: f64) -> String {
    let a = v.abs();
    let text = if a >= 10_000_000.0 {
        format!("{:.0} M", v / 1e6)
    } else if a >= 1_000_000.0 {
        format!("{:.1} M", v / 1e6)
    } else if a >= 10_000.0 {
        format!("{:.0} k", v / 1e3)
    } else if a >= 100.0 || v.fract() == 0.0 {
        format!("{v:.0}")
    } else if a >= 1.0 {
        format!("{v:.1}")
    } else {
        format!("{v:.3}")
    };
    if text.contains('.') && !text.contains(' ') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// Text that stands in HTML.
#[must_use]
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_has_its_lines_axes_and_legend_and_none_without_points() {
        let p = Plot::new("A < B", "x", "y").line("one", vec![(0.0, 1.0), (10.0, 5.0)]);
        let p = p.line("two", vec![(0.0, f64::NAN), (5.0, 2.0)]);
        let svg = p.svg();
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert!(svg.contains("A &lt; B") && svg.contains("legend") && svg.contains("<title>one: 5 at 10"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        assert_eq!(Plot::new("t", "x", "y").svg(), "");
        let log = Plot { log: true, ..Plot::new("t", "x", "y") }.line("l", vec![(0.0, 0.0), (1.0, 900.0)]);
        assert!(log.svg().contains(">1000<") && !log.svg().contains("NaN"));
    }

    #[test]
    fn ticks_are_round_and_numbers_short() {
        assert_eq!(ticks(0.0, 10.0), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(ticks(1.0, 1.0), [1.0]);
        for (v, text) in [(0.0, "0"), (1234.0, "1234"), (25_000.0, "25 k"), (0.25, "0.25"), (3.5, "3.5")] {
            assert_eq!(number(v), text);
        }
    }
}
