//! Events and which handler takes them: VoiceXML 2.0 §5.2.

/// An event on its way to a handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) message: Option<String>,
}

impl Event {
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), message: None }
    }

    pub(crate) fn with(name: impl Into<String>, message: impl ToString) -> Self {
        Self { name: name.into(), message: Some(message.to_string()) }
    }

    pub(crate) fn semantic(message: impl ToString) -> Self {
        Self::with("error.semantic", message)
    }

    pub(crate) fn badfetch(message: impl ToString) -> Self {
        Self::with("error.badfetch", message)
    }
}

/// How often an event and its prefixes were thrown (§5.2.2: `event.foo.1` counts for `event.foo` and `event` too).
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters(Vec<(Box<str>, u32)>);

impl Counters {
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Counts an event under its name and every prefix.
    pub(crate) fn count(&mut self, event: &str) {
        let ends = event.char_indices().filter(|(_, c)| *c == '.').map(|(i, _)| i);
        for end in ends.chain([event.len()]) {
            let name = &event[..end];
            if let Some((_, n)) = self.0.iter_mut().find(|(n, _)| **n == *name) {
                *n = n.saturating_add(1);
            } else if self.0.len() < 256 {
                self.0.push((name.into(), 1));
            }
        }
    }

    pub(crate) fn of(&self, name: &str) -> u32 {
        self.0.iter().find(|(n, _)| **n == *name).map_or(0, |(_, n)| *n)
    }
}

/// §5.2.4: whether a handler's `event` attribute takes an event; if so, the name whose counter its `count` is held
/// against: the token that matched, or the event itself for a handler of all events.
pub(crate) fn matched<'a>(attribute: Option<&'a str>, event: &'a str) -> Option<&'a str> {
    let tokens = attribute.unwrap_or("").split_whitespace();
    let mut any = false;
    for token in tokens {
        any = true;
        let token = token.strip_suffix('.').unwrap_or(token);
        if token.is_empty() {
            return Some(event);
        }
        let rest = event.strip_prefix(token);
        if rest.is_some_and(|r| r.is_empty() || r.starts_with('.')) {
            return Some(token);
        }
    }
    (!any).then_some(event)
}

/// What happens when no handler of the documents takes an event (§5.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Default {
    /// Nothing (`cancel`).
    Nothing,
    /// The session ends, without complaint.
    Exit,
    /// The session ends with an error.
    Fail,
    /// A message, then the prompts again.
    Reprompt(Option<&'static str>),
}

/// The platform's handlers.
pub(crate) fn default_handler(event: &str) -> Default {
    let is = |prefix: &str| matched(Some(prefix), event).is_some();
    if is("cancel") {
        Default::Nothing
    } else if is("exit") || is("connection.disconnect") {
        Default::Exit
    } else if is("help") {
        Default::Reprompt(Some("help"))
    } else if is("noinput") {
        Default::Reprompt(None)
    } else if is("nomatch") {
        Default::Reprompt(Some("nomatch"))
    } else if is("maxspeechtimeout") {
        Default::Reprompt(Some("maxspeechtimeout"))
    } else {
        Default::Fail
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vxml20_5_2_4_names_match_by_tokens() {
        for (attribute, event, expected) in [
            (Some("connection.disconnect"), "connection.disconnect.hangup", Some("connection.disconnect")),
            (Some("com.example.myevent"), "com.example.myevent2", None),
            (Some("a b."), "b.c", Some("b")),
            (Some("."), "x", Some("x")),
            (None, "x.y", Some("x.y")),
        ] {
            assert_eq!(matched(attribute, event), expected);
        }
    }

    #[test]
    fn vxml20_5_2_2_counters_count_prefixes() {
        let mut c = Counters::default();
        c.count("event.foo.1");
        c.count("event.foo");
        assert_eq!((c.of("event"), c.of("event.foo"), c.of("event.foo.1"), c.of("e")), (2, 2, 1, 0));
    }
}
