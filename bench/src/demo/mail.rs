//! A mailbox: the smallest SMTP receiver that a status mail needs (RFC 5321 §4.1), for the demo and the tests.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// A mail as it came, with its envelope.
#[derive(Clone, Debug, Default)]
pub struct Mail {
    /// MAIL FROM.
    pub from: String,
    /// RCPT TO.
    pub to: Vec<String>,
    /// Header and body, dots unstuffed, LF line ends.
    pub text: String,
}

/// A running mailbox.
#[derive(Clone, Debug)]
pub struct Mailbox {
    addr: SocketAddr,
    mails: Arc<Mutex<Vec<Mail>>>,
    arrived: Arc<Notify>,
}

/// A mail is no longer than this.
const MAIL_MAX: usize = 1 << 20;

impl Mailbox {
    /// Listens on a free loopback port until the runtime ends.
    ///
    /// # Errors
    /// What the system says.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mailbox =
            Self { addr: listener.local_addr()?, mails: Arc::default(), arrived: Arc::new(Notify::new()) };
        let inner = mailbox.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mailbox = inner.clone();
                tokio::spawn(async move {
                    // A client that breaks off has delivered nothing.
                    let _ = mailbox.serve(stream).await;
                });
            }
        });
        Ok(mailbox)
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// All mails so far.
    #[must_use]
    pub fn mails(&self) -> Vec<Mail> {
        self.mails.lock().map(|m| m.clone()).unwrap_or_default()
    }

    /// Waits for the next mail to arrive after this call.
    pub async fn arrival(&self) {
        self.arrived.notified().await;
    }

    async fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        write.write_all(b"220 mailbox ESMTP\r\n").await?;
        let mut mail = Mail::default();
        while let Some(line) = lines.next_line().await? {
            let verb = line.get(..4).unwrap_or("").to_ascii_uppercase();
            let answer = match verb.as_str() {
                "EHLO" | "HELO" => "250 mailbox\r\n",
                "MAIL" => {
                    mail = Mail { from: path(&line), ..Mail::default() };
                    "250 2.1.0 sender ok\r\n"
                }
                "RCPT" => {
                    mail.to.push(path(&line));
                    "250 2.1.5 recipient ok\r\n"
                }
                "DATA" => {
                    write.write_all(b"354 go on\r\n").await?;
                    while let Some(line) = lines.next_line().await? {
                        if line == "." || mail.text.len() > MAIL_MAX {
                            break;
                        }
                        mail.text.push_str(line.strip_prefix('.').unwrap_or(&line));
                        mail.text.push('\n');
                    }
                    if let Ok(mut mails) = self.mails.lock() {
                        mails.push(std::mem::take(&mut mail));
                    }
                    self.arrived.notify_waiters();
                    "250 2.0.0 kept\r\n"
                }
                "QUIT" => {
                    write.write_all(b"221 2.0.0 bye\r\n").await?;
                    return Ok(());
                }
                "RSET" | "NOOP" => "250 2.0.0 ok\r\n",
                _ => "502 5.5.1 not here\r\n",
            };
            write.write_all(answer.as_bytes()).await?;
        }
        Ok(())
    }
}

fn path(line: &str) -> String {
    let inside = line.split_once('<').and_then(|(_, r)| r.split_once('>'));
    inside.map_or_else(String::new, |(p, _)| p.to_owned())
}
