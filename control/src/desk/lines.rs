//! Lines: orders of one priority and one tenant wait behind each other in the store; the desk knows of each line only
//! when its first order is due. Whichever is ripe is served from the highest priority down, tenants in turn.

use std::collections::{BTreeMap, BTreeSet};
use units::{TenantId, Wall};

/// One priority of one tenant.
pub(super) type Line = (u8, TenantId);

#[derive(Debug, Default)]
pub(super) struct Lines {
    /// First due time of each line that nobody has asked about.
    due: BTreeMap<Line, Wall>,
    by_due: BTreeSet<(Wall, Line)>,
    ripe: BTreeSet<Line>,
    /// Lines about which a question is under way.
    asked: BTreeSet<Line>,
    /// Who had the last turn, by priority.
    turn: [Option<TenantId>; 10],
}

impl Lines {
    /// Something is due in a line at `due`.
    pub(super) fn wake(&mut self, line: Line, due: Wall) {
        let due = match self.due.get(&line).copied() {
            Some(before) if before <= due => return,
            Some(before) => {
                self.by_due.remove(&(before, line));
                due
            }
            None => due,
        };
        self.due.insert(line, due);
        if !self.asked.contains(&line) && !self.ripe.contains(&line) {
            self.by_due.insert((due, line));
        }
    }

    /// Lines whose time has come are ripe.
    pub(super) fn ripen(&mut self, now: Wall) {
        while let Some((due, line)) = self.by_due.first().copied()
            && due <= now
        {
            self.by_due.pop_first();
            self.ripe.insert(line);
        }
    }

    /// The highest priority that has a ripe line, and how many lines are ripe there.
    pub(super) fn top(&self, below: u8) -> Option<(u8, u32)> {
        let (priority, _) = self.ripe.range(..(below, TenantId(0))).next_back().copied()?;
        let n = self.ripe.range((priority, TenantId(0))..=(priority, TenantId(u32::MAX))).count();
        Some((priority, u32::try_from(n).unwrap_or(u32::MAX)))
    }

    /// The next line in turn at a priority; it is asked about from now on.
    pub(super) fn take(&mut self, priority: u8) -> Option<Line> {
        let slot = usize::from(priority.min(9));
        let last = self.turn[slot].map_or(0, |t| t.0.wrapping_add(1));
        let all = (priority, TenantId(0))..=(priority, TenantId(u32::MAX));
        let after =
            self.ripe.range((priority, TenantId(last))..=(priority, TenantId(u32::MAX))).next().copied();
        let line = after.or_else(|| self.ripe.range(all).next().copied())?;
        self.turn[slot] = Some(line.1);
        self.ripe.remove(&line);
        self.due.remove(&line);
        self.asked.insert(line);
        Some(line)
    }

    /// The question about a line was answered: its next order is due then. What woke it meanwhile counts too.
    pub(super) fn answered(&mut self, line: Line, next: Option<Wall>) {
        self.asked.remove(&line);
        let woken = self.due.remove(&line);
        if let Some(due) = woken.into_iter().chain(next).min() {
            self.wake(line, due);
        }
    }

    /// Forgets all lines but these; questions under way still bring their orders.
    pub(super) fn retain(&mut self, keep: impl Fn(Line) -> bool) {
        self.due.retain(|line, _| keep(*line));
        self.by_due.retain(|(_, line)| keep(*line));
        self.ripe.retain(|line| keep(*line));
    }

    /// When the next line ripens.
    pub(super) fn next(&self) -> Option<Wall> {
        self.by_due.first().map(|(due, _)| *due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Line = (5, TenantId(1));
    const B: Line = (5, TenantId(2));
    const HIGH: Line = (9, TenantId(1));

    #[test]
    fn priorities_first_then_tenants_in_turn() {
        let mut lines = Lines::default();
        for line in [A, B, HIGH] {
            lines.wake(line, Wall(10));
        }
        lines.ripen(Wall(9));
        assert_eq!(lines.top(10), None);
        lines.ripen(Wall(10));
        assert_eq!(lines.top(10), Some((9, 1)));
        assert_eq!(lines.take(9), Some(HIGH));
        assert_eq!((lines.top(10), lines.top(5)), (Some((5, 2)), None));
        assert_eq!(lines.take(5), Some(A));
        lines.answered(A, Some(Wall(0)));
        lines.ripen(Wall(10));
        assert_eq!((lines.take(5), lines.take(5), lines.take(5)), (Some(B), Some(A), None));
    }

    #[test]
    fn what_wakes_a_line_during_a_question_is_not_lost() {
        let mut lines = Lines::default();
        lines.wake(A, Wall(1));
        lines.ripen(Wall(1));
        assert_eq!(lines.take(5), Some(A));
        lines.wake(A, Wall(7));
        lines.wake(A, Wall(6));
        lines.ripen(Wall(9));
        assert_eq!(lines.take(5), None, "one question at a time");
        lines.answered(A, Some(Wall(8)));
        assert_eq!(lines.next(), Some(Wall(6)));
    }
}
