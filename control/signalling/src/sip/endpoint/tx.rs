//! The table of transactions: matching (RFC 3261 §17.1.3, §17.2.3), and the octets that the machines ask to be sent.

use super::{Endpoint, Hop, Output};
use crate::leg::Transport;
use crate::sip::endpoint::alarms::Who;
use crate::sip::transaction::{
    ClientInvite, ClientOther, ClientOutput, ServerInvite, ServerOther, ServerOutput,
};
use crate::sip::transaction::{client_invite, server_invite};
use crate::sip::wire::scan::clean;
use crate::sip::wire::{Core, HeaderId, Limits, Message, Method, Start, Writer, values};
use std::collections::HashSet;
use units::{LegId, Mono, Now};

/// A request longer than this does not go by UDP if there is a choice (RFC 3261 §18.1.1).
const UDP_OCTETS_MAX: usize = 1_300;
/// How the topmost Via of a request of ours over UDP begins.
const VIA: &[u8] = b"\r\nVia: SIP/2.0/UDP ";

/// Whose transaction it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Leg(LegId, Purpose),
    Probe(usize),
    Registration(usize),
    Nobody,
}

/// What a leg's transaction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Invite,
    Reinvite,
    Cancel,
    Bye,
    Prack,
    Update,
    Info,
    Refer,
    Notify,
}

#[derive(Clone, Debug)]
pub(super) enum Machine {
    ClientInvite(ClientInvite),
    ClientOther(ClientOther),
    ServerInvite(ServerInvite),
    ServerOther(ServerOther),
}

/// One transaction.
#[derive(Debug)]
pub(super) struct Tx {
    pub(super) machine: Machine,
    key: Box<[u8]>,
    pub(super) owner: Owner,
    pub(super) hop: Hop,
    /// The request of a client, the last response of a server.
    pub(super) bytes: Vec<u8>,
    ack: Option<Vec<u8>>,
    pub(super) armed: Option<Mono>,
    /// How often the request was sent anew before (credentials, 422).
    pub(super) tries: u8,
    /// It went by TCP for its size; over UDP it is this.
    fallback: Option<Box<(Hop, Vec<u8>)>>,
}

impl Tx {
    fn deadline(&self) -> Option<Mono> {
        match &self.machine {
            Machine::ClientInvite(m) => m.deadline().map(|d| d.0),
            Machine::ClientOther(m) => m.deadline().map(|d| d.0),
            Machine::ServerInvite(m) => m.deadline().map(|d| d.0),
            Machine::ServerOther(m) => m.deadline().map(|d| d.0),
        }
    }
}

/// RFC 3261 §17.1.3: branch and method.
pub(super) fn client_key(branch: &str, method: &str) -> Box<[u8]> {
    [b"c|", branch.as_bytes(), b"|", method.as_bytes()].concat().into()
}

/// RFC 3261 §17.2.3: branch, sent-by and method; without the cookie the fields that RFC 2543 compared.
pub(super) fn server_key(m: &Message<'_>, core: &Core<'_>, method: Method<'_>) -> Box<[u8]> {
    let method = if method == Method::Ack { "INVITE" } else { method.as_str() };
    if let Some(branch) = core.via.branch() {
        let sent_by = core.via.sent_by.to_ascii_lowercase();
        return [b"s|", branch.as_bytes(), b"|", sent_by.as_bytes(), b"|", method.as_bytes()].concat().into();
    }
    let uri = match m.start() {
        Start::Request { uri, .. } => uri,
        Start::Response { .. } => b"",
    };
    let via = m.first(HeaderId::Via).and_then(|v| values(v).next()).unwrap_or_default();
    let cseq = core.cseq.number.to_be_bytes();
    let tag = core.from.tag().unwrap_or_default();
    [
        b"2|",
        uri,
        b"|",
        tag.as_bytes(),
        b"|",
        core.call_id.as_bytes(),
        b"|",
        &cseq,
        via,
        b"|",
        method.as_bytes(),
    ]
    .concat()
    .into()
}

/// A request that belongs to one of ours hop by hop, CANCEL or the ACK for a non-2xx (RFC 3261 §9.1, §17.1.1.3): same
/// Request-URI, topmost Via, From, Call-ID, number and Route; `to` is the request's own, or the response's.
pub(super) fn derived(
    request: &[u8],
    method: &str,
    to: Option<&[u8]>,
    reason: Option<&str>,
) -> Option<Vec<u8>> {
    let m = Message::parse(request, &Limits::default()).ok()?;
    let Start::Request { uri, .. } = m.start() else { return None };
    let mut w = Writer::request(method, &clean(uri));
    w.field(HeaderId::Via, clean(m.first(HeaderId::Via)?));
    for route in m.all(HeaderId::Route) {
        w.field(HeaderId::Route, clean(route));
    }
    w.field(HeaderId::MaxForwards, 70);
    w.field(HeaderId::From, clean(m.first(HeaderId::From)?));
    w.field(HeaderId::To, clean(to.or_else(|| m.first(HeaderId::To))?));
    w.field(HeaderId::CallId, clean(m.first(HeaderId::CallId)?));
    let number = crate::sip::wire::core::CSeq::parse(m.first(HeaderId::CSeq)?)?.number;
    w.field(HeaderId::CSeq, format_args!("{number} {method}"));
    if let Some(reason) = reason {
        w.field(HeaderId::Reason, reason);
    }
    w.finish("", b"").ok()
}

impl Endpoint {
    /// Starts a client transaction and sends its request.
    pub(super) fn start_client(
        &mut self,
        now: Now,
        owner: Owner,
        hop: Hop,
        branch: &str,
        method: &str,
        bytes: Vec<u8>,
    ) -> u64 {
        let (hop, bytes, fallback) = match self.by_stream(hop, &bytes) {
            Some((stream, rewritten)) => (stream, rewritten, Some(Box::new((hop, bytes)))),
            None => (hop, bytes, None),
        };
        let machine = self.client_machine(now, hop, method);
        let id = self.add_tx(machine, client_key(branch, method), owner, hop, bytes);
        if let Some(tx) = self.txs.get_mut(&id) {
            tx.fallback = fallback;
        }
        self.drive_client(now, id, None, None);
        id
    }

    fn client_machine(&self, now: Now, hop: Hop, method: &str) -> Machine {
        let (reliable, timers) = (hop.transport != Transport::Udp, self.config.timers);
        if method == "INVITE" {
            Machine::ClientInvite(ClientInvite::new(now, reliable, timers))
        } else {
            Machine::ClientOther(ClientOther::new(now, reliable, timers))
        }
    }

    /// RFC 3261 §18.1.1: a request that UDP could not carry without fragments goes by a congestion-controlled transport,
    /// and its Via says so.
    fn by_stream(&self, hop: Hop, bytes: &[u8]) -> Option<(Hop, Vec<u8>)> {
        let own = self.config.advertised.tcp?;
        let short = bytes.len() <= UDP_OCTETS_MAX;
        if hop.transport != Transport::Udp || short || self.streamless.contains(&hop.to) {
            return None;
        }
        let start = bytes.windows(VIA.len()).position(|w| w == VIA)?;
        let end = start + bytes.get(start..)?.iter().position(|b| *b == b';')?;
        let via = format!("\r\nVia: SIP/2.0/TCP {own}");
        let rewritten = [bytes.get(..start)?, via.as_bytes(), bytes.get(end..)?].concat();
        Some((Hop { transport: Transport::Tcp, flow: None, ..hop }, rewritten))
    }

    /// The stream could not be opened: the request goes by UDP after all (RFC 3261 §18.1.1). Whether it does.
    pub(super) fn falls_back(&mut self, now: Now, id: u64) -> bool {
        let Some(tx) = self.txs.get_mut(&id) else { return false };
        let Some(fallback) = tx.fallback.take() else { return false };
        let invite = matches!(tx.machine, Machine::ClientInvite(_));
        let (hop, bytes) = *fallback;
        self.tx_by_peer.remove(&(tx.hop.transport, tx.hop.to, id));
        self.tx_by_peer.insert((hop.transport, hop.to, id));
        if self.streamless.len() < self.config.limits.sources_max {
            self.streamless.insert(hop.to);
        }
        (tx.hop, tx.bytes) = (hop, bytes);
        let machine = self.client_machine(now, hop, if invite { "INVITE" } else { "" });
        if let Some(tx) = self.txs.get_mut(&id) {
            tx.machine = machine;
        }
        self.drive_client(now, id, None, None);
        true
    }

    /// Starts a server transaction; nothing is sent yet.
    pub(super) fn start_server(&mut self, key: Box<[u8]>, owner: Owner, hop: Hop, invite: bool) -> u64 {
        let reliable = hop.transport != Transport::Udp;
        let timers = self.config.timers;
        let machine = if invite {
            Machine::ServerInvite(ServerInvite::new(reliable, timers))
        } else {
            Machine::ServerOther(ServerOther::new(reliable, timers))
        };
        self.add_tx(machine, key, owner, hop, Vec::new())
    }

    fn add_tx(&mut self, machine: Machine, key: Box<[u8]>, owner: Owner, hop: Hop, bytes: Vec<u8>) -> u64 {
        self.tx_next += 1;
        let id = self.tx_next;
        self.tx_by_key.insert(key.clone(), id);
        if let Some(flow) = hop.flow.filter(|_| hop.transport != Transport::Udp) {
            let keyed = self.keyed;
            self.tx_by_stream.entry(flow).or_insert_with(|| HashSet::with_hasher(keyed)).insert(id);
        }
        if matches!(machine, Machine::ClientInvite(_) | Machine::ClientOther(_)) {
            self.tx_by_peer.insert((hop.transport, hop.to, id));
        }
        let (ack, armed, tries, fallback) = (None, None, 0, None);
        self.txs.insert(id, Tx { machine, key, owner, hop, bytes, ack, armed, tries, fallback });
        id
    }

    /// One input for a client machine (`None`: only what it has to say), with the response that came, if one did.
    pub(super) fn drive_client(
        &mut self,
        now: Now,
        id: u64,
        input: Option<client_invite::Input>,
        response: Option<(&Message<'_>, &Core<'_>)>,
    ) {
        let Some(tx) = self.txs.get_mut(&id) else { return };
        match (&mut tx.machine, input) {
            (Machine::ClientInvite(m), Some(input)) => m.handle(now, input),
            (Machine::ClientOther(m), Some(input)) => m.handle(now, input),
            _ => {}
        }
        // A machine may be gone, with its entry, before its user hears of the last output.
        while let Some(output) = self.poll_client(id) {
            self.client_output(now, id, output, response);
        }
        self.arm_tx(id);
    }

    fn poll_client(&mut self, id: u64) -> Option<ClientOutput> {
        match &mut self.txs.get_mut(&id)?.machine {
            Machine::ClientInvite(m) => m.poll(),
            Machine::ClientOther(m) => m.poll(),
            _ => None,
        }
    }

    fn client_output(
        &mut self,
        now: Now,
        id: u64,
        output: ClientOutput,
        response: Option<(&Message<'_>, &Core<'_>)>,
    ) {
        let Some(tx) = self.txs.get_mut(&id) else { return };
        let (owner, hop) = (tx.owner, tx.hop);
        match output {
            ClientOutput::SendRequest => {
                let bytes = tx.bytes.clone();
                self.transmit(hop, bytes);
            }
            ClientOutput::SendAck => {
                if tx.ack.is_none() {
                    let to = response.and_then(|(m, _)| m.first(HeaderId::To));
                    tx.ack = derived(&tx.bytes, "ACK", to, None);
                }
                if let Some(ack) = tx.ack.clone() {
                    self.transmit(hop, ack);
                }
            }
            ClientOutput::Deliver => {
                if let Some((m, core)) = response {
                    self.responded(now, id, owner, m, core);
                }
            }
            ClientOutput::TimedOut | ClientOutput::Failed => self.unanswered(now, owner),
            ClientOutput::Gone => self.drop_tx(id),
        }
    }

    /// One input for a server machine. Whether it handed an ACK up.
    pub(super) fn drive_server(&mut self, now: Now, id: u64, input: server_invite::Input) -> bool {
        let Some(tx) = self.txs.get_mut(&id) else { return false };
        match &mut tx.machine {
            Machine::ServerInvite(m) => m.handle(now, input),
            Machine::ServerOther(m) => m.handle(now, input),
            _ => {}
        }
        let mut delivered = false;
        while let Some(output) = self.poll_server(id) {
            match output {
                ServerOutput::SendResponse => {
                    if let Some((hop, bytes)) = self.txs.get(&id).map(|tx| (tx.hop, tx.bytes.clone())) {
                        self.transmit(hop, bytes);
                    }
                }
                ServerOutput::Deliver => delivered = true,
                // A refusal that nobody acknowledged ends nothing that has not ended.
                ServerOutput::TimedOut | ServerOutput::Failed => {}
                ServerOutput::Gone => self.drop_tx(id),
            }
        }
        self.arm_tx(id);
        delivered
    }

    fn poll_server(&mut self, id: u64) -> Option<ServerOutput> {
        match &mut self.txs.get_mut(&id)?.machine {
            Machine::ServerInvite(m) => m.poll(),
            Machine::ServerOther(m) => m.poll(),
            _ => None,
        }
    }

    /// Gives a server transaction its response.
    pub(super) fn respond(&mut self, now: Now, id: u64, status: u16, bytes: Vec<u8>) {
        let open = |tx: &&mut Tx| match &tx.machine {
            Machine::ServerInvite(m) => m.is_open(),
            Machine::ServerOther(m) => m.is_open(),
            _ => false,
        };
        // One final response, whoever was first: what was sent must stay what is repeated.
        if let Some(tx) = self.txs.get_mut(&id).filter(open) {
            tx.bytes = bytes;
            self.drive_server(now, id, server_invite::Input::Respond(status));
        }
    }

    /// A transaction's deadline came.
    pub(super) fn tx_due(&mut self, now: Now, id: u64, at: Mono) {
        let Some(tx) = self.txs.get_mut(&id).filter(|tx| tx.armed == Some(at)) else { return };
        tx.armed = None;
        if tx.deadline().is_some_and(|d| d <= now.mono) {
            match tx.machine {
                Machine::ClientInvite(_) | Machine::ClientOther(_) => {
                    self.drive_client(now, id, Some(client_invite::Input::Timer), None);
                }
                _ => {
                    self.drive_server(now, id, server_invite::Input::Timer);
                }
            }
        }
        self.arm_tx(id);
    }

    fn arm_tx(&mut self, id: u64) {
        if let Some(tx) = self.txs.get_mut(&id) {
            tx.armed = self.alarms.arm(Who::Tx(id), tx.armed, tx.deadline());
        }
    }

    pub(super) fn drop_tx(&mut self, id: u64) {
        let Some(tx) = self.txs.remove(&id) else { return };
        self.tx_by_peer.remove(&(tx.hop.transport, tx.hop.to, id));
        if self.tx_by_key.get(&tx.key) == Some(&id) {
            self.tx_by_key.remove(&tx.key);
        }
        if let Some(flow) = tx.hop.flow
            && let Some(on_it) = self.tx_by_stream.get_mut(&flow)
        {
            on_it.remove(&id);
            if on_it.is_empty() {
                self.tx_by_stream.remove(&flow);
            }
        }
    }

    pub(super) fn transmit(&mut self, hop: Hop, bytes: Vec<u8>) {
        self.out.push_back(Output::Transmit { flow: hop.flow, transport: hop.transport, to: hop.to, bytes });
    }
}
