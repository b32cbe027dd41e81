//! Names: methods (RFC 3261 §7.1 and its extensions) and header fields with their compact forms (§7.3.3).

/// A request method. Case matters (RFC 3261 §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the standard's")]
pub enum Method<'a> {
    Invite,
    Ack,
    Bye,
    Cancel,
    Options,
    Prack,
    Update,
    Info,
    Refer,
    Notify,
    Subscribe,
    Message,
    Register,
    Publish,
    /// Any other token.
    Other(&'a str),
}

impl<'a> Method<'a> {
    /// From a token.
    #[must_use]
    pub fn of(token: &'a str) -> Self {
        match token {
            "INVITE" => Method::Invite,
            "ACK" => Method::Ack,
            "BYE" => Method::Bye,
            "CANCEL" => Method::Cancel,
            "OPTIONS" => Method::Options,
            "PRACK" => Method::Prack,
            "UPDATE" => Method::Update,
            "INFO" => Method::Info,
            "REFER" => Method::Refer,
            "NOTIFY" => Method::Notify,
            "SUBSCRIBE" => Method::Subscribe,
            "MESSAGE" => Method::Message,
            "REGISTER" => Method::Register,
            "PUBLISH" => Method::Publish,
            other => Method::Other(other),
        }
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'a str {
        match self {
            Method::Invite => "INVITE",
            Method::Ack => "ACK",
            Method::Bye => "BYE",
            Method::Cancel => "CANCEL",
            Method::Options => "OPTIONS",
            Method::Prack => "PRACK",
            Method::Update => "UPDATE",
            Method::Info => "INFO",
            Method::Refer => "REFER",
            Method::Notify => "NOTIFY",
            Method::Subscribe => "SUBSCRIBE",
            Method::Message => "MESSAGE",
            Method::Register => "REGISTER",
            Method::Publish => "PUBLISH",
            Method::Other(other) => other,
        }
    }
}

macro_rules! headers {
    ($($id:ident, $name:literal, $lower:literal $(, $compact:literal)?;)*) => {
        /// A header field that the stack reads; the rest are `Other`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "the names are the standard's")]
        pub enum HeaderId { $($id,)* Other }

        impl HeaderId {
            /// From a field name, any case, long or compact.
            #[must_use]
            pub fn of(name: &[u8]) -> Self {
                let mut slot = slot_of(name);
                while let Some((known, id)) = SLOTS[slot].and_then(|n| NAMES.get(usize::from(n))) {
                    if known.eq_ignore_ascii_case(name) {
                        return *id;
                    }
                    slot = (slot + 1) % SLOTS_LEN;
                }
                HeaderId::Other
            }

            /// The long form, as we write it. `Other` has none.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(HeaderId::$id => $name,)* HeaderId::Other => "" }
            }
        }

        /// Long and compact forms in lower case.
        const NAMES: &[(&[u8], HeaderId)] = &[$(($lower, HeaderId::$id), $(($compact, HeaderId::$id),)?)*];

        #[cfg(test)]
        const ALL: &[HeaderId] = &[$(HeaderId::$id),*];
    };
}

/// Places in [`SLOTS`]: some four for each name, so that most are found at the first look.
const SLOTS_LEN: usize = 256;

/// Places of [`NAMES`] by [`slot_of`]; where two meet, the second stands behind the first.
static SLOTS: [Option<u8>; SLOTS_LEN] = {
    let mut slots = [None; SLOTS_LEN];
    let mut n = 0;
    while n < NAMES.len() {
        let mut slot = slot_of(NAMES[n].0);
        while slots[slot].is_some() {
            slot = (slot + 1) % SLOTS_LEN;
        }
        #[expect(clippy::cast_possible_truncation, reason = "asserted below: fewer than 128")]
        {
            slots[slot] = Some(n as u8);
        }
        n += 1;
    }
    slots
};
const _: () = assert!(NAMES.len() < 128);

/// Where a name is looked for: by its length, its first, last and middle letter, in any case.
const fn slot_of(name: &[u8]) -> usize {
    if name.is_empty() {
        return 0;
    }
    let len = name.len();
    let (first, last, middle) = (name[0] | 0x20, name[len - 1] | 0x20, name[len / 2] | 0x20);
    (len * 31 + first as usize * 7 + last as usize * 59 + middle as usize * 113) % SLOTS_LEN
}

headers! {
    Via, "Via", b"via", b"v";
    From, "From", b"from", b"f";
    To, "To", b"to", b"t";
    CallId, "Call-ID", b"call-id", b"i";
    CSeq, "CSeq", b"cseq";
    MaxForwards, "Max-Forwards", b"max-forwards";
    Contact, "Contact", b"contact", b"m";
    ContentLength, "Content-Length", b"content-length", b"l";
    ContentType, "Content-Type", b"content-type", b"c";
    ContentEncoding, "Content-Encoding", b"content-encoding", b"e";
    ContentDisposition, "Content-Disposition", b"content-disposition";
    Accept, "Accept", b"accept";
    Allow, "Allow", b"allow";
    Supported, "Supported", b"supported", b"k";
    Require, "Require", b"require";
    ProxyRequire, "Proxy-Require", b"proxy-require";
    Unsupported, "Unsupported", b"unsupported";
    Route, "Route", b"route";
    RecordRoute, "Record-Route", b"record-route";
    RSeq, "RSeq", b"rseq";
    RAck, "RAck", b"rack";
    SessionExpires, "Session-Expires", b"session-expires", b"x";
    MinSe, "Min-SE", b"min-se";
    ReferTo, "Refer-To", b"refer-to", b"r";
    ReferredBy, "Referred-By", b"referred-by", b"b";
    Replaces, "Replaces", b"replaces";
    Event, "Event", b"event", b"o";
    SubscriptionState, "Subscription-State", b"subscription-state";
    Expires, "Expires", b"expires";
    MinExpires, "Min-Expires", b"min-expires";
    Reason, "Reason", b"reason";
    Diversion, "Diversion", b"diversion";
    HistoryInfo, "History-Info", b"history-info";
    AssertedIdentity, "P-Asserted-Identity", b"p-asserted-identity";
    Privacy, "Privacy", b"privacy";
    RetryAfter, "Retry-After", b"retry-after";
    WwwAuthenticate, "WWW-Authenticate", b"www-authenticate";
    ProxyAuthenticate, "Proxy-Authenticate", b"proxy-authenticate";
    Authorization, "Authorization", b"authorization";
    ProxyAuthorization, "Proxy-Authorization", b"proxy-authorization";
    CallInfo, "Call-Info", b"call-info";
    Subject, "Subject", b"subject", b"s";
    UserAgent, "User-Agent", b"user-agent";
    Server, "Server", b"server";
    Warning, "Warning", b"warning";
    Timestamp, "Timestamp", b"timestamp";
    MimeVersion, "MIME-Version", b"mime-version";
}

impl HeaderId {
    /// Whether a message may hold it once only and with one value (RFC 3261 §7.3.1).
    #[must_use]
    pub fn is_single(self) -> bool {
        use HeaderId as H;
        matches!(
            self,
            H::From
                | H::To
                | H::CallId
                | H::CSeq
                | H::MaxForwards
                | H::ContentLength
                | H::ContentType
                | H::RSeq
                | H::RAck
                | H::SessionExpires
                | H::MinSe
                | H::ReferTo
                | H::Replaces
                | H::Event
                | H::SubscriptionState
                | H::Expires
                | H::MinExpires
                | H::ContentDisposition
                | H::RetryAfter
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3261_7_3_3_compact_and_odd_case_are_the_same_field() {
        for (name, id) in [("v", HeaderId::Via), ("M", HeaderId::Contact), ("cALL-iD", HeaderId::CallId)] {
            assert_eq!(HeaderId::of(name.as_bytes()), id);
        }
        assert_eq!(HeaderId::of(b"NewFangledHeader"), HeaderId::Other);
        assert_eq!(HeaderId::of(&[b'x'; 80]), HeaderId::Other);
    }

    #[test]
    fn every_long_form_reads_back() {
        for &id in ALL {
            assert_eq!(HeaderId::of(id.as_str().as_bytes()), id);
        }
    }

    #[test]
    fn rfc3261_7_1_methods_are_case_sensitive() {
        assert_eq!(Method::of("INVITE"), Method::Invite);
        assert_eq!(Method::of("invite"), Method::Other("invite"));
        assert_eq!(Method::of("RE%47IST%45R").as_str(), "RE%47IST%45R");
    }
}
