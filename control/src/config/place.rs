//! Where in the text of a configuration a key stands: faults name keys by path (`tenants[1].hours`), people look for
//! lines.

use super::line_of;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The line of a path, from 1; if the path stands nowhere (a default), that of the nearest table above it; 0 if none.
pub(super) fn line(text: &str, path: &str) -> usize {
    let Ok(document) = DeTable::parse(text) else { return 0 };
    let mut found = 0;
    let mut table = document.get_ref();
    let mut steps = steps(path).into_iter().peekable();
    while let Some((name, at)) = steps.next() {
        let Some((key, value)) = table.iter().find(|(k, _)| k.get_ref().as_ref() == name) else {
            return found;
        };
        found = line_of(text, key.span().start);
        let Some(value) = entry(value, at) else { return found };
        if at.is_some() {
            found = line_of(text, value.span().start);
        }
        match value.get_ref() {
            DeValue::Table(inner) if steps.peek().is_some() => table = inner,
            _ => return found,
        }
    }
    found
}

/// The value itself, or one of an array.
fn entry<'t, 'i>(value: &'t Spanned<DeValue<'i>>, at: Option<usize>) -> Option<&'t Spanned<DeValue<'i>>> {
    let Some(at) = at else { return Some(value) };
    match value.get_ref() {
        DeValue::Array(items) => items.get(at),
        _ => None,
    }
}

/// `a.b[2].c` as names with places in arrays. A name may hold anything but dots and brackets.
fn steps(path: &str) -> Vec<(&str, Option<usize>)> {
    path.split('.')
        .map(|step| match step.strip_suffix(']').and_then(|s| s.split_once('[')) {
            Some((name, at)) => (name, at.parse().ok()),
            None => (step, None),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_finds_its_own_line_and_no_other() {
        let text = "[policy]\nzone = \"UTC\"\n[[tenants]]\nname = \"zone\"\nid = 1\n\n[[tenants]]\nname = \"b\"\n\
                    caller_ids = [\n \"+1\",\n \"zone\",\n]\n";
        for (path, expected) in [
            ("policy.zone", 2),
            ("policy.ring_max", 1),
            ("tenants[0].name", 4),
            ("tenants[1].name", 8),
            ("tenants[1].hours", 7),
            ("tenants[1].caller_ids[1]", 11),
            ("tenants[9].name", 3),
            ("sip.listen", 0),
        ] {
            assert_eq!(line(text, path), expected, "{path}");
        }
    }
}
