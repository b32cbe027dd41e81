//! `carillon tenant`: who may order, as the configuration says, and new API keys. Keys are shown by name only.

use super::{Format, no, print};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Subcommand;
use control::config::Tenant;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What is asked about tenants.
#[derive(Debug, Subcommand)]
pub(super) enum Tenants {
    /// All tenants.
    List {
        /// The configuration.
        #[arg(long, default_value = "/etc/carillon/carillon.toml")]
        config: PathBuf,
        /// How the answer is printed.
        #[arg(short, long, default_value = "table")]
        output: Format,
    },
    /// One tenant, and what holds for it.
    Show {
        /// Its name.
        name: String,
        /// The configuration.
        #[arg(long, default_value = "/etc/carillon/carillon.toml")]
        config: PathBuf,
        /// How the answer is printed.
        #[arg(short, long, default_value = "table")]
        output: Format,
    },
    /// Make a random API key and print the line for the configuration. Nothing is written anywhere.
    Key {
        /// What the key is to be called.
        #[arg(default_value = "main", value_parser = key_name)]
        name: String,
    },
}

/// Octets of chance in a key: nobody guesses 256 bits.
const KEY_OCTETS: usize = 32;

impl Tenants {
    pub(super) fn run(self) -> ExitCode {
        let (path, name, output) = match self {
            Tenants::List { config, output } => (config, None, output),
            Tenants::Show { name, config, output } => (config, Some(name), output),
            Tenants::Key { name } => {
                print(&key_line(&name, &crate::clock::random::<KEY_OCTETS>()));
                return ExitCode::SUCCESS;
            }
        };
        match answer(&path, name.as_deref(), output) {
            Ok(text) => {
                print(&text);
                ExitCode::SUCCESS
            }
            Err(why) => no(&why),
        }
    }
}

fn answer(path: &Path, name: Option<&str>, output: Format) -> Result<String, String> {
    let config = crate::config::load(path).map_err(|error| error.to_string())?;
    let Some(name) = name else {
        let all: Vec<Value> = config.tenants.iter().map(told).collect();
        return Ok(match output {
            Format::Json => Value::from(all).to_string(),
            Format::Table => super::show::rows(
                &Value::from(all),
                &["name", "id", "keys", "mail_level_min", "hours", "trunks"],
            ),
        });
    };
    let tenant = config.tenants.iter().find(|t| t.name.eq_ignore_ascii_case(name));
    let tenant = told(tenant.ok_or_else(|| format!("there is no tenant called `{name}`"))?);
    Ok(match output {
        Format::Json => tenant.to_string(),
        Format::Table => serde_json::to_string_pretty(&tenant).unwrap_or_default(),
    })
}

/// A tenant without its secrets.
fn told(t: &Tenant) -> Value {
    let shown = |list: &[units::Private<String>]| -> Vec<String> {
        list.iter().map(|v| v.expose().clone()).collect()
    };
    json!({
        "name": t.name,
        "id": t.id,
        "keys": t.keys.keys().cloned().collect::<Vec<_>>().join(", "),
        "mail_from": shown(&t.mail_from),
        "mail_level_min": t.mail_level_min,
        "caller_ids": shown(&t.caller_ids),
        "webhooks_signed": t.webhook_secret.is_some(),
        "trunks": if t.trunks.is_empty() { "all".to_owned() } else { t.trunks.join(", ") },
        "orders_a_second_max": t.orders_rate.milli_hz / 1_000,
        "orders_waiting_max": t.orders_waiting_max,
        "hours": t.hours.as_deref().unwrap_or("any"),
        "purposes": t.purposes,
    })
}

/// A bare key of TOML, so that the line can be pasted as it is.
fn key_name(text: &str) -> Result<String, String> {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if plain && (1..=64).contains(&text.len()) {
        Ok(text.to_owned())
    } else {
        Err("letters, figures, - and _, at most 64".into())
    }
}

fn key_line(name: &str, octets: &[u8]) -> String {
    format!("keys = {{ {name} = \"ck_{}\" }}", URL_SAFE_NO_PAD.encode(octets))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "[[tenants]]\nname = \"acme\"\nid = 7\nwebhook_secret = \"whsec_hush\"\n\
        keys = { main = \"hush-hush\", spare = \"hush-too\" }\n";

    fn file() -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), CONFIG).expect("is written");
        file
    }

    #[test]
    fn tenants_are_told_without_their_secrets() {
        let file = file();
        for (name, output) in [(None, Format::Table), (None, Format::Json), (Some("ACME"), Format::Table)] {
            let said = answer(file.path(), name, output).expect("an answer");
            assert!(said.contains("acme") && said.contains("main, spare"), "{said}");
            assert!(!said.contains("hush"), "{said}");
        }
        let said = answer(file.path(), Some("nobody"), Format::Json);
        assert_eq!(said.expect_err("is not there"), "there is no tenant called `nobody`");
    }

    #[test]
    fn a_key_line_is_what_the_configuration_reads() {
        let text = format!("[[tenants]]\nname = \"a\"\nid = 1\n{}\n", key_line("main", &[255; KEY_OCTETS]));
        let config = control::config::parse("t", &text).expect("reads");
        assert_eq!(config.tenants[0].keys["main"].expose(), &format!("ck_{}8", "_".repeat(42)));
        assert!(key_name("a b").is_err() && key_name("").is_err() && key_name("web-2_x").is_ok());
    }
}
