//! What one sees while a run goes on: a live view on a terminal, plain lines elsewhere.

use super::machine::ProcessUse;
use super::session::Sample;
use super::summary::Summary;
use crate::farend::io::Reading;
use hdrhistogram::Histogram;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Paragraph, Row, Sparkline, Table};
use ratatui::{DefaultTerminal, Frame};
use std::collections::VecDeque;
use std::io::IsTerminal;
use std::time::Duration;

/// Notes that are kept on the screen.
const NOTES: usize = 6;

/// What is shown once a second.
pub(super) struct Face<'a> {
    /// Since the begin.
    pub(super) elapsed: Duration,
    /// The far end just now.
    pub(super) reading: &'a Reading,
    /// What was found in ended calls.
    pub(super) summary: &'a Summary,
    /// The seconds so far.
    pub(super) samples: &'a [Sample],
    /// The server just now.
    pub(super) server: Option<&'a ProcessUse>,
    /// Why the far end cannot be believed.
    pub(super) bottleneck: Vec<String>,
}

/// See the module.
pub(super) struct View {
    terminal: Option<DefaultTerminal>,
    title: String,
    notes: VecDeque<String>,
}

impl View {
    /// A live view if standard output is a terminal and nobody asked for plain lines.
    #[must_use]
    pub(super) fn open(plain: bool, title: &str) -> Self {
        let live = !plain && std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
        let terminal = if live { ratatui::try_init().ok() } else { None };
        if terminal.is_none() {
            crate::say!("{title}");
        }
        Self { terminal, title: title.into(), notes: VecDeque::new() }
    }

    /// ctrl-C or `q` was pressed in the live view.
    pub(super) fn wants_out(&mut self) -> bool {
        if self.terminal.is_none() {
            return false;
        }
        let mut out = false;
        while event::poll(Duration::ZERO).unwrap_or(false) {
            if let Ok(Event::Key(key)) = event::read() {
                let ctrl_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
                out |= ctrl_c || key.code == KeyCode::Char('q');
            }
        }
        out
    }

    /// A line of its own.
    pub(super) fn note(&mut self, text: &str) {
        if self.terminal.is_none() {
            crate::say!("{text}");
            return;
        }
        self.notes.push_back(text.into());
        if self.notes.len() > NOTES {
            self.notes.pop_front();
        }
    }

    /// Shows how things stand.
    pub(super) fn show(&mut self, face: &Face<'_>) {
        match &mut self.terminal {
            Some(terminal) => {
                let (title, notes) = (&self.title, &self.notes);
                // A terminal that has gone away is noticed by its signal.
                let _ = terminal.draw(|frame| draw(frame, title, notes, face));
            }
            None => crate::say!("{}", plain(face)),
        }
    }

    /// Gives the terminal back.
    pub(super) fn close(&mut self) {
        if self.terminal.take().is_some() {
            Self::restore();
            for note in &self.notes {
                crate::say!("{note}");
            }
        }
    }

    /// Gives the terminal back whatever happened.
    pub(super) fn restore() {
        if std::io::stdout().is_terminal() {
            let _ = ratatui::try_restore();
        }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.close();
    }
}

/// One line a second.
fn plain(face: &Face<'_>) -> String {
    let s = face.reading.streams;
    let mut line = format!(
        "{:6.0}s  up {:5}  ended {:6}  complete {:6}  missing {}  late {}",
        face.elapsed.as_secs_f64(),
        face.reading.counts.up,
        face.summary.calls(),
        face.summary.complete(),
        s.missing,
        s.late
    );
    if let (Some(server), Some(last)) = (face.server, face.samples.last()) {
        let more = format!("  server {:.2} cores, {} MiB", last.server_cores, server.resident_kib / 1024);
        line.push_str(&more);
    }
    if let Some(why) = face.bottleneck.first() {
        line.push_str(&format!("  (this tool: {why})"));
    }
    line
}

fn draw(frame: &mut Frame<'_>, title: &str, notes: &VecDeque<String>, face: &Face<'_>) {
    let rows = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(9),
        Constraint::Length(7),
        Constraint::Min(4),
        Constraint::Length(1),
    ])
    .split(frame.area());
    let head =
        format!(" {title}   {:.0} s   q or ctrl-C: hang up politely and report", face.elapsed.as_secs_f64());
    frame.render_widget(Paragraph::new(head).style(Style::new().add_modifier(Modifier::REVERSED)), rows[0]);
    let [left, right] = Layout::horizontal([Constraint::Length(44), Constraint::Min(40)]).areas(rows[1]);
    counts(frame, left, face);
    percentiles(frame, right, face);
    curves(frame, rows[2], face);
    reasons(frame, rows[3], notes, face);
    let (word, colour) = match face.bottleneck.first() {
        Some(why) => (format!(" this tool is the bottleneck: {why}; the run does not count"), Color::Red),
        None => (" this tool keeps up".to_owned(), Color::Green),
    };
    frame.render_widget(Paragraph::new(word).style(Style::new().fg(colour)), rows[4]);
}

fn counts(frame: &mut Frame<'_>, area: Rect, face: &Face<'_>) {
    let (c, s) = (face.reading.counts, face.reading.streams);
    let last = face.samples.last().cloned().unwrap_or_default();
    let server = face.server.map_or("not watched".to_owned(), |u| {
        format!("{:.2} cores, {} MiB, {} threads", last.server_cores, u.resident_kib / 1024, u.threads)
    });
    let lines = [
        format!("up {}   placed {}   came in {}", c.up, c.placed, c.incoming),
        format!("ended {}   complete {}", face.summary.calls(), face.summary.complete()),
        format!("packets {}", s.packets),
        format!("missing {}   late {}   in prompts {}", s.missing, s.late, s.gaps_in_prompt),
        format!("doubled {}   disordered {}   wrong {}", s.duplicated, s.reordered, s.wrong),
        format!("server {server}"),
        format!("us/session-second: server {:.0}, tool {:.0}", last.server_us, last.far_us),
    ];
    let text: Vec<Line<'_>> = lines.into_iter().map(Line::from).collect();
    frame.render_widget(Paragraph::new(text).block(Block::bordered().title(" calls and packets ")), area);
}

fn percentiles(frame: &mut Frame<'_>, area: Rect, face: &Face<'_>) {
    let row = |name: &'static str, h: &Histogram<u64>| {
        let at = |q: f64| h.value_at_quantile(q).to_string();
        Row::new([
            name.to_owned(),
            h.len().to_string(),
            at(0.5),
            at(0.9),
            at(0.99),
            at(0.999),
            h.max().to_string(),
        ])
    };
    let mut rows: Vec<Row<'_>> = face.summary.latencies().iter().map(|(name, h)| row(name, h)).collect();
    rows.push(row("packet lateness, us", &face.reading.lateness));
    let widths = [
        Constraint::Length(22),
        Constraint::Length(9),
        Constraint::Length(8),
        Constraint::Length(8),
        Constraint::Length(8),
        Constraint::Length(8),
        Constraint::Length(9),
    ];
    let table = Table::new(rows, widths)
        .header(Row::new(["", "n", "p50", "p90", "p99", "p99.9", "max"]).style(Style::new().fg(Color::Cyan)))
        .block(Block::bordered().title(" latencies "));
    frame.render_widget(table, area);
}

/// A curve's title, and where its value stands in a sample.
type Curve<'a> = (&'a str, &'a dyn Fn(&Sample) -> u64);

fn curves(frame: &mut Frame<'_>, area: Rect, face: &Face<'_>) {
    let thirds = Layout::horizontal([Constraint::Ratio(1, 3); 3]).split(area);
    let last = |width: u16, f: &dyn Fn(&Sample) -> u64| -> Vec<u64> {
        let n = usize::from(width.saturating_sub(2));
        face.samples.iter().skip(face.samples.len().saturating_sub(n)).map(f).collect()
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
    let millicores = |s: &Sample| (s.server_cores * 1000.0) as u64;
    let charts: [Curve<'_>; 3] = [
        (" calls up ", &|s| s.up),
        (" lateness p99, us ", &|s| s.late_p99_us),
        (" server, 1/1000 cores ", &millicores),
    ];
    for (i, (title, f)) in charts.into_iter().enumerate() {
        let data = last(thirds[i].width, f);
        let title = format!("{title}{} ", data.last().copied().unwrap_or(0));
        let chart = Sparkline::default().data(data).block(Block::bordered().title(title));
        frame.render_widget(chart, thirds[i]);
    }
}

fn reasons(frame: &mut Frame<'_>, area: Rect, notes: &VecDeque<String>, face: &Face<'_>) {
    let mut why: Vec<(&String, &u64)> = face.summary.stuck().iter().collect();
    why.sort_by(|a, b| b.1.cmp(a.1));
    let mut lines: Vec<Line<'_>> = notes.iter().map(|n| Line::from(n.as_str())).collect();
    lines.extend(why.into_iter().map(|(at, n)| Line::from(format!("{n:6} x {at}"))));
    if lines.is_empty() {
        lines.push(Line::from("every call so far did every step"));
    }
    let block = Block::bordered().title(" where calls got stuck ");
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::farend::CallLog;
    use crate::farend::io::Own;
    use crate::farend::world::{Counts, Streams};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    #[test]
    fn a_face_shows_counts_percentiles_and_why() {
        let mut summary = Summary::new(1);
        let stuck = Some("line 4: hear prompt: heard nothing".into());
        summary.take(&CallLog { person: "caller".into(), setup_ms: Some(12), stuck, ..CallLog::default() });
        let reading = Reading {
            at: Duration::from_secs(9),
            counts: Counts { up: 77, ..Counts::default() },
            streams: Streams { missing: 31, ..Streams::default() },
            talk_ms: 0,
            lateness: Histogram::new(3).expect("valid"),
            own: Own::default(),
        };
        let samples = [Sample { up: 77, ..Sample::default() }];
        let mut face = Face {
            elapsed: Duration::from_secs(9),
            reading: &reading,
            summary: &summary,
            samples: &samples,
            server: None,
            bottleneck: vec![],
        };
        let mut terminal = Terminal::new(TestBackend::new(120, 30)).expect("a test terminal");
        let notes = VecDeque::from(["a note".to_owned()]);
        terminal.draw(|f| draw(f, "calling", &notes, &face)).expect("it draws");
        let text: String = terminal.backend().buffer().content().iter().map(|c| c.symbol()).collect();
        for word in ["calling", "up 77", "missing 31", "set-up, ms", "heard nothing", "a note", "keeps up"] {
            assert!(text.contains(word), "{word}: {text}");
        }
        face.bottleneck = vec!["too slow".into()];
        assert!(plain(&face).ends_with("(this tool: too slow)"));
        terminal.draw(|f| draw(f, "calling", &notes, &face)).expect("it draws");
        let text: String = terminal.backend().buffer().content().iter().map(|c| c.symbol()).collect();
        assert!(text.contains("does not count"), "{text}");
    }
}
