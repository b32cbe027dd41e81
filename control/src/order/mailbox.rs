//! Our mail addresses: `call+acme@host` runs an order of tenant `acme`; `dryrun+`, `cancel+`, `status+` and `stop+` do what
//! they say. The word before the plus is in the signed manifest, so a mail signed for a dry run cannot be replayed to run.
//! `stop+TOKEN@host` is a customer's own: the token says whose calls they want no more.

use super::stop::StopKey;
use std::sync::Arc;
use units::{Private, TenantId};

/// What a mail to an address asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Call.
    Call,
    /// Judge, do not call.
    DryRun,
    /// Take an order back.
    Cancel,
    /// Tell where an order stands.
    Status,
    /// Call a number no more.
    Stop,
}

impl Action {
    /// The word in the address and in the manifest.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::DryRun => "dryrun",
            Self::Cancel => "cancel",
            Self::Status => "status",
            Self::Stop => "stop",
        }
    }
}

/// A recipient that is one of our addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rcpt {
    /// As the peer wrote it, lower case.
    pub address: String,
    /// What it asks for.
    pub action: Action,
    /// Whose.
    pub tenant: TenantId,
    /// `stop+TOKEN`: the customer whom the token names, and who needs no other proof.
    pub customer: Option<Private<String>>,
}

/// Which addresses are ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    /// Our name in greetings.
    pub hostname: String,
    /// Domains that are ours; empty: any (behind a mail server that has checked).
    pub domains: Vec<String>,
    /// Tenants by name, lower case.
    pub tenants: Vec<(String, TenantId)>,
    /// No mail without TLS.
    pub tls_required: bool,
    /// AUTH is offered without TLS (a trusted wire, a Unix socket).
    pub auth_in_clear: bool,
    /// Opens customers' tokens; none: nobody has one.
    pub stop: Option<Arc<StopKey>>,
}

impl Directory {
    /// Finds the recipient that an address means. The part before the `@` is compared without case, as ours.
    #[must_use]
    pub fn find(&self, address: &str) -> Option<Rcpt> {
        let address = address.to_ascii_lowercase();
        let (local, domain) = address.rsplit_once('@')?;
        let (word, name) = local.split_once('+')?;
        let ours = self.domains.is_empty() || self.domains.iter().any(|d| d.eq_ignore_ascii_case(domain));
        let action = [Action::Call, Action::DryRun, Action::Cancel, Action::Status, Action::Stop];
        let action = action.into_iter().find(|a| a.word() == word)?;
        let known = self.tenants.iter().find(|(n, _)| n == name).map(|(_, t)| (*t, None));
        let by_token = || {
            let key = self.stop.as_ref().filter(|_| action == Action::Stop)?;
            key.open(name).map(|(tenant, customer)| (tenant, Some(customer)))
        };
        let (tenant, customer) = known.or_else(by_token)?;
        ours.then_some(Rcpt { address, action, tenant, customer })
    }

    /// Is the address one that we send from or receive at? A mail from it would be a loop.
    #[must_use]
    pub fn is_ours(&self, address: &str, sender: &str) -> bool {
        address.eq_ignore_ascii_case(sender) || self.find(address).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plus_addresses_by_table() {
        let d = Directory {
            domains: vec!["d.example".into()],
            tenants: vec![("acme".into(), TenantId(1)), ("b-2".into(), TenantId(2))],
            ..Directory::default()
        };
        let check = |a: &str, e: Option<(Action, u32)>| {
            assert_eq!(d.find(a).map(|r| (r.action, r.tenant.0)), e, "{a}");
        };
        check("call+acme@d.example", Some((Action::Call, 1)));
        check("DRYRUN+Acme@D.EXAMPLE", Some((Action::DryRun, 1)));
        check("cancel+b-2@d.example", Some((Action::Cancel, 2)));
        check("status+b-2@d.example", Some((Action::Status, 2)));
        check("call+acme@other.example", None);
        check("call+nobody@d.example", None);
        check("stop+acme@d.example", Some((Action::Stop, 1)));
        check("call@d.example", None);
        check("ring+acme@d.example", None);
        check("call+acme", None);
        check("call+acme@x@d.example", None);
    }

    #[test]
    fn a_token_is_an_address_for_stop_alone() {
        let key = StopKey::new(&[3; 32]);
        let token = key.token(TenantId(7), "+12125550100");
        let with = Directory { stop: Some(Arc::new(key)), ..Directory::default() };
        let found = with.find(&format!("STOP+{token}@any.example")).expect("ours");
        assert_eq!((found.action, found.tenant), (Action::Stop, TenantId(7)));
        assert_eq!(found.customer.map(|c| c.expose().clone()).as_deref(), Some("+12125550100"));
        assert_eq!(with.find(&format!("call+{token}@any.example")), None);
        assert_eq!(with.find(&format!("stop+{token}x@any.example")), None);
        assert_eq!(Directory::default().find(&format!("stop+{token}@any.example")), None);
    }
}
