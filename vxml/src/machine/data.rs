//! `<data>` (VoiceXML 2.1 §5): XML from elsewhere as a read-only DOM in a variable.

use super::fetch::Arrived;
use super::state::Purpose;
use super::{Documents, Session};
use crate::catch::Event;
use crate::document::{Document, NodeId};
use crate::script::dom::{self, DataError};
use crate::session::Resource;
use std::sync::Arc;

impl Session {
    pub(crate) fn data(&mut self, _: &mut Documents, doc: &Arc<Document>, node: NodeId) -> Result<(), Event> {
        if let Some(Arrived::Data(fetched, name)) = self.fetched.take() {
            let Some(name) = name else { return Ok(()) };
            let chain = self.chain();
            let host = self.level().doc.url().host_str().unwrap_or("").to_owned();
            let limits = self.config.limits.clone();
            return dom::define(&mut self.scopes, &chain, chain[4], &name, &fetched.body, &host, &limits)
                .map_err(|e| match e {
                    DataError::Malformed(why) => Event::badfetch(why),
                    DataError::Denied => Event::with("error.noauthorization", "the data's access-control"),
                    DataError::Script(e) => Event::semantic(e),
                });
        }
        let reference = self.url_of(doc, node, "src", "srcexpr")?;
        let reference =
            reference.ok_or_else(|| Event::badfetch("<data> takes exactly one of src and srcexpr"))?;
        let url =
            doc.resolve(&reference).ok_or_else(|| Event::badfetch(format!("'{reference}' is no URL")))?;
        let names: Vec<String> =
            doc.attribute(node, "namelist").unwrap_or("").split_whitespace().map(str::to_owned).collect();
        let mut request = self.request(doc, node, &url, Resource::Data)?;
        self.submit_fields(&mut request, doc, node, &names)?;
        let name = doc.attribute(node, "name").map(str::to_owned);
        self.again(node);
        self.fetch(request, Purpose::Data(name));
        Ok(())
    }
}
