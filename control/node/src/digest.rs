//! One mail for many: what became of a campaign's calls is told in a digest an hour, and not in a mail a call.
//!
//! A campaign's notice is put off to the end of its period when it first falls due; then all that are due are gathered by
//! campaign and address, and leave as one mail each. The store keeps every notice until its mail was taken.

use crate::notify::{Draft, report};
use control::config::Config;
use control::order::ResultTo;
use control::store::{Notice, Status};
use lettre::message::Message;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use units::{CampaignId, TenantId, Wall};

/// Calls in one digest; what is more goes into another.
pub(crate) const ROWS_MAX: usize = 10_000;

/// Whose digest: campaign, tenant, address.
pub(crate) type Whose = (CampaignId, TenantId, String);

/// What is gathered for one mail.
#[derive(Debug, Default)]
pub(crate) struct Digest {
    pub(crate) notices: Vec<Notice>,
    rows: Vec<Value>,
    counts: BTreeMap<String, usize>,
}

/// The campaign whose digest a notice belongs in, if it is a mail about a campaign's call.
pub(crate) fn whose(notice: &Notice, status: &Status) -> Option<Whose> {
    match (&notice.to, status.order.campaign) {
        (ResultTo::Mail(to), Some(campaign)) => Some((campaign, status.order.tenant, to.expose().clone())),
        _ => None,
    }
}

/// When the period ends in which `now` lies.
pub(crate) fn period_end(now: Wall, period_ms: u64) -> Wall {
    let period = i64::try_from(period_ms).unwrap_or(i64::MAX).max(1);
    Wall(now.0.saturating_sub(now.0.rem_euclid(period)).saturating_add(period))
}

impl Digest {
    /// Takes a notice in: of its body only what a list needs, for decisions are long.
    pub(crate) fn add(&mut self, notice: Notice) {
        let body: Value = serde_json::from_str(&notice.body).unwrap_or_default();
        let how = body["disposition"].as_str().unwrap_or("unknown").to_owned();
        *self.counts.entry(how).or_default() += 1;
        self.rows.push(
            json!({ "id": body["id"], "request_id": body["request_id"], "disposition": body["disposition"],
            "attempts": body["attempts"], "at_ms": body["at_ms"], "result": body["result"] }),
        );
        self.notices.push(notice);
    }

    /// The mail: what became of how many for people, and each call for programs.
    pub(crate) fn mail(&self, config: &Config, (campaign, _, to): &Whose) -> Result<Message, String> {
        let counts: Vec<String> = self.counts.iter().map(|(how, n)| format!("{n:>8} {how}")).collect();
        let text = format!(
            "Campaign {campaign}\nCalls that are over since the last digest: {}\n\n{}\n\nThe attached part names each of them.\n",
            self.rows.len(),
            counts.join("\n").replace('_', " ")
        );
        let last = self.notices.last().map_or(0, |n| n.id);
        let json = json!({ "campaign": campaign.to_string(), "counts": self.counts, "calls": self.rows });
        report(
            config,
            Draft {
                to,
                subject: &format!("Campaign {campaign}: {} calls over", self.rows.len()),
                message_id: &format!("<{campaign}.{last}@{}>", config.smtp.hostname),
                answers: None,
                text,
                json: format!("{json:#}"),
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use units::{OrderId, Private};

    #[test]
    fn periods_end_on_the_hour() {
        for (now, period, end) in [
            (0, 3_600_000, 3_600_000),
            (3_599_999, 3_600_000, 3_600_000),
            (3_600_000, 3_600_000, 7_200_000),
            (5, 0, 6),
        ] {
            assert_eq!(period_end(Wall(now), period), Wall(end));
        }
    }

    #[test]
    fn a_digest_counts_and_names_its_calls() {
        let mut digest = Digest::default();
        for (id, how) in [(1, "completed"), (2, "no_answer"), (3, "completed")] {
            let to = ResultTo::Mail(Private::new("ops@acme.example".into()));
            let body =
                format!("{{\"id\":\"call_{id}\",\"disposition\":\"{how}\",\"decision\":{{\"long\":1}}}}");
            let (tries, due) = (1, Wall(0));
            digest.add(Notice { id, order: OrderId(u128::from(id)), to, seq: 1, body, tries, due });
        }
        let whose = (CampaignId(7), TenantId(1), "ops@acme.example".to_owned());
        let mail = digest.mail(&Config::default(), &whose).expect("a mail");
        let text = String::from_utf8(mail.formatted()).expect("text");
        assert!(
            text.contains("3 calls over") && text.contains("2 completed") && text.contains("1 no answer"),
            "{text}"
        );
        assert!(text.contains("call_3") && !text.contains("long"), "{text}");
        assert!(text.contains("Auto-Submitted: auto-replied"), "{text}");
    }
}
