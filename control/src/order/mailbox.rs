//! Our mail addresses: `call+acme@host` runs an order of tenant `acme`; `dryrun+`, `cancel+` and `status+` do what they
//! say. The word before the plus is in the signed manifest, so a mail signed for a dry run cannot be replayed to run.

use units::TenantId;

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
}

impl Directory {
    /// Finds the recipient that an address means. The part before the `@` is compared without case, as ours.
    #[must_use]
    pub fn find(&self, address: &str) -> Option<Rcpt> {
        let address = address.to_ascii_lowercase();
        let (local, domain) = address.rsplit_once('@')?;
        let (word, name) = local.split_once('+')?;
        let ours = self.domains.is_empty() || self.domains.iter().any(|d| d.eq_ignore_ascii_case(domain));
        let action = [Action::Call, Action::DryRun, Action::Cancel, Action::Status];
        let action = action.into_iter().find(|a| a.word() == word)?;
        let tenant = self.tenants.iter().find(|(n, _)| n == name).map(|(_, t)| *t)?;
        ours.then_some(Rcpt { address, action, tenant })
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
        check("call@d.example", None);
        check("ring+acme@d.example", None);
        check("call+acme", None);
        check("call+acme@x@d.example", None);
    }
}
