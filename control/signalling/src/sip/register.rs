//! A registration of ours at somebody's registrar (RFC 3261 §10.2): when to send REGISTER, what the answer means, and
//! when to come back. The requests themselves are written by the endpoint.
//!
//! ```text
//! Idle ──due──▶ Trying ──2xx──▶ Registered ──half of the interval──▶ Trying
//!   ▲             │ 401/407 with credentials, 423: at once again
//!   └──wait over──┴──any other answer, or none: Failed, waiting longer each time
//! ```

use crate::leg::{Credentials, Transport};
use std::net::SocketAddr;
use std::time::Duration;
use units::{Mono, Now, Private, Rng, Seed};

/// A registration that is wanted.
#[derive(Clone, Debug)]
pub struct Registration {
    /// Names it among others: the trunk.
    pub name: String,
    /// Address of record: `sip:user@domain`.
    pub aor: Private<String>,
    /// User part of the Contact.
    pub user: Private<String>,
    /// The registrar's domain, for the Request-URI.
    pub domain: String,
    /// Transport to it.
    pub transport: Transport,
    /// Where REGISTER goes.
    pub to: SocketAddr,
    /// Digest credentials.
    pub credentials: Option<Credentials>,
    /// Interval that we ask for, s.
    pub expires_s: u32,
}

impl Registration {
    /// Whether it is the same one, so that what is known of it holds.
    #[must_use]
    pub fn is_like(&self, other: &Registration) -> bool {
        let secrets = |r: &Registration| {
            r.credentials.as_ref().map(|c| (c.user.expose().clone(), c.password.expose().clone()))
        };
        self.name == other.name
            && self.aor == other.aor
            && (self.transport, self.to, self.expires_s) == (other.transport, other.to, other.expires_s)
            && secrets(self) == secrets(other)
    }
}

/// What the machine hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Its deadline came.
    Due,
    /// A final response.
    Answered {
        /// 200..=699.
        status: u16,
        /// Interval that was granted, s (2xx).
        expires_s: Option<u32>,
        /// The least that the registrar grants, s (423).
        min_expires_s: Option<u32>,
        /// Retry-After, s.
        retry_after_s: Option<u32>,
        /// A challenge came that we can answer.
        challenged: bool,
    },
    /// Nobody answered, or the transport failed.
    Unanswered,
    /// It is not wanted any more.
    Stop,
}

/// What the machine asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send REGISTER with this Expires, s; with the credentials that the challenge asked for, if there was one.
    Send {
        /// 0: take the binding away.
        expires_s: u32,
    },
    /// Whether it is registered has changed; the status that said so.
    State {
        /// It is.
        registered: bool,
        /// SIP status; `None`: nobody answered.
        status: Option<u16>,
    },
}

/// Challenges and 423s in a row that are answered.
const TRIES_MAX: u8 = 3;
/// RFC 5626 §4.5: base and bound of the wait after failures, s.
const BASE_S: u64 = 30;
const WAIT_S_MAX: u64 = 1_800;
/// A registrar that grants less than this is asked no more often, s.
const GRANT_S_MIN: u32 = 10;
/// Longest interval that we ask for because of a 423, s.
const EXPIRES_S_MAX: u32 = 86_400;

/// The machine.
#[derive(Debug)]
pub struct Client {
    expires_s: u32,
    next: Option<Mono>,
    registered: Option<bool>,
    failures: u32,
    tries: u8,
    stopping: bool,
    rng: Rng,
    out: Vec<Output>,
}

impl Client {
    /// Registers at once.
    #[must_use]
    pub fn new(expires_s: u32, now: Mono, seed: Seed) -> Self {
        Self {
            expires_s: expires_s.clamp(GRANT_S_MIN, EXPIRES_S_MAX),
            next: Some(now),
            registered: None,
            failures: 0,
            tries: 0,
            stopping: false,
            rng: seed.rng(),
            out: Vec::new(),
        }
    }

    /// One input; then drain [`Client::poll`].
    pub fn handle(&mut self, now: Now, input: Input) {
        match input {
            Input::Due => {
                if self.next.is_some_and(|at| at <= now.mono) && !self.stopping {
                    self.next = None;
                    self.tries = 0;
                    self.out.push(Output::Send { expires_s: self.expires_s });
                }
            }
            Input::Answered { status: 200..=299, expires_s, .. } => self.granted(now, expires_s),
            Input::Answered { challenged: true, .. } if self.tries < TRIES_MAX => self.again(),
            // RFC 3261 §10.2.8: ask for as long as the registrar wants at least.
            Input::Answered { status: 423, min_expires_s: Some(least), .. }
                if self.tries < TRIES_MAX && least > self.expires_s && least <= EXPIRES_S_MAX =>
            {
                self.expires_s = least;
                self.again();
            }
            Input::Answered { status, retry_after_s, .. } => self.failed(now, Some(status), retry_after_s),
            Input::Unanswered => self.failed(now, None, None),
            Input::Stop => {
                self.stopping = true;
                self.next = None;
                if self.registered == Some(true) {
                    self.out.push(Output::Send { expires_s: 0 });
                }
            }
        }
    }

    /// Next output.
    pub fn poll(&mut self) -> Option<Output> {
        (!self.out.is_empty()).then(|| self.out.remove(0))
    }

    /// Whether a binding of ours is known to stand.
    #[must_use]
    pub fn is_registered(&self) -> bool {
        self.registered == Some(true)
    }

    /// When to come back with [`Input::Due`].
    #[must_use]
    pub fn deadline(&self) -> Option<Mono> {
        self.next
    }

    fn again(&mut self) {
        self.tries += 1;
        let expires_s = if self.stopping { 0 } else { self.expires_s };
        self.out.push(Output::Send { expires_s });
    }

    fn granted(&mut self, now: Now, expires_s: Option<u32>) {
        if self.stopping {
            return;
        }
        self.failures = 0;
        // Half of the interval leaves time for several tries before the binding is lost.
        let granted = expires_s.unwrap_or(self.expires_s).max(GRANT_S_MIN);
        self.next = Some(now.mono + Duration::from_secs(u64::from(granted)) / 2);
        self.state(true, Some(200));
    }

    /// RFC 5626 §4.5: twice as long after each failure, within a bound; drawn from the upper half, so that what failed
    /// together does not come back together.
    fn failed(&mut self, now: Now, status: Option<u16>, retry_after_s: Option<u32>) {
        if self.stopping {
            return;
        }
        let upper = (BASE_S << self.failures.min(10)).min(WAIT_S_MAX) * 1_000;
        self.failures += 1;
        let own = upper / 2 + self.rng.below(upper / 2 + 1);
        let asked = u64::from(retry_after_s.unwrap_or(0)).min(WAIT_S_MAX) * 1_000;
        self.next = Some(now.mono + Duration::from_millis(own.max(asked)));
        self.state(false, status);
    }

    fn state(&mut self, registered: bool, status: Option<u16>) {
        if self.registered != Some(registered) {
            self.registered = Some(registered);
            self.out.push(Output::State { registered, status });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use units::Wall;

    fn at(s: u64) -> Now {
        Now { mono: Mono::from_ms(s * 1_000), wall: Wall(0) }
    }

    fn told(client: &mut Client, s: u64, input: Input) -> Vec<Output> {
        client.handle(at(s), input);
        std::iter::from_fn(|| client.poll()).collect()
    }

    fn answer(status: u16) -> Input {
        Input::Answered {
            status,
            expires_s: None,
            min_expires_s: None,
            retry_after_s: None,
            challenged: status == 401,
        }
    }

    const UP: Output = Output::State { registered: true, status: Some(200) };

    #[test]
    fn rfc3261_10_2_a_challenge_is_answered_and_the_binding_refreshed() {
        let mut c = Client::new(600, Mono(0), Seed(1));
        assert_eq!(told(&mut c, 0, Input::Due), [Output::Send { expires_s: 600 }]);
        assert_eq!(told(&mut c, 0, answer(401)), [Output::Send { expires_s: 600 }]);
        let granted = Input::Answered {
            status: 200,
            expires_s: Some(120),
            min_expires_s: None,
            retry_after_s: None,
            challenged: false,
        };
        assert_eq!(told(&mut c, 1, granted), [UP]);
        assert_eq!(c.deadline(), Some(at(61).mono));
        assert_eq!(told(&mut c, 60, Input::Due), []);
        assert_eq!(told(&mut c, 61, Input::Due), [Output::Send { expires_s: 600 }]);
        assert_eq!(told(&mut c, 61, granted), [], "nothing new to tell");
    }

    #[test]
    fn wrong_credentials_are_not_tried_for_ever() {
        let mut c = Client::new(600, Mono(0), Seed(1));
        told(&mut c, 0, Input::Due);
        let sent = (0..9)
            .filter(|_| !told(&mut c, 0, answer(401)).iter().all(|o| *o != Output::Send { expires_s: 600 }));
        assert_eq!(sent.count(), 3);
        assert!(c.deadline().is_some_and(|d| d >= at(15).mono));
    }

    #[test]
    fn rfc3261_10_2_8_too_brief_an_interval_is_raised() {
        let mut c = Client::new(60, Mono(0), Seed(1));
        told(&mut c, 0, Input::Due);
        let brief = Input::Answered {
            status: 423,
            expires_s: None,
            min_expires_s: Some(3_600),
            retry_after_s: None,
            challenged: false,
        };
        assert_eq!(told(&mut c, 0, brief), [Output::Send { expires_s: 3_600 }]);
        assert_eq!(told(&mut c, 0, brief), [Output::State { registered: false, status: Some(423) }], "once");
    }

    #[test]
    fn rfc5626_4_5_the_wait_doubles_within_its_bound() {
        let mut c = Client::new(600, Mono(0), Seed(3));
        let mut now = 0;
        for n in 0..12 {
            told(&mut c, now, Input::Due);
            told(&mut c, now, Input::Unanswered);
            let wait = (c.deadline().expect("it tries again").since(at(now).mono)).as_secs();
            let upper = (30_u64 << n.min(10)).min(1_800);
            assert!((upper / 2..=upper).contains(&wait), "{n}: {wait}");
            now += wait + 1;
        }
    }

    #[test]
    fn what_is_not_wanted_any_more_is_taken_away() {
        let mut c = Client::new(600, Mono(0), Seed(1));
        told(&mut c, 0, Input::Due);
        told(&mut c, 0, answer(200));
        assert_eq!(told(&mut c, 1, Input::Stop), [Output::Send { expires_s: 0 }]);
        assert_eq!(told(&mut c, 1, answer(401)), [Output::Send { expires_s: 0 }]);
        assert_eq!((told(&mut c, 1, answer(200)), c.deadline()), (vec![], None));
    }
}
