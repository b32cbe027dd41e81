//! `[[spans]]`: T1 and E1 lines, in the words of `system.conf` and `chan_dahdi.conf` where those have one.

use super::{Config, Fault};
use serde::{Deserialize, Deserializer};
use signalling::cas::{self, Bits, Pulse, Start, Timing};
use signalling::isdn::pri::{Config as Pri, Hunt, Limits, Span as PriSpan};
use signalling::isdn::q921::Side;
use signalling::isdn::q931::call::Timers;
use signalling::isdn::switch::{EURO, NI2, Switch};
use signalling::tdm::{Endpoint, Group};
use std::collections::BTreeMap;
use units::Codec;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Its number: 1, 2, 3 ... in the order of the file.
    pub number: u16,
    /// What it hangs on.
    pub device: Device,
    /// `e1` or `t1`.
    pub kind: LineKind,
    /// Which side we are.
    pub signalling: Signalling,
    /// The exchange's dialect; none: `euroisdn` on an E1, `national` on a T1.
    #[serde(default)]
    pub switchtype: Option<SwitchType>,
    /// Bearer channels; none: all but the D-channel.
    #[serde(default)]
    pub bchan: Option<Slots>,
    /// The D-channel; none: 16 on an E1, 24 on a T1; 0: another span of its `nfas_group` has it.
    #[serde(default)]
    pub dchan: Option<u8>,
    /// Spans of one name share D-channels; the first that has one has the primary, the second the backup.
    #[serde(default)]
    pub nfas_group: Option<String>,
    /// Interface identifier in its group.
    #[serde(default)]
    pub nfas_interface: Option<u8>,
    /// Which free channel is taken first.
    #[serde(default)]
    pub hunt: HuntOrder,
    /// Send numbers digit by digit.
    #[serde(default)]
    pub overlapdial: bool,
    /// Await so many digits of a number that comes digit by digit; none: numbers come whole, on E&M trunks until ST, `#` or
    /// a pause of 3 s.
    #[serde(default)]
    pub overlap_digits: Option<u8>,
    /// How an E&M trunk says digits.
    #[serde(default)]
    pub dialing: Dialing,
    /// Take the line's echo off what callers say: a tail of 128 ms.
    #[serde(default)]
    pub echocancel: bool,
    /// Gain of what is received, dB, -24 to 24.
    #[serde(default)]
    pub rxgain: Decibels,
    /// Gain of what is sent, dB.
    #[serde(default)]
    pub txgain: Decibels,
    /// The exchange joins two calls of ours when asked (explicit call transfer, two B-channel transfer).
    #[serde(default)]
    pub transfer: bool,
}

/// A gain in tenths of a decibel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decibels(i16);

impl Decibels {
    /// In dB.
    #[must_use]
    pub fn db(self) -> f32 {
        f32::from(self.0) / 10.0
    }
}

impl<'de> Deserialize<'de> for Decibels {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Number {
            Whole(i16),
            Real(f64),
        }
        let db = match Number::deserialize(d)? {
            Number::Whole(db) => f64::from(db),
            Number::Real(db) => db,
        };
        let tenths = (-240..=240).find(|tenths| (f64::from(*tenths) - db * 10.0).abs() < 0.01);
        let wanted = || serde::de::Error::custom("a gain in dB is wanted: -24 to 24, in steps of 0.1");
        tenths.map(Self).ok_or_else(wanted)
    }
}

/// What a span hangs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    /// `loopback:2`: wired to that span, in software.
    Loopback(u16),
    /// `dahdi:1` or `dahdi:2/32`: a span of a DAHDI driver by its number, and its first channel (none: 1 for span 1, and
    /// so on by the kinds of the `dahdi` spans before it).
    Dahdi {
        /// Its number.
        span: u16,
        /// Its first channel.
        first: Option<u32>,
    },
    /// `tdmoe:eth0/02:00:00:00:00:02/0`: TDM over Ethernet, as `dynamic=eth,...` of `system.conf`: interface, address
    /// of the peer, subaddress.
    Ethernet {
        /// Interface.
        interface: String,
        /// The peer's hardware address.
        peer: [u8; 6],
        /// Which of its spans.
        subaddress: u16,
    },
    /// `tdmoe-unix:/run/ours.sock,/run/theirs.sock`: the same packets over Unix datagrams.
    Unix {
        /// Our socket.
        own: String,
        /// The peer's.
        peer: String,
    },
}

impl<'de> Deserialize<'de> for Device {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        device(&text).ok_or_else(|| {
            serde::de::Error::custom(
                "a device like \"loopback:2\", \"dahdi:1\", \"tdmoe:eth0/02:00:00:00:00:02/0\" or \"tdmoe-unix:/own,/peer\" is wanted",
            )
        })
    }
}

fn device(text: &str) -> Option<Device> {
    let (kind, rest) = text.split_once(':')?;
    match kind {
        "loopback" => rest.parse().ok().map(Device::Loopback),
        "dahdi" => {
            let (span, first) = rest.split_once('/').map_or((rest, None), |(s, f)| (s, Some(f)));
            let first = first.map(|f| f.parse().ok().filter(|f| *f > 0));
            let span = span.parse().ok().filter(|s| *s > 0)?;
            first
                .is_none_or(|f: Option<u32>| f.is_some())
                .then(|| Device::Dahdi { span, first: first.flatten() })
        }
        "tdmoe" => {
            let mut parts = rest.split('/');
            let (interface, address, sub) = (parts.next()?, parts.next()?, parts.next().unwrap_or("0"));
            let mut peer = [0; 6];
            let mut octets = address.split(':').map(|o| u8::from_str_radix(o, 16));
            for octet in &mut peer {
                *octet = octets.next()?.ok()?;
            }
            let subaddress = sub.parse().ok()?;
            let whole = octets.next().is_none() && parts.next().is_none() && !interface.is_empty();
            whole.then(|| Device::Ethernet { interface: interface.to_owned(), peer, subaddress })
        }
        "tdmoe-unix" => {
            let (own, peer) = rest.split_once(',')?;
            Some(Device::Unix { own: own.to_owned(), peer: peer.to_owned() })
        }
        _ => None,
    }
}

/// E1 or T1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LineKind {
    /// 31 slots, A-law.
    E1,
    /// 24 slots, mu-law.
    T1,
}

/// `signalling` of `chan_dahdi.conf`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signalling {
    /// ISDN primary rate, we are the subscriber.
    PriCpe,
    /// ISDN primary rate, we are the exchange.
    PriNet,
    /// E&M trunks, immediate start.
    Em,
    /// E&M trunks, wink start.
    EmW,
}

/// How an E&M trunk says digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialing {
    /// As a telephone does.
    #[default]
    Dtmf,
    /// R1 multi-frequency, with KP and ST.
    Mf,
}

/// `switchtype` of `chan_dahdi.conf`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SwitchType {
    /// EuroISDN.
    Euroisdn,
    /// National ISDN 2.
    National,
}

/// Order of channel hunting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HuntOrder {
    /// Lowest first.
    #[default]
    Ascending,
    /// Highest first.
    Descending,
    /// Onwards from the last.
    Cyclic,
}

/// Slots as `system.conf` lists them: `1-15,17-31`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slots(pub Vec<u8>);

impl<'de> Deserialize<'de> for Slots {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        let mut all = Vec::new();
        for part in text.split(',') {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            match (from.trim().parse::<u8>(), to.trim().parse::<u8>()) {
                (Ok(from), Ok(to)) if (1..=to).contains(&from) && to <= 31 => all.extend(from..=to),
                _ => return Err(serde::de::Error::custom("slots like \"1-15,17-31\" are wanted")),
            }
        }
        Ok(Slots(all))
    }
}

/// Slots as `system.conf` lists them.
pub(super) fn slots_text(slots: &[u8]) -> String {
    let mut parts: Vec<(u8, u8)> = Vec::new();
    for &slot in slots {
        match parts.last_mut() {
            Some((_, to)) if *to + 1 == slot => *to = slot,
            _ => parts.push((slot, slot)),
        }
    }
    let text = |(from, to): (u8, u8)| if from == to { from.to_string() } else { format!("{from}-{to}") };
    parts.into_iter().map(text).collect::<Vec<_>>().join(",")
}

impl Line {
    /// Slots that it has.
    #[must_use]
    pub fn slots(&self) -> u8 {
        match self.kind {
            LineKind::E1 => 31,
            LineKind::T1 => 24,
        }
    }

    /// Whether its signalling is channel-associated.
    #[must_use]
    pub fn is_cas(&self) -> bool {
        matches!(self.signalling, Signalling::Em | Signalling::EmW)
    }

    /// The slot of its D-channel, if it has one.
    #[must_use]
    pub fn d_slot(&self) -> Option<u8> {
        if self.is_cas() {
            return None;
        }
        let usual = match self.kind {
            LineKind::E1 => 16,
            LineKind::T1 => 24,
        };
        Some(self.dchan.unwrap_or(usual)).filter(|slot| *slot != 0)
    }

    /// G.711 as this kind of line carries it.
    #[must_use]
    pub fn codec(&self) -> Codec {
        match self.kind {
            LineKind::E1 => Codec::Pcma,
            LineKind::T1 => Codec::Pcmu,
        }
    }

    fn switch(&self) -> Switch {
        match (self.switchtype, self.kind) {
            (Some(SwitchType::Euroisdn), _) | (None, LineKind::E1) => EURO,
            (Some(SwitchType::National), _) | (None, LineKind::T1) => NI2,
        }
    }

    fn pri_span(&self) -> PriSpan {
        let d_channel = self.d_slot().is_some();
        PriSpan { number: self.number, interface: self.nfas_interface, channels: self.channels(), d_channel }
    }

    /// Slots that carry voice. An E1 with CAS has its bits in timeslot 16 (G.704 §5.1.3).
    fn channels(&self) -> Vec<u8> {
        let bits = (self.is_cas() && self.kind == LineKind::E1).then_some(16);
        let all = || (1..=self.slots()).filter(|s| Some(*s) != self.d_slot() && Some(*s) != bits).collect();
        self.bchan.as_ref().map_or_else(all, |b| b.0.clone())
    }

    fn em(&self) -> cas::Config {
        cas::Config {
            number: self.number,
            channels: self.channels(),
            start: if self.signalling == Signalling::Em { Start::Immediate } else { Start::Wink },
            pulse: match self.dialing {
                Dialing::Dtmf => Pulse::Dtmf,
                Dialing::Mf => Pulse::Mf,
            },
            bits: match self.kind {
                LineKind::T1 => Bits::T1,
                LineKind::E1 => Bits::E1,
            },
            hunt: self.order(),
            digits: self.overlap_digits,
            timing: Timing::default(),
            legs_from: 0,
        }
    }

    fn order(&self) -> Hunt {
        match self.hunt {
            HuntOrder::Ascending => Hunt::Ascending,
            HuntOrder::Descending => Hunt::Descending,
            HuntOrder::Cyclic => Hunt::Cyclic,
        }
    }
}

impl Config {
    /// Signalling of all spans, not started.
    #[must_use]
    pub fn tdm(&self) -> Endpoint {
        let mut shared: BTreeMap<&str, usize> = BTreeMap::new();
        let mut pris: Vec<Pri> = Vec::new();
        for line in self.spans.iter().filter(|l| !l.is_cas()) {
            if let Some(group) = &line.nfas_group {
                if let Some(&n) = shared.get(group.as_str()) {
                    pris[n].spans.push(line.pri_span());
                    continue;
                }
                shared.insert(group, pris.len());
            }
            pris.push(pri(line));
        }
        let trunks = self.spans.iter().filter(|l| l.is_cas()).map(Line::em).collect();
        let groups = self.trunks.iter().filter(|t| !t.spans.is_empty());
        let group =
            |t: &super::Trunk| Group { name: t.name.clone(), spans: t.spans.clone(), ton: t.ton.code() };
        Endpoint::new(pris, trunks, groups.map(group).collect())
    }

    pub(super) fn span_faults(&self, faults: &mut Vec<(String, Fault)>) {
        let mut wrong = |path: String, key, why| faults.push((path, Fault::Against(key, why)));
        for (n, line) in (1u16..).zip(&self.spans) {
            let find = format!("spans[{}].number", n - 1);
            if line.number != n {
                wrong(find, "spans.number", "spans are numbered 1, 2, 3 ... in the order of the file");
                continue;
            }
            let d = line.d_slot();
            if d.is_some_and(|slot| slot > line.slots()) {
                wrong(find, "spans.dchan", "an E1 has slots 1 to 31, a T1 1 to 24");
                continue;
            }
            let bits = (line.is_cas() && line.kind == LineKind::E1).then_some(16);
            let bad = |slot: &u8| *slot > line.slots() || Some(*slot) == d || Some(*slot) == bits;
            if line.bchan.as_ref().is_some_and(|b| b.0.iter().any(bad)) {
                wrong(
                    find,
                    "spans.bchan",
                    "slots of the span other than its D-channel or its signalling bits",
                );
                continue;
            }
            if line.is_cas()
                && (line.dchan.is_some() || line.switchtype.is_some() || line.nfas_group.is_some())
            {
                let why = "an E&M span has no D-channel: no dchan, switchtype or nfas_group";
                wrong(find, "spans.signalling", why);
                continue;
            }
            if d.is_none() && !line.is_cas() && line.nfas_group.is_none()
                || line.nfas_group.is_some() != line.nfas_interface.is_some()
            {
                let why = "a span without D-channel needs nfas_group, and a group nfas_interface";
                wrong(find, "spans.nfas_group", why);
                continue;
            }
            if let Device::Loopback(peer) = line.device {
                let back = self.spans.iter().find(|s| s.number == peer);
                let mutual = back.is_some_and(|s| {
                    s.device == Device::Loopback(n)
                        && s.kind == line.kind
                        && speak(s.signalling, line.signalling)
                });
                if !mutual || n.abs_diff(peer) != 1 || n.min(peer) % 2 == 0 {
                    let why = "loops join spans 1 and 2, 3 and 4 ..., of one kind, one pri_cpe and one pri_net, or \
                               both em or em_w";
                    wrong(find, "spans.device", why);
                }
            }
        }
        for (at, trunk) in self.trunks.iter().enumerate() {
            if trunk.spans.iter().any(|n| !self.spans.iter().any(|s| s.number == *n)) {
                wrong(format!("trunks[{at}].spans"), "trunks.spans", "there is no such span");
            }
            if trunk.spans.is_empty() && trunk.is_nowhere() {
                wrong(format!("trunks[{at}].name"), "trunks.address", "a trunk has an address, or spans");
            }
        }
    }
}

/// Whether two ends of a line understand each other.
fn speak(a: Signalling, b: Signalling) -> bool {
    match (a, b) {
        (Signalling::Em | Signalling::EmW, _) | (_, Signalling::Em | Signalling::EmW) => a == b,
        _ => a != b,
    }
}

fn pri(line: &Line) -> Pri {
    let side = match line.signalling {
        Signalling::PriNet => Side::Network,
        // E&M spans have no side, and are not asked.
        Signalling::PriCpe | Signalling::Em | Signalling::EmW => Side::User,
    };
    Pri {
        side,
        switch: line.switch(),
        timers: Timers::of(side),
        spans: vec![line.pri_span()],
        hunt: line.order(),
        overlap_dial: line.overlapdial,
        overlap_receive: line.overlap_digits,
        transfer: line.transfer,
        legs_from: 0,
        limits: Limits::default(),
    }
}

/// `pridialplan` of `chan_dahdi.conf`: type of numbers that have no `+`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NumberType {
    /// The exchange finds out.
    #[default]
    Unknown,
    /// With country code.
    International,
    /// With area code.
    National,
    /// Local.
    Local,
}

impl NumberType {
    /// Q.931 §4.5.10.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            NumberType::Unknown => 0,
            NumberType::International => 1,
            NumberType::National => 2,
            NumberType::Local => 4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    const PAIR: &str = "
[[spans]]
number = 1
device = \"loopback:2\"
kind = \"e1\"
signalling = \"pri_cpe\"
[[spans]]
number = 2
device = \"loopback:1\"
kind = \"e1\"
signalling = \"pri_net\"
bchan = \"1-15,17-31\"
hunt = \"descending\"
[[trunks]]
name = \"north\"
spans = [1]
pridialplan = \"national\"
";

    #[test]
    fn two_spans_wired_to_each_other_make_two_d_channels() {
        let config = parse("t", PAIR).expect("reads");
        let tdm = config.tdm();
        let view = tdm.view();
        assert_eq!(
            view.iter().map(|v| (v.span, v.switch, v.channels.len())).collect::<Vec<_>>(),
            [(1, "euroisdn", 30), (2, "euroisdn", 30)]
        );
        assert_eq!((tdm.groups()[0].name.as_str(), tdm.groups()[0].ton), ("north", 2));
    }

    #[test]
    fn devices_are_written_as_telcos_write_them() {
        let check = |text: &str, want: Option<Device>| assert_eq!(device(text), want, "{text}");
        check("loopback:7", Some(Device::Loopback(7)));
        let peer = [2, 0, 0, 0, 0, 2];
        let eth0 = |subaddress| Some(Device::Ethernet { interface: "eth0".into(), peer, subaddress });
        check("tdmoe:eth0/02:00:00:00:00:02/3", eth0(3));
        check("tdmoe:eth0/02:00:00:00:00:02", eth0(0));
        check("tdmoe:eth0/02:00:00:00:00", None);
        check("tdmoe-unix:/a,/b", Some(Device::Unix { own: "/a".into(), peer: "/b".into() }));
        check("dahdi:1", Some(Device::Dahdi { span: 1, first: None }));
        check("dahdi:2/32", Some(Device::Dahdi { span: 2, first: Some(32) }));
        check("dahdi:0", None);
        check("dahdi:1/x", None);
        check("wanpipe:1", None);
    }

    #[test]
    fn spans_that_cannot_be_are_refused() {
        let complaint = |from: &str, to: &str| {
            let problems = parse("t", &PAIR.replacen(from, to, 1)).expect_err("must be refused");
            problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        };
        assert!(complaint("number = 2", "number = 3").contains("numbered 1, 2, 3"));
        assert!(complaint("17-31", "16-31").contains("spans.bchan"));
        assert!(complaint("loopback:1", "loopback:3").contains("loops join"));
        assert!(complaint("spans = [1]", "spans = [9]").contains("no such span"));
        assert!(complaint("spans = [1]\n", "").contains("trunks.address"));
        assert!(complaint("1-15,17-31", "1-99").contains("slots like"));
    }

    #[test]
    fn e_and_m_spans_have_trunks_and_no_d_channel() {
        let em = PAIR
            .replace("pri_cpe", "em_w")
            .replace(
                "pri_net",
                "em_w\"\ndialing = \"mf\"\nechocancel = true\nrxgain = -3.5\ntxgain = 2\nhunt = \"cyclic",
            )
            .replace("hunt = \"descending\"\n", "");
        let config = parse("t", &em).expect("reads");
        let view = config.tdm().view();
        assert_eq!(
            view.iter().map(|v| (v.switch, v.link.is_some(), v.channels.len())).collect::<Vec<_>>(),
            [("em_w", false, 30), ("em_w", false, 30)]
        );
        let line = &config.spans[1];
        assert!(line.echocancel && line.d_slot().is_none() && line.dialing == Dialing::Mf);
        assert_eq!((line.rxgain.db(), line.txgain.db()), (-3.5, 2.0));
        let complaint = |text: &str| {
            let problems = parse("t", text).expect_err("must be refused");
            problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        };
        assert!(complaint(&em.replacen("em_w", "em", 1)).contains("loops join"));
        assert!(complaint(&em.replacen("em_w\"", "em_w\"\ndchan = 16", 1)).contains("no D-channel"));
        assert!(complaint(&em.replace("-3.5", "-35")).contains("gain in dB"));
    }

    #[test]
    fn spans_of_one_group_share_their_d_channels() {
        let span = |n: u16, d: u8| {
            format!(
                "[[spans]]\nnumber = {n}\ndevice = \"tdmoe-unix:/a{n},/b{n}\"\nkind = \"t1\"\nsignalling = \"pri_cpe\"\n\
                 dchan = {d}\nnfas_group = \"g\"\nnfas_interface = {}\n",
                n - 1
            )
        };
        let config = parse("t", &[span(1, 24), span(2, 24), span(3, 0)].concat()).expect("reads");
        let view = config.tdm().view();
        assert_eq!(
            view.iter().map(|v| (v.channels.len(), v.link.is_some())).collect::<Vec<_>>(),
            [(23, true), (23, true), (24, false)]
        );
    }
}
