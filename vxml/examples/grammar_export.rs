//! Writes a builtin voice grammar, or an SRGS document read from standard input, as JSGF or Sphinx FSG:
//! `grammar_export jsgf|fsg BUILTIN|- [WORD...]`, without the given words.

use std::io::Read;
use std::process::ExitCode;
use vxml::grammar::{Grammar, GrammarError, Limits, Mode, Network};

fn export(format: &str, name: &str, document: &[u8], without: &[String]) -> Result<String, GrammarError> {
    let limits = Limits::default();
    let net = match name {
        "-" => Network::compile(&Grammar::parse(document, "", None, "", &limits)?, &|_| None, &limits)?,
        builtin => Network::from_builtin(builtin, Mode::Voice, "en-US", &limits)?,
    };
    let knows = |word: &str| !without.iter().any(|w| w == word);
    if format == "fsg" { net.to_fsg("carillon", &knows) } else { net.to_jsgf("carillon", &knows) }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, format, name, without @ ..] = arguments.as_slice() else {
        eprintln!("usage: grammar_export jsgf|fsg BUILTIN|- [WORD...]");
        return ExitCode::from(2);
    };
    let mut document = Vec::new();
    if name == "-" && std::io::stdin().read_to_end(&mut document).is_err() {
        return ExitCode::from(1);
    }
    match export(format, name, &document, without) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(1)
        }
    }
}
