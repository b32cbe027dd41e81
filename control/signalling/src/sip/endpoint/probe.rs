//! OPTIONS probes: whether a peer lives (RFC 3261 §11). Two missed in a row and it is down; one answer and it is up.

use super::Probe;
use super::alarms::Who;
use super::request::via_word;
use super::tx::Owner;
use super::{Endpoint, Hop, Output};
use crate::sip::wire::{HeaderId, Message, Writer};
use std::collections::BTreeMap;
use units::Now;

/// Probes missed in a row before a peer counts as down.
const MISSED_MAX: u8 = 2;

/// Peers that are probed, by numbers that are never used again: an alarm of one that is gone finds nothing.
#[derive(Debug, Default)]
pub(super) struct Probed {
    peers: BTreeMap<usize, (Probe, Health)>,
    next: usize,
}

impl Probed {
    pub(super) fn add(&mut self, probe: Probe) -> usize {
        self.next += 1;
        self.peers.insert(self.next, (probe, Health::default()));
        self.next
    }
}

/// What is known of a probed peer.
#[derive(Clone, Copy, Debug, Default)]
struct Health {
    up: Option<bool>,
    missed: u8,
    /// The probe that is out.
    tx: Option<u64>,
    count: u32,
}

impl Endpoint {
    /// Probes these from now on; what is known of those that stay is kept.
    pub(super) fn set_probes(&mut self, now: Now, probes: &[Probe]) {
        self.probed.peers.retain(|_, (probe, _)| probes.contains(probe));
        for probe in probes {
            if !self.probed.peers.values().any(|(known, _)| known == probe) {
                let n = self.probed.add(*probe);
                self.alarms.arm(Who::Probe(n), None, Some(now.mono));
            }
        }
    }

    pub(super) fn probe_due(&mut self, now: Now, n: usize) {
        let Some((probe, health)) = self.probed.peers.get_mut(&n) else { return };
        let (probe, missed) = (*probe, health.tx.take());
        health.missed = if missed.is_some() { health.missed.saturating_add(1) } else { 0 };
        health.count = health.count.wrapping_add(1);
        let (down, count) = (health.missed >= MISSED_MAX, health.count);
        if let Some(tx) = missed {
            self.drop_tx(tx);
        }
        if down {
            self.peer_state(n, false);
        }
        self.alarms.arm(Who::Probe(n), None, Some(now.mono + probe.every));
        let hop = Hop { transport: probe.transport, to: probe.to, flow: None };
        if let Some((bytes, branch)) = self.options(hop, n, count) {
            let tx = self.start_client(now, Owner::Probe(n), hop, &branch, "OPTIONS", bytes);
            if let Some((_, health)) = self.probed.peers.get_mut(&n) {
                health.tx = Some(tx);
            }
        }
    }

    fn options(&self, hop: Hop, n: usize, count: u32) -> Option<(Vec<u8>, String)> {
        let own = self.own(hop.transport);
        let name = self.namer.name("probe", &[&n.to_be_bytes(), &count.to_be_bytes()]);
        let call_id = format!("{:x}.{name}@carillon", self.config.shard);
        let branch = self.namer.branch(&call_id, "probe", 1, "OPTIONS");
        let by = if hop.transport == crate::leg::Transport::Tls { ";transport=tls" } else { "" };
        let mut w = Writer::request("OPTIONS", &format!("sip:{}{by}", hop.to));
        w.field(
            HeaderId::Via,
            format_args!("SIP/2.0/{} {own};branch={branch};rport", via_word(hop.transport)),
        );
        w.field(HeaderId::MaxForwards, 70);
        w.field(HeaderId::From, format_args!("<sip:{own}>;tag={}", name.get(..16).unwrap_or_default()));
        w.field(HeaderId::To, format_args!("<sip:{}>", hop.to));
        w.field(HeaderId::CallId, call_id);
        w.field(HeaderId::CSeq, "1 OPTIONS");
        w.field(HeaderId::UserAgent, &self.config.user_agent);
        w.finish("", b"").ok().map(|bytes| (bytes, branch))
    }

    /// An answer to a probe. Any final one shows life, but 503 says that no call is wanted.
    pub(super) fn probe_answered(&mut self, owner: Owner, m: &Message<'_>) {
        let (Owner::Probe(n), Some(status)) = (owner, m.status()) else { return };
        if status < 200 {
            return;
        }
        if let Some((_, health)) = self.probed.peers.get_mut(&n) {
            health.tx = None;
            health.missed = 0;
        }
        self.peer_state(n, status != 503);
    }

    fn peer_state(&mut self, n: usize, up: bool) {
        let Some((probe, health)) = self.probed.peers.get_mut(&n) else { return };
        if health.up != Some(up) {
            health.up = Some(up);
            self.out.push_back(Output::PeerState { peer: probe.to, up });
        }
    }
}
