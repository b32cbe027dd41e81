//! `<data>` (VoiceXML 2.1 §5): XML from elsewhere as a read-only DOM in a variable.

use super::fetch::Arrived;
use super::state::Purpose;
use super::{Documents, Session};
use crate::catch::Event;
use crate::document::{Document, NodeId};
use crate::session::Resource;
use std::sync::Arc;

impl Session {
    pub(crate) fn data(&mut self, _: &mut Documents, doc: &Arc<Document>, node: NodeId) -> Result<(), Event> {
        if let Some(Arrived::Data(fetched, name)) = self.fetched.take() {
            let Some(name) = name else { return Ok(()) };
            let scope = self.chain()[4];
            return crate::script::dom::define(&mut self.scopes, scope, &name, &fetched, &self.config.limits)
                .map_err(Event::badfetch);
        }
        let reference = self.url_of(doc, node, "src", "srcexpr")?;
        let reference =
            reference.ok_or_else(|| Event::badfetch("<data> takes exactly one of src and srcexpr"))?;
        let url =
            doc.resolve(&reference).ok_or_else(|| Event::badfetch(format!("'{reference}' is no URL")))?;
        let names: Vec<String> =
            doc.attribute(node, "namelist").unwrap_or("").split_whitespace().map(str::to_owned).collect();
        let mut request = self.request(doc, node, &url, Resource::Data);
        self.submit_fields(&mut request, doc, node, &names)?;
        let name = doc.attribute(node, "name").map(str::to_owned);
        self.again(node);
        self.fetch(request, Purpose::Data(name));
        Ok(())
    }
}
