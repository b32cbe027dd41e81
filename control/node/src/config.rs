//! Finds and reads `carillon.toml`.

use control::config::{Config, Fault, Problem, line_of_key, parse};
use control::limits::PolicyLimits;
use control::policy::{Party, RuleSet};
use std::path::Path;

/// Why there is no configuration.
#[derive(Debug)]
pub enum ConfigError {
    /// The file cannot be read.
    Read(String, std::io::Error),
    /// What stands in it is wrong.
    Wrong(Vec<Problem>),
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ConfigError::Read(file, error) => write!(f, "{file}: {error}"),
            ConfigError::Wrong(problems) => {
                let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
                f.write_str(&lines.join("\n"))
            }
        }
    }
}

impl std::error::Error for ConfigError {}

/// Reads a file.
///
/// # Errors
/// [`ConfigError`], with every problem found.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Read(name.clone(), error))?;
    let mut config = parse(&name, &text).map_err(ConfigError::Wrong)?;
    for file in &config.policy.files {
        config.policy.sets.push(rules(file)?);
    }
    // Only the shell knows what a filter of the log may be.
    if tracing_subscriber::EnvFilter::try_new(&config.node.log).is_err() {
        let line = line_of_key(&text, "node.log");
        let fault = Fault::Range("node.log", "a filter such as \"info\" or \"node=debug,info\"");
        return Err(ConfigError::Wrong(vec![Problem { file: name, line, fault }]));
    }
    Ok(config)
}

/// A rule set of the operator; its problems are told with the file it stands in.
fn rules(file: &str) -> Result<RuleSet, ConfigError> {
    let text = std::fs::read_to_string(file).map_err(|error| ConfigError::Read(file.to_owned(), error))?;
    let wrong = |line, fault| ConfigError::Wrong(vec![Problem { file: file.to_owned(), line, fault }]);
    let set: RuleSet = toml::from_str(&text).map_err(|error| {
        let before = error.span().map_or("", |span| &text[..span.start.min(text.len())]);
        wrong(before.matches('\n').count() + 1, Fault::Toml(Box::new(error)))
    })?;
    // A file that is named is the operator's or a regulation's; nobody speaks for others.
    let fits = matches!(set.party, Party::Operator | Party::Regulation);
    match set.check(PolicyLimits::default().rules_max) {
        Ok(()) if fits => Ok(set),
        Ok(()) => Err(wrong(1, Fault::Range("party", "operator or regulation"))),
        Err(bad) => Err(wrong(0, Fault::Rules(format!("{bad:?}").into()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_is_none_is_refused_with_its_line() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "[node]\nname = \"a\"\nlog = \"=[\"\n").expect("is written");
        let said = load(file.path()).expect_err("no filter").to_string();
        assert!(said.contains(":3: `node.log` must be a filter"), "{said}");
    }

    #[test]
    fn the_example_is_right_and_says_what_holds_by_default() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../carillon.example.toml");
        let example = load(&path).expect("the example is right");
        let defaults = Config::default();
        assert_eq!(example.node, defaults.node);
        assert_eq!(example.media, defaults.media);
        assert_eq!(example.vxml, defaults.vxml);
        assert_eq!(example.policy, defaults.policy);
        assert_eq!(example.store, defaults.store);
        assert_eq!(example.speech, defaults.speech);
        assert_eq!(example.limits, defaults.limits);
        assert_eq!(example.fetch, defaults.fetch);
        assert!(!example.tenants.is_empty() && !example.trunks.is_empty() && !example.inbound.is_empty());
    }
}
