//! What was parsed once and is shared by the sessions of one shard: documents, grammars, scripts and data.

use crate::catch::Event;
use crate::document::{Document, Problem, parse_as};
use crate::grammar::{self, Grammar, Network};
use crate::limits::Limits;
use crate::script::Program;
use crate::session::Fetched;
use std::collections::HashMap;
use std::sync::Arc;
use units::TenantId;
use url::Url;

/// A bounded cache of parsed resources, keyed by tenant, URL and validator. One to a shard; it holds no session's data.
#[derive(Debug, Default)]
pub struct Documents {
    entries: HashMap<Key, (u64, Entry)>,
    clock: u64,
    entries_max: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    tenant: TenantId,
    kind: u8,
    url: String,
    validator: String,
}

#[derive(Clone, Debug)]
enum Entry {
    Document(Result<Arc<Document>, Arc<Problem>>),
    Program(Arc<Program>),
    Grammar(Result<Arc<Grammar>, Event>),
    Network(Result<Arc<Network>, Event>),
}

impl Documents {
    /// An empty cache for so many entries.
    #[must_use]
    pub fn new(entries_max: usize) -> Self {
        Self { entries: HashMap::new(), clock: 0, entries_max }
    }

    /// How many entries it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Reads a document before any session needs it, so that one that cannot be used is known before anyone is called;
    /// what was read is kept. The URL of its application root, if it has one.
    ///
    /// # Errors
    /// The first problem that makes it unusable; the URL's own is told as line 1.
    pub fn prepare(
        &mut self,
        tenant: TenantId,
        fetched: &Fetched,
        lenient: bool,
        limits: &Limits,
    ) -> Result<Option<Url>, Arc<Problem>> {
        // Where the octets came from; what is no URL (`cid:` is one) cannot be the base of others.
        let Ok(url) = Url::parse(&fetched.url) else { return Ok(None) };
        Ok(self.document(tenant, fetched, &url, lenient, limits)?.application())
    }

    /// The document in a fetched body.
    ///
    /// # Errors
    /// The first problem that makes it unusable.
    pub(crate) fn document(
        &mut self,
        tenant: TenantId,
        fetched: &Fetched,
        url: &Url,
        lenient: bool,
        limits: &Limits,
    ) -> Result<Arc<Document>, Arc<Problem>> {
        let key = Key::of(tenant, u8::from(lenient), fetched);
        if let Some(Entry::Document(d)) = self.find(&key) {
            return d;
        }
        let (document, problems) = parse_as(url, &fetched.body, fetched.charset.as_deref(), lenient, limits);
        let result = match document {
            Some(d) => Ok(Arc::new(d)),
            None => {
                let fatal = problems.into_iter().find(|p| p.rule.is_fatal());
                Err(Arc::new(fatal.expect("no document without a fatal problem")))
            }
        };
        self.keep(key, Entry::Document(result.clone()));
        result
    }

    /// The program in a fetched body; `None` if its text cannot be read. `charset` is what the element says, which the
    /// answer's own charset overrides (VoiceXML 2.0 §5.3.12).
    pub(crate) fn program(
        &mut self,
        tenant: TenantId,
        fetched: &Fetched,
        charset: Option<&str>,
    ) -> Option<Arc<Program>> {
        let key = Key::of(tenant, 2, fetched);
        if let Some(Entry::Program(p)) = self.find(&key) {
            return Some(p);
        }
        let charset = fetched.charset.as_deref().or(charset);
        let text = crate::document::text_of(&fetched.body, charset).ok()?;
        let program = Arc::new(Program::new(&text));
        self.keep(key, Entry::Program(program.clone()));
        Some(program)
    }

    /// The grammar in a fetched body.
    ///
    /// # Errors
    /// The event that its use throws.
    pub(crate) fn grammar(
        &mut self,
        tenant: TenantId,
        fetched: &Fetched,
        limits: &grammar::Limits,
    ) -> Result<Arc<Grammar>, Event> {
        let key = Key::of(tenant, 3, fetched);
        if let Some(Entry::Grammar(g)) = self.find(&key) {
            return g;
        }
        let result = super::grammars::parse_fetched(fetched, limits).map(Arc::new);
        self.keep(key, Entry::Grammar(result.clone()));
        result
    }

    /// A compiled network under a name of the caller's making (source text and language), made if need be.
    ///
    /// # Errors
    /// The event that its use throws.
    pub(crate) fn network(
        &mut self,
        tenant: TenantId,
        name: &str,
        make: impl FnOnce() -> Result<Network, Event>,
    ) -> Result<Arc<Network>, Event> {
        let key = Key { tenant, kind: 4, url: name.to_owned(), validator: String::new() };
        if let Some(Entry::Network(n)) = self.find(&key) {
            return n;
        }
        let result = make().map(Arc::new);
        self.keep(key, Entry::Network(result.clone()));
        result
    }

    /// A network that is there already.
    pub(crate) fn known_network(
        &mut self,
        tenant: TenantId,
        name: &str,
    ) -> Option<Result<Arc<Network>, Event>> {
        let key = Key { tenant, kind: 4, url: name.to_owned(), validator: String::new() };
        match self.find(&key) {
            Some(Entry::Network(n)) => Some(n),
            _ => None,
        }
    }

    fn find(&mut self, key: &Key) -> Option<Entry> {
        self.clock += 1;
        let (used, entry) = self.entries.get_mut(key)?;
        *used = self.clock;
        Some(entry.clone())
    }

    fn keep(&mut self, key: Key, entry: Entry) {
        if self.entries_max == 0 {
            return;
        }
        if self.entries.len() >= self.entries_max
            && let Some(oldest) =
                self.entries.iter().min_by_key(|(_, (used, _))| *used).map(|(k, _)| k.clone())
        {
            self.entries.remove(&oldest);
        }
        self.clock += 1;
        self.entries.insert(key, (self.clock, entry));
    }
}

impl Key {
    fn of(tenant: TenantId, kind: u8, fetched: &Fetched) -> Self {
        let validator = fetched.validator.clone().unwrap_or_else(|| {
            // FNV-1a over the body: only to tell versions of one tenant's URL apart.
            let h = fetched
                .body
                .iter()
                .fold(0xcbf2_9ce4_8422_2325_u64, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
            format!("#{h:016x}{}", fetched.body.len())
        });
        Self { tenant, kind, url: fetched.url.clone(), validator }
    }
}
