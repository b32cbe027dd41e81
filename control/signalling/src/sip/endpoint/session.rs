//! Session timers (RFC 4028): the last net under a call whose far end died.

use super::Endpoint;
use super::leg::{Leg, Phase, Reoffer, Session};
use super::tx::Purpose;
use crate::sip::wire::fields::{Refresher, SessionExpires};
use crate::sip::wire::{HeaderId, Message, Writer};
use std::time::Duration;
use units::{Cause, Now};

impl Endpoint {
    /// UAC: what a 2xx to our INVITE or UPDATE settled (RFC 4028 §7.2).
    pub(super) fn session_agreed(&self, now: Now, leg: &mut Leg, m: &Message<'_>) {
        leg.session = SessionExpires::read(m).map(|s| {
            // Without a refresher in the 2xx it is the UAC, as a UAS must name itself.
            session(now, s.seconds, s.refresher != Some(Refresher::Uas))
        });
    }

    /// UAS: grants the timer that was asked for, or asks for one itself (RFC 4028 §9), and writes it into the 2xx.
    pub(super) fn grant_session(
        &self,
        now: Now,
        leg: &mut Leg,
        asked: Option<SessionExpires>,
        knows: bool,
        w: &mut Writer,
    ) {
        let seconds = match (asked, self.config.session_expires_s) {
            (Some(asked), _) => asked.seconds.max(self.config.min_se_s),
            (None, Some(own)) => own,
            (None, None) => return,
        };
        // A peer that does not know timers cannot refresh; one that does is left to unless it named us.
        let ours = !knows || asked.is_some_and(|a| a.refresher == Some(Refresher::Uas)) || asked.is_none();
        leg.session = Some(session(now, seconds, ours));
        w.field(
            HeaderId::SessionExpires,
            format_args!("{seconds};refresher={}", if ours { "uas" } else { "uac" }),
        );
        if knows && !ours {
            w.field(HeaderId::Require, "timer");
        }
    }

    /// The timer is due: we refresh, or the peer has failed to. Whether it was that.
    pub(super) fn session_due(&mut self, now: Now, leg: &mut Leg) -> bool {
        let Some(s) = leg.session.filter(|s| s.at <= now.mono) else { return false };
        if !s.ours {
            // RFC 4028 §10: no refresh in time, so the session is over.
            self.hang_up(now, leg, Cause::TIMER);
            return true;
        }
        // Should the refresh be lost, another follows before the peer gives up.
        leg.session = Some(Session { at: now.mono + Duration::from_secs(u64::from(s.seconds)) / 3, ..s });
        let up = matches!(leg.phase, Phase::Up { .. });
        if up && leg.updates {
            self.update(now, leg);
        } else if let (true, Some(media), None) = (up, leg.ours.clone(), &leg.reoffer) {
            leg.reoffer = Some(Reoffer { media, at: Some(now.mono), tx: None, tries: 0, refresh: true });
        }
        true
    }

    /// An UPDATE without an offer, which only refreshes.
    fn update(&mut self, now: Now, leg: &mut Leg) {
        let mut fields = Vec::new();
        if let Some(s) = leg.session {
            fields.push((HeaderId::SessionExpires, format!("{};refresher=uac", s.seconds)));
        }
        let contact = leg.contact.clone();
        let min_se = self.config.min_se_s;
        let extra = |w: &mut Writer| {
            w.field(HeaderId::Contact, contact);
            w.field(HeaderId::Supported, super::request::SUPPORTED);
            w.field(HeaderId::MinSe, min_se);
            for (id, value) in fields {
                w.field(id, value);
            }
        };
        self.send_in_dialog(now, leg, (0, Purpose::Update), "UPDATE", extra, ("", b""));
    }

    /// UAS: the answer to a refresh of the peer's.
    pub(super) fn refreshed(&self, now: Now, leg: &mut Leg, m: &Message<'_>, w: &mut Writer) {
        let asked = SessionExpires::read(m);
        if asked.is_some() || leg.session.is_some() {
            let knows = crate::sip::wire::fields::has(m, HeaderId::Supported, "timer") || asked.is_some();
            self.grant_session(now, leg, asked, knows, w);
        }
    }
}

/// RFC 4028 §7.2, §10: refresh at half time; give up a third (at most 32 s) before the end.
fn session(now: Now, seconds: u32, ours: bool) -> Session {
    let margin = (seconds / 3).min(32);
    let wait = if ours { seconds / 2 } else { seconds - margin };
    Session { seconds, ours, at: now.mono + Duration::from_secs(u64::from(wait)) }
}
