//! INVITE server transaction: RFC 3261 §17.2.1, figure 7, with the Accepted state of RFC 6026 §7.1.

use super::resend::{Due, Resend};
use super::{Outbox, ServerOutput, Timers};
use units::{Mono, Now};

/// The machine.
#[derive(Clone, Debug)]
pub struct ServerInvite {
    state: State,
    reliable: bool,
    timers: Timers,
    out: Outbox<ServerOutput>,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// The INVITE came again.
    Again,
    /// The transaction user answers with this status; the owner holds the octets.
    Respond(u16),
    /// An ACK that matches.
    Ack,
    /// Sending failed.
    TransportError,
    /// The deadline passed.
    Timer,
}

/// Which timer of the standard is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// Retransmit the final response.
    G,
    /// No ACK came.
    H,
    /// Absorbed enough ACKs.
    I,
    /// Absorbed enough INVITEs after a 2xx.
    L,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Proceeding { answered: bool },
    Completed(Resend),
    Confirmed { i_at: Mono },
    Accepted { l_at: Mono },
    Terminated,
}

impl ServerInvite {
    /// Enters Proceeding. The user answers at once (a 100 at least), so no 100 is made here.
    #[must_use]
    pub fn new(reliable: bool, timers: Timers) -> Self {
        Self { state: State::Proceeding { answered: false }, reliable, timers, out: Outbox::new() }
    }

    /// One input. The outputs of the last one were drained.
    pub fn handle(&mut self, now: Now, input: Input) {
        assert!(self.out.is_empty(), "drain before the next input");
        match (self.state, input) {
            (State::Proceeding { .. }, Input::Respond(status)) => self.respond(now.mono, status),
            (State::Proceeding { answered: true } | State::Completed(_), Input::Again) => {
                self.out.push(ServerOutput::SendResponse);
            }
            (State::Completed(_), Input::Ack) => {
                let i_at = Timers::absorb(now.mono, self.reliable, self.timers.t4);
                self.state = State::Confirmed { i_at };
            }
            // RFC 6026 §7.1: ACKs pass through; INVITEs are absorbed, since the user retransmits its 2xx.
            (State::Accepted { .. }, Input::Ack) => self.out.push(ServerOutput::Deliver),
            (State::Proceeding { .. } | State::Completed(_), Input::TransportError) => {
                self.end(ServerOutput::Failed);
            }
            (_, Input::Timer) => self.timer(now.mono),
            _ => {}
        }
    }

    /// Next output.
    pub fn poll(&mut self) -> Option<ServerOutput> {
        self.out.pop()
    }

    /// When to come back, and why.
    #[must_use]
    pub fn deadline(&self) -> Option<(Mono, Timer)> {
        match self.state {
            State::Completed(resend) => match resend.next() {
                (g, false) => Some((g, Timer::G)),
                (h, true) => Some((h, Timer::H)),
            },
            State::Confirmed { i_at } => Some((i_at, Timer::I)),
            State::Accepted { l_at } => Some((l_at, Timer::L)),
            State::Proceeding { .. } | State::Terminated => None,
        }
    }

    /// Whether a final response may still be given.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Proceeding { .. })
    }

    fn respond(&mut self, now: Mono, status: u16) {
        self.out.push(ServerOutput::SendResponse);
        self.state = match status {
            100..=199 => State::Proceeding { answered: true },
            200..=299 => State::Accepted { l_at: now + self.timers.t1x64() },
            _ => State::Completed(Resend::new(now, self.reliable, &self.timers)),
        };
    }

    fn timer(&mut self, now: Mono) {
        let ceiling = Some(self.timers.t2);
        match &mut self.state {
            // RFC 3261 §17.2.1: doubles up to T2.
            State::Completed(resend) => match resend.due(now, ceiling) {
                Due::GiveUp => self.end(ServerOutput::TimedOut),
                Due::Again => self.out.push(ServerOutput::SendResponse),
                Due::Nothing => {}
            },
            State::Confirmed { i_at: at } | State::Accepted { l_at: at } if *at <= now => {
                self.state = State::Terminated;
                self.out.push(ServerOutput::Gone);
            }
            _ => {}
        }
    }

    fn end(&mut self, why: ServerOutput) {
        self.state = State::Terminated;
        self.out.push(why);
        self.out.push(ServerOutput::Gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Machine, at, dot, drain, live};

    impl Machine for ServerInvite {
        type Input = Input;
        type Output = ServerOutput;
        const INPUTS: &'static [(&'static str, Input)] = &[
            ("INVITE", Input::Again),
            ("ACK", Input::Ack),
            ("send 1xx", Input::Respond(180)),
            ("send 2xx", Input::Respond(200)),
            ("send 300-699", Input::Respond(486)),
            ("error", Input::TransportError),
        ];
        const TIMER: Input = Input::Timer;
        fn step(&mut self, now: Now, input: Input) {
            self.handle(now, input);
        }
        fn next(&mut self) -> Option<ServerOutput> {
            self.poll()
        }
        fn due(&self) -> Option<(Mono, String)> {
            self.deadline().map(|(at, t)| (at, format!("{t:?}")))
        }
        fn state(&self) -> &'static str {
            match self.state {
                State::Proceeding { .. } => "Proceeding",
                State::Completed { .. } => "Completed",
                State::Confirmed { .. } => "Confirmed",
                State::Accepted { .. } => "Accepted",
                State::Terminated => "Terminated",
            }
        }
    }

    fn udp() -> ServerInvite {
        ServerInvite::new(false, Timers::default())
    }

    #[test]
    fn rfc3261_17_2_1_timer_g_doubles_up_to_t2_and_timer_h_ends() {
        let mut m = udp();
        m.handle(at(0), Input::Respond(486));
        let mut sent = vec![];
        assert_eq!(drain(&mut m), [ServerOutput::SendResponse]);
        while let Some((when, Timer::G)) = m.deadline() {
            m.handle(Now { mono: when, ..Now::default() }, Input::Timer);
            assert_eq!(drain(&mut m), [ServerOutput::SendResponse]);
            sent.push(when.as_ms());
        }
        assert_eq!(sent[..5], [500, 1500, 3500, 7500, 11_500]);
        m.handle(at(32_000), Input::Timer);
        assert_eq!(drain(&mut m), [ServerOutput::TimedOut, ServerOutput::Gone]);
    }

    #[test]
    fn rfc6026_7_1_after_a_2xx_invites_are_absorbed_and_acks_delivered() {
        let mut m = udp();
        m.handle(at(0), Input::Respond(200));
        drain(&mut m);
        m.handle(at(1), Input::Again);
        assert_eq!(drain(&mut m), []);
        m.handle(at(2), Input::Ack);
        assert_eq!(drain(&mut m), [ServerOutput::Deliver]);
        assert_eq!(m.deadline(), Some((Mono::from_ms(32_000), Timer::L)));
    }

    #[test]
    fn it_ends_once_whatever_happens() {
        live(udp, Input::Respond(486));
    }

    #[test]
    fn figure_7_is_drawn() {
        assert_eq!(dot("server_invite", udp()), include_str!("server_invite.dot"));
    }
}
