//! `bench/PROMISES.md` as a table: rows are read, the measured column is written, everything else stays as it is.

/// One promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// What is promised.
    pub(super) promise: String,
    /// The goal, or `-`.
    pub(super) goal: String,
    /// What was measured last.
    pub(super) measured: String,
    /// By which command, without its backquotes.
    pub(super) command: String,
    line: usize,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Table {
    lines: Vec<String>,
    /// In order.
    pub(super) rows: Vec<Row>,
}

impl Table {
    /// Reads a page; rows have five cells.
    pub(super) fn parse(text: &str) -> Self {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let rows = lines
            .iter()
            .enumerate()
            .filter(|(_, l)| l.starts_with('|') && !l.contains("|---") && !l.starts_with("| promise"))
            .filter_map(|(line, l)| {
                let cells: Vec<&str> = l.trim_matches('|').split('|').map(str::trim).collect();
                let [promise, goal, measured, command, ..] = cells.as_slice() else { return None };
                let own = |text: &&str| (*text).to_owned();
                let command = command.trim_matches('`').to_owned();
                Some(Row { promise: own(promise), goal: own(goal), measured: own(measured), command, line })
            })
            .collect();
        Self { lines, rows }
    }

    /// Puts a figure into a row's measured cell.
    pub(super) fn measured(&mut self, row: usize, text: &str) {
        let Row { line, .. } = self.rows[row];
        let text = text.replace('|', "/");
        let cells: Vec<String> = self.lines[line]
            .split('|')
            .enumerate()
            .map(|(i, cell)| if i == 3 { format!(" {text} ") } else { cell.to_owned() })
            .collect();
        self.lines[line] = cells.join("|");
        self.rows[row].measured = text;
    }

    /// The page.
    pub(super) fn text(&self) -> String {
        self.lines.join("\n") + "\n"
    }
}

/// The first bound of a goal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Goal {
    most: bool,
    bound: f64,
}

impl Goal {
    /// Of `<= 2 us`, `>= 2,000`, `0`: times in ns, sizes in octets. `None`: there is no number.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let first = text.split([';', '/']).next().unwrap_or("").trim();
        let first = first.split(", ").next().unwrap_or(first);
        let (most, rest) = match (first.strip_prefix("<="), first.strip_prefix(">=")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ if first.parse::<f64>().is_ok() => (true, first),
            _ => return None,
        };
        let mut words = rest.split_whitespace();
        let number = words.next()?.replace(',', "").trim_end_matches('x').parse::<f64>().ok()?;
        // `<= 50 / <= 400 us`: the unit stands at the end.
        let unit = words.next().or_else(|| text.rsplit(' ').next()).unwrap_or("");
        Some(Self { most, bound: number * scale(unit) })
    }

    /// Whether a figure, in the same units, keeps it.
    pub(super) fn held(self, figure: f64) -> bool {
        if self.most { figure <= self.bound } else { figure >= self.bound }
    }

    /// Figure over bound.
    pub(super) fn ratio(self, figure: f64) -> f64 {
        if self.bound == 0.0 { figure } else { figure / self.bound }
    }
}

/// Of a unit: times in ns, sizes in octets.
pub(super) fn scale(unit: &str) -> f64 {
    match unit {
        "us" | "µs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "KB" | "KiB" => 1024.0,
        "MB" | "MiB" => 1024.0 * 1024.0,
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_are_read_as_they_are_written() {
        for (text, most, bound) in [
            ("<= 2 us, <= 8 allocations", true, 2_000.0),
            (">= 2,000", false, 2_000.0),
            ("<= 170 ns", true, 170.0),
            ("<= 50 / <= 400 us", true, 50_000.0),
            ("<= 16 / <= 200 KiB", true, 16_384.0),
            (">= 8,000 / >= 15,000", false, 8_000.0),
            ("0", true, 0.0),
            ("<= 4 KB", true, 4_096.0),
        ] {
            assert_eq!(Goal::parse(text), Some(Goal { most, bound }), "{text}");
        }
        for text in ["-", "exit 0", "120 of 120", "all rows"] {
            assert_eq!(Goal::parse(text), None, "{text}");
        }
    }

    #[test]
    fn only_the_measured_cell_changes() {
        let page = "# P\n\n| promise | goal | measured | command | test |\n|---|---|---|---|---|\n| A | <= 2 us | old | `x y` | z |\n\nend\n";
        let mut t = Table::parse(page);
        assert_eq!(
            (t.rows.len(), t.rows[0].command.as_str(), t.rows[0].measured.as_str()),
            (1, "x y", "old")
        );
        assert_eq!(t.text(), page);
        t.measured(0, "1 | 2 us");
        assert_eq!(t.text(), page.replace("old", "1 / 2 us"));
    }
}
