//! SIP status to Q.850 cause and back (RFC 3398 §7.2.4.1, §8.2.6.1, with the later statuses).

use units::Cause;

/// The cause that a failure status stands for when no Reason header field says better.
#[must_use]
pub fn of_status(status: u16) -> Cause {
    match status {
        400 | 481 | 482 | 483 | 493 | 513 => Cause::INTERWORKING,
        401..=403 | 407 | 603 | 607 | 608 => Cause::REJECTED,
        404 | 604 => Cause::UNALLOCATED,
        405 => Cause(63),
        406 | 415 | 488 | 606 => Cause::BEARER_NOT_IMPLEMENTED,
        408 | 504 => Cause::TIMER,
        410 => Cause(22),
        413 | 414 | 416 | 420 | 421 | 423 | 505 => Cause::INTERWORKING,
        480 => Cause::NO_RESPONSE,
        484 | 485 => Cause::INVALID_NUMBER,
        486 | 600 => Cause::BUSY,
        487 => Cause::NORMAL_UNSPECIFIED,
        501 => Cause(79),
        502 => Cause::NETWORK_OUT_OF_ORDER,
        503 => Cause::CONGESTION,
        300..=399 => Cause(23),
        500..=599 => Cause::TEMPORARY,
        600..=699 => Cause::REJECTED,
        _ => Cause::NORMAL_UNSPECIFIED,
    }
}

/// The status and reason phrase by which an incoming call is refused for a cause.
#[must_use]
pub fn to_status(cause: Cause) -> (u16, &'static str) {
    let status = match cause.0 {
        1..=3 => 404,
        17 => 486,
        16 | 18..=20 | 31 => 480,
        21 => 603,
        22 => 410,
        27 => 502,
        28 => 484,
        34 | 38 | 41..=44 | 47 => 503,
        50 | 55 | 57 => 403,
        58 => 503,
        65 | 70 | 88 => 488,
        102 => 504,
        127 => 500,
        _ => 480,
    };
    (status, phrase(status))
}

/// The reason phrase of RFC 3261 §21 and its extensions.
#[must_use]
pub fn phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        181 => "Call Is Being Forwarded",
        182 => "Queued",
        183 => "Session Progress",
        200 => "OK",
        202 => "Accepted",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        410 => "Gone",
        415 => "Unsupported Media Type",
        416 => "Unsupported URI Scheme",
        420 => "Bad Extension",
        422 => "Session Interval Too Small",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        484 => "Address Incomplete",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        489 => "Bad Event",
        491 => "Request Pending",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Server Time-out",
        505 => "Version Not Supported",
        603 => "Decline",
        _ => "Refused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3398_busy_declined_and_unknown_numbers_keep_their_meaning() {
        for (status, cause) in
            [(486, 17), (600, 17), (603, 21), (607, 21), (608, 21), (604, 1), (404, 1), (503, 42), (480, 18)]
        {
            assert_eq!(of_status(status), Cause(cause), "{status}");
        }
    }

    #[test]
    fn every_cause_has_a_final_failure_status() {
        assert!((0..=127).all(|c| (400..700).contains(&to_status(Cause(c)).0)));
        assert_eq!(to_status(Cause::BUSY), (486, "Busy Here"));
    }
}
