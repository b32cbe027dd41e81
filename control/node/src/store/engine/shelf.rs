//! Shelves: small things kept by name.

use super::{Batch, Fail};
use crate::store::db::{Columns, Db};
use control::store::{Answer, Keep, Shelf};

/// At most so many things in one answer.
const PAGE_MAX: u32 = 1_000;

const PUT: &str = "INSERT INTO shelf (shelf, name, value) VALUES (?1, ?2, ?3) \
                   ON CONFLICT (shelf, name) DO UPDATE SET value = excluded.value";
const TAKE: &str = "DELETE FROM shelf WHERE shelf = ?1 AND name = ?2";
const ONE: &str = "SELECT value FROM shelf WHERE shelf = ?1 AND name = ?2";
const PAGE: &str = "SELECT name, value FROM shelf WHERE shelf = ?1 AND name >= ?2 AND name > ?3 AND name < ?4 \
                    ORDER BY name LIMIT ?5";

/// The shelf's number in the table; never given to another.
fn number(shelf: Shelf) -> i64 {
    match shelf {
        Shelf::Suppressions => 1,
        Shelf::Tenants => 2,
        Shelf::Attachments => 3,
        Shelf::Campaigns => 4,
        Shelf::Seen => 5,
        Shelf::Customers => 6,
        Shelf::Errands => 7,
        Shelf::Policies => 8,
        Shelf::Bounces => 9,
    }
}

impl<D: Db> Batch<'_, D> {
    pub(super) fn keep_things(&mut self, changes: &[Keep]) -> Result<Answer, Fail> {
        for change in changes {
            let (shelf, name) = (number(change.shelf).into(), change.name.clone().into());
            match &change.value {
                Some(value) => self.db.write(PUT, vec![shelf, name, value.clone().into()])?,
                None => self.db.write(TAKE, vec![shelf, name])?,
            }
        }
        Ok(Answer::Done)
    }

    pub(super) fn kept(&mut self, shelf: Shelf, name: &str) -> Result<Answer, Fail> {
        let row = self.db.read(ONE, &[number(shelf).into(), name.into()])?.into_iter().next();
        Ok(Answer::Kept(row.map(|r| Columns::of(r).blob_or_null()).transpose()?.flatten()))
    }

    pub(super) fn kept_from(
        &mut self,
        shelf: Shelf,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Answer, Fail> {
        // The last code point ends every name that begins with the prefix; names are compared by octets.
        let end = format!("{prefix}\u{10ffff}");
        let params = [
            number(shelf).into(),
            prefix.into(),
            after.unwrap_or("").into(),
            end.into(),
            limit.min(PAGE_MAX).into(),
        ];
        let rows = self.db.read(PAGE, &params)?;
        let things = rows.into_iter().map(|row| {
            let mut columns = Columns::of(row);
            Ok((columns.text()?, columns.blob_or_null()?.unwrap_or_default()))
        });
        Ok(Answer::KeptFrom(things.collect::<Result<_, Fail>>()?))
    }
}
