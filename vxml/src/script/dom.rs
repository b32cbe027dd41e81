//! The DOM of `<data>`; see `define`.

use super::{ScopeId, Scopes};
use crate::limits::Limits;
use crate::session::Fetched;
use engine::Value;

/// Makes a variable that holds the document read from fetched XML.
///
/// # Errors
/// What is wrong with the XML, as text for `_message`.
pub(crate) fn define(
    scopes: &mut Scopes,
    scope: ScopeId,
    name: &str,
    fetched: &Fetched,
    _limits: &Limits,
) -> Result<(), String> {
    let text = crate::document::decode(&fetched.body).ok_or("the data's text cannot be read")?;
    scopes.define(scope, name, Value::text(text));
    Ok(())
}
