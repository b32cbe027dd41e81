//! A picture of a run: utilisation over time, the mean with the fullest and the emptiest server.

use super::Outcome;
use std::fmt::Write;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 360.0;
const EDGE: f64 = 48.0;
/// More points than pixels help nobody.
const POINTS_MAX: usize = 480;

/// An SVG document; no script, no font beyond the reader's own.
#[must_use]
pub fn svg(title: &str, out: &Outcome) -> String {
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\"><rect width=\"100%\" height=\"100%\" fill=\"#fff\"/><text x=\"{EDGE}\" y=\"20\">{}: max/mean \
         {:.3}, lost {:.3} %</text>",
        escaped(title),
        out.balance,
        out.lost_share() * 100.0
    );
    for tenth in (0..=10).step_by(2) {
        let share = f64::from(tenth) / 10.0;
        let y = y_of(share);
        let _ = write!(
            text,
            "<path d=\"M{EDGE} {y:.1}H{:.1}\" stroke=\"#ddd\"/><text x=\"8\" y=\"{:.1}\">{}%</text>",
            WIDTH - EDGE,
            y + 4.0,
            tenth * 10
        );
    }
    for (column, colour, name) in [(3, "#4a90d9", "emptiest"), (2, "#d0021b", "fullest"), (1, "#000", "mean")]
    {
        let _ = write!(text, "<path d=\"{}\" fill=\"none\" stroke=\"{colour}\"/>", line(out, column));
        let y = 20.0 + 16.0 * real(column);
        let _ = write!(text, "<text x=\"{:.0}\" y=\"{y:.0}\" fill=\"{colour}\">{name}</text>", WIDTH - 110.0);
    }
    text.push_str("</svg>\n");
    text
}

fn line(out: &Outcome, column: usize) -> String {
    let (first, last) = (out.samples.first().map_or(0.0, |s| s[0]), out.samples.last().map_or(1.0, |s| s[0]));
    let every = out.samples.len().div_ceil(POINTS_MAX).max(1);
    let mut path = String::new();
    for (i, sample) in out.samples.iter().step_by(every).enumerate() {
        let x = EDGE + (sample[0] - first) / (last - first).max(1.0) * (WIDTH - 2.0 * EDGE);
        let _ = write!(path, "{}{x:.1} {:.1}", if i == 0 { 'M' } else { 'L' }, y_of(sample[column]));
    }
    path
}

fn y_of(share: f64) -> f64 {
    HEIGHT - EDGE - share.clamp(0.0, 1.0) * (HEIGHT - 2.0 * EDGE)
}

fn real(n: usize) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::{Scenario, run};
    use super::*;

    #[test]
    fn a_picture_has_its_three_lines_and_no_markup_of_others() {
        let out = run(&Scenario { length_s: 400.0, servers: vec![30; 4], ..Scenario::default() });
        let picture = svg("a<b", &out);
        assert!(picture.starts_with("<svg") && picture.ends_with("</svg>\n"));
        assert_eq!(picture.matches("fill=\"none\"").count(), 3);
        assert!(picture.contains("a&lt;b"));
    }
}
