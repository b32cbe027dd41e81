//! Clearing (Q.931 §5.3, figures A.5 and A.6) and what data link failures do to a call (§5.8.8, §5.8.9).

use super::{Call, Output, State, Timer, Told};
use crate::isdn::q931::ie;
use crate::isdn::q931::wire::Kind;
use units::{Cause, Mono};

impl Call {
    /// Our side ends the call.
    pub(super) fn clear(&mut self, now: Mono, cause: Cause) {
        match self.state {
            State::Null | State::Disconnecting(_) | State::Releasing { .. } => {}
            State::Present => {
                // §5.2.5.1, §5.1.5: a call that nothing was said about is refused in one message.
                self.channel = None;
                self.send(Kind::RELEASE_COMPLETE, vec![ie::cause(self.location(), cause, &[])]);
                self.end(cause, false, false);
            }
            _ => {
                self.send(Kind::DISCONNECT, vec![ie::cause(self.location(), cause, &[])]);
                self.state = State::Disconnecting(cause);
                (self.t309, self.t322) = (None, None);
                self.arm(now, Timer::T305);
            }
        }
    }

    /// Sends RELEASE: the call is over, its reference lives until RELEASE COMPLETE.
    pub(super) fn release(&mut self, now: Mono, cause: Cause) {
        self.send(Kind::RELEASE, vec![ie::cause(self.location(), cause, &[])]);
        self.state = State::Releasing { cause, again: false };
        (self.t309, self.t322) = (None, None);
        self.arm(now, Timer::T308);
        self.tell_end(cause, false);
    }

    /// The peer's DISCONNECT: we have no use for its tones and release at once (§5.3.3, §5.3.4).
    pub(super) fn disconnected(&mut self, now: Mono, cause: Cause) {
        let ours = match self.state {
            // §5.3.5: both sides at once.
            State::Disconnecting(ours) => ours,
            _ => {
                self.tell_end(cause, true);
                cause
            }
        };
        self.release(now, ours);
    }

    /// The peer's RELEASE (§5.3.3; in any other state §5.8.4).
    pub(super) fn released(&mut self, cause: Cause) {
        match self.state {
            // §5.3.5: both sent RELEASE; neither answers.
            State::Releasing { cause, .. } => self.end(cause, false, false),
            State::Disconnecting(ours) => {
                self.send(Kind::RELEASE_COMPLETE, Vec::new());
                self.end(ours, false, false);
            }
            _ => {
                self.send(Kind::RELEASE_COMPLETE, Vec::new());
                self.end(cause, true, false);
            }
        }
    }

    /// The call reference is free again.
    pub(super) fn end(&mut self, cause: Cause, by_peer: bool, suspect: bool) {
        self.tell_end(cause, by_peer);
        self.state = State::Null;
        (self.timer, self.t309, self.t322) = (None, None, None);
        self.out.push_back(Output::Gone { suspect });
    }

    fn tell_end(&mut self, cause: Cause, by_peer: bool) {
        if !self.told_end {
            self.told_end = true;
            self.tell(Told::Ended { cause, by_peer });
        }
    }

    /// Ends without a message: RESTART, a dead span, T309.
    pub(super) fn dropped(&mut self, cause: Cause) {
        self.end(cause, true, false);
    }

    /// §5.8.9: active calls wait for T309, all others are cleared.
    pub(super) fn link_down(&mut self, now: Mono) {
        self.t322 = None;
        match self.state {
            State::Active => self.t309 = self.t309.or(Some(now + self.timers.t309)),
            _ => self.dropped(Cause::TEMPORARY),
        }
    }

    /// §5.8.9: the peer is asked whether it still has the call.
    pub(super) fn link_up(&mut self, now: Mono) {
        if self.t309.take().is_some() {
            self.enquire(now, 1);
        }
    }

    /// §5.8.8: calls in the overlap states are cleared, active ones go on.
    pub(super) fn link_reset(&mut self, now: Mono) {
        match self.state {
            State::OverlapSending | State::OverlapReceiving => self.clear(now, Cause::TEMPORARY),
            State::Active => self.enquire(now, 1),
            _ => {}
        }
    }

    /// STATUS ENQUIRY under T322 (§5.8.10).
    pub(super) fn enquire(&mut self, now: Mono, tries: u8) {
        self.send(Kind::STATUS_ENQUIRY, Vec::new());
        self.t322 = Some((now + self.timers.t322, tries));
    }
}
