//! Pronunciation lexicons (PLS 1.0): which words of a text are said otherwise than they are written.

use crate::frame::Phoneme;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// A lexicon.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lexicon {
    /// Graphemes as folded words, and how they are said.
    entries: Vec<(Vec<String>, Saying)>,
}

/// How a grapheme is said.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Saying {
    Alias(String),
    Phoneme(Phoneme),
}

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// What is written, or the alias for it.
    pub text: String,
    /// How it is pronounced, if the lexicon says so.
    pub phoneme: Option<Phoneme>,
}

/// Entries of a lexicon that are read.
pub const ENTRIES_MAX: usize = 20_000;
/// Words of a grapheme.
const WORDS_MAX: usize = 8;

impl Lexicon {
    /// Reads a document. What is malformed gives the entries before it.
    #[must_use]
    pub fn read(octets: &[u8]) -> Self {
        let Ok(text) = std::str::from_utf8(octets) else { return Self::default() };
        let mut reader = Reader::from_str(text);
        let mut lexicon = Self::default();
        let mut alphabet = String::from("ipa");
        let (mut graphemes, mut saying, mut content) = (Vec::new(), None, String::new());
        let mut own_alphabet = None;
        while let Ok(event) = reader.read_event() {
            if lexicon.entries.len() >= ENTRIES_MAX {
                break;
            }
            match event {
                Event::Start(start) => {
                    content.clear();
                    match start.local_name().as_ref() {
                        b"lexicon" => alphabet = attribute(&start, b"alphabet").unwrap_or(alphabet),
                        b"lexeme" => (graphemes, saying) = (Vec::new(), None),
                        b"phoneme" => own_alphabet = attribute(&start, b"alphabet"),
                        _ => {}
                    }
                }
                Event::Text(piece) => {
                    if let Ok(piece) = piece.decode() {
                        content.push_str(&piece);
                    }
                }
                Event::GeneralRef(reference) => {
                    let named = reference.decode().ok();
                    content.extend(named.as_deref().and_then(quick_xml::escape::resolve_predefined_entity));
                }
                Event::End(end) => match end.local_name().as_ref() {
                    b"grapheme" if graphemes.len() < ENTRIES_MAX => graphemes.push(words(&content)),
                    // PLS 1.0 §4.6: without a preference the first one counts.
                    b"alias" => {
                        saying.get_or_insert_with(|| Saying::Alias(content.trim().to_owned()));
                    }
                    b"phoneme" => {
                        let alphabet = own_alphabet.take().unwrap_or_else(|| alphabet.clone());
                        let ph = content.trim().to_owned();
                        saying.get_or_insert(Saying::Phoneme(Phoneme { alphabet, ph }));
                    }
                    b"lexeme" => {
                        if let Some(saying) = saying.take() {
                            let known = graphemes.drain(..).filter(|g| (1..=WORDS_MAX).contains(&g.len()));
                            lexicon.entries.extend(known.map(|g| (g, saying.clone())));
                        }
                    }
                    _ => {}
                },
                Event::Eof => break,
                _ => {}
            }
        }
        lexicon
    }

    /// Adds the entries of another; the first of two for one word counts.
    pub fn extend(&mut self, other: Self) {
        let room = ENTRIES_MAX.saturating_sub(self.entries.len());
        self.entries.extend(other.entries.into_iter().take(room));
    }

    /// Cuts a text where something is said otherwise. The longest entry at a place counts.
    #[must_use]
    pub fn pieces(&self, text: &str) -> Vec<Piece> {
        let written: Vec<&str> = text.split_whitespace().collect();
        let folded: Vec<String> = written.iter().map(|w| fold(w)).collect();
        let (mut pieces, mut plain, mut at) = (Vec::new(), Vec::new(), 0);
        while let Some(word) = written.get(at) {
            let fits = |g: &[String]| folded.get(at..at + g.len()).is_some_and(|here| here == g);
            let mut best: Option<&(Vec<String>, Saying)> = None;
            for entry in self.entries.iter().filter(|(g, _)| fits(g)) {
                if best.is_none_or(|b| entry.0.len() > b.0.len()) {
                    best = Some(entry);
                }
            }
            let Some((grapheme, saying)) = best else {
                plain.push((*word).to_owned());
                at += 1;
                continue;
            };
            let last = written[at + grapheme.len() - 1];
            at += grapheme.len();
            match saying {
                Saying::Alias(alias) => plain.push(format!("{alias}{}", after(last))),
                Saying::Phoneme(phoneme) => {
                    flush(&mut plain, &mut pieces);
                    let text = written[at - grapheme.len()..at].join(" ");
                    pieces.push(Piece { text, phoneme: Some(phoneme.clone()) });
                }
            }
        }
        flush(&mut plain, &mut pieces);
        pieces
    }
}

fn flush(plain: &mut Vec<String>, pieces: &mut Vec<Piece>) {
    if !plain.is_empty() {
        pieces.push(Piece { text: plain.join(" "), phoneme: None });
        plain.clear();
    }
}

/// Punctuation that ends a word.
fn after(word: &str) -> &str {
    word.get(word.trim_end_matches(|c: char| c.is_ascii_punctuation()).len()..).unwrap_or("")
}

fn fold(word: &str) -> String {
    word.trim_matches(|c: char| c.is_ascii_punctuation()).to_lowercase()
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(fold).filter(|w| !w.is_empty()).collect()
}

fn attribute(start: &BytesStart<'_>, name: &[u8]) -> Option<String> {
    let mut all = start.attributes().filter_map(Result::ok);
    let found = all.find(|a| a.key.local_name().as_ref() == name)?;
    Some(String::from_utf8_lossy(&found.value).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEXICON: &str = r#"<?xml version="1.0"?>
<lexicon version="1.0" xmlns="http://www.w3.org/2005/01/pronunciation-lexicon" alphabet="ipa" xml:lang="en-US">
  <lexeme><grapheme>W3C</grapheme><alias>World Wide Web Consortium</alias></lexeme>
  <lexeme><grapheme>tomato</grapheme><phoneme>təˈmɑːtoʊ</phoneme><phoneme>x</phoneme></lexeme>
  <lexeme><grapheme>New York</grapheme><grapheme>NYC</grapheme><phoneme alphabet="x-sampa">nu:"jOrk</phoneme></lexeme>
  <lexeme><grapheme>New</grapheme><alias>brand new</alias></lexeme>
</lexicon>"#;

    fn phoneme(alphabet: &str, ph: &str) -> Option<Phoneme> {
        Some(Phoneme { alphabet: alphabet.into(), ph: ph.into() })
    }

    #[test]
    fn pls10_4_aliases_and_phonemes_of_words_and_phrases() {
        let lexicon = Lexicon::read(LEXICON.as_bytes());
        let piece = |text: &str, phoneme| Piece { text: text.into(), phoneme };
        let york = phoneme("x-sampa", "nu:\"jOrk");
        let want = [
            piece("The World Wide Web Consortium, eats a", None),
            piece("Tomato!", phoneme("ipa", "təˈmɑːtoʊ")),
            piece("in", None),
            piece("New York", york),
            piece("on a brand new day", None),
        ];
        assert_eq!(lexicon.pieces("The W3C, eats a Tomato! in New York on a New day"), want);
        assert_eq!(lexicon.pieces("nothing here"), [piece("nothing here", None)]);
        assert_eq!(lexicon.pieces(""), []);
    }

    #[test]
    fn what_is_malformed_gives_what_was_before_it() {
        let cut = LEXICON.find("<lexeme><grapheme>New York").expect("there");
        let lexicon = Lexicon::read(format!("{}<lexeme><grapheme", &LEXICON[..cut]).as_bytes());
        assert_eq!(lexicon.entries.len(), 2);
        assert_eq!(Lexicon::read(&[0xff]), Lexicon::default());
        assert_eq!(Lexicon::read(b"{}"), Lexicon::default());
    }
}
