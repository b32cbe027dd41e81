//! The way out: which trunks take a number, from whom, and how each wants it written. From the configuration alone; what
//! is up and has room just now is known to the board, which chooses among these.

use crate::config::{Encryption, Trunk, TrunkGroup};
use serde::{Deserialize, Serialize};
use signalling::leg::{Credentials, Transport};
use signalling::sip::locate::Target;
use std::net::SocketAddr;
use units::{AttemptId, Codec, Private};

/// How one call leaves.
#[derive(Clone, Debug)]
pub struct Route {
    /// Trunk, by name.
    pub trunk: String,
    /// Next hop.
    pub hop: SocketAddr,
    /// Transport to it.
    pub transport: Transport,
    /// Request-URI.
    pub uri: Private<String>,
    /// From.
    pub from: Private<String>,
    /// P-Asserted-Identity.
    pub asserted: Option<Private<String>>,
    /// Digest credentials.
    pub credentials: Option<Credentials>,
    /// Codecs; empty: those of the settings.
    pub codecs: Vec<Codec>,
    /// Longest ringing, ms.
    pub ring_ms_max: u64,
    /// Whether voice is encrypted; judged for this transport.
    pub srtp: Encryption,
}

/// Why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoute {
    /// No trunk takes this number for this tenant.
    NoTrunk,
    /// The trunks that take it show no caller id like the order's, or it names none and they have none.
    NoCallerId,
}

/// The trunks that may take a call, and those that were tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// By rank, lowest first; never empty.
    pub ways: Vec<Way>,
    /// These have had their turn: trunk and address.
    pub tried: Vec<(String, SocketAddr)>,
    /// All of them are made of lines; else all are SIP. One call is one or the other from its beginning.
    pub timeslot: bool,
}

/// A trunk that may take a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// Place in the tenant's list, priority of the group, priority of the trunk.
    pub rank: (usize, u16, u16),
    /// Share among equals.
    pub weight: u16,
    /// Name.
    pub trunk: String,
}

/// The dialog's constants as they are journalled, so that a neighbour can send the identical INVITE or a BYE.
#[derive(Debug, Serialize, Deserialize)]
struct Constants {
    hop: SocketAddr,
    transport: String,
    to: Private<String>,
    from: Private<String>,
}

/// Priority of trunks that are in no group.
const ALONE: u16 = 100;

impl Plan {
    /// The trunks that may take a number. `allowed` is the tenant's list of trunks and groups; empty: all.
    ///
    /// # Errors
    /// [`NoRoute`] if there is none.
    pub fn new(
        trunks: &[Trunk],
        groups: &[TrunkGroup],
        allowed: &[String],
        number: &str,
        caller: Option<&str>,
    ) -> Result<Plan, NoRoute> {
        let place = |trunk: &Trunk| match allowed {
            [] => Some(0),
            some => some.iter().position(|name| *name == trunk.name || Some(name) == trunk.group.as_ref()),
        };
        let group = |trunk: &Trunk| {
            groups.iter().find(|g| Some(&g.name) == trunk.group.as_ref()).map_or(ALONE, |g| g.priority)
        };
        let taking: Vec<(usize, &Trunk)> =
            trunks.iter().filter(|t| t.takes(number)).filter_map(|t| Some((place(t)?, t))).collect();
        if taking.is_empty() {
            return Err(NoRoute::NoTrunk);
        }
        let mut ways: Vec<Way> = taking
            .into_iter()
            .filter(|(_, t)| t.shown(caller).is_some())
            .map(|(place, t)| Way {
                rank: (place, group(t), t.priority),
                weight: t.weight,
                trunk: t.name.clone(),
            })
            .collect();
        if ways.is_empty() {
            return Err(NoRoute::NoCallerId);
        }
        ways.sort_by_key(|way| way.rank);
        // A bearer is an RTP pair or a timeslot, and is looked for before a trunk is: the best way says which.
        let is_line = |name: &str| trunks.iter().any(|t| t.name == name && t.is_line());
        let timeslot = ways.first().is_some_and(|best| is_line(&best.trunk));
        ways.retain(|way| is_line(&way.trunk) == timeslot);
        Ok(Plan { ways, tried: Vec::new(), timeslot })
    }
}

impl Route {
    /// The way by one trunk; `None` if it shows no caller id for this call, or would have to encrypt over a transport that
    /// its keys must not take. `host` is our own address, for `From`.
    #[must_use]
    pub fn by(
        (trunk, target): (&Trunk, Target),
        number: &str,
        caller: Option<&str>,
        host: &str,
        ring_ms_max: u64,
    ) -> Option<Self> {
        let srtp = trunk.encryption(target.transport)?;
        let from = Private::new(sip_uri(&trunk.dial.written(trunk.shown(caller)?), host));
        let called = match number.starts_with('+') {
            true => format!("{}{}", trunk.dial.prefix, trunk.dial.written(number)),
            false => number.to_owned(),
        };
        Some(Self {
            trunk: trunk.name.clone(),
            hop: target.addr,
            transport: target.transport,
            uri: Private::new(match trunk.is_line() {
                // RFC 4904 §4: a trunk of lines is named in the URI.
                true => format!("tel:{called};tgrp={}", trunk.name),
                false => sip_uri(&called, &trunk.host()),
            }),
            asserted: trunk.asserted_identity.then(|| from.clone()),
            from,
            credentials: trunk.credentials(),
            codecs: trunk.codecs.clone(),
            ring_ms_max: trunk.ring_max.map_or(ring_ms_max, |own| own.ms.min(ring_ms_max)),
            srtp,
        })
    }

    /// What is journalled of the dialog, JSON.
    #[must_use]
    pub fn constants(&self) -> Vec<u8> {
        let transport = format!("{:?}", self.transport).to_lowercase();
        let constants = Constants { hop: self.hop, transport, to: self.uri.clone(), from: self.from.clone() };
        serde_json::to_vec(&constants).expect("four texts are always JSON")
    }
}

/// The id from which Call-ID, tags and branches of the `nth` INVITE (counted from 0) of an attempt by one trunk derive:
/// each trunk gets a dialog of its own, and a restart that knows the trunk finds the same names again.
#[must_use]
pub fn dialog_of(attempt: AttemptId, trunk: &str, nth: u32) -> AttemptId {
    // FNV-1a, 128 bits: nothing secret, only apart.
    let apart = trunk.bytes().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128, |hash, byte| {
        (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    });
    AttemptId((attempt.0 ^ apart).wrapping_add(u128::from(nth)))
}

/// RFC 4568 §7: keys in a description are as secret as what carries it.
pub(crate) fn over(wanted: Encryption, transport: Transport, in_clear: bool) -> Option<Encryption> {
    match wanted {
        _ if transport == Transport::Tls || in_clear => Some(wanted),
        Encryption::Required => None,
        Encryption::Optional | Encryption::Refused => Some(Encryption::Refused),
    }
}

impl Trunk {
    /// Whether a number or address may leave here.
    #[must_use]
    pub fn takes(&self, number: &str) -> bool {
        // A line takes numbers, not addresses.
        let dialled = !self.is_line() || number.starts_with(|c: char| c == '+' || c.is_ascii_digit());
        dialled && self.prefixes.iter().any(|p| p == "*" || number.starts_with(p.as_str()))
    }

    /// Whether voice is encrypted on a call that its signalling of this transport sets up; `None`: no such call is made.
    #[must_use]
    pub fn encryption(&self, transport: Transport) -> Option<Encryption> {
        over(self.srtp, transport, self.srtp_keys_in_clear)
    }

    /// What its challenges are answered with.
    #[must_use]
    pub fn credentials(&self) -> Option<Credentials> {
        let (user, password) = (self.user.clone()?, self.password.clone()?);
        Some(Credentials { user, password, realm: self.realm.clone() })
    }

    /// The caller id that is shown here for a call that would show `caller`.
    #[must_use]
    pub fn shown<'a>(&'a self, caller: Option<&'a str>) -> Option<&'a str> {
        let shows = |id: &&str| {
            self.caller_ids.is_empty()
                || self.caller_ids.iter().any(|beginning| id.starts_with(beginning.expose().as_str()))
        };
        caller.filter(shows).or_else(|| self.caller_id.as_ref().map(|own| own.expose().as_str()))
    }
}

/// A user part at a host; a `sip:` URI stays as it is.
fn sip_uri(user: &str, host: &str) -> String {
    if user.starts_with("sip:") || user.starts_with("sips:") {
        return user.to_owned();
    }
    format!("sip:{user}@{host}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    const TEXT: &str = "
[[trunk_groups]]
name = \"last\"
priority = 200
[[trunks]]
name = \"wide\"
address = \"127.0.0.1:5080\"
prefixes = [\"*\"]
caller_id = \"+15550001\"
[[trunks]]
name = \"uk\"
address = \"127.0.0.1:5081\"
prefixes = [\"+44\"]
priority = 50
caller_id = \"+15550002\"
caller_ids = [\"+1555\"]
dial = { prefix = \"9\", plus = false }
domain = \"uk.example\"
[[trunks]]
name = \"dear\"
group = \"last\"
address = \"127.0.0.1:5082\"
prefixes = [\"+1\"]
[[trunks]]
name = \"shut\"
address = \"127.0.0.1:5083\"
";

    fn ways(allowed: &[&str], number: &str, caller: Option<&str>) -> Result<Vec<String>, NoRoute> {
        let config = config::parse("t", TEXT).expect("reads");
        let allowed: Vec<String> = allowed.iter().map(|a| (*a).to_owned()).collect();
        let plan = Plan::new(&config.trunks, &config.trunk_groups, &allowed, number, caller)?;
        Ok(plan.ways.into_iter().map(|w| w.trunk).collect())
    }

    #[test]
    fn prefixes_priorities_and_groups_rank_the_trunks() {
        assert_eq!(ways(&[], "+441", None), Ok(vec!["uk".into(), "wide".into()]));
        assert_eq!(ways(&[], "+1555", Some("+1777")), Ok(vec!["wide".into(), "dear".into()]));
        assert_eq!(ways(&[], "sip:a@b", None), Ok(vec!["wide".into()]));
    }

    #[test]
    fn a_tenant_may_have_its_own_order_of_trunks_and_groups() {
        assert_eq!(ways(&["last", "wide"], "+1", Some("+1777")), Ok(vec!["dear".into(), "wide".into()]));
        assert_eq!(ways(&["uk"], "+1", None), Err(NoRoute::NoTrunk));
        assert_eq!(ways(&["shut"], "+1", None), Err(NoRoute::NoTrunk), "no prefix, no call");
    }

    #[test]
    fn a_trunk_shows_its_own_caller_id_or_is_left_out() {
        assert_eq!(ways(&["last"], "+1", None), Err(NoRoute::NoCallerId));
        let config = config::parse("t", TEXT).expect("reads");
        let way = (&config.trunks[1], config.trunks[1].figures().expect("figures"));
        let from = |caller| Route::by(way, "+441", caller, "h", 1).map(|r| r.from);
        assert_eq!(from(Some("+1555777")).expect("shown").expose(), "sip:1555777@h");
        assert_eq!(from(Some("+4420")).expect("replaced").expose(), "sip:15550002@h");
    }

    #[test]
    fn a_number_leaves_as_its_trunk_wants_it() {
        let config = config::parse("t", TEXT).expect("reads");
        let uri = |n: usize, number| {
            let way = (&config.trunks[n], config.trunks[n].figures().expect("figures"));
            Route::by(way, number, None, "h", 1).expect("a way").uri
        };
        assert_eq!(uri(1, "+441").expose(), "sip:9441@uk.example");
        assert_eq!(uri(0, "+441").expose(), "sip:+441@127.0.0.1:5080");
        assert_eq!(uri(1, "sip:bob@b.example").expose(), "sip:bob@b.example");
    }

    #[test]
    fn each_invite_of_an_attempt_has_names_of_its_own() {
        assert_eq!(dialog_of(AttemptId(7), "a", 0), dialog_of(AttemptId(7), "a", 0));
        assert_ne!(dialog_of(AttemptId(7), "a", 0), dialog_of(AttemptId(7), "b", 0));
        assert_ne!(dialog_of(AttemptId(7), "a", 0), dialog_of(AttemptId(7), "a", 1));
    }
}
