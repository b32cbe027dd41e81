//! How what a document marks with `<say-as>` is said (SSML 1.0 §3.1.8 leaves the values to platforms; VoiceXML 2.0 appendix P
//! adds `vxml:` ones). Digits, characters and telephone numbers are spelled in any language; dates, times, money and
//! ordinals are put into English words and left as they stand in other languages, whose voices read numbers themselves.

/// The text as it is spoken. What does not look as its type says is spoken as it stands.
#[must_use]
pub fn spoken(text: &str, interpret_as: &str, format: &str, lang: &str) -> String {
    let kind = interpret_as.trim().trim_start_matches("vxml:");
    let english = lang.is_empty() || lang.get(..2).is_some_and(|l| l.eq_ignore_ascii_case("en"));
    let text = text.trim();
    let said = match kind {
        "digits" | "characters" | "spell-out" => Some(spelled(text)),
        "telephone" | "phone" => Some(telephone(text, english)),
        "boolean" if english => Some(if text == "true" { "yes" } else { "no" }.to_owned()),
        "ordinal" if english => text.parse().ok().and_then(ordinal),
        "cardinal" | "number" if english => number(text),
        "date" if english => date(text, format),
        "time" if english => time(text),
        "currency" if english => currency(text),
        _ => None,
    };
    said.unwrap_or_else(|| text.to_owned())
}

fn spelled(text: &str) -> String {
    let all: Vec<String> = text.chars().filter(|c| !c.is_whitespace()).map(String::from).collect();
    all.join(" ")
}

/// Groups as they are written, a pause between them; `x` begins an extension.
fn telephone(text: &str, english: bool) -> String {
    let groups = text.split(|c: char| c.is_whitespace() || "-./()".contains(c)).filter(|g| !g.is_empty());
    let say = |group: &str| match group.split_once('x') {
        Some((main, extension)) if english => {
            let main = spelled(main);
            let comma = if main.is_empty() { "" } else { ", " };
            format!("{main}{comma}extension {}", spelled(extension)).trim_end().to_owned()
        }
        _ => spelled(&group.replace('+', if english { "plus " } else { "+ " })).replace("p l u s", "plus"),
    };
    groups.map(say).collect::<Vec<_>>().join(", ")
}

const UNITS: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 10] =
    ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

fn word(list: &'static [&'static str], n: u64) -> &'static str {
    usize::try_from(n).ok().and_then(|n| list.get(n)).copied().unwrap_or("")
}

/// A whole number below a trillion.
fn cardinal(n: u64) -> String {
    let join = |head: String, rest: u64| if rest == 0 { head } else { format!("{head} {}", cardinal(rest)) };
    match n {
        0..=19 => word(&UNITS, n).to_owned(),
        20..=99 if n.is_multiple_of(10) => word(&TENS, n / 10).to_owned(),
        20..=99 => format!("{} {}", word(&TENS, n / 10), word(&UNITS, n % 10)),
        100..=999 => join(format!("{} hundred", word(&UNITS, n / 100)), n % 100),
        1_000..=999_999 => join(format!("{} thousand", cardinal(n / 1_000)), n % 1_000),
        1_000_000..=999_999_999 => join(format!("{} million", cardinal(n / 1_000_000)), n % 1_000_000),
        _ => join(format!("{} billion", cardinal(n / 1_000_000_000)), n % 1_000_000_000),
    }
}

const LARGEST: u64 = 999_999_999_999;

fn number(text: &str) -> Option<String> {
    let (sign, digits) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (if text.starts_with('-') { "minus " } else { "" }, rest),
        None => ("", text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole: u64 = whole.parse().ok().filter(|n| *n <= LARGEST)?;
    let point = if fraction.is_empty() {
        String::new()
    } else {
        let digits: Option<Vec<&str>> =
            fraction.chars().map(|c| c.to_digit(10).map(|d| word(&UNITS, d.into()))).collect();
        format!(" point {}", digits?.join(" "))
    };
    Some(format!("{sign}{}{point}", cardinal(whole)))
}

fn ordinal(n: u64) -> Option<String> {
    if n > LARGEST {
        return None;
    }
    let words = cardinal(n);
    let (head, last) = words.rsplit_once(' ').map_or(("", words.as_str()), |(h, l)| (h, l));
    let last = match last {
        "one" => "first".to_owned(),
        "two" => "second".to_owned(),
        "three" => "third".to_owned(),
        "five" => "fifth".to_owned(),
        "eight" => "eighth".to_owned(),
        "nine" => "ninth".to_owned(),
        "twelve" => "twelfth".to_owned(),
        other => match other.strip_suffix('y') {
            Some(stem) => format!("{stem}ieth"),
            None => format!("{other}th"),
        },
    };
    Some(if head.is_empty() { last } else { format!("{head} {last}") })
}

fn year(n: u64) -> String {
    match (n / 100, n % 100) {
        (20, rest @ 0..=9) => {
            if rest == 0 {
                "two thousand".to_owned()
            } else {
                format!("two thousand {}", cardinal(rest))
            }
        }
        (century @ 1..=99, 0) => format!("{} hundred", cardinal(century)),
        (century @ 1..=99, rest @ 1..=9) => format!("{} oh {}", cardinal(century), cardinal(rest)),
        (century @ 1..=99, rest) => format!("{} {}", cardinal(century), cardinal(rest)),
        _ => cardinal(n),
    }
}

/// `yyyymmdd` with question marks for what is not said (VoiceXML 2.0 appendix P), ISO 8601, or numbers in the order that
/// the format names (`mdy`, `dmy`, `ymd`, `my`, ...).
fn date(text: &str, format: &str) -> Option<String> {
    let plain = text.len() == 8 && text.chars().all(|c| c.is_ascii_digit() || c == '?');
    let (y, m, d) = if plain {
        (&text[..4], &text[4..6], &text[6..])
    } else {
        let parts: Vec<&str> = text.split(['-', '/', '.', ' ']).filter(|p| !p.is_empty()).collect();
        let order = if format.is_empty() { "ymd" } else { format };
        if parts.len() != order.len() {
            return None;
        }
        let at = |letter: char| order.find(letter).and_then(|n| parts.get(n)).copied().unwrap_or("?");
        (at('y'), at('m'), at('d'))
    };
    let read = |part: &str| if part.contains('?') { Some(None) } else { part.parse::<u64>().ok().map(Some) };
    let (y, m, d) = (read(y)?, read(m)?, read(d)?);
    let month = match m {
        Some(m @ 1..=12) => Some(word(&MONTHS, m - 1).to_owned()),
        Some(_) => return None,
        None => None,
    };
    let day = match d {
        Some(d @ 1..=31) => Some(ordinal(d)?),
        Some(_) => return None,
        None => None,
    };
    let said: Vec<String> = [month, day, y.map(year)].into_iter().flatten().collect();
    (!said.is_empty()).then(|| said.join(" "))
}

/// `hhmm` and `a`, `p`, `h` or `?` (VoiceXML 2.0 appendix P), or `hh:mm`.
fn time(text: &str) -> Option<String> {
    let (clock, half) = match text.strip_suffix(['a', 'p', 'h', '?']) {
        Some(clock) => (clock, text.chars().last()),
        None => (text, None),
    };
    let digits: String = clock.chars().filter(|c| *c != ':').collect();
    let (h, m) = digits.split_at_checked(digits.len().checked_sub(2)?)?;
    let (h, m): (u64, u64) = (h.parse().ok()?, m.parse().ok()?);
    if h > 24 || m > 59 {
        return None;
    }
    let minutes = match m {
        0 => String::new(),
        1..=9 => format!(" oh {}", cardinal(m)),
        _ => format!(" {}", cardinal(m)),
    };
    let after = match (half, m) {
        (Some('a'), _) => " a m",
        (Some('p'), _) => " p m",
        (Some('h'), 0) => " hundred hours",
        (Some('h'), _) => " hours",
        (_, 0) => " o'clock",
        _ => "",
    };
    Some(format!("{}{minutes}{after}", cardinal(h)))
}

/// `UUUmm.nn` (VoiceXML 2.0 appendix P), or an amount after a sign.
fn currency(text: &str) -> Option<String> {
    let start = text.find(|c: char| c.is_ascii_digit())?;
    let (unit, amount) = text.split_at(start);
    let (one, many, small) = match unit.trim() {
        "USD" | "$" => ("dollar", "dollars", "cent"),
        "EUR" | "€" => ("euro", "euros", "cent"),
        "GBP" | "£" => ("pound", "pounds", "penny"),
        "JPY" | "¥" => ("yen", "yen", ""),
        "CHF" => ("franc", "francs", "centime"),
        _ => return None,
    };
    let (whole, parts) = amount.trim().split_once('.').unwrap_or((amount.trim(), ""));
    let whole: u64 = whole.replace(',', "").parse().ok().filter(|n| *n <= LARGEST)?;
    let parts: u64 = match parts.len() {
        0 => 0,
        1 => parts.parse::<u64>().ok()? * 10,
        2 => parts.parse().ok()?,
        _ => return None,
    };
    let small = match (small, parts) {
        ("penny", 1) | ("", _) => small.to_owned(),
        ("penny", _) => "pence".to_owned(),
        (small, 1) => small.to_owned(),
        (small, _) => format!("{small}s"),
    };
    let major = format!("{} {}", cardinal(whole), if whole == 1 { one } else { many });
    Some(match (whole, parts) {
        (_, 0) => major,
        (0, parts) => format!("{} {small}", cardinal(parts)),
        (_, parts) => format!("{major} and {} {small}", cardinal(parts)),
    })
}

/// SSML 1.0 §3.2.4 `volume`: a label, a number from 0 to 100, a change in percent or decibels; as a factor.
#[must_use]
pub fn volume(value: &str) -> f32 {
    let value = value.trim();
    let factor = match value {
        "silent" => 0.0,
        "x-soft" => 0.25,
        "soft" => 0.5,
        "" | "medium" | "default" => 1.0,
        "loud" => 1.4,
        "x-loud" => 1.8,
        _ => {
            let change = value.starts_with(['+', '-']);
            if let Some(db) = value.strip_suffix("dB") {
                db.parse::<f32>().map_or(1.0, |db| 10_f32.powf(db / 20.0))
            } else if let Some(percent) = value.strip_suffix('%').filter(|_| change) {
                percent.parse::<f32>().map_or(1.0, |p| 1.0 + p / 100.0)
            } else {
                value.parse::<f32>().map_or(1.0, |n| if change { 1.0 + n / 100.0 } else { n / 100.0 })
            }
        }
    };
    if factor.is_finite() { factor.clamp(0.0, 4.0) } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, kind: &str, format: &str, want: &str) {
        assert_eq!(spoken(text, kind, format, "en-US"), want, "{kind} {text}");
    }

    #[test]
    fn ssml10_3_1_8_say_as() {
        check("42 7", "digits", "", "4 2 7");
        check("AB12", "characters", "", "A B 1 2");
        check("+1 555-0100", "telephone", "", "plus 1, 5 5 5, 0 1 0 0");
        check("5550100x12", "vxml:phone", "", "5 5 5 0 1 0 0, extension 1 2");
        check("21", "ordinal", "", "twenty first");
        check("12", "ordinal", "", "twelfth");
        check("30", "ordinal", "", "thirtieth");
        check("1005", "cardinal", "", "one thousand five");
        check("-3.25", "vxml:number", "", "minus three point two five");
        check("20260704", "vxml:date", "", "July fourth twenty twenty six");
        check("????0704", "vxml:date", "", "July fourth");
        check("7/4/1905", "date", "mdy", "July fourth nineteen oh five");
        check("0805p", "vxml:time", "", "eight oh five p m");
        check("1400h", "vxml:time", "", "fourteen hundred hours");
        check("9:00", "time", "", "nine o'clock");
        check("USD12.50", "vxml:currency", "", "twelve dollars and fifty cents");
        check("GBP0.01", "vxml:currency", "", "one penny");
        check("EUR1.00", "vxml:currency", "", "one euro");
        check("true", "vxml:boolean", "", "yes");
    }

    #[test]
    fn what_is_not_what_it_says_is_spoken_as_it_stands() {
        for (text, kind) in [
            ("tomorrow", "date"),
            ("20261399", "date"),
            ("99:99", "time"),
            ("many", "currency"),
            ("x", "ordinal"),
            ("9", "time"),
            ("", "time"),
            ("é", "currency"),
            ("99999999999999999999", "cardinal"),
            ("a", "nonsense"),
        ] {
            check(text, kind, "", text);
        }
        assert_eq!(spoken("USD12.50", "currency", "", "de-DE"), "USD12.50");
        assert_eq!(spoken("42", "digits", "", "de-DE"), "4 2");
    }

    #[test]
    fn ssml10_3_2_4_volume() {
        let check = |value: &str, want: f32| assert!((volume(value) - want).abs() < 1e-3, "{value}");
        check("50", 0.5);
        check("silent", 0.0);
        check("+6dB", 1.995);
        check("-50%", 0.5);
        check("+10", 1.1);
        check("nonsense", 1.0);
        check("inf", 1.0);
    }
}
