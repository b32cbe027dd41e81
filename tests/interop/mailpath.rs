//! The production path of docs/mail.md: msmtp gives a mail to Postfix, opendkim signs it, Postfix hands it over by LMTP,
//! and carillon finds the key in a name service of the test. Goal: a mail that is signed is an order at level 1, what it
//! may not ask is refused with the words of the mail. Method: the real programs on loopback, in folders of the test.

use crate::house::{House, house, name_server, run};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use support::peers::{Peer, free_port, until};
use support::repo::{root, tool};

/// A Postfix of the test's own: stopped when dropped.
struct Postfix {
    program: PathBuf,
    dir: PathBuf,
    port: u16,
}

impl Drop for Postfix {
    fn drop(&mut self) {
        let _ = Command::new(&self.program).arg("-c").arg(self.dir.join("etc")).arg("stop").output();
    }
}

/// The block of docs/mail.md that is to stand in main.cf, with this LMTP port.
fn documented(lmtp: u16) -> String {
    let page = std::fs::read_to_string(root().join("docs/mail.md")).expect("the page");
    let block = page.split("`/etc/postfix/main.cf`\n```\n").nth(1).and_then(|b| b.split("```").next());
    let block = block.expect("the page shows a main.cf");
    assert!(block.contains("127.0.0.1:2424"), "{block}");
    block.replace("127.0.0.1:2424", &format!("127.0.0.1:{lmtp}"))
}

const SERVICES: &str = "pickup unix n - n 60 1 pickup\ncleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\n\
rewrite unix - - n - - trivial-rewrite\nbounce unix - - n - 0 bounce\ndefer unix - - n - 0 bounce\n\
trace unix - - n - 0 bounce\nlmtp unix - - n - - lmtp\nsmtp unix - - n - - smtp\nerror unix - - n - - error\n\
retry unix - - n - - error\nanvil unix - - n - 1 anvil\nscache unix - - n - 1 scache\n\
tlsmgr unix - - n 1000? 1 tlsmgr\nproxymap unix - - n - - proxymap\n\
proxywrite unix - - n - 1 proxymap\npostlog unix-dgram n - n - 1 postlogd\n";

impl Postfix {
    fn start(program: &Path, dir: &Path, lmtp: u16, milter: u16) -> Option<Self> {
        let port = free_port();
        for folder in ["etc", "queue", "data"] {
            std::fs::create_dir_all(dir.join(folder)).expect("a folder");
        }
        let d = dir.display();
        let main = format!(
            "compatibility_level = 3.6\nqueue_directory = {d}/queue\ndata_directory = {d}/data\n\
             myhostname = mail.acme.example\nmydestination =\ninet_interfaces = 127.0.0.1\ninet_protocols = ipv4\n\
             mynetworks = 127.0.0.0/8\nmaillog_file = {d}/mail.log\nmaillog_file_prefixes = /\n\
             alias_maps =\nalias_database =\nsmtpd_milters = inet:127.0.0.1:{milter}\n{}",
            documented(lmtp)
        );
        std::fs::write(dir.join("etc/main.cf"), main).expect("a file");
        let master = format!("127.0.0.1:{port} inet n - n - - smtpd\n{SERVICES}");
        std::fs::write(dir.join("etc/master.cf"), master).expect("a file");
        // Postfix drops its rights: its folders must be reachable and its data its own.
        let owned = run(10, Command::new("chown").arg("postfix").arg(dir.join("data")));
        let opened = run(10, Command::new("chmod").arg("755").arg(dir));
        if !(owned.0 && opened.0) {
            println!("SKIPPED: a Postfix of the test's own needs root");
            return None;
        }
        let postfix = Self { program: program.to_owned(), dir: dir.to_owned(), port };
        let (started, said) = run(30, Command::new(program).arg("-c").arg(dir.join("etc")).arg("start"));
        assert!(started, "{said}\n{}", postfix.log());
        Some(postfix)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("mail.log")).unwrap_or_default()
    }
}

/// opendkim as a milter that signs for acme.example; its key as a TXT record.
fn signer(opendkim: &Path, dir: &Path, port: u16) -> (Peer, String) {
    let key = dir.join("s1.private");
    let made = run(30, Command::new("openssl").args(["genrsa", "-out"]).arg(&key).arg("2048"));
    assert!(made.0, "{}", made.1);
    let public = run(30, Command::new("openssl").args(["rsa", "-pubout", "-in"]).arg(&key));
    let inner: String = public
        .1
        .lines()
        .skip_while(|l| !l.starts_with("-----BEGIN"))
        .skip(1)
        .take_while(|l| !l.starts_with('-'))
        .collect();
    let fields = ["To", "Application", "Purpose", "Request-Id", "Param-name", "Expires", "At", "Result-To"];
    let signed: Vec<String> = fields.iter().map(|f| format!("+Call-{f}")).collect();
    let config = format!(
        "Domain acme.example\nSelector s1\nKeyFile {}\nSocket inet:{port}@127.0.0.1\nMode s\nCanonicalization relaxed/simple\n\
         SignHeaders *,+Message-Id,+Content-Type,+Content-Transfer-Encoding,{}\nInternalHosts 0.0.0.0/0\nRequireSafeKeys no\nUserID root\nSyslog no\n",
        key.display(),
        signed.join(",")
    );
    let path = dir.join("opendkim.conf");
    std::fs::write(&path, config).expect("a file");
    let mut command = Command::new(opendkim);
    command.args(["-f", "-x"]).arg(&path);
    let peer = Peer::start(dir, "opendkim", &mut command);
    let up = until(Duration::from_secs(10), || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    assert!(up, "{}", peer.output());
    (peer, format!("v=DKIM1; k=rsa; p={inner}"))
}

fn give(msmtp: &Path, dir: &Path, port: u16, name: &str, fields: &str) {
    let mail = format!(
        "From: ops@acme.example\nTo: call+acme@dispatch.example\nSubject: {name}\nDate: {}\n\
         Message-ID: <{name}@acme.example>\nMIME-Version: 1.0\nContent-Type: text/plain\n{fields}\n\n",
        run(5, Command::new("date").arg("-R")).1.trim()
    );
    let file = dir.join(format!("{name}.eml"));
    std::fs::write(&file, mail).expect("a file");
    let line = format!(
        "{} --host=127.0.0.1 --port={port} --from=ops@acme.example call+acme@dispatch.example < {}",
        msmtp.display(),
        file.display()
    );
    let (gave, said) = run(30, Command::new("sh").args(["-c", &line]));
    assert!(gave, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn msmtp_postfix_opendkim_and_lmtp_make_an_order_of_level_1() {
    let (Some(msmtp), Some(postfix), Some(opendkim)) = (tool("msmtp"), tool("postfix"), tool("opendkim"))
    else {
        return;
    };
    let dir = tempfile::tempdir().expect("a folder");
    let milter = free_port();
    let (_signer, record) = signer(&opendkim, dir.path(), milter);
    let records =
        [("s1._domainkey.acme.example", record.as_str()), ("_dmarc.acme.example", "v=DMARC1; p=reject")];
    let dns = name_server(
        records.iter().map(|(n, t)| ((*n).to_owned(), (*t).to_owned())).collect::<BTreeMap<_, _>>(),
    );
    let ours = dir.path().join("carillon");
    std::fs::create_dir(&ours).expect("a folder");
    let smtp = format!("lmtp = true\nname_server = \"{dns}\"");
    let house: House = house(&ours, &smtp, "", "mail_level_min = 1", "").await;
    let mail_dir = dir.path().join("postfix");
    std::fs::create_dir(&mail_dir).expect("a folder");
    let open = run(5, Command::new("chmod").arg("755").arg(dir.path()));
    assert!(open.0, "{}", open.1);
    let Some(postfix) = Postfix::start(&postfix, &mail_dir, house.smtp, milter) else { return };

    give(
        &msmtp,
        dir.path(),
        postfix.port,
        "signed",
        "Call-To: tel:+12125550100\nCall-Application: app:hello\nCall-Purpose: transactional",
    );
    let handed = until(Duration::from_secs(40), || postfix.log().contains("status="));
    assert!(handed && postfix.log().contains("status=sent"), "{}\n{}", postfix.log(), house.peer.output());
    let calls = house.calls(1, Duration::from_secs(40)).await;
    assert_eq!(
        (calls[0]["request_id"].as_str(), calls[0]["authority_level"].as_u64()),
        (Some("signed@acme.example"), Some(1)),
        "{}",
        calls[0]
    );
    assert!(house.peer.output().contains("dmarc=\"pass\""), "{}", house.peer.output());

    give(
        &msmtp,
        dir.path(),
        postfix.port,
        "too-much",
        "Call-To: tel:+12125550101\nCall-Application: https://elsewhere.example/x.vxml\nCall-Purpose: transactional",
    );
    let refused =
        until(Duration::from_secs(30), || postfix.log().contains("Call-Application needs authority level 3"));
    assert!(refused, "{}\n{}", postfix.log(), house.peer.output());

    give(
        &msmtp,
        dir.path(),
        postfix.port,
        "added",
        "Call-To: tel:+12125550102\nCall-Application: app:hello\nCall-Purpose: transactional\nCall-Priority: 9",
    );
    let refused = until(Duration::from_secs(30), || postfix.log().contains("proves too little"));
    assert!(refused, "a field that is not signed: {}\n{}", postfix.log(), house.peer.output());
    assert_eq!(house.calls(1, Duration::from_secs(5)).await.len(), 1);
}
