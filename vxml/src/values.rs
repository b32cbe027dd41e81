//! What attributes and properties may be, where that is a matter of shape.

/// What a value may be.
pub(crate) type Fits = fn(&str) -> bool;

/// VoiceXML 2.0 §6.3 and 2.1 §7: the standard's properties and what they may be. Others are the platform's affair.
const PROPERTIES: &[(&str, Fits)] = &[
    ("confidencelevel", is_share),
    ("sensitivity", is_share),
    ("speedvsaccuracy", is_share),
    ("completetimeout", is_time),
    ("incompletetimeout", is_time),
    ("maxspeechtimeout", is_time),
    ("interdigittimeout", is_time),
    ("termtimeout", is_time),
    ("termchar", |v| v.is_empty() || v.len() == 1 && are_keys(v)),
    ("timeout", is_time),
    ("bargein", is_bool),
    ("bargeintype", |v| matches!(v, "speech" | "hotword")),
    ("audiofetchhint", is_hint),
    ("documentfetchhint", is_hint),
    ("grammarfetchhint", is_hint),
    ("objectfetchhint", is_hint),
    ("scriptfetchhint", is_hint),
    ("datafetchhint", is_hint),
    ("audiomaxage", is_count),
    ("documentmaxage", is_count),
    ("grammarmaxage", is_count),
    ("objectmaxage", is_count),
    ("scriptmaxage", is_count),
    ("datamaxage", is_count),
    ("audiomaxstale", is_count),
    ("documentmaxstale", is_count),
    ("grammarmaxstale", is_count),
    ("objectmaxstale", is_count),
    ("scriptmaxstale", is_count),
    ("datamaxstale", is_count),
    ("fetchaudiodelay", is_time),
    ("fetchaudiominimum", is_time),
    ("fetchtimeout", is_time),
    ("inputmodes", |v| v.split_whitespace().all(|m| matches!(m, "dtmf" | "voice"))),
    ("universals", |v| {
        v.split_whitespace().all(|u| matches!(u, "none" | "all" | "help" | "exit" | "cancel"))
    }),
    ("maxnbest", |v| v.parse::<u32>().is_ok_and(|n| n > 0)),
    ("recordutterance", is_bool),
];

pub(crate) fn is_time(v: &str) -> bool {
    crate::machine::time_ms(v).is_some()
}

fn is_share(v: &str) -> bool {
    v.parse::<f32>().is_ok_and(|n| (0.0..=1.0).contains(&n))
}

fn is_bool(v: &str) -> bool {
    matches!(v, "true" | "false")
}

fn is_hint(v: &str) -> bool {
    matches!(v, "prefetch" | "safe")
}

pub(crate) fn is_count(v: &str) -> bool {
    v.parse::<u64>().is_ok()
}

/// DTMF keys, with or without white space between them.
pub(crate) fn are_keys(v: &str) -> bool {
    let mut keys = v.chars().filter(|c| !c.is_whitespace()).peekable();
    keys.peek().is_some() && keys.all(|c| matches!(c, '0'..='9' | '*' | '#' | 'A'..='D' | 'a'..='d'))
}

/// The standard's own name of a property if this is no value for it (VoiceXML 2.0 §6.3).
pub(crate) fn illegal_property(name: &str, value: &str) -> Option<&'static str> {
    let (known, fits) = PROPERTIES.iter().find(|(n, _)| *n == name)?;
    (!fits(value.trim())).then_some(known)
}
