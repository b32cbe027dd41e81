//! What is known about an order and its callee when it is judged. The desk gathers it; the judge only reads.

use super::zones::{self, Zone};
use crate::order::number::{self, Line};
use crate::order::{Order, Origin};
use serde::{Deserialize, Serialize};
use units::Wall;

/// An entry of a suppression list that holds the callee.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suppression {
    /// Which list: `own` (this tenant's), `global` (nobody here may call), or a registry by name.
    pub list: String,
    /// Since when.
    pub since: Wall,
    /// How it came to be: `keypad`, `api`, `mail`, `link`, `inbound`, `import`, `unwanted`.
    pub source: String,
    /// Binding from this time on, if it came with a period of grace.
    #[serde(default)]
    pub binding: Option<Wall>,
}

/// A consent of the callee.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    /// Its kind.
    pub kind: String,
    /// To whom it was given.
    #[serde(default)]
    pub seller: Option<String>,
    /// Until when it holds.
    #[serde(default)]
    pub until: Option<Wall>,
    /// SHA-256 of the evidence, hexadecimal.
    #[serde(default)]
    pub evidence: Option<String>,
}

/// See the module. [`Facts::of`] gives what the order itself tells; the rest is filled in by who knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// Zones the callee may be in: all of them must allow. Empty if nothing is known.
    pub zones: Vec<Zone>,
    /// Kind of line; looked up when a rule asks, if it is not known.
    pub line: Option<Line>,
    /// Entries on lists.
    pub suppressions: Vec<Suppression>,
    /// When each registry was last brought up to date.
    pub lists: Vec<(String, Wall)>,
    /// Consents.
    pub consents: Vec<Consent>,
    /// Authority level of the order, 0..=4.
    pub level: u8,
    /// The caller id is proven to be the tenant's.
    pub caller_id_owned: bool,
    /// Required resources that could not be had.
    pub missing: Vec<String>,
    /// Last conversation with the callee.
    pub last_talk: Option<Wall>,
    /// Expected price of the call, in thousandths.
    pub price: Option<u64>,
    /// Spent by the tenant in the running period, in thousandths.
    pub spent: u64,
    /// Share of abandoned calls, in a thousand; `None` without a ledger.
    pub abandoned_permille: Option<u16>,
    /// What the application's document is known to have.
    pub content: Vec<String>,
}

impl Facts {
    /// What the order itself tells: zone (explicit before number range), line, authority level.
    #[must_use]
    pub fn of(order: &Order) -> Self {
        let to = order.to.expose();
        let explicit = order.zone.as_deref().and_then(zones::zone);
        let zones = explicit.map_or_else(|| zones_of(to), |z| vec![z.clone()]);
        let level = match &order.origin {
            Origin::Mail { level, .. } => *level,
            // A key is a bearer's token bound to the tenant: it proves what a mail's signature proves. A transfer comes from
            // the document of an application that the tenant chose.
            Origin::Http { .. } | Origin::Campaign | Origin::Transfer { .. } => 3,
        };
        Self {
            zones,
            line: None,
            suppressions: Vec::new(),
            lists: Vec::new(),
            consents: Vec::new(),
            level,
            caller_id_owned: false,
            missing: Vec::new(),
            last_talk: None,
            price: None,
            spent: 0,
            abandoned_permille: None,
            content: Vec::new(),
        }
    }

    /// The zone of the callee's own address, where the customer table knows it: it stands before the number range,
    /// and after a zone that the order names.
    #[must_use]
    pub fn with_address_zone(mut self, order: &Order, zone: Option<&str>) -> Self {
        if let (None, Some(z)) = (&order.zone, zone.and_then(zones::zone)) {
            self.zones = vec![z.clone()];
        }
        self
    }

    /// A zone for callees of whom nothing is known (`sip:` URIs on a closed network).
    #[must_use]
    pub fn with_home_zone(mut self, zone: Option<&str>) -> Self {
        if let (true, Some(z)) = (self.zones.is_empty(), zone.and_then(zones::zone)) {
            self.zones = vec![z.clone()];
        }
        self
    }
}

/// Zones by number. Where a country has several, a mobile number was given out in one and may be in any.
fn zones_of(to: &str) -> Vec<Zone> {
    let wide = zones::of_country(to);
    let tells_area = wide.len() <= 1 || to.starts_with("+1") || !number::is_mobile(to);
    if tells_area { zones::of_number(to).to_vec() } else { wide.to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mobile_number_is_anywhere_in_its_country() {
        assert!(zones_of("+61412345678").len() > 3, "Australia");
        assert_eq!(zones_of("+61292345678").len(), 1, "Sydney");
        assert!(zones_of("+5511987654321").len() > 3, "Brazil");
        assert_eq!(zones_of("+491701234567").len(), zones::of_country("+49").len());
        assert_eq!(zones_of("+12125551234").len(), 1);
    }
}
