//! Packs of regulation that come with the program. None is in force unless the operator names it, and none has been
//! looked at by a lawyer unless it says so ([`RuleSet::counsel`]).

use super::rule::RuleSet;

/// Names of the packs.
pub const NAMES: &[&str] = &["us"];

/// The pack of this name.
#[must_use]
pub fn pack(name: &str) -> Option<RuleSet> {
    match name {
        "us" => Some(toml::from_str(include_str!("../../packs/us.toml")).expect("read by a test")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Party;

    #[test]
    fn every_pack_is_well_formed_dated_cited_and_marked() {
        for name in NAMES {
            let set = pack(name).unwrap();
            assert_eq!(set.check(500), Ok(()));
            assert_eq!((set.party, set.counsel), (Party::Regulation, false), "no lawyer has looked at it");
            assert!(set.version.parse::<jiff::civil::Date>().is_ok(), "a date");
            assert!(set.rules.iter().all(|r| r.citation.is_some()), "each rule is cited");
        }
        assert!(pack("atlantis").is_none());
    }
}
