//! The dialogue with a mail server: connect, secure, sign in, hand over one mail; and what its answers mean.
//!
//! lettre speaks the commands; which of them an answer belongs to decides what it means, so they are given here one by
//! one. Connections are kept for the next mail, and asked whether they still live before it.
//!
//! Implicit TLS is the better choice where a server has both: with STARTTLS, somebody on the way can answer in the plain
//! part of the dialogue. What such answers can bring about is a failed sign-in or a mail that is believed to be sent, never
//! that the mail or the password is seen.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use keyherald_core::delivery::{Cause, Outcome};
use lettre::Address;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{self, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters, TlsParametersBuilder};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};
use tokio::time::{Instant, timeout};

/// How long a connection is kept for the next mail: servers close idle ones after some minutes.
const IDLE_MAX: Duration = Duration::from_mins(1);

/// How a connection is secured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Security {
    /// TLS from the first byte.
    #[default]
    Tls,
    /// TLS after `STARTTLS`; without it nothing is sent.
    StartTls,
    /// None at all.
    Plaintext,
}

impl Security {
    /// The word for it in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::StartTls => "starttls",
            Self::Plaintext => "none",
        }
    }

    /// The usual port.
    pub fn port(self) -> u16 {
        match self {
            Self::Tls => 465,
            Self::StartTls => 587,
            Self::Plaintext => 25,
        }
    }
}

/// A user of the mail server.
// No `Debug`: it holds a password.
#[derive(Clone)]
pub struct Credentials {
    username: String,
    secret: authentication::Credentials,
}

impl Credentials {
    /// A name and a password.
    pub fn new(username: &str, password: &str) -> Self {
        let secret = authentication::Credentials::new(username.to_owned(), password.to_owned());
        Self { username: username.to_owned(), secret }
    }

    /// The name.
    pub fn username(&self) -> &str {
        &self.username
    }
}

/// Settings with which no server can be spoken to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unusable(String);

/// A mail server.
#[derive(Clone)]
pub struct ServerSettings {
    /// Name or address; a certificate must be for it.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// How it is secured.
    pub security: Security,
    /// As whom to sign in.
    pub credentials: Option<Credentials>,
    /// What we call ourselves.
    pub hello_name: String,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Connections of one project at the same time.
    pub connections_max: usize,
    tls: Option<TlsParameters>,
}

impl ServerSettings {
    /// A server at its usual port, with whom to sign in left open. Reads the system's certificate authorities; those in
    /// `authorities` (PEM) count besides them.
    pub fn new(host: &str, security: Security, authorities: Option<&[u8]>) -> Result<Self, Unusable> {
        let tls = match security {
            Security::Plaintext => None,
            Security::Tls | Security::StartTls => Some(tls(host, authorities)?),
        };
        Ok(Self {
            host: host.to_owned(),
            port: security.port(),
            security,
            credentials: None,
            hello_name: "localhost".to_owned(),
            connect_timeout: Duration::from_secs(5),
            connections_max: 8,
            tls,
        })
    }
}

fn tls(host: &str, authorities: Option<&[u8]>) -> Result<TlsParameters, Unusable> {
    let unusable = |error: Error| Unusable(format!("TLS cannot be set up: {error}"));
    let mut builder = TlsParametersBuilder::new(host.to_owned());
    if let Some(pem) = authorities {
        builder = builder.add_root_certificate(Certificate::from_pem(pem).map_err(unusable)?);
    }
    builder.build_rustls().map_err(unusable)
}

/// A connection that waits for the next mail.
struct Idle {
    connection: AsyncSmtpConnection,
    since: Instant,
}

/// One project's way to the mail server.
pub(super) struct Transport {
    server: ServerSettings,
    attempt_timeout: Duration,
    idle: Mutex<Vec<Idle>>,
}

/// Where in the dialogue an answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Until we are signed in.
    Connecting,
    /// `MAIL FROM`, and `DATA`.
    Offering,
    /// `RCPT TO`.
    Addressing,
    /// After the last byte.
    Sent,
}

impl Transport {
    pub(super) fn new(server: ServerSettings, attempt_timeout: Duration) -> Self {
        Self { server, attempt_timeout, idle: Mutex::new(Vec::new()) }
    }

    /// Makes one attempt. A connection on which anything went wrong is given up: the next one begins afresh.
    pub(super) async fn send(&self, from: &Address, to: &Address, mail: &[u8]) -> Outcome {
        match timeout(self.attempt_timeout, self.attempt(from, to, mail)).await {
            Ok(Ok(())) => Outcome::Delivered,
            Ok(Err(outcome)) => outcome,
            Err(_) => failed(Cause::Temporary, "no answer in time".to_owned()),
        }
    }

    async fn attempt(&self, from: &Address, to: &Address, mail: &[u8]) -> Result<(), Outcome> {
        let mut connection = match self.kept().await {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        if let Err(outcome) = hand_over(&mut connection, from, to, mail).await {
            // Says QUIT if the connection still stands; the attempt's time bounds it.
            connection.abort().await;
            return Err(outcome);
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.server.connections_max {
            idle.push(Idle { connection, since: Instant::now() });
        }
        Ok(())
    }

    /// A connection from before that still lives.
    async fn kept(&self) -> Option<AsyncSmtpConnection> {
        loop {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
            let Idle { mut connection, since } = idle;
            if since.elapsed() < IDLE_MAX && connection.test_connected().await {
                return Some(connection);
            }
        }
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Outcome> {
        let meaning = |error: Error| meaning(Phase::Connecting, &error);
        let server = &self.server;
        let hello = ClientId::Domain(server.hello_name.clone());
        let at_once = server.tls.clone().filter(|_| server.security == Security::Tls);
        let address = (server.host.as_str(), server.port);
        let connecting =
            AsyncSmtpConnection::connect_tokio1(address, Some(server.connect_timeout), &hello, at_once, None);
        let mut connection = connecting.await.map_err(meaning)?;
        if server.security == Security::StartTls
            && let Some(tls) = &server.tls
        {
            if !connection.can_starttls() {
                connection.abort().await;
                return Err(failed(Cause::Refused, "the mail server does not offer STARTTLS".to_owned()));
            }
            connection.starttls(tls.clone(), &hello).await.map_err(meaning)?;
        }
        if let Some(credentials) = &server.credentials
            && let Err(error) = connection.auth(DEFAULT_MECHANISMS, &credentials.secret).await
        {
            connection.abort().await;
            return Err(match error.status() {
                Some(status) if error.is_permanent() => refused_sign_in(&status.to_string()),
                _ if error.is_client() => refused_sign_in("no way to do so that we know"),
                _ => meaning(error),
            });
        }
        Ok(connection)
    }
}

async fn hand_over(
    connection: &mut AsyncSmtpConnection,
    from: &Address,
    to: &Address,
    mail: &[u8],
) -> Result<(), Outcome> {
    let mut parameters = Vec::new();
    let is_ascii = |address: &Address| AsRef::<str>::as_ref(address).is_ascii();
    if !(is_ascii(from) && is_ascii(to)) {
        if !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
            return Err(super::rejected("the mail server takes no address with such characters"));
        }
        parameters.push(MailParameter::SmtpUtfEight);
    }
    let offering = |error: Error| meaning(Phase::Offering, &error);
    connection.command(Mail::new(Some(from.clone()), parameters)).await.map_err(offering)?;
    let addressed = connection.command(Rcpt::new(to.clone(), Vec::new())).await;
    addressed.map_err(|error| meaning(Phase::Addressing, &error))?;
    connection.command(Data).await.map_err(offering)?;
    connection.message(mail).await.map_err(|error| meaning(Phase::Sent, &error))?;
    Ok(())
}

/// What an answer, or its absence, means. Reasons repeat no text of the server: it names addresses.
fn meaning(phase: Phase, error: &Error) -> Outcome {
    let Some(code) = error.status() else {
        let reason = match phase {
            _ if error.is_tls() => "no TLS connection",
            _ if error.is_timeout() => "no answer in time",
            Phase::Connecting => "no connection",
            Phase::Offering | Phase::Addressing => "the connection broke",
            Phase::Sent => "the answer was lost: the mail may have been accepted",
        };
        return failed(Cause::Temporary, reason.to_owned());
    };
    let step = match phase {
        Phase::Connecting => "the mail server",
        Phase::Offering => "the sender",
        Phase::Addressing => "the recipient",
        Phase::Sent => "the mail",
    };
    let reason = format!("{step} was answered {code}");
    if error.is_transient() {
        return failed(Cause::Temporary, reason);
    }
    let is_about_us = matches!(phase, Phase::Connecting | Phase::Offering) || is_about_the_client(error);
    if is_about_us { failed(Cause::Refused, reason) } else { Outcome::Rejected { reason } }
}

/// Whether a refusal is about who sends: sign in first, wrong dialogue, or a rule of the server (X.7.X of RFC 3463), such
/// as that it does not relay. Then the next mail fares no better, and an operator must act.
fn is_about_the_client(error: &Error) -> bool {
    let code = error.status().map(|code| code.to_string()).unwrap_or_default();
    if matches!(code.as_str(), "500" | "502" | "503" | "504" | "530" | "534" | "535" | "538") {
        return true;
    }
    let text = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    let enhanced = text.split_whitespace().next().unwrap_or_default();
    enhanced.starts_with("5.7.")
}

fn refused_sign_in(answer: &str) -> Outcome {
    failed(Cause::Refused, format!("the sign-in was answered {answer}"))
}

fn failed(cause: Cause, reason: String) -> Outcome {
    Outcome::Failed { reason, retry_after_s: None, cause }
}
