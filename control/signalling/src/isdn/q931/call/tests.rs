//! The call by its figures: a drawing for each side and direction, and the rules of §5 as tables.

use super::*;
use crate::isdn::q931::wire::{CallRef, discriminator};
use crate::model::{Machine, at, dot};

fn message(kind: Kind, ies: Vec<Ie>) -> Message {
    let call_ref = CallRef::Number { value: 1, to_origin: false };
    Message { discriminator: discriminator::CALL_CONTROL, call_ref, kind, ies }
}

/// A message of this kind with what is mandatory in it.
fn whole(kind: Kind) -> Message {
    let cause = || ie::cause(Location::USER, Cause::NORMAL, &[]);
    let ies = match kind {
        Kind::SETUP => vec![ie::bearer(ie::Bearer::Speech(ie::Law::A))],
        Kind::DISCONNECT | Kind::RELEASE | Kind::RELEASE_COMPLETE => vec![cause()],
        Kind::STATUS => vec![cause(), ie::make(id::CALL_STATE, vec![0])],
        Kind::PROGRESS => vec![ie::progress(Location::USER, 8)],
        _ => Vec::new(),
    };
    message(kind, ies)
}

/// What the explorer may do to a call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Do {
    Get(Kind),
    Missing(Kind),
    Proceed,
    Alert,
    Connect,
    Clear,
    LinkDown,
    LinkUp,
    LinkReset,
    Timer,
}

/// An output by name.
pub(crate) struct Said(Output);

impl std::fmt::Debug for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Output::Send(kind, ies) => {
                let cause = ies.iter().find(|e| e.id == id::CAUSE).and_then(|e| ie::read_cause(&e.body));
                write!(f, "{}{}", kind.name(), cause.map_or(String::new(), |c| format!(" #{}", c.0)))
            }
            Output::Told(Told::Ended { cause, by_peer }) => {
                write!(f, "ended #{}{}", cause.0, if *by_peer { " by peer" } else { "" })
            }
            Output::Told(Told::Digits { complete, .. }) => write!(f, "digits complete={complete}"),
            Output::Told(told) => {
                f.write_str(format!("{told:?}").to_lowercase().split([' ', '(']).next().unwrap_or(""))
            }
            Output::Gone { suspect } => f.write_str(if *suspect { "gone suspect" } else { "gone" }),
        }
    }
}

impl Machine for Call {
    type Input = Do;
    type Output = Said;
    const INPUTS: &'static [(&'static str, Do)] = &[
        ("SETUP ACK", Do::Get(Kind::SETUP_ACK)),
        ("CALL PROC", Do::Get(Kind::CALL_PROCEEDING)),
        ("ALERTING", Do::Get(Kind::ALERTING)),
        ("PROGRESS", Do::Get(Kind::PROGRESS)),
        ("CONNECT", Do::Get(Kind::CONNECT)),
        ("CONNECT ACK", Do::Get(Kind::CONNECT_ACK)),
        ("INFORMATION", Do::Get(Kind::INFORMATION)),
        ("DISCONNECT", Do::Get(Kind::DISCONNECT)),
        ("DISCONNECT without cause", Do::Missing(Kind::DISCONNECT)),
        ("RELEASE", Do::Get(Kind::RELEASE)),
        ("RELEASE COMPLETE", Do::Get(Kind::RELEASE_COMPLETE)),
        ("STATUS 0", Do::Get(Kind::STATUS)),
        ("STATUS ENQUIRY", Do::Get(Kind::STATUS_ENQUIRY)),
        ("unknown message", Do::Get(Kind(0x3F))),
        ("proceed", Do::Proceed),
        ("alert", Do::Alert),
        ("connect", Do::Connect),
        ("clear", Do::Clear),
        ("link down", Do::LinkDown),
        ("link up", Do::LinkUp),
        ("link reset", Do::LinkReset),
    ];
    const TIMER: Do = Do::Timer;
    fn step(&mut self, now: Now, input: Do) {
        let got;
        let input = match input {
            Do::Get(kind) => {
                got = whole(kind);
                Input::Received(&got)
            }
            Do::Missing(kind) => {
                got = message(kind, Vec::new());
                Input::Received(&got)
            }
            Do::Proceed => Input::Proceed,
            Do::Alert => Input::Alert { inband: false },
            Do::Connect => Input::Connect,
            Do::Clear => Input::Clear(Cause::NORMAL),
            Do::LinkDown => Input::LinkDown,
            Do::LinkUp => Input::LinkUp,
            Do::LinkReset => Input::LinkReset,
            Do::Timer => Input::Timer,
        };
        self.handle(now, input);
    }
    fn next(&mut self) -> Option<Said> {
        self.poll().map(Said)
    }
    fn due(&self) -> Option<(Mono, String)> {
        self.deadline().map(|(at, t)| (at, format!("{t:?}")))
    }
    fn state(&self) -> &'static str {
        const USER: [&str; 26] = [
            "U0", "U1", "U2", "U3", "U4", "", "U6", "U7", "U8", "U9", "U10", "U11", "", "", "", "", "", "",
            "", "U19", "", "", "", "", "", "U25",
        ];
        const NETWORK: [&str; 26] = [
            "N0", "N1", "N2", "N3", "N4", "", "N6", "N7", "", "N9", "N10", "", "N12", "", "", "", "", "", "",
            "N19", "", "", "", "", "", "N25",
        ];
        let table = if self.side == Side::User { USER } else { NETWORK };
        table[usize::from(self.state_number())]
    }
}

fn drained(mut call: Call) -> Call {
    while call.poll().is_some() {}
    call
}

fn ours(side: Side) -> Call {
    drained(Call::originate(at(0), side, Timers::of(side), Vec::new(), Vec::new()))
}

fn theirs(side: Side, overlap: bool) -> Call {
    drained(Call::incoming(at(0), side, Timers::of(side), None, overlap))
}

fn said(call: &mut Call) -> String {
    std::iter::from_fn(|| call.next()).map(|s| format!("{s:?}")).collect::<Vec<_>>().join(", ")
}

#[test]
fn figures_of_an_outgoing_call_at_the_user() {
    assert_eq!(dot("outgoing_user", ours(Side::User)), include_str!("outgoing_user.dot"));
}

#[test]
fn figures_of_an_outgoing_call_at_the_network() {
    assert_eq!(dot("outgoing_network", ours(Side::Network)), include_str!("outgoing_network.dot"));
}

#[test]
fn figures_of_an_incoming_call_at_the_user() {
    assert_eq!(dot("incoming_user", theirs(Side::User, false)), include_str!("incoming_user.dot"));
}

#[test]
fn figures_of_an_incoming_call_at_the_network() {
    assert_eq!(dot("incoming_network", theirs(Side::Network, true)), include_str!("incoming_network.dot"));
}

#[test]
fn q931_5_1_and_5_3_a_call_from_setup_to_release() {
    let mut call = ours(Side::User);
    let steps = [
        (Do::Get(Kind::CALL_PROCEEDING), "proceeding"),
        (Do::Get(Kind::ALERTING), "alerting"),
        (Do::Get(Kind::CONNECT), "CONNECT ACKNOWLEDGE, connected"),
        (Do::Get(Kind::DISCONNECT), "ended #16 by peer, RELEASE #16"),
        (Do::Get(Kind::RELEASE_COMPLETE), "gone"),
    ];
    for (n, (step, want)) in (1..).zip(steps) {
        call.step(at(n), step);
        assert_eq!(said(&mut call), want, "{step:?}");
    }
}

#[test]
fn q931_9_2_timers_of_the_user_one_after_the_other() {
    // Goal: when nobody answers, what is said at which second. Method: follow the deadlines.
    let check = |mut call: Call, steps: &[Do], want: &[(u64, &str)]| {
        for step in steps {
            call.step(at(0), *step);
            said(&mut call);
        }
        let mut seen = Vec::new();
        while let Some((when, _)) = call.deadline() {
            call.step(Now { mono: when, ..Now::default() }, Do::Timer);
            seen.push((when.as_ms() / 1000, said(&mut call)));
        }
        let want: Vec<_> = want.iter().map(|(s, t)| (*s, (*t).to_owned())).collect();
        assert_eq!(seen, want, "{steps:?}");
    };
    let rest = |from: u64, first: &'static str| {
        let cause = first.split('#').nth(1).unwrap_or("");
        let release = format!("RELEASE #{cause}, ended #{cause}");
        let release: &'static str = Box::leak(release.into_boxed_str());
        let again: &'static str = Box::leak(format!("RELEASE #{cause}").into_boxed_str());
        vec![(from, first), (from + 30, release), (from + 34, again), (from + 38, "gone suspect")]
    };
    check(ours(Side::User), &[], &[(4, "SETUP"), (8, "RELEASE COMPLETE #102, ended #18, gone suspect")]);
    check(ours(Side::User), &[Do::Get(Kind::CALL_PROCEEDING)], &rest(120, "DISCONNECT #102"));
    check(ours(Side::Network), &[Do::Get(Kind::CALL_PROCEEDING)], &rest(10, "DISCONNECT #102"));
    check(ours(Side::User), &[Do::Get(Kind::ALERTING)], &rest(180, "DISCONNECT #19"));
    check(ours(Side::User), &[Do::Get(Kind::SETUP_ACK)], &rest(30, "DISCONNECT #102"));
    check(theirs(Side::User, false), &[Do::Connect], &rest(4, "DISCONNECT #102"));
    check(ours(Side::User), &[Do::Get(Kind::CONNECT), Do::LinkDown], &[(90, "ended #27 by peer, gone")]);
}

#[test]
fn q931_5_8_9_a_link_that_comes_back_asks_for_each_active_call() {
    let mut call = ours(Side::User);
    call.step(at(1), Do::Get(Kind::CONNECT));
    said(&mut call);
    call.step(at(2), Do::LinkDown);
    assert_eq!(said(&mut call), "");
    call.step(at(3), Do::LinkUp);
    assert_eq!(said(&mut call), "STATUS ENQUIRY");
    let same = message(
        Kind::STATUS,
        vec![ie::cause(Location::USER, Cause(30), &[]), ie::make(id::CALL_STATE, vec![10])],
    );
    let mut kept = call.clone();
    kept.handle(at(4), Input::Received(&same));
    assert_eq!((said(&mut kept).as_str(), kept.deadline()), ("", None));
    // Nobody answers: three more enquiries, then it is cleared.
    let mut all = Vec::new();
    for _ in 0..3 {
        let (when, _) = call.deadline().expect("T322");
        call.step(Now { mono: when, ..Now::default() }, Do::Timer);
        all.push(said(&mut call));
    }
    assert_eq!(all, ["STATUS ENQUIRY", "STATUS ENQUIRY", "DISCONNECT #41"]);
}

#[test]
fn q931_5_1_3_overlap_sending_gives_one_digit_a_message() {
    let digits = "123".chars().map(|d| ie::Number::new(0, &d.to_string()).write(id::CALLED)).collect();
    let mut call = drained(Call::originate(at(0), Side::User, Timers::of(Side::User), Vec::new(), digits));
    call.step(at(1), Do::Get(Kind::SETUP_ACK));
    let sent: Vec<_> = std::iter::from_fn(|| call.poll()).collect();
    let complete =
        |o: &Output| matches!(o, Output::Send(_, ies) if ies.iter().any(|e| e.id == id::SENDING_COMPLETE));
    assert_eq!(sent.iter().map(complete).collect::<Vec<_>>(), [false, false, true]);
}

#[test]
fn q931_5_8_6_and_5_8_7_faulty_messages_have_their_answer() {
    let check = |m: Message, want: &str| {
        let mut call = ours(Side::User);
        call.step(at(1), Do::Get(Kind::CONNECT));
        said(&mut call);
        call.handle(at(2), Input::Received(&m));
        assert_eq!(said(&mut call), want, "{m:?}");
    };
    check(message(Kind::DISCONNECT, vec![]), "ended #96 by peer, RELEASE #96");
    check(message(Kind::DISCONNECT, vec![ie::make(id::CAUSE, vec![])]), "ended #100 by peer, RELEASE #100");
    check(message(Kind::NOTIFY, vec![ie::make(0x03, vec![1])]), "STATUS #99");
    check(message(Kind::NOTIFY, vec![ie::make(0x7A, vec![1])]), "");
    check(message(Kind::PROGRESS, vec![]), "STATUS #96");
    check(message(Kind::STATUS, vec![]), "");
    check(message(Kind(0x3E), vec![]), "STATUS #97");
    check(message(Kind::ALERTING, vec![]), "STATUS #101");
}
