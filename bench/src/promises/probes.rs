//! Which command of this program measures a promise, and how its figure is read from what the command prints.

use super::table::scale;
use serde_json::Value;

/// What was measured: in ns, octets or a plain number, as the goal; and for people.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Figure {
    pub(super) value: f64,
    pub(super) text: String,
}

/// How a promise is measured.
pub(super) struct Probe {
    /// How the promise's text begins.
    pub(super) row: &'static str,
    /// The command's words.
    pub(super) command: &'static [&'static str],
    /// Whether it takes seconds only.
    pub(super) quick: bool,
    /// Reads the figure.
    pub(super) read: fn(&str) -> Option<Figure>,
}

const BEARERS: &[&str] = &["media", "--backend", "sockets", "--bearers", "2000", "--seconds", "10"];
const SMALL: &[&str] =
    &["headline", "--hold", "50", "--seconds", "5", "--no-pin", "--plain", "--backend", "auto"];

/// Probes of the table's rows.
pub(super) const PROBES: &[Probe] = &[
    Probe {
        row: "Parse and mandatory typed headers",
        command: &["sip"],
        quick: true,
        read: |out| time_after(out, "lists judged:"),
    },
    Probe {
        row: "Call set up and ended, both ends in one process",
        command: &["sip"],
        quick: true,
        read: |out| time_after(out, "both ends together:"),
    },
    Probe {
        row: "A confirmed SIP dialog",
        command: &["sip"],
        quick: true,
        read: |out| count_after(out, "octets of a confirmed dialog:", "octets"),
    },
    Probe {
        row: "Decode and DTMF",
        command: &["dsp"],
        quick: true,
        // The worst of the three kinds of sound.
        read: |out| {
            let lines = out.lines().filter(|l| l.starts_with("decode mu-law + DTMF"));
            let ns =
                lines.filter_map(|l| l.split(" ns").next()?.split_whitespace().last()?.parse::<f64>().ok());
            let all: Vec<f64> = ns.collect();
            let worst = all.iter().copied().reduce(f64::max)?;
            let least = all.iter().copied().reduce(f64::min)?;
            Some(Figure { value: worst, text: format!("{least:.0} to {worst:.0} ns") })
        },
    },
    Probe {
        row: "VoiceXML session start on a cached document, without script",
        command: &["vxml"],
        quick: true,
        read: |out| time_after(out, "start without script:"),
    },
    Probe {
        row: "VoiceXML session start on a cached document, with script",
        command: &["vxml"],
        quick: true,
        read: |out| time_after(out, "start with script:"),
    },
    Probe {
        row: "Form-item visits per second",
        command: &["vxml"],
        quick: true,
        read: |out| {
            let line = out.lines().find(|l| l.starts_with("visits:"))?;
            let n = line.split(": ").nth(2)?.split(' ').next()?.parse::<f64>().ok()?;
            Some(Figure { value: n, text: format!("{n:.0}") })
        },
    },
    Probe {
        row: "CPU per bearer-second, prompt and in-band DTMF, `sockets`",
        command: BEARERS,
        quick: false,
        read: |out| {
            let us = number(&json_of(out)?, "/cpu_us_per_bearer_second")?;
            Some(Figure { value: us * 1000.0, text: format!("{us:.0} us at 2,000 bearers") })
        },
    },
    Probe {
        row: "Tick lateness p99",
        command: BEARERS,
        quick: false,
        read: |out| {
            let us = number(&json_of(out)?, "/tick_late_p99_us")?;
            Some(Figure { value: us * 1000.0, text: format!("{:.2} ms at 2,000 bearers", us / 1000.0) })
        },
    },
    Probe {
        row: "Orders over HTTP dispatched to INVITE, whole path",
        command: &["dispatch", "--orders", "500"],
        quick: true,
        read: |out| {
            let n = number(&json_of(out)?, "/dispatched_a_second")?;
            Some(Figure { value: n, text: format!("{n:.0}") })
        },
    },
    Probe {
        row: "Order answered 202 to INVITE at the customer, one process, SQLite, 500 orders/s",
        command: &["dispatch", "--orders", "4000", "--rate", "500"],
        quick: true,
        read: |out| {
            let all = json_of(out)?;
            let at = |share: &str| number(&all, &format!("/accepted_to_invite_ms/{share}"));
            let (p50, p99) = (at("p50")?, at("p99")?);
            Some(Figure { value: p99 * 1e6, text: format!("{p50:.0} / {p99:.0} ms") })
        },
    },
    Probe {
        row: "Fifty VoiceXML calls held for 5 s, whole program",
        command: SMALL,
        quick: true,
        read: |out| {
            let all = json_of(out)?;
            let capacity = number(&all, "/capacity")?;
            let missing = number(&all, "/streams/missing")?;
            Some(Figure {
                value: if capacity >= 50.0 { missing } else { f64::MAX },
                text: format!("{capacity:.0} held, {missing:.0} packets missing"),
            })
        },
    },
    Probe {
        row: "CPU of the load tool a session-second",
        command: SMALL,
        quick: true,
        read: |out| {
            let all = json_of(out)?;
            let far = number(&all, "/far_end/cpu_us_per_session_second")?;
            let server = number(&all, "/server/cpu_us_per_session_second")?;
            Some(Figure { value: far / server, text: format!("{far:.0} us; server {server:.0} us") })
        },
    },
    Probe {
        row: "Complete VoiceXML calls held at once, media on one core",
        command: &["headline", "--hold", "500", "--max", "8000", "--seconds", "20", "--plain"],
        quick: false,
        read: |out| {
            let all = json_of(out)?;
            let n = number(&all, "/capacity")?;
            let bound = if all["bounded_by_the_far_end"] == true {
                ", bounded by the generator: does not count"
            } else {
                ""
            };
            Some(Figure { value: n, text: format!("{n:.0}{bound}") })
        },
    },
];

/// A duration as Rust writes it, after a marker: `2.1µs`.
fn time_after(out: &str, marker: &str) -> Option<Figure> {
    let rest = out.split(marker).nth(1)?.trim_start();
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let number = rest[..end].parse::<f64>().ok()?;
    let unit: String = rest[end..].chars().take_while(|c| c.is_alphabetic() || *c == 'µ').collect();
    let text = format!("{number:.1} {}", unit.replace('µ', "u"));
    Some(Figure { value: number * if unit == "ns" { 1.0 } else { scale(&unit) }, text })
}

fn count_after(out: &str, marker: &str, unit: &str) -> Option<Figure> {
    let word = out.split(marker).nth(1)?.split_whitespace().next()?;
    let value = word.parse::<f64>().ok()?;
    Some(Figure { value, text: format!("{word} {unit}") })
}

/// The first JSON object that stands at the begin of a line.
fn json_of(out: &str) -> Option<Value> {
    let at = out.match_indices('{').find(|(i, _)| *i == 0 || out.as_bytes()[i - 1] == b'\n')?.0;
    serde_json::Deserializer::from_str(&out[at..]).into_iter::<Value>().next()?.ok()
}

fn number(v: &Value, path: &str) -> Option<f64> {
    v.pointer(path)?.as_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_from_what_the_commands_print() {
        let out = "indexed, mandatory fields typed, lists judged: 2.087µs\nocts\noctets of a confirmed dialog: 2660\n\
                   visits: 4000 in 4ms: 993124 a second\nstart without script: 14.2µs; idle\nstart with script: 1.2ms; idle\n\
                   decode mu-law + DTMF, silence   205 ns (median 9)\ndecode mu-law + DTMF, noise   477 ns (median 500)\n";
        let read = |row: &str| {
            let probe = PROBES.iter().find(|p| p.row.starts_with(row)).expect("a probe");
            (probe.read)(out).map(|f| (f.value, f.text))
        };
        assert_eq!(read("Parse"), Some((2087.0, "2.1 us".into())));
        assert_eq!(read("A confirmed"), Some((2660.0, "2660 octets".into())));
        assert_eq!(read("Form-item"), Some((993_124.0, "993124".into())));
        let start = "VoiceXML session start on a cached document";
        assert_eq!(read(&format!("{start}, without")), Some((14_200.0, "14.2 us".into())));
        assert_eq!(read(&format!("{start}, with script")), Some((1_200_000.0, "1.2 ms".into())));
        assert_eq!(read("Decode"), Some((477.0, "205 to 477 ns".into())));
        assert_eq!(read("Call set up"), None);
        let v = json_of("a line\n{\n \"capacity\": 40}\nmore {").expect("an object");
        assert_eq!(number(&v, "/capacity"), Some(40.0));
    }

    #[test]
    fn every_probe_belongs_to_a_row() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/PROMISES.md");
        let text = std::fs::read_to_string(page).expect("the page is there");
        for probe in PROBES {
            assert!(text.contains(&format!("| {}", probe.row)), "{}", probe.row);
        }
    }
}
