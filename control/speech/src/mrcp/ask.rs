//! What is asked of an engine, in its words: a listening's properties as the header fields of RECOGNIZE (RFC 6787 §9.4), a
//! text as the SSML of SPEAK (§8.5).
//!
//! Timers for no input are not among them: the interpreter counts that time itself, so RECOGNIZE goes out with
//! `Start-Input-Timers:false`.

use crate::frame::Speak;
use crate::utterance::{Limits, time_ms};
use std::collections::BTreeMap;
use std::fmt::Write;

/// A listening.
#[derive(Clone, Copy, Debug)]
pub struct Listening<'a> {
    /// Properties in force (VoiceXML 2.0 §6.3.2); those that begin with [`VENDOR`] are the engine's own.
    pub properties: &'a BTreeMap<String, String>,
    /// RFC 5646; empty: the engine's choice.
    pub lang: &'a str,
    /// Most readings wanted.
    pub nbest: u32,
    /// Only a match counts.
    pub hotword: bool,
    /// Parameters of the engine as the operator has them.
    pub vendor: &'a BTreeMap<String, String>,
}

/// Properties of a document that begin so are the engine's: the rest of the name is the parameter's.
pub const VENDOR: &str = "mrcp.";
/// Parameters of one request.
const VENDOR_MAX: usize = 32;

type Fields = Vec<(String, String)>;

impl Listening<'_> {
    /// The header fields.
    #[must_use]
    pub fn fields(&self) -> Fields {
        let mut fields = Fields::new();
        let mut add = |name: &str, value: String| fields.push((name.to_owned(), value));
        let level = |name: &str| {
            let value = self.properties.get(name)?.trim().parse::<f32>().ok()?;
            (0.0..=1.0).contains(&value).then(|| format!("{value:.2}"))
        };
        add("Confidence-Threshold", level("confidencelevel").unwrap_or_else(|| "0.50".to_owned()));
        for (name, field) in [("sensitivity", "Sensitivity-Level"), ("speedvsaccuracy", "Speed-Vs-Accuracy")]
        {
            if let Some(value) = level(name) {
                add(field, value);
            }
        }
        let defaults = Limits::default();
        for (name, field, default) in [
            ("completetimeout", "Speech-Complete-Timeout", defaults.complete_ms),
            ("incompletetimeout", "Speech-Incomplete-Timeout", defaults.incomplete_ms),
            ("maxspeechtimeout", "Recognition-Timeout", defaults.speech_ms_max),
        ] {
            let ms = self.properties.get(name).and_then(|v| time_ms(v)).unwrap_or(default);
            add(field, ms.to_string());
        }
        add("N-Best-List-Length", self.nbest.max(1).to_string());
        if !self.lang.is_empty() {
            add("Speech-Language", self.lang.to_owned());
        }
        if self.hotword {
            add("Recognition-Mode", "hotword".to_owned());
        }
        let own = self.properties.iter().filter_map(|(n, v)| Some((n.strip_prefix(VENDOR)?, v.as_str())));
        fields.extend(vendor(self.vendor, own));
        fields
    }
}

/// RFC 6787 §6.2.16: one field, pairs between semicolons. What a document says goes before what the operator says.
fn vendor<'a>(
    operator: &'a BTreeMap<String, String>,
    own: impl Iterator<Item = (&'a str, &'a str)>,
) -> Option<(String, String)> {
    let mut all: BTreeMap<&str, &str> = operator.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    all.extend(own);
    let fine =
        |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_graphic() && !"=;\"".contains(c));
    let pairs = all.into_iter().filter(|(name, _)| fine(name)).take(VENDOR_MAX).map(|(name, value)| {
        let plain = value.chars().all(|c| c.is_ascii_graphic() && !";\"\\".contains(c)) && !value.is_empty();
        if plain { format!("{name}={value}") } else { format!("{name}=\"{}\"", quoted(value)) }
    });
    let pairs = pairs.collect::<Vec<_>>().join(";");
    (!pairs.is_empty()).then(|| ("Vendor-Specific-Parameters".to_owned(), pairs))
}

fn quoted(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace(['\r', '\n'], " ")
}

/// The header fields of a SPEAK: nothing but the operator's parameters, for voice and prosody stand in the SSML.
#[must_use]
pub fn speak_fields(operator: &BTreeMap<String, String>) -> Fields {
    vendor(operator, std::iter::empty()).into_iter().collect()
}

/// A text as SSML 1.0.
#[must_use]
pub fn ssml(speak: &Speak) -> String {
    let lang = if speak.lang.is_empty() { "en-US" } else { &speak.lang };
    let mut text = format!(
        "<?xml version=\"1.0\"?>\n<speak version=\"1.0\" xmlns=\"http://www.w3.org/2001/10/synthesis\" xml:lang=\"{}\">",
        escaped(lang)
    );
    let gender = if speak.variant.is_empty() { "male" } else { "female" };
    if speak.asked.is_empty() {
        text.extend(["<voice gender=\"", gender, "\">"]);
    } else {
        text.extend(["<voice name=\"", &escaped(&speak.asked), "\">"]);
    }
    let changes: Vec<String> = [("rate", speak.rate), ("pitch", speak.pitch), ("volume", speak.volume)]
        .into_iter()
        .filter(|(_, factor)| (factor - 1.0).abs() > 1e-3 && factor.is_finite())
        .map(|(name, factor)| format!(" {name}=\"{:+.0}%\"", (factor - 1.0) * 100.0))
        .collect();
    if !changes.is_empty() {
        text.extend(["<prosody", &changes.concat(), ">"]);
    }
    match &speak.phoneme {
        Some(p) => {
            let (alphabet, ph) = (escaped(&p.alphabet), escaped(&p.ph));
            write!(text, "<phoneme alphabet=\"{alphabet}\" ph=\"{ph}\">{}</phoneme>", escaped(&speak.text))
                .expect("a string takes all");
        }
        None => text.push_str(&escaped(&speak.text)),
    }
    if !changes.is_empty() {
        text.push_str("</prosody>");
    }
    text.push_str("</voice></speak>");
    text
}

/// Without what XML 1.0 §2.2 does not allow at all.
fn escaped(text: &str) -> String {
    let clean: String = text.chars().filter(|c| !c.is_control() || c.is_whitespace()).collect();
    quick_xml::escape::escape(&clean).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Phoneme;

    fn map(all: &[(&str, &str)]) -> BTreeMap<String, String> {
        all.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn vxml20_6_3_2_properties_become_rfc6787_9_4_fields() {
        let properties = map(&[
            ("confidencelevel", "0.4"),
            ("sensitivity", "0.7"),
            ("completetimeout", "700ms"),
            ("maxspeechtimeout", "20s"),
            ("mrcp.com.example.mode", "fast"),
            ("timeout", "5s"),
        ]);
        let vendor = map(&[("com.example.mode", "slow"), ("com.example.name", "a; \"b\"")]);
        let fields =
            Listening { properties: &properties, lang: "de-DE", nbest: 3, hotword: true, vendor: &vendor }
                .fields();
        let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let want = [
            ("Confidence-Threshold", "0.40"),
            ("Sensitivity-Level", "0.70"),
            ("Speech-Complete-Timeout", "700"),
            ("Speech-Incomplete-Timeout", "1000"),
            ("Recognition-Timeout", "20000"),
            ("N-Best-List-Length", "3"),
            ("Speech-Language", "de-DE"),
            ("Recognition-Mode", "hotword"),
            ("Vendor-Specific-Parameters", "com.example.mode=fast;com.example.name=\"a; \\\"b\\\"\""),
        ];
        assert_eq!(fields, want);
    }

    #[test]
    fn nonsense_in_properties_leaves_the_defaults() {
        let properties = map(&[("confidencelevel", "high"), ("completetimeout", "soon"), ("mrcp.a=b", "x")]);
        let none = BTreeMap::new();
        let fields =
            Listening { properties: &properties, lang: "", nbest: 0, hotword: false, vendor: &none }.fields();
        let find = |name: &str| fields.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        assert_eq!(find("Confidence-Threshold"), Some("0.50"));
        assert_eq!(find("Speech-Complete-Timeout"), Some("500"));
        assert_eq!(find("N-Best-List-Length"), Some("1"));
        assert_eq!((find("Vendor-Specific-Parameters"), find("Recognition-Mode")), (None, None));
    }

    #[test]
    fn ssml10_a_text_with_voice_prosody_and_phoneme() {
        let plain =
            Speak { text: "a < b & c\u{1}".into(), rate: 1.0, pitch: 1.0, volume: 1.0, ..Speak::default() };
        let text = ssml(&plain);
        assert!(
            text.contains("xml:lang=\"en-US\"><voice gender=\"male\">a &lt; b &amp; c</voice>"),
            "{text}"
        );
        let rich = Speak {
            lang: "fr-FR".into(),
            asked: "Zoé".into(),
            rate: 0.8,
            pitch: 1.1,
            phoneme: Some(Phoneme { alphabet: "ipa".into(), ph: "t\"u".into() }),
            ..plain
        };
        let text = ssml(&rich);
        assert!(text.contains("<voice name=\"Zoé\"><prosody rate=\"-20%\" pitch=\"+10%\"><phoneme alphabet=\"ipa\" ph=\"t&quot;u\">"), "{text}");
        assert!(text.ends_with("</phoneme></prosody></voice></speak>"), "{text}");
        assert!(quick_xml::Reader::from_str(&text).read_event().is_ok());
    }
}
