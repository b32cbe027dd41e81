//! How a call counts: SIP status, cause and the interpreter's exit become one [`Disposition`].

use crate::order::Disposition;
use signalling::leg::Ended;
use units::Cause;
use vxml::session::{Exit, ExitReason};

/// A leg that ended before it was answered.
#[must_use]
pub fn unanswered(ended: &Ended, rang_out: bool) -> Disposition {
    if rang_out {
        return Disposition::NoAnswer;
    }
    match ended.status {
        // RFC 3261 §21.4.24 and §21.6.1.
        Some(486 | 600) => Disposition::Busy,
        // RFC 3261 §21.4.9, §21.4.18: nobody reacted, or nobody is there.
        Some(408) if ended.alerted => Disposition::NoAnswer,
        Some(480) => Disposition::NoAnswer,
        // RFC 8197 §4: the callee never wants such calls.
        Some(607) => Disposition::Unwanted,
        // RFC 8688 §3: an intermediary blocked it; 603 with its redress contact is the older form ("603+").
        Some(608) => Disposition::Blocked,
        Some(603) if ended.redress.is_some() => Disposition::Blocked,
        Some(603 | 403) => Disposition::Rejected,
        // RFC 3261 §21.4.5, §21.4.23, §21.6.3, RFC 7130 410.
        Some(404 | 410 | 484 | 604) => Disposition::Unallocated,
        Some(503) => Disposition::Congestion,
        _ => by_cause(ended.cause),
    }
}

fn by_cause(cause: Cause) -> Disposition {
    match cause {
        Cause::BUSY => Disposition::Busy,
        Cause::NO_RESPONSE | Cause::NO_ANSWER => Disposition::NoAnswer,
        Cause::REJECTED => Disposition::Rejected,
        Cause::UNALLOCATED | Cause::INVALID_NUMBER | Cause(2 | 22) => Disposition::Unallocated,
        Cause::NO_CIRCUIT | Cause::CONGESTION | Cause::NO_RESOURCE | Cause(44) => Disposition::Congestion,
        _ => Disposition::Failed,
    }
}

/// A call that was answered.
#[must_use]
pub fn answered(exit: Option<&Exit>) -> Disposition {
    match exit.map(|e| &e.reason) {
        Some(ExitReason::Error { .. }) => Disposition::ApplicationError,
        Some(_) => Disposition::Completed,
        // The interpreter never came to an end: it was cut after its final processing ran too long, or by us.
        None => Disposition::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_become_dispositions() {
        let check = |status: Option<u16>, cause: Cause, want: Disposition| {
            let ended =
                Ended { cause, status, by_peer: true, retry_after_s: None, alerted: true, redress: None };
            assert_eq!(unanswered(&ended, false), want, "{status:?} {cause:?}");
        };
        check(Some(486), Cause::BUSY, Disposition::Busy);
        check(Some(408), Cause::NO_RESPONSE, Disposition::NoAnswer);
        check(Some(404), Cause::UNALLOCATED, Disposition::Unallocated);
        check(Some(603), Cause::REJECTED, Disposition::Rejected);
        check(Some(607), Cause::REJECTED, Disposition::Unwanted);
        check(Some(503), Cause::TEMPORARY, Disposition::Congestion);
        check(Some(500), Cause::TEMPORARY, Disposition::Failed);
        check(None, Cause::NO_CIRCUIT, Disposition::Congestion);
    }

    #[test]
    fn an_uncaught_error_is_the_applications() {
        let error = ExitReason::Error { event: "error.badfetch".into(), message: String::new() };
        assert_eq!(answered(Some(&Exit { reason: error, values: vec![] })), Disposition::ApplicationError);
        let fine = Exit { reason: ExitReason::HangUp, values: vec![] };
        assert_eq!(answered(Some(&fine)), Disposition::Completed);
    }
}
