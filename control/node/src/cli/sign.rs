//! `carillon sign`: signs an order as the doors verify it. Prints `Call-Manifest` and `Call-Signature`, header fields of a
//! mail or of a request. Nothing is sent anywhere.

use super::{no, print};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use control::limits::OrderLimits;
use control::order::mail::Attachment;
use control::order::{Context, Origin, form, proof};
use std::path::PathBuf;
use std::process::ExitCode;
use units::{Seed, TenantId};

/// What is to be signed.
#[derive(Debug, Subcommand)]
pub(super) enum Sign {
    /// Make a pair of keys: the secret one into a file, the public one as a line for the configuration.
    Key {
        /// What the signer is to be called.
        name: String,
        /// Where the secret key goes; it must not be there yet.
        #[arg(long)]
        out: PathBuf,
    },
    /// Sign an order.
    Order(Order),
}

/// An order that is signed.
#[derive(Debug, Args)]
pub(super) struct Order {
    /// The request: JSON, YAML or XML, as its name ends.
    request: PathBuf,
    /// File with the secret key.
    #[arg(long)]
    key: PathBuf,
    /// Name of the signer in the configuration; for HTTP `tenant/name`.
    #[arg(long)]
    keyid: String,
    /// Name of the tenant.
    #[arg(long)]
    tenant: String,
    /// Where it is sent: `call+acme@host`, or `/v1/calls`.
    #[arg(long)]
    rcpt: String,
    /// `call`, or `dryrun`.
    #[arg(long, default_value = "call")]
    action: String,
    /// The `Idempotency-Key` or Message-ID, if the request names no `request_id`.
    #[arg(long, default_value = "")]
    request_id: String,
    /// A part that comes with it: `cid=media/type=FILE`.
    #[arg(long = "part", value_parser = part)]
    parts: Vec<(String, String, PathBuf)>,
    /// Good for so many seconds, a week at most.
    #[arg(long, default_value_t = 3_600)]
    seconds: i64,
}

fn part(text: &str) -> Result<(String, String, PathBuf), String> {
    let mut pieces = text.splitn(3, '=');
    match (pieces.next(), pieces.next(), pieces.next()) {
        (Some(cid), Some(kind), Some(file)) => {
            Ok((cid.to_owned(), kind.to_ascii_lowercase(), PathBuf::from(file)))
        }
        _ => Err("cid=media/type=FILE is wanted".into()),
    }
}

impl Sign {
    pub(super) fn run(self) -> ExitCode {
        let done = match self {
            Sign::Key { name, out } => key(&name, &out),
            Sign::Order(order) => order.signed(),
        };
        match done {
            Ok(text) => {
                print(&text);
                ExitCode::SUCCESS
            }
            Err(why) => no(&why),
        }
    }
}

fn key(name: &str, out: &std::path::Path) -> Result<String, String> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let secret = crate::clock::random::<32>();
    let opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(out);
    let mut file = opened.map_err(|error| format!("{}: {error}", out.display()))?;
    writeln!(file, "{}", STANDARD.encode(secret)).map_err(|error| error.to_string())?;
    Ok(format!("signers = {{ {name} = \"{}\" }}", STANDARD.encode(proof::public_key(&secret))))
}

impl Order {
    fn signed(&self) -> Result<String, String> {
        let read =
            |path: &PathBuf| std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
        let secret = String::from_utf8(read(&self.key)?).map_err(|_| "the key is no text")?;
        let secret = STANDARD.decode(secret.trim()).ok().and_then(|k| k.try_into().ok());
        let secret: [u8; 32] = secret.ok_or("the key is not base64 of 32 octets")?;
        let mut parts = Vec::new();
        for (cid, media_type, file) in &self.parts {
            parts.push(Attachment { cid: cid.clone(), media_type: media_type.clone(), content: read(file)? });
        }
        let kind = match self.request.extension().and_then(|e| e.to_str()) {
            Some("yaml" | "yml") => "application/yaml",
            Some("xml") => "application/xml",
            _ => "application/json",
        };
        let limits = OrderLimits::default();
        let fields = form::by_type(kind, &read(&self.request)?, &limits).ok_or("no form has this type")?;
        let attached: Vec<String> = parts.iter().map(|p| p.cid.clone()).collect();
        let now = crate::clock::now().wall;
        let context = Context {
            tenant: TenantId(0),
            origin: Origin::Campaign,
            request_id: &self.request_id,
            now,
            region: None,
            http_allowed: true,
            attached: &attached,
            campaign: None,
            limits: &limits,
        };
        let told = |all: Vec<control::order::Refusal>| {
            all.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        let parsed = control::order::parse(&fields.map_err(|r| r.to_string())?, &context, &mut Seed(0).rng())
            .map_err(told)?;
        let created = now.0.div_euclid(1_000);
        let scope = proof::Scope {
            tenant: &self.tenant,
            action: &self.action,
            rcpt: &self.rcpt,
            request_id: &self.request_id,
            created,
            expires: created + self.seconds,
        };
        let (manifest, field) = proof::sign(&secret, &self.keyid, &scope, &parsed.canonical, &parts);
        Ok(format!("Call-Manifest: {manifest}\nCall-Signature: {field}"))
    }
}
