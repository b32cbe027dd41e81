//! Which time zones a callee may be in. A number tells by its prefix only where it was given out, so a prefix often
//! leaves several zones; whoever asks must then obey all of them (the intersection of their calling hours).
//!
//! The table is generated from libphonenumber's data (`control/zones/`). Zones come from the time zone database that
//! is built in: the machine's own is not read.

use jiff::tz::{TimeZone, TimeZoneDatabase};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// A zone with its name.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone {
    /// IANA name.
    pub name: &'static str,
    /// Its rules.
    pub rules: TimeZone,
}

static DATABASE: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);
static TABLE: LazyLock<Table> = LazyLock::new(|| Table::read(include_str!("../../zones/zones.txt")));

/// Every zone of the database, by its name in lower case.
static NAMED: LazyLock<BTreeMap<String, Zone>> = LazyLock::new(|| {
    let names = DATABASE.available().map(|n| n.as_str().to_owned());
    names
        .filter_map(|name| {
            let rules = DATABASE.get(&name).ok()?;
            let lower = name.to_ascii_lowercase();
            // Leaked once per process: a few hundred names that live as long as it does.
            Some((lower, Zone { name: Box::leak(name.into_boxed_str()), rules }))
        })
        .collect()
});

/// Is this the name of a zone?
#[must_use]
pub fn is_zone(name: &str) -> bool {
    zone(name).is_some()
}

/// The zone of this IANA name, case ignored.
#[must_use]
pub fn zone(name: &str) -> Option<&'static Zone> {
    // A POSIX rule or a path is no name.
    let named = name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_+-".contains(&b));
    if named { NAMED.get(&name.to_ascii_lowercase()) } else { None }
}

/// The zones that an E.164 number (`+` and digits) may be in; empty for a `sip:` URI or a code without a place.
#[must_use]
pub fn of_number(number: &str) -> &'static [Zone] {
    number.strip_prefix('+').map_or(&[], |digits| TABLE.lookup(digits))
}

/// The zones of all numbers under the number's country code.
#[must_use]
pub fn of_country(number: &str) -> &'static [Zone] {
    number.strip_prefix('+').map_or(&[], |digits| TABLE.shortest(digits))
}

/// Does a country code begin these digits?
#[must_use]
pub fn country_code_exists(digits: &str) -> bool {
    TABLE.knows(digits)
}

/// A digit trie: each node has ten children and the set of zones that stands for its prefix.
struct Table {
    nodes: Vec<Node>,
    sets: Vec<Vec<Zone>>,
}

#[derive(Clone, Copy)]
struct Node {
    next: [u16; 10],
    /// 1 + index of the set; 0: nothing at this prefix.
    set: u16,
}

const EMPTY: Node = Node { next: [0; 10], set: 0 };

impl Table {
    fn read(text: &str) -> Self {
        let mut table = Self { nodes: vec![EMPTY], sets: Vec::new() };
        for line in text.lines().filter(|l| !l.starts_with('#')) {
            let (zones, prefixes) = line.split_once('\t').expect("the generator writes a tab");
            let set =
                zones.split(',').filter(|z| *z != "-").map(|z| zone(z).expect("a zone of the database"));
            table.sets.push(set.cloned().collect());
            let index = u16::try_from(table.sets.len()).expect("a few hundred sets");
            for prefix in prefixes.split(' ') {
                table.insert(prefix, index);
            }
        }
        table
    }

    fn insert(&mut self, prefix: &str, set: u16) {
        let mut at = 0;
        for d in prefix.bytes().map(|b| usize::from(b - b'0')) {
            if self.nodes[at].next[d] == 0 {
                self.nodes.push(EMPTY);
                self.nodes[at].next[d] = u16::try_from(self.nodes.len() - 1).expect("a few thousand nodes");
            }
            at = usize::from(self.nodes[at].next[d]);
        }
        self.nodes[at].set = set;
    }

    /// The set of the longest prefix of `digits`, if any.
    fn longest(&self, digits: &str) -> Option<u16> {
        let (mut at, mut best) = (0, 0);
        for b in digits.bytes() {
            if !b.is_ascii_digit() {
                break;
            }
            at = usize::from(self.nodes[at].next[usize::from(b - b'0')]);
            if at == 0 {
                break;
            }
            if self.nodes[at].set != 0 {
                best = self.nodes[at].set;
            }
        }
        best.checked_sub(1)
    }

    /// The set of the shortest prefix of `digits` that has one: the country code's.
    fn shortest(&self, digits: &str) -> &[Zone] {
        let first = (1..=3).find_map(|n| digits.get(..n).and_then(|d| self.exact(d)));
        first.map_or(&[], |set| &self.sets[usize::from(set)])
    }

    fn exact(&self, digits: &str) -> Option<u16> {
        let step = |at: usize, b: u8| {
            Some(usize::from(self.nodes[at].next[usize::from(b - b'0')])).filter(|n| *n != 0)
        };
        let digits_only = digits.bytes().all(|b| b.is_ascii_digit());
        let at = digits_only.then(|| digits.bytes().try_fold(0, step)).flatten()?;
        self.nodes[at].set.checked_sub(1)
    }

    fn lookup(&self, digits: &str) -> &[Zone] {
        self.longest(digits).map_or(&[], |set| &self.sets[usize::from(set)])
    }

    fn knows(&self, digits: &str) -> bool {
        self.longest(digits).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(number: &str, expected: &[&str]) {
        let names: Vec<&str> = of_number(number).iter().map(|z| z.name).collect();
        assert_eq!(names, expected, "{number}");
    }

    #[test]
    fn the_longest_prefix_decides() {
        check("+12125551234", &["America/New_York"]);
        check("+14155551234", &["America/Los_Angeles"]);
        check("+4930901820", &["Europe/Berlin"]);
        check("+81312345678", &["Asia/Tokyo"]);
        check("+80012345678", &[]);
        check("sip:bob@host", &[]);
    }

    #[test]
    fn a_number_without_a_place_is_in_every_zone_of_its_plan() {
        assert!(of_number("+18005551234").len() > 30, "toll-free numbers of North America");
    }

    #[test]
    fn country_codes() {
        assert!(country_code_exists("15551234567"));
        assert!(country_code_exists("80012345678"));
        assert!(!country_code_exists("2101234567"));
        assert!(!country_code_exists("99912345678"));
    }

    #[test]
    fn zone_names() {
        assert_eq!(zone("europe/berlin").map(|z| z.name), Some("Europe/Berlin"));
        assert!(!is_zone("Mars/Dome") && !is_zone("../etc/passwd") && !is_zone("EST5EDT,M3.2.0,M11.1.0"));
    }
}
