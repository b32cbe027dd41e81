//! Addresses whose mail servers refuse our status mails. After three refusals in a row results go there no more: webhooks and
//! the web status stay, the tenant sees it on its pages and at `/v1/bounces`, and lifts it there.
//!
//! Our mails leave with the null sender (RFC 3834 §3.3), so no report ever comes back for one that was taken; what counts is a
//! permanent refusal by the server that we give it to. A report that comes in by mail proves nothing: anybody could write it.

use crate::store::Handle;
use control::order::canon;
use control::store::{Answer, Ask, Error, Keep, Shelf};
use serde::{Deserialize, Serialize};
use units::{Private, TenantId, Wall};

/// Refusals in a row after which an address is spared.
pub const REFUSALS_MAX: u32 = 3;
/// Addresses of a tenant that are looked at for its page.
const SHOWN_MAX: u32 = 1_000;

/// An address that refused a mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounce {
    /// Whose results were to go there.
    pub tenant: TenantId,
    /// The address.
    pub address: Private<String>,
    /// Refusals in a row.
    pub refusals: u32,
    /// The last one.
    pub last: Wall,
    /// What the server said then.
    pub said: String,
}

impl Bounce {
    /// Results go there no more.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.refusals >= REFUSALS_MAX
    }
}

fn owner(tenant: TenantId) -> String {
    format!("t{}/", tenant.0)
}

/// Local parts may differ by case in theory; in practice one address written in two ways is one.
fn name(tenant: TenantId, address: &str) -> String {
    format!("{}{}", owner(tenant), canon::hex(&canon::digest(&address.to_ascii_lowercase())[..16]))
}

/// What is known of an address; `None`: it has refused nothing since it took something.
///
/// # Errors
/// The store's.
pub async fn of(store: &Handle, tenant: TenantId, address: &str) -> Result<Option<Bounce>, Error> {
    let ask = Ask::Kept { shelf: Shelf::Bounces, name: name(tenant, address) };
    match store.ask(ask).await? {
        Answer::Kept(Some(value)) => serde_json::from_slice(&value).map(Some).map_err(|_| Error::Corrupt),
        _ => Ok(None),
    }
}

/// Notes a refusal; how it stands now.
///
/// # Errors
/// The store's.
pub async fn note(
    store: &Handle,
    tenant: TenantId,
    address: &str,
    said: &str,
    now: Wall,
) -> Result<Bounce, Error> {
    let before = of(store, tenant, address).await?.map_or(0, |b| b.refusals);
    let said = said.chars().filter(|c| !c.is_control()).take(200).collect();
    let (address, refusals) = (Private::new(address.to_owned()), before.saturating_add(1));
    let bounce = Bounce { tenant, address, refusals, last: now, said };
    let value = serde_json::to_vec(&bounce).map_err(|_| Error::Corrupt)?;
    keep(store, name(tenant, bounce.address.expose()), Some(value)).await?;
    Ok(bounce)
}

/// Forgets an address: it took a mail, or its tenant says that it will.
///
/// # Errors
/// The store's.
pub async fn forget(store: &Handle, tenant: TenantId, address: &str) -> Result<(), Error> {
    keep(store, name(tenant, address), None).await
}

async fn keep(store: &Handle, name: String, value: Option<Vec<u8>>) -> Result<(), Error> {
    store.ask(Ask::Keep(vec![Keep { shelf: Shelf::Bounces, name, value }])).await.map(|_| ())
}

/// The addresses of a tenant (`None`: of all) that refused something, a thousand at most.
///
/// # Errors
/// The store's.
pub async fn all(store: &Handle, tenant: Option<TenantId>) -> Result<Vec<Bounce>, Error> {
    let prefix = tenant.map(owner).unwrap_or_default();
    let ask = Ask::KeptFrom { shelf: Shelf::Bounces, prefix, after: None, limit: SHOWN_MAX };
    let Answer::KeptFrom(kept) = store.ask(ask).await? else { return Err(Error::Corrupt) };
    kept.iter().map(|(_, v)| serde_json::from_slice(v).map_err(|_| Error::Corrupt)).collect()
}

/// Those that get no results any more.
///
/// # Errors
/// The store's.
pub async fn silent(store: &Handle, tenant: Option<TenantId>) -> Result<Vec<Bounce>, Error> {
    Ok(all(store, tenant).await?.into_iter().filter(Bounce::is_silent).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Limits, Sqlite};

    #[tokio::test]
    async fn three_refusals_in_a_row_are_silence_and_one_taken_mail_ends_them() {
        let memory = Sqlite::in_memory();
        let store = Handle::start(memory, None::<Sqlite>, Limits::default(), crate::clock::for_store);
        let store = store.expect("starts");
        let (acme, other) = (TenantId(1), TenantId(2));
        for n in 1..=3 {
            let b =
                note(&store, acme, "Ops@acme.example", "550 no\r\nsuch user", Wall(n)).await.expect("kept");
            assert_eq!(b.is_silent(), n == 3);
        }
        let known = of(&store, acme, "ops@ACME.example").await.expect("answers").expect("known");
        assert_eq!((known.refusals, known.last, known.said.as_str()), (3, Wall(3), "550 nosuch user"));
        assert_eq!(of(&store, other, "ops@acme.example").await, Ok(None), "another tenant's results");
        assert_eq!(silent(&store, None).await.map(|s| s.len()), Ok(1));
        assert_eq!(silent(&store, Some(other)).await.map(|s| s.len()), Ok(0));
        forget(&store, acme, "ops@acme.example").await.expect("kept");
        assert_eq!(all(&store, None).await, Ok(Vec::new()));
    }
}
