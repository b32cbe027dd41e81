//! What runs when we are called: by the number called, the trunk it comes by, and the hour.

use crate::config::{Config, Inbound};
use crate::policy::house;
use crate::policy::window::Hours;
use crate::policy::zones::zone;
use jiff::tz::TimeZone;
use units::{TenantId, Wall};

/// A route for incoming calls, ready for use.
#[derive(Clone, Debug)]
pub struct Entrance {
    route: Inbound,
    tenant: TenantId,
    open: Option<(Hours, TimeZone)>,
}

/// What is to be done with a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// It is that tenant's, and this document talks; by the route of this pattern.
    Open(TenantId, String, String),
    /// Somebody would take it at another hour.
    Closed,
    /// Nobody ever takes it.
    Nobody,
}

impl Entrance {
    /// All routes of a configuration that was judged to be sound, in its order.
    #[must_use]
    pub fn all(config: &Config) -> Vec<Entrance> {
        let tenant = |name: &str| config.tenants.iter().find(|t| t.name == name).map(|t| TenantId(t.id));
        let one = |route: &Inbound| {
            let hours = route.hours.as_deref().and_then(|text| house::hours(text).ok());
            let place = zone(route.zone.as_ref().unwrap_or(&config.policy.zone));
            let open = hours.map(|hours| (hours, place.map_or(TimeZone::UTC, |z| z.rules.clone())));
            Some(Entrance { tenant: tenant(&route.tenant)?, open, route: route.clone() })
        };
        config.inbound.iter().filter_map(one).collect()
    }

    /// What it matches: its name.
    #[must_use]
    pub fn pattern(&self) -> &str {
        &self.route.pattern
    }

    /// Calls that are kept free for it.
    #[must_use]
    pub fn reserve(&self) -> usize {
        usize::try_from(self.route.reserve).unwrap_or(usize::MAX)
    }

    fn is_open(&self, at: Wall) -> bool {
        self.open.as_ref().is_none_or(|(hours, zone)| hours.open(at, zone, &|_| false))
    }

    fn matches(&self, user: &str, by: &[&str]) -> bool {
        let trunks = &self.route.trunks;
        self.route.matches(user) && (trunks.is_empty() || trunks.iter().any(|t| by.contains(&t.as_str())))
    }
}

/// What runs when this user or number is called by one of these trunks or groups: the first route that matches and is
/// open.
#[must_use]
pub(super) fn entry(entrances: &[Entrance], user: &str, by: &[&str], at: Wall) -> Entry {
    let mut matching = entrances.iter().filter(|e| e.matches(user, by)).peekable();
    let none = if matching.peek().is_some() { Entry::Closed } else { Entry::Nobody };
    matching
        .find(|e| e.is_open(at))
        .map_or(none, |e| Entry::Open(e.tenant, e.route.url.clone(), e.route.pattern.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    const TEXT: &str = "
[[tenants]]
name = \"a\"
id = 1
[[tenants]]
name = \"b\"
id = 2
[[trunks]]
name = \"t\"
address = \"192.0.2.1:5060\"
[[inbound]]
match = \"+1555*\"
tenant = \"a\"
url = \"http://w/day\"
hours = \"mon-fri 08:00-18:00\"
zone = \"America/New_York\"
[[inbound]]
match = \"+15550*\"
tenant = \"a\"
url = \"http://w/night\"
[[inbound]]
match = \"*\"
tenant = \"b\"
url = \"http://w/by-trunk\"
trunks = [\"t\"]
";

    #[test]
    fn the_first_route_that_matches_and_is_open_counts() {
        let all = Entrance::all(&config::parse("t", TEXT).expect("reads"));
        // Wednesday 2026-11-25, 15:00 and 02:00 in New York.
        let (day, night) = (Wall(1_795_636_800_000), Wall(1_795_590_000_000));
        let check = |user: &str, by: &[&str], at, want: Entry| {
            assert_eq!(entry(&all, user, by, at), want, "{user} {by:?}");
        };
        check("+15550100", &[], day, Entry::Open(TenantId(1), "http://w/day".into(), "+1555*".into()));
        check("+15550100", &[], night, Entry::Open(TenantId(1), "http://w/night".into(), "+15550*".into()));
        check("+15559999", &[], night, Entry::Closed);
        check("+15559999", &["t"], night, Entry::Open(TenantId(2), "http://w/by-trunk".into(), "*".into()));
        check("+4420", &["t"], day, Entry::Open(TenantId(2), "http://w/by-trunk".into(), "*".into()));
        check("+4420", &["u"], day, Entry::Nobody);
    }
}
