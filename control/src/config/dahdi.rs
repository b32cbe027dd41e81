//! `[[spans]]` and `[[trunks]]` out of DAHDI's `system.conf` and Asterisk's `chan_dahdi.conf`. What has no counterpart is
//! said in comments with its line, so that nothing is lost silently.

use super::slots_text;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// The configuration that these two files come to, as TOML with comments.
#[must_use]
pub fn import(system: &str, chan: &str) -> String {
    let mut import = Import::default();
    import.system(system);
    import.chan(chan);
    import.write()
}

/// Spans that are read of files; more than DAHDI has.
const SPANS_MAX: usize = 256;

#[derive(Debug, Default)]
struct Import {
    spans: Vec<Line>,
    /// Where each trunk group's spans are.
    groups: BTreeMap<u32, Group>,
    lost: Vec<String>,
}

#[derive(Debug, Default)]
struct Line {
    device: Device,
    slots: u16,
    /// First channel, counted over all spans.
    first: u16,
    b: Vec<u8>,
    d: Option<u8>,
    em: BTreeSet<u8>,
    settings: BTreeMap<String, String>,
    nfas: Option<(u32, u32)>,
}

#[derive(Debug, Default)]
enum Device {
    #[default]
    None,
    Card(u16),
    Ethernet(String),
    /// `dynamic=loc,KEY:ID`: the pair has the same key.
    Loop(String),
}

#[derive(Debug, Default)]
struct Group {
    spans: BTreeSet<usize>,
    settings: BTreeMap<String, String>,
}

/// Keys of `chan_dahdi.conf` that mean something here.
const KEYS: [&str; 12] = [
    "signalling",
    "signaling",
    "switchtype",
    "group",
    "overlapdial",
    "pridialplan",
    "echocancel",
    "rxgain",
    "txgain",
    "callerid",
    "transfer",
    "facilityenable",
];

impl Import {
    fn lost(&mut self, file: &str, line: usize, what: &str, why: &str) {
        self.lost.push(format!("{file}:{line}: {what}: {why}"));
    }

    fn system(&mut self, text: &str) {
        const FILE: &str = "system.conf";
        // Dynamic spans are numbered after the cards', whatever the order of the lines.
        for pass in 0..2 {
            for (n, key, value) in lines(text) {
                match (pass, key) {
                    (0, "span") => self.span(n, value),
                    (1, "dynamic") => self.dynamic(n, value),
                    _ => {}
                }
            }
        }
        let mut first = 1;
        for line in &mut self.spans {
            line.first = first;
            first += line.slots;
        }
        for (n, key, value) in lines(text) {
            match key {
                "span" | "dynamic" => {}
                "bchan" => self.channels(FILE, n, value, |line, slot| line.b.push(slot)),
                "dchan" | "hardhdlc" => self.channels(FILE, n, value, |line, slot| line.d = Some(slot)),
                "e&m" | "em" => self.channels(FILE, n, value, |line, slot| {
                    line.em.insert(slot);
                }),
                // Ours is chosen by span, and a tone zone by country elsewhere.
                "loadzone" | "defaultzone" => {}
                "echocanceller" => {
                    let on = value.split_once(',').map_or("", |(_, channels)| channels);
                    self.channels(FILE, n, on, |line, _| {
                        line.settings.insert("echocancel".into(), "yes".into());
                    });
                }
                _ => self.lost(FILE, n, &format!("{key}={value}"), "no counterpart"),
            }
        }
    }

    fn push(&mut self, n: usize, line: Line) {
        if self.spans.len() < SPANS_MAX {
            self.spans.push(line);
        } else {
            self.lost("system.conf", n, "span", "too many spans");
        }
    }

    fn span(&mut self, n: usize, value: &str) {
        let parts: Vec<&str> = value.split(',').map(str::trim).collect();
        let number = parts.first().and_then(|p| p.parse().ok());
        let slots = match parts.get(3).map(|f| f.to_ascii_lowercase()).as_deref() {
            Some("esf" | "d4") => 24,
            Some("ccs" | "cas") => 31,
            _ => 0,
        };
        match number {
            Some(number) if slots > 0 => {
                self.push(n, Line { device: Device::Card(number), slots, ..Line::default() });
            }
            _ => self.lost("system.conf", n, &format!("span={value}"), "neither T1 nor E1 framing"),
        }
        if parts.get(2).is_some_and(|lbo| *lbo != "0") {
            self.lost("system.conf", n, "line build-out", "the driver's affair");
        }
    }

    fn dynamic(&mut self, n: usize, value: &str) {
        let parts: Vec<&str> = value.split(',').map(str::trim).collect();
        let slots = match parts.get(2).and_then(|p| p.parse::<u16>().ok()) {
            Some(24) => 24,
            Some(30 | 31) => 31,
            _ => 0,
        };
        let device = match parts[..] {
            ["eth", address, ..] => Some(Device::Ethernet(address.to_owned())),
            ["loc", address, ..] => address.split_once(':').map(|(key, _)| Device::Loop(key.to_owned())),
            _ => None,
        };
        match device.filter(|_| slots > 0) {
            Some(device) => self.push(n, Line { device, slots, ..Line::default() }),
            None => self.lost("system.conf", n, &format!("dynamic={value}"), "no such device here"),
        }
    }

    /// Gives each channel of a list to its span.
    fn channels(&mut self, file: &str, n: usize, list: &str, mut with: impl FnMut(&mut Line, u8)) {
        for channel in numbers(list) {
            let home = |l: &&mut Line| (l.first..l.first + l.slots).contains(&channel);
            match self.spans.iter_mut().find(home) {
                Some(line) => {
                    let slot = u8::try_from(channel - line.first + 1).expect("a slot of a span");
                    with(line, slot);
                }
                None => self.lost(file, n, &format!("channel {channel}"), "of no span"),
            }
        }
    }

    fn chan(&mut self, text: &str) {
        const FILE: &str = "chan_dahdi.conf";
        let mut settings: BTreeMap<String, String> = BTreeMap::new();
        for (n, key, value) in lines(text) {
            match key {
                "channel" | "channels" => {
                    let now = settings.clone();
                    let mut touched = BTreeSet::new();
                    self.channels(FILE, n, value, |line, _| {
                        touched.insert(line.first);
                        line.settings.extend(now.clone());
                    });
                    self.group(&settings, &touched);
                }
                "spanmap" => {
                    let parts: Vec<u32> = value.split(',').filter_map(|p| p.trim().parse().ok()).collect();
                    if let [span, group, interface] = parts[..]
                        && let Some(line) =
                            usize::try_from(span).ok().and_then(|s| self.spans.get_mut(s.checked_sub(1)?))
                    {
                        line.nfas = Some((group, interface));
                    }
                }
                // The D-channels it names stand in system.conf.
                "trunkgroup" => {}
                key if KEYS.contains(&key) => drop(settings.insert(key.to_owned(), value.to_owned())),
                _ => self.lost(FILE, n, &format!("{key}={value}"), "no counterpart"),
            }
        }
    }

    fn group(&mut self, settings: &BTreeMap<String, String>, touched: &BTreeSet<u16>) {
        let groups = settings.get("group").map(|g| numbers(g)).unwrap_or_default();
        for group in groups {
            let group = self.groups.entry(u32::from(group)).or_default();
            let spans = self.spans.iter().enumerate().filter(|(_, l)| touched.contains(&l.first));
            group.spans.extend(spans.map(|(n, _)| n));
            group.settings.extend(settings.clone());
        }
    }

    fn write(mut self) -> String {
        let mut text = String::from(
            "# Made of system.conf and chan_dahdi.conf; what could not be carried over stands at the end.\n",
        );
        for n in 0..self.spans.len() {
            self.write_span(n, &mut text);
        }
        let groups = std::mem::take(&mut self.groups);
        for (number, group) in &groups {
            let spans: Vec<String> = group.spans.iter().map(|n| (n + 1).to_string()).collect();
            // Writing to a string cannot fail.
            let _ = writeln!(text, "\n[[trunks]]\nname = \"group{number}\"\nspans = [{}]", spans.join(", "));
            let _ = writeln!(text, "prefixes = [\"*\"]   # which numbers it takes is for you to say");
            match group.settings.get("pridialplan").map(String::as_str) {
                Some(plan @ ("unknown" | "international" | "national" | "local")) => {
                    let _ = writeln!(text, "pridialplan = \"{plan}\"");
                }
                Some(other) => self.lost.push(format!("pridialplan={other}: no counterpart")),
                None => {}
            }
            if let Some(number) = group.settings.get("callerid").and_then(|id| caller(id)) {
                let _ = writeln!(text, "caller_id = \"{number}\"");
            }
        }
        if !self.lost.is_empty() {
            text.push_str("\n# Not carried over:\n");
            for lost in &self.lost {
                let _ = writeln!(text, "# {}", lost.replace(char::is_control, " "));
            }
        }
        text
    }

    fn device(&self, n: usize) -> String {
        match &self.spans[n].device {
            Device::Card(number) => format!("dahdi:{number}"),
            Device::Ethernet(address) => format!("tdmoe:{address}"),
            Device::Loop(key) => {
                let pair =
                    |(m, l): &(usize, &Line)| *m != n && matches!(&l.device, Device::Loop(k) if k == key);
                let other = self.spans.iter().enumerate().find(pair).map_or(0, |(m, _)| m + 1);
                format!("loopback:{other}")
            }
            Device::None => String::new(),
        }
    }

    fn write_span(&mut self, n: usize, text: &mut String) {
        let device = self.device(n);
        let line = &self.spans[n];
        let e1 = line.slots == 31;
        let setting = |key: &str| line.settings.get(key).map(String::as_str);
        let signalling = setting("signalling").or_else(|| setting("signaling"));
        let mut lost = Vec::new();
        let word = match signalling {
            Some(word @ ("pri_cpe" | "pri_net" | "em" | "em_w")) => word,
            other => {
                let word = if line.em.is_empty() { "pri_cpe" } else { "em" };
                if let Some(other) = other {
                    lost.push(format!("span {}: signalling={other}: {word} was written instead", n + 1));
                }
                word
            }
        };
        let _ = writeln!(text, "\n[[spans]]\nnumber = {}\ndevice = \"{device}\"", n + 1);
        let _ = writeln!(text, "kind = \"{}\"\nsignalling = \"{word}\"", if e1 { "e1" } else { "t1" });
        if word.starts_with("pri") {
            write_pri(line, n, text, &mut lost);
        } else if !line.em.is_empty() {
            let slots: Vec<u8> = line.em.iter().copied().collect();
            let _ = writeln!(text, "bchan = \"{}\"", slots_text(&slots));
        }
        if setting("echocancel").is_some_and(|v| is_yes(v) || v.parse::<u16>().is_ok_and(|taps| taps > 0)) {
            text.push_str("echocancel = true\n");
        }
        for key in ["rxgain", "txgain"] {
            match setting(key).map(|v| (v, v.parse::<f64>())) {
                Some((_, Ok(db))) if db != 0.0 => {
                    let _ = writeln!(text, "{key} = {db:.1}");
                }
                Some((v, Err(_))) => lost.push(format!("span {}: {key}={v}: no number", n + 1)),
                _ => {}
            }
        }
        self.lost.extend(lost);
    }
}

/// What a primary rate span has beside its device and side.
fn write_pri(line: &Line, n: usize, text: &mut String, lost: &mut Vec<String>) {
    let setting = |key: &str| line.settings.get(key).map(String::as_str);
    let e1 = line.slots == 31;
    match setting("switchtype") {
        Some(kind @ ("euroisdn" | "national")) => {
            let _ = writeln!(text, "switchtype = \"{kind}\"");
        }
        Some(other) => lost.push(format!("span {}: switchtype={other}: not spoken here", n + 1)),
        None => {}
    }
    let usual = if e1 { 16 } else { 24 };
    match line.d {
        Some(d) if d == usual => {}
        Some(d) => {
            let _ = writeln!(text, "dchan = {d}");
        }
        None => text.push_str("dchan = 0\n"),
    }
    if !line.b.is_empty() {
        let _ = writeln!(text, "bchan = \"{}\"", slots_text(&line.b));
    }
    if let Some((group, interface)) = line.nfas {
        let _ = writeln!(text, "nfas_group = \"{group}\"\nnfas_interface = {interface}");
    }
    if setting("overlapdial").is_some_and(is_yes) {
        text.push_str("overlapdial = true\n");
    }
    if setting("transfer").is_some_and(is_yes) && setting("facilityenable").is_some_and(is_yes) {
        text.push_str("transfer = true\n");
    }
}

/// Lines with a key and a value; comments and sections are left out.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str, &str)> {
    (1..).zip(text.lines()).filter_map(|(n, line)| {
        let line = line.split([';', '#']).next().unwrap_or_default().trim();
        let (key, value) = line.split_once("=>").or_else(|| line.split_once('='))?;
        Some((n, key.trim(), value.trim()))
    })
}

/// `1-15,17-31` as numbers, at most 4,096 of them. What `:` follows (CAS idle bits) is left out.
fn numbers(list: &str) -> Vec<u16> {
    let mut all = Vec::new();
    for part in list.split(':').next().unwrap_or_default().split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(from), Ok(to)) = (from.trim().parse::<u16>(), to.trim().parse::<u16>()) {
            all.extend((from..=to).take(4_096_usize.saturating_sub(all.len())));
        }
    }
    all
}

fn is_yes(value: &str) -> bool {
    matches!(value, "yes" | "true" | "on" | "1")
}

/// The number of `"Name" <number>` or `number`.
fn caller(id: &str) -> Option<String> {
    let inner = id.rsplit_once('<').map_or(id, |(_, rest)| rest.trim_end_matches('>'));
    let number: String = inner.chars().filter(|c| c.is_ascii_digit() || *c == '+').collect();
    (!number.is_empty()).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    const SYSTEM: &str = "
# two cards and a line over Ethernet
span=1,1,0,ccs,hdb3,crc4
bchan=1-15,17-31
dchan=16
echocanceller=mg2,1-15,17-31
span=2,2,0,esf,b8zs
bchan=32-54
dchan=55
dynamic=eth,eth0/00:02:b3:35:43:9c/0,24,0
e&m=56-79
loadzone=de
mtp2=9
";

    const CHAN: &str = "
[trunkgroups]
[channels]
language=de
switchtype=euroisdn
signalling=pri_cpe
pridialplan=national
rxgain=-2.5
txgain=0.0
group=1
callerid=\"Desk\" <+493012345>
channel => 1-15,17-31
switchtype=national
signalling=pri_net
overlapdial=yes
rxgain=0
group=2
channel => 32-54
signalling=em_w
group=2,3
channel => 56-79
";

    #[test]
    fn two_files_become_a_configuration_that_is_read() {
        let text = import(SYSTEM, CHAN);
        // Cards are opened by their number.
        let config = parse("t", &text).unwrap_or_else(|e| panic!("{e:?}\n{text}"));
        assert_eq!(config.spans.len(), 3);
        assert!(config.spans[0].echocancel && (config.spans[0].rxgain.db() + 2.5).abs() < 0.01);
        assert_eq!(config.spans[1].d_slot(), Some(24));
        assert!(config.spans[1].overlapdial && config.spans[2].is_cas());
        let trunks: Vec<_> = config.trunks.iter().map(|t| (t.name.as_str(), t.spans.clone())).collect();
        assert_eq!(trunks, [("group1", vec![1]), ("group2", vec![2, 3]), ("group3", vec![3])]);
        assert_eq!(config.trunks[0].ton, super::super::NumberType::National);
        for lost in ["system.conf:13: mtp2=9", "chan_dahdi.conf:4: language=de"] {
            assert!(text.contains(lost), "{text}");
        }
    }

    #[test]
    fn loops_find_each_other_and_what_cannot_be_said_is_a_comment() {
        let text = import(
            "dynamic=loc,1:0,24,0\ndynamic=loc,1:1,24,0\nbchan=1-23,25-47\ndchan=24,48\nspan=x\n",
            "switchtype=dms100\nsignalling=pri_cpe\nchannel=>1-23\nsignalling=pri_net\nswitchtype=national\nchannel=>25-47\n",
        );
        assert!(text.contains("loopback:2") && text.contains("loopback:1"), "{text}");
        assert!(
            text.contains("# span 1: switchtype=dms100") && text.contains("# system.conf:5: span=x"),
            "{text}"
        );
        assert!(parse("t", &text).is_ok(), "{text}");
    }

    #[test]
    fn whatever_the_files_hold_the_result_says_it_and_nothing_panics() {
        let mut rng = units::Seed(8).rng();
        let words = [
            "span=1,1,0,ccs,hdb3",
            "dynamic=eth,x/1/2,24",
            "bchan=1-9999,5-2,a",
            "channel=>70000",
            "=",
            "e&m=1-24:0",
            "rxgain=\"\u{1}",
            "spanmap=>1,2,3",
        ];
        for _ in 0..500 {
            let mut pick = || words[usize::try_from(rng.below(8)).expect("small")];
            let text: Vec<&str> = (0..12).map(|_| pick()).collect();
            let made = import(&text.join("\n"), &text.join("\n"));
            assert!(made.starts_with("# Made of"));
        }
    }
}
