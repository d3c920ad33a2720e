//! The part of NATS' protocol that a publisher needs: <https://docs.nats.io/reference/reference-protocols/nats-protocol>.
//!
//! A message is a request to the subject of a stream; the answer comes to an inbox of ours, whose last part is the number of
//! the message.

use std::sync::Arc;

use keyherald_core::delivery::Outcome;
use serde::Deserialize;
use serde_json::json;

use crate::destination::Delivery;
use crate::destination::broker::access::Access;
use crate::destination::broker::{HEARD_BYTES_MAX, garbled, lane, refused, rejected, temporary, throttled};

/// How far we are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The server has not introduced itself.
    Strange,
    /// It checks who we are: it answers our `PING` after that.
    Introduced,
    Open,
}

pub(super) struct Dialogue {
    access: Arc<Access>,
    subject: String,
    stage: Stage,
    inbox: String,
    /// Longest message, with its headers.
    payload_bytes_max: usize,
    last_number: u64,
}

/// A message that was confirmed or refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    /// Its number.
    pub(super) number: u64,
    /// How it ended.
    pub(super) outcome: Outcome,
}

/// What a server says of itself.
#[derive(Deserialize)]
struct Info {
    #[serde(default)]
    server_id: String,
    #[serde(default)]
    client_id: u64,
    max_payload: usize,
    #[serde(default)]
    headers: bool,
}

/// A stream's answer.
#[derive(Deserialize)]
struct Answer {
    stream: Option<String>,
    error: Option<ApiError>,
}

#[derive(Deserialize)]
struct ApiError {
    code: u32,
    #[serde(default)]
    err_code: u32,
}

impl Dialogue {
    pub(super) fn new(access: Arc<Access>, subject: String) -> Self {
        let (stage, inbox) = (Stage::Strange, String::new());
        Self { access, subject, stage, inbox, payload_bytes_max: 0, last_number: 0 }
    }

    /// Takes what is complete of `heard` away, and says what follows from it. An error ends the connection, and is the outcome
    /// of all that waits on it.
    pub(super) fn hear(
        &mut self,
        heard: &mut Vec<u8>,
        say: &mut Vec<u8>,
        ended: &mut Vec<Ended>,
    ) -> Result<(), Outcome> {
        let mut taken = 0;
        while let Some(rest) = heard.get(taken..)
            && let Some(end) = rest.windows(2).position(|two| two == b"\r\n")
            && let Some((line, after)) = rest.split_at_checked(end + 2)
        {
            let line = std::str::from_utf8(line).map_err(|_| garbled())?.trim_end();
            let (verb, rest_of_line) = line.split_once([' ', '\t']).unwrap_or((line, ""));
            taken += end + 2;
            match verb.to_ascii_uppercase().as_str() {
                "INFO" => self.introduce(rest_of_line.trim().as_bytes(), say)?,
                "PING" => say.extend_from_slice(b"PONG\r\n"),
                "PONG" => self.stage = Stage::Open,
                "+OK" | "" => {}
                "-ERR" => return Err(error(rest_of_line)),
                verb @ ("MSG" | "HMSG") => {
                    let words: Vec<&str> = rest_of_line.split_ascii_whitespace().collect();
                    let sizes = sizes(verb, &words).ok_or_else(garbled)?;
                    let Some(body) = after.get(..sizes.1 + 2) else {
                        taken -= end + 2; // the rest is still on its way
                        break;
                    };
                    taken += body.len();
                    let (headers, body) = body.split_at_checked(sizes.0).ok_or_else(garbled)?;
                    let subject = words.first().copied().unwrap_or_default();
                    ended.extend(self.answered(subject, headers, body.strip_suffix(b"\r\n").unwrap_or(body)));
                }
                _ => return Err(garbled()),
            }
        }
        heard.drain(..taken);
        Ok(())
    }

    /// Whether messages can be published: we are signed in.
    pub(super) fn is_open(&self) -> bool {
        self.stage == Stage::Open
    }

    /// Says a message. Its confirmation will have the number that this returns. An error is its outcome: nothing was said.
    pub(super) fn publish(&mut self, delivery: &Delivery, say: &mut Vec<u8>) -> Result<u64, Outcome> {
        let (id, content_type) = (delivery.message_id, delivery.content_type);
        let own = [("Nats-Msg-Id", id.to_string()), ("Content-Type", content_type.to_owned())];
        let line = |headers: String, (name, value): (&str, String)| headers + name + ": " + &value + "\r\n";
        let headers = own.into_iter().chain(delivery.trace_fields()).fold("NATS/1.0\r\n".to_owned(), line) + "\r\n";
        let (headers_bytes, bytes) = (headers.len(), headers.len() + delivery.body.len());
        if bytes > self.payload_bytes_max {
            return Err(rejected("the message is larger than the broker allows")); // it would end the connection
        }
        self.last_number += 1;
        let (subject, lane, inbox, number) = (&self.subject, lane(delivery, '.'), &self.inbox, self.last_number);
        let line = format!("HPUB {subject}.{lane} {inbox}.{number} {headers_bytes} {bytes}\r\n{headers}");
        say.extend_from_slice(line.as_bytes());
        say.extend_from_slice(&delivery.body);
        say.extend_from_slice(b"\r\n");
        Ok(number)
    }

    /// The server has introduced itself; it does so again when its cluster changes, which is of no interest here.
    fn introduce(&mut self, text: &[u8], say: &mut Vec<u8>) -> Result<(), Outcome> {
        let info: Info = serde_json::from_slice(text).map_err(|_| garbled())?;
        self.payload_bytes_max = info.max_payload;
        if self.stage != Stage::Strange {
            return Ok(());
        }
        if !info.headers {
            return Err(refused("the server is too old: it knows no headers"));
        }
        // No other connection has this pair.
        self.inbox = format!("_INBOX.{}.{}", info.server_id, info.client_id);
        if !self.inbox.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) {
            return Err(garbled());
        }
        let mut connect = json!({
            "verbose": false,
            "pedantic": false,
            "echo": false,
            "headers": true,
            "no_responders": true,
            "protocol": 1,
            "tls_required": self.access.tls.is_some(),
            "lang": "rust",
            "name": "keyherald",
            "version": env!("CARGO_PKG_VERSION"),
        });
        if let (Some(fields), Some((user, password))) = (connect.as_object_mut(), self.access.sign_in()) {
            fields.insert("user".to_owned(), user.into());
            fields.insert("pass".to_owned(), password.into());
        }
        if let (Some(fields), Some(token)) = (connect.as_object_mut(), self.access.secrets.text("token")) {
            fields.insert("auth_token".to_owned(), token.into());
        }
        let inbox = &self.inbox;
        say.extend_from_slice(format!("CONNECT {connect}\r\nSUB {inbox}.* 1\r\nPING\r\n").as_bytes());
        self.stage = Stage::Introduced;
        Ok(())
    }

    /// What came to the inbox.
    fn answered(&self, subject: &str, headers: &[u8], body: &[u8]) -> Option<Ended> {
        let number = subject.strip_prefix(&self.inbox)?.strip_prefix('.')?.parse().ok()?;
        Some(Ended { number, outcome: meaning(headers, body) })
    }
}

/// What an answer means.
fn meaning(headers: &[u8], body: &[u8]) -> Outcome {
    if headers.starts_with(b"NATS/1.0 503") {
        return refused("no stream takes this subject");
    }
    match serde_json::from_slice::<Answer>(body) {
        // Also when it is a copy that was recognised as one.
        Ok(Answer { error: None, stream: Some(_) }) => Outcome::Delivered,
        Ok(Answer { error: Some(error), .. }) => match (error.code, error.err_code) {
            (_, 10054) => rejected("the message is larger than the stream allows"),
            (_, 10077 | 10023 | 10047) => throttled("the stream is full"),
            (500.., _) => temporary("the stream does not take messages now"),
            (code, err_code) => refused(&format!("the stream answers {code} ({err_code})")),
        },
        _ => refused("who answers is no stream"),
    }
}

/// What an error of the connection means.
fn error(text: &str) -> Outcome {
    let text = text.to_ascii_lowercase();
    if ["authorization", "authentication", "permissions", "expired"].iter().any(|word| text.contains(word)) {
        return refused("the broker refuses our access");
    }
    if text.contains("tls") || text.contains("secure connection") {
        return refused("the broker wants TLS");
    }
    temporary("the broker ends the connection")
}

/// The sizes of an answer's headers and of all of it: the last words of its line.
fn sizes(verb: &str, words: &[&str]) -> Option<(usize, usize)> {
    let mut from_end = words.iter().rev().map(|word| word.parse::<usize>().ok());
    let whole = from_end.next()??;
    let headers = if verb == "HMSG" { from_end.next()?? } else { 0 };
    let is_short = u64::try_from(whole).is_ok_and(|whole| whole <= HEARD_BYTES_MAX);
    (headers <= whole && is_short).then_some((headers, whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_mean_what_the_api_says() {
        for (headers, body, expected) in [
            ("", r#"{"stream":"S","seq":7}"#, Outcome::Delivered),
            ("", r#"{"stream":"S","seq":7,"duplicate":true}"#, Outcome::Delivered),
            ("NATS/1.0 503\r\n\r\n", "", refused("no stream takes this subject")),
            ("", r#"{"error":{"code":503,"err_code":10077}}"#, throttled("the stream is full")),
            ("", r#"{"error":{"code":503,"err_code":10008}}"#, temporary("the stream does not take messages now")),
            (
                "",
                r#"{"error":{"code":400,"err_code":10054}}"#,
                rejected("the message is larger than the stream allows"),
            ),
            ("", r#"{"error":{"code":400,"err_code":10071}}"#, refused("the stream answers 400 (10071)")),
            ("", "+OK", refused("who answers is no stream")),
        ] {
            assert_eq!(meaning(headers.as_bytes(), body.as_bytes()), expected, "{headers}{body}");
        }
    }

    #[test]
    fn answers_are_read_however_they_are_cut() {
        let whole = b"PING\r\nMSG _INBOX.a.7.3 1 22\r\n{\"stream\":\"S\",\"seq\":1}\r\n\
            HMSG _INBOX.a.7.4 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\nMSG _INBOX.a.7.x 1 0\r\n\r\n";
        for at in 0..whole.len() {
            let access = Access::for_tests();
            let mut dialogue = Dialogue::new(Arc::new(access), "s".to_owned());
            (dialogue.stage, dialogue.inbox) = (Stage::Open, "_INBOX.a.7".to_owned());
            let (mut heard, mut say, mut ended) = (whole[..at].to_vec(), Vec::new(), Vec::new());
            dialogue.hear(&mut heard, &mut say, &mut ended).unwrap();
            heard.extend_from_slice(&whole[at..]);
            dialogue.hear(&mut heard, &mut say, &mut ended).unwrap();
            let numbers: Vec<u64> = ended.iter().map(|ended| ended.number).collect();
            assert_eq!((numbers, &*say, heard.len()), (vec![3, 4], &b"PONG\r\n"[..], 0), "cut at {at}");
        }
    }
}
