//! Server transaction of any method but INVITE: RFC 3261 §17.2.2, figure 8.

use super::{Outbox, ServerOutput, Timers};
use units::{Mono, Now};

/// The machine.
#[derive(Clone, Debug)]
pub struct ServerOther {
    state: State,
    reliable: bool,
    timers: Timers,
    out: Outbox<ServerOutput>,
}

pub use super::server_invite::Input;

/// Which timer of the standard is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// Absorbed enough retransmitted requests.
    J,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Trying,
    Proceeding,
    Completed { j_at: Mono },
    Terminated,
}

impl ServerOther {
    /// Enters Trying.
    #[must_use]
    pub fn new(reliable: bool, timers: Timers) -> Self {
        Self { state: State::Trying, reliable, timers, out: Outbox::new() }
    }

    /// One input; `Ack` means nothing here. The outputs of the last one were drained.
    pub fn handle(&mut self, now: Now, input: Input) {
        assert!(self.out.is_empty(), "drain before the next input");
        match (self.state, input) {
            (State::Trying | State::Proceeding, Input::Respond(status)) => {
                self.out.push(ServerOutput::SendResponse);
                let j_at = Timers::absorb(now.mono, self.reliable, self.timers.t1x64());
                self.state = if status < 200 { State::Proceeding } else { State::Completed { j_at } };
            }
            (State::Proceeding | State::Completed { .. }, Input::Again) => {
                self.out.push(ServerOutput::SendResponse)
            }
            (State::Proceeding | State::Completed { .. }, Input::TransportError) => {
                self.state = State::Terminated;
                self.out.push(ServerOutput::Failed);
                self.out.push(ServerOutput::Gone);
            }
            (State::Completed { j_at }, Input::Timer) if j_at <= now.mono => {
                self.state = State::Terminated;
                self.out.push(ServerOutput::Gone);
            }
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
            State::Completed { j_at } => Some((j_at, Timer::J)),
            _ => None,
        }
    }

    /// Whether a final response may still be given.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Trying | State::Proceeding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Machine, at, dot, drain, live};

    impl Machine for ServerOther {
        type Input = Input;
        type Output = ServerOutput;
        const INPUTS: &'static [(&'static str, Input)] = &[
            ("request", Input::Again),
            ("send 1xx", Input::Respond(100)),
            ("send 200-699", Input::Respond(200)),
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
                State::Trying => "Trying",
                State::Proceeding => "Proceeding",
                State::Completed { .. } => "Completed",
                State::Terminated => "Terminated",
            }
        }
    }

    #[test]
    fn rfc3261_17_2_2_a_repeated_request_gets_the_same_answer_for_64_t1() {
        let mut m = ServerOther::new(false, Timers::default());
        m.handle(at(0), Input::Again);
        assert_eq!(drain(&mut m), [], "nothing to repeat yet");
        m.handle(at(1), Input::Respond(200));
        assert_eq!(drain(&mut m), [ServerOutput::SendResponse]);
        m.handle(at(2), Input::Again);
        assert_eq!(drain(&mut m), [ServerOutput::SendResponse]);
        assert_eq!(m.deadline(), Some((Mono::from_ms(32_001), Timer::J)));
    }

    #[test]
    fn it_ends_once_whatever_happens() {
        live(|| ServerOther::new(false, Timers::default()), Input::Respond(200));
    }

    #[test]
    fn figure_8_is_drawn() {
        assert_eq!(
            dot("server_other", ServerOther::new(false, Timers::default())),
            include_str!("server_other.dot")
        );
    }
}
