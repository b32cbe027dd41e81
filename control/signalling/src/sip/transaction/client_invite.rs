//! INVITE client transaction: RFC 3261 §17.1.1, figure 5, with the Accepted state of RFC 6026 §7.2.
//!
//! In: the status of a matching response, a transport error, a passed deadline. Out: [`ClientOutput`]. It does not
//! build the ACK for a non-2xx (its owner does) and never sees the ACK for a 2xx (the dialog's, RFC 3261 §13.2.2.4).
//! Time is `Now::mono`; every interval comes from [`Timers`].

use super::resend::{Due, Resend};
use super::{ClientOutput, Outbox, Timers};
use units::{Mono, Now};

/// The machine.
#[derive(Clone, Debug)]
pub struct ClientInvite {
    state: State,
    reliable: bool,
    timers: Timers,
    out: Outbox<ClientOutput>,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A response with this status, 100..=699.
    Response(u16),
    /// Sending failed.
    TransportError,
    /// The deadline passed.
    Timer,
}

/// Which timer of the standard is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// Retransmit.
    A,
    /// Give up.
    B,
    /// Absorbed enough retransmitted responses.
    D,
    /// Absorbed enough retransmitted 2xx.
    M,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Calling(Resend),
    Proceeding,
    Completed { d_at: Mono },
    Accepted { m_at: Mono },
    Terminated,
}

impl ClientInvite {
    /// Enters Calling and asks for the request to be sent.
    #[must_use]
    pub fn new(now: Now, reliable: bool, timers: Timers) -> Self {
        let mut out = Outbox::new();
        out.push(ClientOutput::SendRequest);
        // RFC 3261 §17.1.1.2: timer A starts at T1 and runs over unreliable transports only.
        let state = State::Calling(Resend::new(now.mono, reliable, &timers));
        Self { state, reliable, timers, out }
    }

    /// One input. The outputs of the last one were drained.
    pub fn handle(&mut self, now: Now, input: Input) {
        assert!(self.out.is_empty(), "drain before the next input");
        match (self.state, input) {
            (State::Terminated, _) => {}
            (_, Input::Response(status)) => self.response(now.mono, status),
            (State::Accepted { .. }, Input::TransportError) => {}
            (_, Input::TransportError) => self.end(ClientOutput::Failed),
            (_, Input::Timer) => self.timer(now.mono),
        }
    }

    /// Next output.
    pub fn poll(&mut self) -> Option<ClientOutput> {
        self.out.pop()
    }

    /// When to come back, and why.
    #[must_use]
    pub fn deadline(&self) -> Option<(Mono, Timer)> {
        match self.state {
            State::Calling(resend) => match resend.next() {
                (a, false) => Some((a, Timer::A)),
                (b, true) => Some((b, Timer::B)),
            },
            State::Completed { d_at } => Some((d_at, Timer::D)),
            State::Accepted { m_at } => Some((m_at, Timer::M)),
            State::Proceeding | State::Terminated => None,
        }
    }

    /// Whether a provisional has been heard and no final: only then may a CANCEL go out (RFC 3261 §9.1).
    #[must_use]
    pub fn is_proceeding(&self) -> bool {
        self.state == State::Proceeding
    }

    fn response(&mut self, now: Mono, status: u16) {
        match (self.state, status) {
            (State::Calling(_) | State::Proceeding, 100..=199) => {
                self.state = State::Proceeding;
                self.out.push(ClientOutput::Deliver);
            }
            // RFC 6026 §7.2: a 2xx moves to Accepted, where further ones still reach the user.
            (State::Calling(_) | State::Proceeding, 200..=299) => {
                self.state = State::Accepted { m_at: now + self.timers.t1x64() };
                self.out.push(ClientOutput::Deliver);
            }
            (State::Accepted { .. }, 200..=299) => self.out.push(ClientOutput::Deliver),
            (State::Calling(_) | State::Proceeding, 300..) => {
                self.out.push(ClientOutput::SendAck);
                self.out.push(ClientOutput::Deliver);
                // RFC 3261 §17.1.1.2: timer D is zero over reliable transports.
                self.state = State::Completed { d_at: Timers::absorb(now, self.reliable, self.timers.d) };
            }
            (State::Completed { .. }, 300..) => self.out.push(ClientOutput::SendAck),
            _ => {}
        }
    }

    fn timer(&mut self, now: Mono) {
        match &mut self.state {
            // RFC 3261 §17.1.1.2: the interval doubles after each retransmission, without a ceiling.
            State::Calling(resend) => match resend.due(now, None) {
                Due::GiveUp => self.end(ClientOutput::TimedOut),
                Due::Again => self.out.push(ClientOutput::SendRequest),
                Due::Nothing => {}
            },
            State::Completed { d_at: at } | State::Accepted { m_at: at } if *at <= now => {
                self.state = State::Terminated;
                self.out.push(ClientOutput::Gone);
            }
            _ => {}
        }
    }

    fn end(&mut self, why: ClientOutput) {
        self.state = State::Terminated;
        self.out.push(why);
        self.out.push(ClientOutput::Gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Machine, at, dot, drain, live};

    impl Machine for ClientInvite {
        type Input = Input;
        type Output = ClientOutput;
        const INPUTS: &'static [(&'static str, Input)] = &[
            ("1xx", Input::Response(180)),
            ("2xx", Input::Response(200)),
            ("300-699", Input::Response(486)),
            ("error", Input::TransportError),
        ];
        const TIMER: Input = Input::Timer;
        fn step(&mut self, now: Now, input: Input) {
            self.handle(now, input);
        }
        fn next(&mut self) -> Option<ClientOutput> {
            self.poll()
        }
        fn due(&self) -> Option<(Mono, String)> {
            self.deadline().map(|(at, t)| (at, format!("{t:?}")))
        }
        fn state(&self) -> &'static str {
            match self.state {
                State::Calling { .. } => "Calling",
                State::Proceeding => "Proceeding",
                State::Completed { .. } => "Completed",
                State::Accepted { .. } => "Accepted",
                State::Terminated => "Terminated",
            }
        }
    }

    fn udp() -> ClientInvite {
        let mut m = ClientInvite::new(at(0), false, Timers::default());
        assert_eq!(drain(&mut m), [ClientOutput::SendRequest]);
        m
    }

    #[test]
    fn rfc3261_17_1_1_2_timer_a_doubles_and_timer_b_ends() {
        // Goal: the times of all retransmissions over UDP without an answer. Method: follow the deadlines.
        let mut m = udp();
        let mut sent = vec![];
        let ended = loop {
            let (when, _) = m.deadline().expect("calls on");
            m.handle(Now { mono: when, ..Now::default() }, Input::Timer);
            match drain(&mut m).as_slice() {
                [ClientOutput::SendRequest] => sent.push(when.as_ms()),
                [ClientOutput::TimedOut, ClientOutput::Gone] => break when.as_ms(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!((sent, ended), (vec![500, 1500, 3500, 7500, 15_500, 31_500], 32_000));
    }

    #[test]
    fn rfc3261_17_1_1_2_a_provisional_stops_retransmission() {
        let mut m = udp();
        m.handle(at(100), Input::Response(100));
        assert_eq!((drain(&mut m), m.deadline()), (vec![ClientOutput::Deliver], None));
    }

    #[test]
    fn rfc3261_17_1_1_3_each_final_is_acknowledged_and_delivered_once() {
        let mut m = udp();
        m.handle(at(1), Input::Response(486));
        assert_eq!(drain(&mut m), [ClientOutput::SendAck, ClientOutput::Deliver]);
        m.handle(at(2), Input::Response(486));
        assert_eq!(drain(&mut m), [ClientOutput::SendAck]);
        assert_eq!(m.deadline(), Some((Mono::from_ms(32_001), Timer::D)));
    }

    #[test]
    fn rfc6026_7_2_every_2xx_reaches_the_user_until_timer_m() {
        let mut m = udp();
        for ms in [1, 600] {
            m.handle(at(ms), Input::Response(200));
            assert_eq!(drain(&mut m), [ClientOutput::Deliver]);
        }
        m.handle(at(32_001), Input::Timer);
        assert_eq!(drain(&mut m), [ClientOutput::Gone]);
    }

    #[test]
    fn it_ends_once_whatever_happens() {
        live(udp, Input::Response(486));
    }

    #[test]
    fn figure_5_is_drawn() {
        assert_eq!(dot("client_invite", udp()), include_str!("client_invite.dot"));
    }
}
