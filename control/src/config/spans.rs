//! `[[spans]]`: T1 and E1 lines, in the words of `system.conf` and `chan_dahdi.conf` where those have one.

use super::{Config, Fault};
use serde::{Deserialize, Deserializer};
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
    /// Await so many digits of a number that comes digit by digit; none: numbers come whole.
    #[serde(default)]
    pub overlap_digits: Option<u8>,
}

/// What a span hangs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    /// `loopback:2`: wired to that span, in software.
    Loopback(u16),
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
                "a device like \"loopback:2\", \"tdmoe:eth0/02:00:00:00:00:02/0\" or \"tdmoe-unix:/own,/peer\" is wanted",
            )
        })
    }
}

fn device(text: &str) -> Option<Device> {
    let (kind, rest) = text.split_once(':')?;
    match kind {
        "loopback" => rest.parse().ok().map(Device::Loopback),
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

impl Line {
    /// Slots that it has.
    #[must_use]
    pub fn slots(&self) -> u8 {
        match self.kind {
            LineKind::E1 => 31,
            LineKind::T1 => 24,
        }
    }

    /// The slot of its D-channel, if it has one.
    #[must_use]
    pub fn d_slot(&self) -> Option<u8> {
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
        let d = self.d_slot();
        let all = || (1..=self.slots()).filter(|slot| Some(*slot) != d).collect();
        let channels = self.bchan.as_ref().map_or_else(all, |b| b.0.clone());
        PriSpan { number: self.number, interface: self.nfas_interface, channels, d_channel: d.is_some() }
    }
}

impl Config {
    /// Signalling of all spans, not started.
    #[must_use]
    pub fn tdm(&self) -> Endpoint {
        let mut shared: BTreeMap<&str, usize> = BTreeMap::new();
        let mut pris: Vec<Pri> = Vec::new();
        for line in &self.spans {
            if let Some(group) = &line.nfas_group {
                if let Some(&n) = shared.get(group.as_str()) {
                    pris[n].spans.push(line.pri_span());
                    continue;
                }
                shared.insert(group, pris.len());
            }
            pris.push(pri(line));
        }
        let groups = self.trunks.iter().filter(|t| !t.spans.is_empty());
        let group =
            |t: &super::Trunk| Group { name: t.name.clone(), spans: t.spans.clone(), ton: t.ton.code() };
        Endpoint::new(pris, groups.map(group).collect())
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
            let bad = |slot: &u8| *slot > line.slots() || Some(*slot) == d;
            if line.bchan.as_ref().is_some_and(|b| b.0.iter().any(bad)) {
                wrong(find, "spans.bchan", "slots of the span other than its D-channel");
                continue;
            }
            if d.is_none() && line.nfas_group.is_none()
                || line.nfas_group.is_some() != line.nfas_interface.is_some()
            {
                let why = "a span without D-channel needs nfas_group, and a group nfas_interface";
                wrong(find, "spans.nfas_group", why);
                continue;
            }
            if let Device::Loopback(peer) = line.device {
                let back = self.spans.iter().find(|s| s.number == peer);
                let mutual = back.is_some_and(|s| {
                    s.device == Device::Loopback(n) && s.kind == line.kind && s.signalling != line.signalling
                });
                if !mutual || n.abs_diff(peer) != 1 || n.min(peer) % 2 == 0 {
                    let why =
                        "loops join spans 1 and 2, 3 and 4 ..., of one kind, one pri_cpe and one pri_net";
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

fn pri(line: &Line) -> Pri {
    let side = match line.signalling {
        Signalling::PriCpe => Side::User,
        Signalling::PriNet => Side::Network,
    };
    let hunt = match line.hunt {
        HuntOrder::Ascending => Hunt::Ascending,
        HuntOrder::Descending => Hunt::Descending,
        HuntOrder::Cyclic => Hunt::Cyclic,
    };
    Pri {
        side,
        switch: line.switch(),
        timers: Timers::of(side),
        spans: vec![line.pri_span()],
        hunt,
        overlap_dial: line.overlapdial,
        overlap_receive: line.overlap_digits,
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
        check("dahdi:1", None);
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
