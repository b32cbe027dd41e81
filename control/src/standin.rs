//! Temporary.
#![allow(missing_docs, dead_code)]
use std::collections::BTreeMap;
use std::sync::Arc;
use units::*;
use vxml::session::Connection;
use vxml::Limits;
#[derive(Debug)]
pub struct Session;
#[derive(Debug, Default)]
pub struct Documents;
impl Session {
    pub fn new(config: impl Into<Arc<SessionConfig>>, now: Now) -> Self { drop((config.into(), now)); Session }
    pub fn handle(&mut self, _: &mut Documents, _: Now, _: vxml::session::Input) -> Result<(), ()> { Ok(()) }
    pub fn poll(&mut self) -> Option<vxml::session::Output> { None }
    pub fn deadline(&self) -> Option<(Mono, vxml::session::Timer)> { None }
}
pub struct SessionConfig {
    pub url: String,
    pub tenant: TenantId,
    pub connection: Connection,
    pub id: String,
    pub lenient: bool,
    pub lang: String,
    pub properties: BTreeMap<String, String>,
    pub messages: BTreeMap<String, String>,
    pub seed: Seed,
    pub utc_offset_min: i32,
    pub limits: Limits,
    pub clock: Option<Arc<dyn Fn() -> Mono + Send + Sync>>,
}
impl SessionConfig {
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            tenant: TenantId(0),
            connection: Connection::default(),
            id: String::new(),
            lenient: false,
            lang: "en-US".into(),
            properties: BTreeMap::new(),
            messages: BTreeMap::new(),
            seed: Seed(0),
            utc_offset_min: 0,
            limits: Limits::default(),
            clock: None,
        }
    }
}
