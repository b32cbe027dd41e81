//! What may be said: a weighted finite-state acceptor of words, as it crosses to a recogniser.

use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// See the module. States count from 0, where it starts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Grammar {
    /// Number of states.
    pub states: u32,
    /// Where it ends.
    pub accept: u32,
    /// From, to, probability, word (`None`: none).
    pub arrows: Vec<(u32, u32, f64, Option<String>)>,
}

/// Arrows of the largest grammar that is heard: decoding slows down with them, and a caller waits.
pub const ARROWS_MAX: usize = 20_000;

impl Grammar {
    /// Several of them, any of which may be said.
    #[must_use]
    pub fn any_of(all: impl IntoIterator<Item = Self>) -> Self {
        let mut joined = Self { states: 2, accept: 1, arrows: Vec::new() };
        for one in all {
            let base = joined.states;
            joined.arrows.push((0, base, 1.0, None));
            joined.arrows.push((base + one.accept, 1, 1.0, None));
            joined.arrows.extend(one.arrows.into_iter().map(|(a, b, p, w)| (base + a, base + b, p, w)));
            joined.states += one.states;
        }
        joined
    }

    /// Without the arrows whose words are not known. What cannot be reached any more does no harm.
    pub fn forget(&mut self, knows: impl Fn(&str) -> bool) {
        self.arrows.retain(|(_, _, _, word)| word.as_deref().is_none_or(&knows));
    }

    /// Every word once.
    #[must_use]
    pub fn words(&self) -> std::collections::BTreeSet<String> {
        self.arrows.iter().filter_map(|(_, _, _, word)| word.clone()).collect()
    }

    /// Whether any sentence is left.
    #[must_use]
    pub fn says_something(&self) -> bool {
        let mut reached = vec![false; usize::try_from(self.states).unwrap_or(0)];
        let at = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
        let Some(first) = reached.first_mut() else { return false };
        *first = true;
        loop {
            let mut grown = false;
            for (from, to, ..) in &self.arrows {
                if reached.get(at(*from)) == Some(&true) && reached.get(at(*to)) == Some(&false) {
                    reached[at(*to)] = true;
                    grown = true;
                }
            }
            if !grown {
                return reached.get(at(self.accept)) == Some(&true);
            }
        }
    }

    /// The same without one sentence: so the second best is found as the best of what is left.
    ///
    /// Each state is doubled by how far the sentence was followed; who has left it never comes back.
    #[must_use]
    pub fn without(&self, sentence: &[String]) -> Self {
        let followed = u32::try_from(sentence.len()).unwrap_or(u32::MAX) + 1;
        // Copy n < followed: the first n words were those of the sentence. Copy `followed`: something else was said.
        let copies = followed + 1;
        let state = |s: u32, copy: u32| s * copies + copy;
        let mut out = Self { states: self.states * copies + 1, ..Self::default() };
        out.accept = out.states - 1;
        for (from, to, p, word) in &self.arrows {
            for copy in 0..copies {
                let next = match word {
                    None => copy,
                    Some(word) => {
                        let expected = usize::try_from(copy).ok().and_then(|n| sentence.get(n));
                        if copy < followed && expected == Some(word) { copy + 1 } else { followed }
                    }
                };
                out.arrows.push((state(*from, copy), state(*to, next), *p, word.clone()));
            }
        }
        for copy in (0..copies).filter(|c| *c != followed - 1) {
            out.arrows.push((state(self.accept, copy), out.accept, 1.0, None));
        }
        out
    }

    /// As Sphinx reads it.
    #[must_use]
    pub fn to_fsg(&self) -> String {
        let mut text = String::from("FSG_BEGIN g\n");
        let mut line = |line: std::fmt::Arguments<'_>| text.write_fmt(line).expect("a string takes all");
        line(format_args!("NUM_STATES {}\nSTART_STATE 0\nFINAL_STATE {}\n", self.states, self.accept));
        for (from, to, p, word) in &self.arrows {
            // Never 0: its logarithm is none.
            let p = p.clamp(1e-6, 1.0);
            match word {
                Some(word) => line(format_args!("TRANSITION {from} {to} {p:.6} {word}\n")),
                None => line(format_args!("TRANSITION {from} {to} {p:.6}\n")),
            }
        }
        text.push_str("FSG_END\n");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    pub(crate) fn words(all: &[&str]) -> Grammar {
        let arrows = all.iter().map(|w| (0, 1, 0.5, Some((*w).to_owned())));
        Grammar { states: 2, accept: 1, arrows: arrows.collect() }
    }

    fn sentences(grammar: &Grammar, longest: usize) -> BTreeSet<String> {
        let (mut seen, mut todo) = (BTreeSet::new(), vec![(0, Vec::new())]);
        while let Some((state, said)) = todo.pop() {
            if said.len() > longest || !seen.insert((state, said.clone())) {
                continue;
            }
            for (from, to, _, word) in &grammar.arrows {
                if *from == state {
                    let mut said: Vec<String> = said.clone();
                    said.extend(word.clone());
                    todo.push((*to, said));
                }
            }
        }
        seen.into_iter().filter(|(s, _)| *s == grammar.accept).map(|(_, w)| w.join(" ")).collect()
    }

    fn set(all: &[&str]) -> BTreeSet<String> {
        all.iter().map(|s| (*s).to_owned()).collect()
    }

    #[test]
    fn any_of_several_may_be_said() {
        let both = Grammar::any_of([words(&["yes", "no"]), words(&["help"])]);
        assert_eq!(sentences(&both, 3), set(&["help", "no", "yes"]));
    }

    #[test]
    fn one_sentence_less_is_exactly_one_less() {
        let mut digits = words(&["one", "two"]);
        digits.arrows.push((1, 0, 0.5, None));
        let all = sentences(&digits, 3);
        for gone in ["one", "two one", "one one two"] {
            let sentence: Vec<String> = gone.split(' ').map(str::to_owned).collect();
            let mut want = all.clone();
            assert!(want.remove(gone));
            assert_eq!(sentences(&digits.without(&sentence), 3), want, "{gone}");
        }
        let twice = words(&["yes", "no"]).without(&["yes".into()]).without(&["no".into()]);
        assert!(!twice.says_something());
    }

    #[test]
    fn unknown_words_leave_their_sentences_out() {
        let mut some = words(&["yes", "xyzzy"]);
        some.forget(|w| w != "xyzzy");
        assert_eq!(sentences(&some, 2), set(&["yes"]));
        assert!(some.says_something());
        some.forget(|_| false);
        assert!(!some.says_something());
    }

    #[test]
    fn sphinx_text() {
        let text = words(&["yes"]).to_fsg();
        let want =
            "FSG_BEGIN g\nNUM_STATES 2\nSTART_STATE 0\nFINAL_STATE 1\nTRANSITION 0 1 0.500000 yes\nFSG_END\n";
        assert_eq!(text, want);
    }
}
