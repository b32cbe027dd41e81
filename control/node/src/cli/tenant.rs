//! `carillon tenant`: who may order, their keys and limits. What the file says is read from the file; what is changed
//! is changed in the running node, over its admin socket. Keys are shown once, when they are made.

use super::{Format, Running, no, print};
use crate::admin::Question;
use crate::provision::{Change, new_key, told};
use clap::Subcommand;
use control::config::{Role, Scope};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What is asked about tenants.
#[derive(Debug, Subcommand)]
pub(super) enum Tenants {
    /// All tenants of the configuration file; with `--running` those in force in the running node.
    List {
        /// The configuration.
        #[arg(long, default_value = "/etc/carillon/carillon.toml")]
        config: PathBuf,
        /// Ask the running node instead.
        #[arg(long)]
        running: bool,
        #[command(flatten)]
        node: Running,
    },
    /// One tenant, and what holds for it.
    Show {
        /// Its name.
        name: String,
        /// The configuration.
        #[arg(long, default_value = "/etc/carillon/carillon.toml")]
        config: PathBuf,
        /// Ask the running node instead.
        #[arg(long)]
        running: bool,
        #[command(flatten)]
        node: Running,
    },
    /// Make a tenant in the running node.
    Add {
        /// Its name.
        name: String,
        /// Words of `[[tenants]]`: `orders_rate=5/s`, `hours=08:00-20:00`, `mail_from=["@a.example"]`.
        #[arg(value_parser = word)]
        words: Vec<(String, Value)>,
        #[command(flatten)]
        node: Running,
    },
    /// Change limits of a tenant in the running node; `WORD=null` takes a word away.
    Limits {
        /// Its name.
        name: String,
        /// What changes: `orders_rate=5/s`.
        #[arg(value_parser = word, required = true)]
        words: Vec<(String, Value)>,
        #[command(flatten)]
        node: Running,
    },
    /// Take a tenant and its keys away in the running node.
    Remove {
        /// Its name.
        name: String,
        #[command(flatten)]
        node: Running,
    },
    /// API keys.
    Key {
        #[command(subcommand)]
        what: Keys,
    },
    /// People who sign in to the pages.
    User {
        #[command(subcommand)]
        what: Users,
    },
}

/// What is asked about people.
#[derive(Debug, Subcommand)]
pub(super) enum Users {
    /// Let a person in, or change what one may do: prints a link, once, by which they choose a password within three days.
    Add {
        /// Whose.
        tenant: String,
        /// What the person is to be called.
        #[arg(value_parser = key_name)]
        name: String,
        /// What they may do: view, or order.
        #[arg(long, default_value = "view")]
        role: Role,
        #[command(flatten)]
        node: Running,
    },
    /// Let a person in no more; their sessions end at once.
    Remove {
        /// Whose.
        tenant: String,
        /// Who.
        name: String,
        #[command(flatten)]
        node: Running,
    },
    /// Read a password from standard input and print the line for a tenant of the configuration file.
    Hash {
        /// What the person is to be called.
        #[arg(value_parser = key_name)]
        name: String,
        /// What they may do: view, or order.
        #[arg(long, default_value = "view")]
        role: Role,
    },
}

/// What is asked about keys.
#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    /// Make a random key and print the line for the configuration. Nothing is written anywhere.
    New {
        /// What the key is to be called.
        #[arg(default_value = "main", value_parser = key_name)]
        name: String,
    },
    /// Make a key in the running node; it is printed once, and only its digest is kept.
    Add {
        /// Whose.
        tenant: String,
        /// What the key is to be called.
        #[arg(value_parser = key_name)]
        name: String,
        /// What it may do (order, read, lists); none: everything a tenant may.
        #[arg(long = "scope", value_parser = scope)]
        scopes: Vec<Scope>,
        /// From where: `10.1.0.0/16`; none: from anywhere.
        #[arg(long = "network")]
        networks: Vec<String>,
        #[command(flatten)]
        node: Running,
    },
    /// Take a key away in the running node.
    Remove {
        /// Whose.
        tenant: String,
        /// Which.
        name: String,
        #[command(flatten)]
        node: Running,
    },
}

impl Tenants {
    pub(super) fn run(self) -> ExitCode {
        match self {
            Tenants::List { running: true, node, .. } => node.ask(&Question::Tenants(None)),
            Tenants::Show { running: true, name, node, .. } => node.ask(&Question::Tenants(Some(name))),
            Tenants::List { config, node, .. } => said(answer(&config, None, node.output)),
            Tenants::Show { config, name, node, .. } => said(answer(&config, Some(&name), node.output)),
            Tenants::Add { name, words, node } => {
                change(&node, Change::Set { name, words: map(words), new: true })
            }
            Tenants::Limits { name, words, node } => {
                change(&node, Change::Set { name, words: map(words), new: false })
            }
            Tenants::Remove { name, node } => change(&node, Change::Remove { name }),
            Tenants::Key { what: Keys::New { name } } => {
                print(&key_line(&name, &new_key()));
                ExitCode::SUCCESS
            }
            Tenants::Key { what: Keys::Add { tenant, name, scopes, networks, node } } => {
                change(&node, Change::AddKey { name: tenant, key: name, scopes, networks })
            }
            Tenants::Key { what: Keys::Remove { tenant, name, node } } => {
                change(&node, Change::RemoveKey { name: tenant, key: name })
            }
            Tenants::User { what: Users::Add { tenant, name, role, node } } => {
                change(&node, Change::AddUser { name: tenant, user: name, role })
            }
            Tenants::User { what: Users::Remove { tenant, name, node } } => {
                change(&node, Change::RemoveUser { name: tenant, user: name })
            }
            Tenants::User { what: Users::Hash { name, role } } => {
                let mut typed = String::new();
                if let Err(error) = std::io::stdin().read_line(&mut typed) {
                    return no(&error.to_string());
                }
                said(user_line(&name, role, typed.trim_end_matches(['\r', '\n'])))
            }
        }
    }
}

fn change(node: &Running, change: Change) -> ExitCode {
    node.ask(&Question::Provision(change))
}

fn said(answer: Result<String, String>) -> ExitCode {
    match answer {
        Ok(text) => {
            print(&text);
            ExitCode::SUCCESS
        }
        Err(why) => no(&why),
    }
}

fn map(words: Vec<(String, Value)>) -> Map<String, Value> {
    words.into_iter().collect()
}

/// `word=value`; the value is JSON if it reads as JSON, else a text.
pub(super) fn word(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("a word with its value is wanted: orders_rate=5/s")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
    Ok((name.trim().to_owned(), value))
}

fn scope(text: &str) -> Result<Scope, String> {
    serde_json::from_value(Value::from(text)).map_err(|_| "one of order, read, lists".into())
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

/// A bare key of TOML, so that the line can be pasted as it is.
fn key_name(text: &str) -> Result<String, String> {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if plain && (1..=64).contains(&text.len()) {
        Ok(text.to_owned())
    } else {
        Err("letters, figures, - and _, at most 64".into())
    }
}

fn user_line(name: &str, role: Role, password: &str) -> Result<String, String> {
    let hash = crate::passwords::hashed(password).map_err(|why| why.to_string())?;
    let role =
        serde_json::to_value(role).ok().and_then(|r| r.as_str().map(str::to_owned)).unwrap_or_default();
    Ok(format!("users = {{ {name} = {{ role = \"{role}\", password = \"{hash}\" }} }}"))
}

fn key_line(name: &str, key: &str) -> String {
    format!("keys = {{ {name} = \"{key}\" }}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "[[tenants]]\nname = \"acme\"\nid = 7\nwebhook_secret = \"hush-hush-hush-hush\"\n\
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
            assert!(said.contains("acme") && said.contains("main") && said.contains("spare"), "{said}");
            assert!(!said.contains("hush"), "{said}");
        }
        let said = answer(file.path(), Some("nobody"), Format::Json);
        assert_eq!(said.expect_err("is not there"), "there is no tenant called `nobody`");
    }

    #[test]
    fn a_key_line_is_what_the_configuration_reads() {
        let key = new_key();
        let text = format!("[[tenants]]\nname = \"a\"\nid = 1\n{}\n", key_line("main", &key));
        let config = control::config::parse("t", &text).expect("reads");
        assert_eq!(config.tenants[0].keys["main"].plain(), Some(key.as_str()));
        assert_eq!(key.len(), 46, "32 octets in base64 after ck_");
        assert!(key_name("a b").is_err() && key_name("").is_err() && key_name("web-2_x").is_ok());
    }

    #[test]
    fn a_user_line_is_what_the_configuration_reads() {
        let line = user_line("ann", Role::Order, "correct horse battery").expect("long enough");
        let config = control::config::parse("t", &format!("[[tenants]]\nname = \"a\"\nid = 1\n{line}\n"));
        let config = config.expect("reads");
        let user = &config.tenants[0].users["ann"];
        assert!(user.role == Role::Order && user.password.is_some() && user.invitation.is_none());
        assert!(user_line("ann", Role::View, "short").is_err());
    }

    #[test]
    fn words_are_json_or_text() {
        assert_eq!(word("orders_rate=5/s"), Ok(("orders_rate".into(), Value::from("5/s"))));
        assert_eq!(word("mail_level_min=2"), Ok(("mail_level_min".into(), Value::from(2))));
        assert_eq!(word("hours=null"), Ok(("hours".into(), Value::Null)));
        assert!(word("hours").is_err() && scope("fly").is_err() && scope("read") == Ok(Scope::Read));
    }
}
