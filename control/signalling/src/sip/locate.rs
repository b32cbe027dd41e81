//! Where a SIP URI leads (RFC 3263): NAPTR, SRV and address records become a list of targets, best first.
//!
//! Sans-IO: [`Locator::poll`] names the next question, [`Locator::handle`] takes its answer, and when there is no further
//! question [`Locator::targets`] is the list. It sends nothing and caches nothing; the shortest life of the records that
//! it used is kept, so that the driver knows when to ask again. An address in figures is its own target and asks nobody.

use crate::leg::Transport;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use units::{Rng, Seed};

/// A question for the domain name system.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Question {
    /// Which services a domain has (RFC 3403).
    Naptr(String),
    /// Which hosts give a service (RFC 2782).
    Srv(String),
    /// The addresses of a host, of both families.
    Addresses(String),
}

/// An answer: records that a question brought; none if there are none, or if nobody answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// NAPTR records.
    pub naptr: Vec<Naptr>,
    /// SRV records.
    pub srv: Vec<Srv>,
    /// Addresses, in the resolver's order.
    pub addresses: Vec<IpAddr>,
    /// How long the records hold, s.
    pub ttl_s: u32,
}

/// A NAPTR record, as far as SIP uses it (RFC 3263 §4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naptr {
    /// Lower first.
    pub order: u16,
    /// Lower first among those of one order.
    pub preference: u16,
    /// `s`: the replacement is the name of SRV records.
    pub flags: String,
    /// `SIP+D2U`, `SIP+D2T`, `SIPS+D2T`.
    pub services: String,
    /// Name to ask for next.
    pub replacement: String,
}

/// An SRV record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srv {
    /// Lower first.
    pub priority: u16,
    /// Share among those of one priority.
    pub weight: u16,
    /// Port.
    pub port: u16,
    /// Host.
    pub target: String,
}

/// A place to send to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    /// By this transport.
    pub transport: Transport,
    /// There.
    pub addr: SocketAddr,
}

/// What is to be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Host or address, as in the URI.
    pub host: String,
    /// Port, if the URI names one.
    pub port: Option<u16>,
    /// Transport, if the URI or the configuration names one.
    pub transport: Option<Transport>,
}

/// How much one search may ask and find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Questions of one search.
    pub questions_max: usize,
    /// Targets kept.
    pub targets_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { questions_max: 32, targets_max: 16 }
    }
}

/// One search.
#[derive(Debug)]
pub struct Locator {
    limits: Limits,
    wanted: Wanted,
    rng: Rng,
    stage: Stage,
    open: VecDeque<Question>,
    asked: usize,
    /// Services to ask for, in the order in which their targets are wanted.
    services: Vec<(Transport, String)>,
    srv: BTreeMap<String, Vec<Srv>>,
    /// Hosts in the order in which they are wanted.
    hosts: Vec<(Transport, String, u16)>,
    addresses: BTreeMap<String, Vec<IpAddr>>,
    targets: Vec<Target>,
    ttl_s: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Naptr,
    Srv,
    Addresses,
    Done,
}

impl Locator {
    /// Begins. The seed decides between SRV records of one priority.
    #[must_use]
    pub fn new(wanted: Wanted, limits: Limits, seed: Seed) -> Self {
        let mut locator = Self {
            limits,
            rng: seed.rng(),
            stage: Stage::Done,
            open: VecDeque::new(),
            asked: 0,
            services: Vec::new(),
            srv: BTreeMap::new(),
            hosts: Vec::new(),
            addresses: BTreeMap::new(),
            targets: Vec::new(),
            ttl_s: u32::MAX,
            wanted,
        };
        locator.begin();
        locator
    }

    /// The next question, if there is one.
    pub fn poll(&mut self) -> Option<Question> {
        let question = self.open.pop_front()?;
        self.asked += 1;
        Some(question)
    }

    /// The answer to the question that was polled last.
    pub fn handle(&mut self, question: &Question, answer: Answer) {
        let found = !(answer.naptr.is_empty() && answer.srv.is_empty() && answer.addresses.is_empty());
        if found {
            self.ttl_s = self.ttl_s.min(answer.ttl_s);
        }
        match question {
            Question::Naptr(_) => self.services_of(answer.naptr),
            Question::Srv(name) => drop(self.srv.insert(name.clone(), answer.srv)),
            Question::Addresses(host) => drop(self.addresses.insert(host.clone(), answer.addresses)),
        }
        if self.open.is_empty() {
            self.advance();
        }
    }

    /// Where to send, best first; empty until all questions are answered, or if nothing was found.
    #[must_use]
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// How long the list holds, s; `None`: for ever, or nothing was found.
    #[must_use]
    pub fn ttl_s(&self) -> Option<u32> {
        (self.ttl_s < u32::MAX).then_some(self.ttl_s)
    }

    fn begin(&mut self) {
        let Wanted { host, port, transport } = self.wanted.clone();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(ip) = bare.parse::<IpAddr>() {
            // RFC 3263 §4.1, §4.2: figures need no search; without a transport UDP is meant.
            let transport = transport.unwrap_or(Transport::Udp);
            let addr = SocketAddr::new(ip, port.unwrap_or(default_port(transport)));
            self.targets.push(Target { transport, addr });
            return;
        }
        match (port, transport) {
            // RFC 3263 §4.2: a port rules SRV out.
            (Some(port), transport) => {
                self.hosts.push((transport.unwrap_or(Transport::Udp), host.clone(), port));
                self.ask_addresses();
            }
            (None, Some(transport)) => {
                self.services.push((transport, service_name(transport, &host)));
                self.ask_services();
            }
            (None, None) => {
                self.stage = Stage::Naptr;
                self.open.push_back(Question::Naptr(host));
            }
        }
    }

    /// RFC 3263 §4.1: the services that we speak, by order and preference; without any, SRV is asked for each.
    fn services_of(&mut self, mut records: Vec<Naptr>) {
        records.sort_by_key(|r| (r.order, r.preference));
        let spoken = records.into_iter().filter(|r| r.flags.eq_ignore_ascii_case("s"));
        self.services =
            spoken.filter_map(|r| Some((service(&r.services)?, dotless(&r.replacement)))).collect();
        if self.services.is_empty() {
            let all = [Transport::Udp, Transport::Tcp, Transport::Tls];
            self.services = all.map(|t| (t, service_name(t, &self.wanted.host))).to_vec();
        }
    }

    fn advance(&mut self) {
        match self.stage {
            Stage::Naptr => self.ask_services(),
            Stage::Srv => {
                self.order_hosts();
                self.ask_addresses();
            }
            Stage::Addresses => self.finish(),
            Stage::Done => {}
        }
    }

    fn ask_services(&mut self) {
        self.stage = Stage::Srv;
        self.open = self.services.iter().map(|(_, name)| Question::Srv(name.clone())).collect();
        // A question is left for the addresses of what is found.
        self.open.truncate((self.limits.questions_max - self.asked).saturating_sub(1));
    }

    fn order_hosts(&mut self) {
        for (transport, name) in std::mem::take(&mut self.services) {
            let records = self.srv.remove(&name).unwrap_or_default();
            for record in by_weight(records, &mut self.rng) {
                // RFC 2782: a target of "." says that the service is decidedly not there.
                let host = dotless(&record.target);
                if !host.is_empty() {
                    self.hosts.push((transport, host, record.port));
                }
            }
        }
        if self.hosts.is_empty() {
            // RFC 3263 §4.2: no SRV records at all, so the name itself.
            let transport = self.wanted.transport.unwrap_or(Transport::Udp);
            self.hosts.push((transport, self.wanted.host.clone(), default_port(transport)));
        }
    }

    fn ask_addresses(&mut self) {
        self.stage = Stage::Addresses;
        let mut names: Vec<&String> = self.hosts.iter().map(|(_, host, _)| host).collect();
        names.sort();
        names.dedup();
        let left = self.limits.questions_max - self.asked;
        self.open = names.into_iter().take(left).map(|name| Question::Addresses(name.clone())).collect();
    }

    fn finish(&mut self) {
        self.stage = Stage::Done;
        for (transport, host, port) in &self.hosts {
            for ip in self.addresses.get(host).into_iter().flatten() {
                let target = Target { transport: *transport, addr: SocketAddr::new(*ip, *port) };
                if self.targets.len() < self.limits.targets_max && !self.targets.contains(&target) {
                    self.targets.push(target);
                }
            }
        }
    }
}

fn service(name: &str) -> Option<Transport> {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    if is("SIP+D2U") {
        Some(Transport::Udp)
    } else if is("SIP+D2T") {
        Some(Transport::Tcp)
    } else if is("SIPS+D2T") {
        Some(Transport::Tls)
    } else {
        None
    }
}

fn service_name(transport: Transport, host: &str) -> String {
    match transport {
        Transport::Udp => format!("_sip._udp.{host}"),
        Transport::Tcp => format!("_sip._tcp.{host}"),
        Transport::Tls => format!("_sips._tcp.{host}"),
    }
}

fn default_port(transport: Transport) -> u16 {
    if transport == Transport::Tls { 5061 } else { 5060 }
}

fn dotless(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// RFC 2782, "Weight": by priority; among equals drawn one after the other, each with its weight's share.
fn by_weight(mut records: Vec<Srv>, rng: &mut Rng) -> Vec<Srv> {
    // Those without weight stand first in their class, as the algorithm wants.
    records.sort_by_key(|r| (r.priority, r.weight));
    let mut ordered = Vec::with_capacity(records.len());
    while let Some(priority) = records.first().map(|r| r.priority) {
        let class = records.iter().take_while(|r| r.priority == priority).count();
        let sum: u64 = records.iter().take(class).map(|r| u64::from(r.weight)).sum();
        let ticket = rng.below(sum + 1);
        let mut passed = 0;
        let drawn = records.iter().take(class).position(|r| {
            passed += u64::from(r.weight);
            passed >= ticket
        });
        ordered.push(records.remove(drawn.unwrap_or(0)));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(host: &str, port: Option<u16>, transport: Option<Transport>) -> Wanted {
        Wanted { host: host.into(), port, transport }
    }

    fn naptr(order: u16, preference: u16, services: &str, replacement: &str) -> Naptr {
        let (flags, services) = ("s".to_owned(), services.to_owned());
        Naptr { order, preference, flags, services, replacement: replacement.to_owned() }
    }

    fn srv(priority: u16, weight: u16, port: u16, target: &str) -> Srv {
        Srv { priority, weight, port, target: target.to_owned() }
    }

    /// A zone of RFC 3263 §4's kind.
    fn zone(question: &Question) -> Answer {
        let ttl_s = 300;
        match question {
            Question::Naptr(name) if name == "example.com" => Answer {
                naptr: vec![
                    naptr(90, 50, "SIPS+D2T", "_sips._tcp.example.com."),
                    naptr(90, 40, "SIP+D2T", "_sip._tcp.example.com."),
                    naptr(100, 50, "SIP+D2U", "_sip._udp.example.com."),
                    naptr(10, 10, "SIP+D2S", "_sip._sctp.example.com."),
                ],
                ttl_s,
                ..Answer::default()
            },
            Question::Srv(name) if name == "_sip._tcp.example.com" => Answer {
                srv: vec![srv(1, 1, 5060, "b.example.com."), srv(0, 1, 5070, "A.example.com.")],
                ttl_s: 60,
                ..Answer::default()
            },
            Question::Srv(name) if name == "_sip._udp.example.com" => {
                Answer { srv: vec![srv(0, 0, 5060, "a.example.com")], ttl_s, ..Answer::default() }
            }
            Question::Addresses(name) => {
                let addresses = match name.as_str() {
                    "a.example.com" => vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
                    "b.example.com" | "plain.example" => vec!["192.0.2.2".parse().unwrap()],
                    _ => Vec::new(),
                };
                Answer { addresses, ttl_s, ..Answer::default() }
            }
            _ => Answer::default(),
        }
    }

    fn found(wanted: Wanted) -> (Vec<String>, usize, Option<u32>) {
        let mut locator = Locator::new(wanted, Limits::default(), Seed(1));
        let mut asked = 0;
        while let Some(question) = locator.poll() {
            asked += 1;
            locator.handle(&question, zone(&question));
        }
        let text = |t: &Target| format!("{:?} {}", t.transport, t.addr).to_lowercase();
        (locator.targets().iter().map(text).collect(), asked, locator.ttl_s())
    }

    #[test]
    fn rfc3263_4_1_naptr_then_srv_then_addresses() {
        let (targets, _, ttl) = found(wanted("example.com", None, None));
        assert_eq!(
            targets,
            [
                "tcp 192.0.2.1:5070",
                "tcp [2001:db8::1]:5070",
                "tcp 192.0.2.2:5060",
                "udp 192.0.2.1:5060",
                "udp [2001:db8::1]:5060",
            ]
        );
        assert_eq!(ttl, Some(60), "the shortest life counts");
    }

    #[test]
    fn rfc3263_4_2_a_port_or_a_literal_asks_less() {
        let check = |wanted: Wanted, want: &[&str], questions: usize| {
            let (targets, asked, _) = found(wanted.clone());
            assert_eq!(
                (targets, asked),
                (want.iter().map(|t| (*t).to_owned()).collect(), questions),
                "{wanted:?}"
            );
        };
        check(wanted("192.0.2.9", None, None), &["udp 192.0.2.9:5060"], 0);
        check(wanted("[2001:db8::9]", None, Some(Transport::Tls)), &["tls [2001:db8::9]:5061"], 0);
        check(wanted("plain.example", Some(5080), None), &["udp 192.0.2.2:5080"], 1);
        check(wanted("plain.example", None, Some(Transport::Tcp)), &["tcp 192.0.2.2:5060"], 2);
        check(wanted("plain.example", None, None), &["udp 192.0.2.2:5060"], 5);
        check(wanted("nowhere.example", None, None), &[], 5);
    }

    #[test]
    fn rfc2782_weights_share_within_a_priority() {
        let mut rng = Seed(7).rng();
        let records = || vec![srv(1, 0, 3, "c"), srv(0, 30, 1, "a"), srv(0, 10, 2, "b")];
        let mut first = [0_u32; 4];
        for _ in 0..1_000 {
            let ports: Vec<u16> = by_weight(records(), &mut rng).iter().map(|r| r.port).collect();
            assert_eq!(ports[2], 3, "the higher number comes last");
            first[usize::from(ports[0])] += 1;
        }
        assert!((680..820).contains(&first[1]), "{first:?}");
    }

    #[test]
    fn a_zone_that_never_ends_is_left() {
        let mut locator = Locator::new(wanted("example.com", None, None), Limits::default(), Seed(1));
        let many = |n: u16| (0..n).map(|i| srv(0, 1, 1, &format!("h{i}.example.com"))).collect();
        let mut asked = 0;
        while let Some(question) = locator.poll() {
            asked += 1;
            let addresses = vec!["192.0.2.1".parse().unwrap(); 4];
            locator.handle(&question, Answer { srv: many(500), addresses, ttl_s: 1, ..Answer::default() });
        }
        assert_eq!(asked, Limits::default().questions_max);
        assert_eq!(locator.targets().len(), 3, "one address by three transports");
    }
}
