//! What a simulated day is like: seed, traffic, weather, manners, people.

use super::site::Manners;
use super::wire::Weather;
use bench::farend::Scenario;
use std::sync::Arc;

/// See the module.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Everything random comes from it: the same seed gives the same day.
    pub seed: u64,
    /// Orders given.
    pub orders: u32,
    /// Share of them that comes by mail; the rest by JSON.
    pub by_mail: f64,
    /// They are given evenly over so long, ms.
    pub over_ms: u64,
    /// Share of them that is scheduled up to a minute ahead.
    pub scheduled: f64,
    /// The network.
    pub weather: Weather,
    /// The web server.
    pub manners: Manners,
    /// What is called for: the name of a page of the site.
    pub application: &'static str,
    /// Pages beside the sample application's.
    pub pages: &'static [(&'static str, &'static str)],
    /// The people.
    pub scenario: Arc<Scenario>,
    /// Calls at a time.
    pub calls_max: u32,
    /// The simulation must be over after so long, ms of virtual time.
    pub patience_ms: u64,
}

impl Plan {
    /// A fair day of so many orders: everyone confirms.
    pub fn fair(seed: u64, orders: u32) -> Self {
        Self {
            seed,
            orders,
            by_mail: 0.3,
            over_ms: u64::from(orders) * 100,
            scheduled: 0.1,
            weather: Weather::FAIR,
            manners: Manners::GOOD,
            application: "app.vxml",
            pages: &[],
            scenario: scenario(PEOPLE),
            calls_max: 200,
            patience_ms: 40 * 60 * 1000,
        }
    }
}

/// A scenario from text without files.
pub fn scenario(text: &str) -> Arc<Scenario> {
    Arc::new(Scenario::parse(text, &|_| None).expect("a valid scenario"))
}

/// Those who do what the application asks.
pub const PEOPLE: &str = "\
person confirms share 6
  ring 0.2s..3s
  answer
  hear prompt within 30s
  press 1
  hear prompt within 30s
  press 4711
  hear prompt within 30s
  wait hangup 40s
person changes share 4
  ring 0.2s..3s
  answer
  hear prompt within 30s
  press 2
  hear prompt within 30s
  press 24
  hear prompt within 30s
  wait hangup 40s
";

/// All kinds.
pub const MIXED: &str = "\
person confirms share 50
  ring 0.2s..8s
  answer
  hear prompt within 60s
  press 1
  hear prompt within 60s
  press 4711
  hear prompt within 60s
  wait hangup 60s
person impatient share 15
  ring 0.5s..2s
  answer
  hear start within 60s
  press 1
  wait 0.5s
  press 1234
  hear prompt within 60s
  wait hangup 60s
person busy share 10
  reject 486
person absent share 10
  ring 200s
person gone share 5
  reject 404
person leaves share 5
  ring 1s
  answer
  hear start within 60s
  wait 1s..4s
  hangup
person silent share 5
  ring 1s
  answer
  wait hangup 200s
";

/// A day of transfers: the document connects each callee to one of three agents, one of whom may not be called.
pub const TRANSFER: &[(&str, &str)] = &[
    (
        "transfer.vxml",
        r#"<vxml version="2.1" xmlns="http://www.w3.org/2001/vxml"><form>
<block><prompt>one moment</prompt></block>
<transfer name="t" connecttimeout="15s" maxtime="12s" type="bridge"
  destexpr="['tel:+15559990001','tel:+15559990002','tel:+15559990003','tel:+442071838750'][Math.floor(Math.random()*4)]">
  <grammar mode="dtmf" version="1.0" root="r" xmlns="http://www.w3.org/2001/06/grammar">
    <rule id="r"><item repeat="2">*</item></rule></grammar>
  <filled><var name="s" expr="t$.duration"/><submit next="over.vxml" namelist="t s"/></filled>
  <catch event="error.connection"><assign name="t" expr="_event"/><var name="s" expr="0"/>
    <submit next="over.vxml" namelist="t s"/></catch>
</transfer></form></vxml>"#,
    ),
    (
        "over.vxml",
        r#"<vxml version="2.1" xmlns="http://www.w3.org/2001/vxml"><form><block><prompt>good bye</prompt><exit/></block>
</form></vxml>"#,
    ),
];

/// Who is called, and the agents: one talks and hangs up, one stays until the caller or the longest bridge ends it, one
/// is busy. Callers hear the agents' tone and are heard by them.
pub const AGENTS: &str = "\
person patient share 5
  ring 0.2s..2s
  answer
  wait 6s..8s
  tone beep 2s
  wait hangup 60s
person releases share 3
  ring 0.2s..2s
  answer
  wait 8s..10s
  press **
  wait hangup 60s
person leaves share 2
  ring 0.2s..2s
  answer
  wait 4s..9s
  hangup
person talks number 9990001
  ring 0.2s..1s
  answer
  tone ced 3s
  wait 4s
  hangup
person stays number 9990002
  ring 0.2s..1s
  answer
  tone ced 3s
  wait hangup 60s
person engaged number 9990003
  reject 486
";
