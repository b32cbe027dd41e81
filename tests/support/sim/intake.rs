//! How orders enter the simulation: by the production SMTP session and mail reader, or as JSON; judged by the
//! production policy with the rules of a configuration.

use super::plan::Plan;
use super::site::SITE;
use control::config::{self, Config};
use control::desk::{self, Desk, Judge};
use control::dispatch::{self, Dispatcher, Scheme, ServerReport, Shares};
use control::order::smtp::{Output as SmtpOutput, Reply, Role, Session};
use control::order::{Context, Order, Origin, form, mail};
use control::policy::{self, Decision, Facts};
use control::queue::{Outcome, RetryTable};
use control::{schedule, shard};
use node::intake::Settings;
use std::net::SocketAddr;
use units::{Now, Rng, Seed, ServerId, TenantId, Wall};

/// The simulated site's configuration: a tenant, a trunk, rules.
pub(super) fn config(plan: &Plan, trunk: SocketAddr) -> Config {
    let text = format!(
        r#"
[policy]
allow_prefixes = ["+1555"]
attempts_max = 2
attempts_a_day_max = 1000
retry_after = "60s"
ring_max = "20s"

[limits]
calls_max = {calls}
calls_rate = "50/s"

[smtp]
hostname = "dispatch.example"

[[tenants]]
name = "acme"
id = 1
keys = {{ main = "key-of-the-simulation" }}
mail_from = ["ops@acme.example"]
mail_level_min = 0
orders_rate = "1000/s"

[[trunks]]
name = "network"
address = "{trunk}"
prefixes = ["+1555"]
caller_id = "+15550000"
calls_max = {calls}
rate = "50/s"
"#,
        calls = plan.calls_max,
    );
    config::parse("simulation", &text).unwrap_or_else(|p| panic!("{p:?}"))
}

/// Judges for the desk.
#[derive(Debug)]
pub(super) struct Court(Settings);

impl Judge for Court {
    fn judge(&mut self, now: Now, order: &Order) -> Decision {
        let rules = &self.0.tenants[&order.tenant].rules;
        policy::judge(order, rules, &facts(order, &self.0), now.wall, &self.0.policy)
    }
}

fn facts(order: &Order, settings: &Settings) -> Facts {
    Facts::of(order).with_home_zone(Some(&settings.home_zone))
}

pub(super) fn desk(config: &Config, seed: Seed) -> Desk<Court> {
    let settings = Settings::of(config).expect("sound rules");
    let mut limits = desk::Limits::default();
    limits.retry = RetryTable { busy: vec![60_000], no_answer: vec![60_000], ..limits.retry };
    let dispatcher =
        Dispatcher::new(dispatch::Limits::default(), Scheme::P2c, Shares::default(), seed.derive(9));
    Desk::new(server_of(config), limits, Court(settings), dispatcher, seed)
}

fn server_of(config: &Config) -> ServerId {
    ServerId(config.node.server_id)
}

/// What the one server says of itself; the desk hears it every 100 ms.
pub(super) fn report(plan: &Plan, used: usize) -> desk::Input {
    desk::Input::Report(ServerReport {
        server: ServerId(1),
        capacity: plan.calls_max,
        used: u32::try_from(used).unwrap_or(u32::MAX),
        rate: dispatch::Rate::per_second(50),
        draining: false,
        seen: None,
    })
}

/// One order that is given at its time.
struct Giving {
    at: units::Mono,
    number: String,
    by_mail: bool,
    ahead_s: Option<u64>,
}

/// See the module.
pub(super) struct Intake {
    waiting: Vec<Giving>,
    settings: Settings,
    rng: Rng,
    n: u32,
    application: String,
}

impl Intake {
    pub(super) fn new(plan: &Plan, config: &Config, seed: Seed) -> Self {
        let mut rng = seed.rng();
        let start = units::Mono::from_ms(1_500);
        let mut waiting: Vec<Giving> = (0..plan.orders)
            .map(|i| Giving {
                at: start + std::time::Duration::from_millis(rng.below(plan.over_ms.max(1))),
                number: format!("+1555{:07}", 1_000_000 + i),
                by_mail: rng.chance(plan.by_mail),
                ahead_s: rng.chance(plan.scheduled).then(|| 1 + rng.below(60)),
            })
            .collect();
        waiting.sort_by_key(|g| std::cmp::Reverse(g.at));
        let settings = Settings::of(config).expect("sound rules");
        let application = format!("{SITE}{}", plan.application);
        Self { waiting, settings, rng, n: 0, application }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn next(&self) -> Option<units::Mono> {
        self.waiting.last().map(|g| g.at)
    }

    /// Orders whose time has come: parsed, with digest and first due time.
    pub(super) fn give(&mut self, now: Now) -> Vec<(Order, [u8; 32], Wall)> {
        let mut orders = Vec::new();
        while self.waiting.last().is_some_and(|g| g.at <= now.mono) {
            let giving = self.waiting.pop().expect("seen");
            self.n += 1;
            orders.push(if giving.by_mail { self.mail(now, &giving) } else { self.json(now, &giving) });
        }
        orders
    }

    fn mail(&mut self, now: Now, giving: &Giving) -> (Order, [u8; 32], Wall) {
        let at = giving.ahead_s.map_or(String::new(), |s| format!("Call-At: +{s}s\r\n"));
        let text = format!(
            "EHLO acme.example\r\nMAIL FROM:<ops@acme.example>\r\nRCPT TO:<call+acme@dispatch.example>\r\nDATA\r\n\
             From: ops@acme.example\r\nTo: call+acme@dispatch.example\r\nSubject: order\r\n\
             Date: Mon, 02 Mar 2026 15:00:00 +0000\r\nMessage-ID: <{}@acme.example>\r\nCall-To: tel:{}\r\n\
             Call-Application: {}\r\nCall-Purpose: transactional\r\n{at}\r\n\r\n.\r\n",
            self.n, giving.number, self.application
        );
        let mut session =
            Session::new(Role::Smtp, self.settings.directory.clone(), self.settings.mail, false);
        session.receive(text.as_bytes());
        let raw = loop {
            match session.poll() {
                Some(SmtpOutput::Mail(_, raw)) => break raw,
                Some(SmtpOutput::Send(_)) => {}
                other => panic!("the mail was not taken: {other:?}"),
            }
        };
        let directory = self.settings.directory.clone();
        let seen = mail::Seen {
            reverse_path: "ops@acme.example",
            is_ours: &|a| directory.is_ours(a, "carillon@dispatch.example"),
            limits: &self.settings.mail,
            order: &self.settings.order,
        };
        let mail = mail::read(&raw, seen).unwrap_or_else(|t| panic!("turned away: {t:?}"));
        let origin =
            Origin::Mail { message_id: mail.message_id.clone(), reply_to: mail.from.clone(), level: 0 };
        session.settled(&[Reply::new(250, "2.0.0", "taken")]);
        self.parse(now, &mail.fields, origin, &mail.message_id)
    }

    fn json(&mut self, now: Now, giving: &Giving) -> (Order, [u8; 32], Wall) {
        let at = giving.ahead_s.map_or(String::new(), |s| format!(r#","at":"+{s}s""#));
        let body = format!(
            r#"{{"to":"{}","application":"{}","purpose":"transactional"{at}}}"#,
            giving.number, self.application
        );
        let fields = form::json(body.as_bytes(), &self.settings.order).expect("a JSON object");
        let id = format!("order-{}", self.n);
        self.parse(now, &fields, Origin::Http { key: "main".into() }, &id)
    }

    fn parse(
        &mut self,
        now: Now,
        fields: &form::Fields,
        origin: Origin,
        id: &str,
    ) -> (Order, [u8; 32], Wall) {
        let cx = Context {
            tenant: TenantId(1),
            origin,
            request_id: id,
            now: now.wall,
            region: None,
            http_allowed: false,
            attached: &[],
            campaign: None,
            limits: &self.settings.order,
        };
        let parsed = control::order::parse(fields, &cx, &mut self.rng).unwrap_or_else(|r| panic!("{r:?}"));
        let order = parsed.orders.into_iter().next().expect("one recipient");
        let zones = facts(&order, &self.settings).zones;
        let due = schedule::first_due(&order, &zones, now.wall);
        (order, parsed.digests[0], due)
    }
}

/// What the desk is told of an order that was accepted: something is due.
pub(super) fn woken(order: &Order, due: Wall) -> desk::Input {
    desk::Input::Woken { priority: order.priority, tenant: order.tenant, due }
}

/// A finished call in the desk's words; a call without a lease only gives its capacity back.
pub(super) fn desk_finished(f: shard::Finished) -> Result<desk::Finished, control::permit::Released> {
    let Some(lease) = f.lease else { return Err(f.released) };
    let outcome = Outcome {
        disposition: f.disposition,
        cause: f.cause,
        dialled: f.dialled,
        retry_after_s: f.retry_after_s,
    };
    Ok(desk::Finished { lease, outcome, result: f.result, why: f.why, released: f.released })
}
