//! Pronunciations of documents (`<phoneme>`, lexicons) in the words of the voices: IPA and X-SAMPA to the mnemonics of
//! espeak-ng and to the phones of flite's English voices.
//!
//! A subset: the sounds of English, and those of German and French that espeak-ng writes alike. What holds anything else
//! is no pronunciation here, and the text itself is spoken.

use crate::frame::Phoneme;

/// One sound: IPA, X-SAMPA, espeak-ng, flite (empty: its English has none). Longer spellings are looked for first.
type Row = (&'static str, &'static str, &'static str, &'static str);

const SOUNDS: [Row; 62] = [
    ("tʃ", "tS", "tS", "ch"),
    ("dʒ", "dZ", "dZ", "jh"),
    ("eɪ", "eI", "eI", "ey"),
    ("aɪ", "aI", "aI", "ay"),
    ("ɔɪ", "OI", "OI", "oy"),
    ("ɔʏ", "OY", "OY", ""),
    ("aʊ", "aU", "aU", "aw"),
    ("oʊ", "oU", "oU", "ow"),
    ("əʊ", "@U", "oU", "ow"),
    ("ɑː", "A:", "A:", "aa"),
    ("ɔː", "O:", "O:", "ao"),
    ("ɜː", "3:", "3:", "er"),
    ("iː", "i:", "i:", "iy"),
    ("uː", "u:", "u:", "uw"),
    ("aː", "a:", "A:", "aa"),
    ("eː", "e:", "e:", "ey"),
    ("ɛː", "E:", "E:", "eh"),
    ("oː", "o:", "o:", "ow"),
    ("yː", "y:", "y:", ""),
    ("øː", "2:", "Y:", ""),
    ("ɝ", "3`", "3:", "er"),
    ("ɚ", "@`", "3", "er"),
    ("ɹ", "r\\", "r", "r"),
    ("ɪ", "I", "I", "ih"),
    ("i", "i", "i", "iy"),
    ("ɛ", "E", "E", "eh"),
    ("e", "e", "E", "eh"),
    ("æ", "{", "a", "ae"),
    ("a", "a", "a", "aa"),
    ("ɑ", "A", "A:", "aa"),
    ("ɒ", "Q", "0", "aa"),
    ("ɔ", "O", "O", "ao"),
    ("ʊ", "U", "U", "uh"),
    ("u", "u", "u:", "uw"),
    ("ʌ", "V", "V", "ah"),
    ("ə", "@", "@", "ax"),
    ("o", "o", "oU", "ow"),
    ("y", "y", "y", ""),
    ("ø", "2", "Y", ""),
    ("œ", "9", "W", ""),
    ("p", "p", "p", "p"),
    ("b", "b", "b", "b"),
    ("t", "t", "t", "t"),
    ("d", "d", "d", "d"),
    ("k", "k", "k", "k"),
    ("ɡ", "g", "g", "g"),
    ("f", "f", "f", "f"),
    ("v", "v", "v", "v"),
    ("θ", "T", "T", "th"),
    ("ð", "D", "D", "dh"),
    ("s", "s", "s", "s"),
    ("z", "z", "z", "z"),
    ("ʃ", "S", "S", "sh"),
    ("ʒ", "Z", "Z", "zh"),
    ("h", "h", "h", "hh"),
    ("m", "m", "m", "m"),
    ("n", "n", "n", "n"),
    ("ŋ", "N", "N", "ng"),
    ("l", "l", "l", "l"),
    ("r", "r", "r", "r"),
    ("j", "j", "j", "y"),
    ("w", "w", "w", "w"),
];

/// Sounds of one pronunciation.
const SOUNDS_MAX: usize = 200;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    Sound(&'static Row),
    Stress,
    Secondary,
    /// Between words.
    Space,
}

/// Reads a pronunciation; `None`: an alphabet or a sound that is none of ours.
fn read(phoneme: &Phoneme) -> Option<Vec<Sign>> {
    let alphabet = phoneme.alphabet.trim().to_ascii_lowercase();
    let ipa = match alphabet.as_str() {
        "ipa" | "" => true,
        "x-sampa" | "xsampa" | "x-x-sampa" => false,
        _ => return None,
    };
    let mut signs = Vec::new();
    // Two letters for one sound in Unicode, and the tie of affricates, which is often left out.
    let text = phoneme.ph.trim().replace('g', if ipa { "ɡ" } else { "g" }).replace('\u{361}', "");
    let mut rest = text.as_str();
    while let Some(first) = rest.chars().next() {
        if signs.len() >= SOUNDS_MAX {
            return None;
        }
        let row = SOUNDS.iter().find(|row| rest.starts_with(if ipa { row.0 } else { row.1 }));
        let (sign, taken) = match (first, ipa, row) {
            (_, _, Some(row)) => (Some(Sign::Sound(row)), if ipa { row.0.len() } else { row.1.len() }),
            ('ˈ' | '\'', true, _) | ('"', false, _) => (Some(Sign::Stress), first.len_utf8()),
            ('ˌ', true, _) | ('%', false, _) => (Some(Sign::Secondary), first.len_utf8()),
            // Syllables, and a length that our sounds already have or do without.
            ('.' | '-', ..) | ('ː', true, _) | (':', false, _) => (None, first.len_utf8()),
            (space, ..) if space.is_whitespace() => (Some(Sign::Space), first.len_utf8()),
            _ => return None,
        };
        signs.extend(sign);
        rest = rest.get(taken..)?;
    }
    signs.iter().any(|s| matches!(s, Sign::Sound(_))).then_some(signs)
}

/// As espeak-ng takes it within a text: `[[…]]`.
#[must_use]
pub fn espeak(phoneme: &Phoneme) -> Option<String> {
    let signs = read(phoneme)?;
    let mnemonics = signs.iter().map(|sign| match sign {
        Sign::Sound(row) => row.2,
        Sign::Stress => "'",
        Sign::Secondary => ",",
        Sign::Space => " ",
    });
    Some(format!("[[{}]]", mnemonics.collect::<String>()))
}

/// As flite takes it: phones with spaces between them, silence around.
#[must_use]
pub fn flite(phoneme: &Phoneme) -> Option<String> {
    let mut phones = vec!["pau"];
    for sign in read(phoneme)? {
        match sign {
            Sign::Sound(row) if row.3.is_empty() => return None,
            Sign::Sound(row) => phones.push(row.3),
            Sign::Stress | Sign::Secondary | Sign::Space => {}
        }
    }
    phones.push("pau");
    Some(phones.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(alphabet: &str, ph: &str, want: Option<(&str, &str)>) {
        let phoneme = Phoneme { alphabet: alphabet.into(), ph: ph.into() };
        let got = (espeak(&phoneme), flite(&phoneme));
        assert_eq!((got.0.as_deref(), got.1.as_deref()), (want.map(|w| w.0), want.map(|w| w.1)), "{ph}");
    }

    #[test]
    fn ssml10_3_1_9_ipa_and_x_sampa_name_the_same_sounds() {
        let tomato = Some(("[[t@'mA:toU]]", "pau t ax m aa t ow pau"));
        check("ipa", "təˈmɑːtoʊ", tomato);
        check("", "tə.ˈmɑː.toʊ", tomato);
        check("x-sampa", "t@\"mA:toU", tomato);
        check("ipa", "t͡ʃɝt͡ʃ", Some(("[[tS3:tS]]", "pau ch er ch pau")));
        check("ipa", "ˌbɪɡ ˈdeɪ", Some(("[[,bIg 'deI]]", "pau b ih g d ey pau")));
    }

    #[test]
    fn what_is_not_ours_is_no_pronunciation() {
        check("ipa", "ǂx", None);
        check("x-sampa", "]]; rm", None);
        check("ipa", "", None);
        check("pinyin", "ma1", None);
        check("ipa", &"a".repeat(1_000), None);
        let german = Phoneme { alphabet: "ipa".into(), ph: "ˈmyːlɚ".into() };
        assert_eq!((espeak(&german).as_deref(), flite(&german)), (Some("[['my:l3]]"), None));
    }
}
