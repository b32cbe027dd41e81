//! Client transaction of any method but INVITE: RFC 3261 §17.1.2, figure 6.

use super::resend::{Due, Resend};
use super::{ClientOutput, Outbox, Timers};
use units::{Mono, Now};

/// The machine.
#[derive(Clone, Debug)]
pub struct ClientOther {
    state: State,
    reliable: bool,
    timers: Timers,
    out: Outbox<ClientOutput>,
}

pub use super::client_invite::Input;

/// Which timer of the standard is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// Retransmit.
    E,
    /// Give up.
    F,
    /// Absorbed enough retransmitted responses.
    K,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Trying(Resend),
    Proceeding(Resend),
    Completed { k_at: Mono },
    Terminated,
}

impl ClientOther {
    /// Enters Trying and asks for the request to be sent.
    #[must_use]
    pub fn new(now: Now, reliable: bool, timers: Timers) -> Self {
        let mut out = Outbox::new();
        out.push(ClientOutput::SendRequest);
        let state = State::Trying(Resend::new(now.mono, reliable, &timers));
        Self { state, reliable, timers, out }
    }

    /// One input. The outputs of the last one were drained.
    pub fn handle(&mut self, now: Now, input: Input) {
        assert!(self.out.is_empty(), "drain before the next input");
        match (self.state, input) {
            (State::Completed { .. } | State::Terminated, Input::Response(_) | Input::TransportError) => {}
            (_, Input::Response(status)) => self.response(now.mono, status),
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
            State::Trying(resend) | State::Proceeding(resend) => match resend.next() {
                (e, false) => Some((e, Timer::E)),
                (f, true) => Some((f, Timer::F)),
            },
            State::Completed { k_at } => Some((k_at, Timer::K)),
            State::Terminated => None,
        }
    }

    fn response(&mut self, now: Mono, status: u16) {
        self.out.push(ClientOutput::Deliver);
        self.state = match self.state {
            // RFC 3261 §17.1.2.2: in Proceeding the request goes on being sent, every T2.
            State::Trying(resend) if status < 200 => State::Proceeding(resend.every(now, self.timers.t2)),
            same if status < 200 => same,
            _ => State::Completed { k_at: Timers::absorb(now, self.reliable, self.timers.t4) },
        };
    }

    fn timer(&mut self, now: Mono) {
        let ceiling = Some(self.timers.t2);
        match &mut self.state {
            // RFC 3261 §17.1.2.2: doubles up to T2; in Proceeding it is T2 already.
            State::Trying(resend) | State::Proceeding(resend) => match resend.due(now, ceiling) {
                Due::GiveUp => self.end(ClientOutput::TimedOut),
                Due::Again => self.out.push(ClientOutput::SendRequest),
                Due::Nothing => {}
            },
            State::Completed { k_at } if *k_at <= now => {
                self.state = State::Terminated;
                self.out.push(ClientOutput::Gone);
            }
            _ => {}
        }
    }

    fn end(&mut self, why: ClientOutput) {
        if self.state != State::Terminated {
            self.state = State::Terminated;
            self.out.push(why);
            self.out.push(ClientOutput::Gone);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Machine, at, dot, drain, live};

    impl Machine for ClientOther {
        type Input = Input;
        type Output = ClientOutput;
        const INPUTS: &'static [(&'static str, Input)] = &[
            ("1xx", Input::Response(100)),
            ("200-699", Input::Response(200)),
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
                State::Trying { .. } => "Trying",
                State::Proceeding { .. } => "Proceeding",
                State::Completed { .. } => "Completed",
                State::Terminated => "Terminated",
            }
        }
    }

    fn udp() -> ClientOther {
        let mut m = ClientOther::new(at(0), false, Timers::default());
        assert_eq!(drain(&mut m), [ClientOutput::SendRequest]);
        m
    }

    #[test]
    fn rfc3261_17_1_2_2_timer_e_doubles_up_to_t2() {
        let mut m = udp();
        let mut sent = vec![];
        while let Some((when, Timer::E)) = m.deadline() {
            m.handle(Now { mono: when, ..Now::default() }, Input::Timer);
            assert_eq!(drain(&mut m), [ClientOutput::SendRequest]);
            sent.push(when.as_ms());
        }
        assert_eq!(sent, [500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
        assert_eq!(m.deadline(), Some((Mono::from_ms(32_000), Timer::F)));
    }

    #[test]
    fn rfc3261_17_1_2_2_a_final_is_delivered_once_then_absorbed_for_t4() {
        let mut m = udp();
        m.handle(at(9), Input::Response(200));
        assert_eq!(drain(&mut m), [ClientOutput::Deliver]);
        m.handle(at(10), Input::Response(200));
        assert_eq!(drain(&mut m), []);
        assert_eq!(m.deadline(), Some((Mono::from_ms(5009), Timer::K)));
    }

    #[test]
    fn it_ends_once_whatever_happens() {
        live(udp, Input::Response(200));
    }

    #[test]
    fn figure_6_is_drawn() {
        assert_eq!(dot("client_other", udp()), include_str!("client_other.dot"));
    }
}
