//! The range protocol: `GET /range/{five digits}` answers every hash that begins so, as `SUFFIX:COUNT`, a line each.

use std::time::Duration;

use reqwest::StatusCode;
use url::Url;

use super::{DIGITS, Digits, NoAnswer, PREFIX_DIGITS, line};
use crate::outbound::client::{ClientSettings, NoClient, http_client};
use crate::outbound::guard::{Guard, addresses_in};

/// Longest answer: twenty times what is usual.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// How often it is asked in all.
const TRIES: u32 = 2;
/// Idle connections that are kept.
const IDLE_MAX: usize = 4;

/// Where the service is.
pub struct ServiceSettings {
    /// What stands before `/range/`.
    pub url: Url,
    /// Time for one try, until its answer is complete.
    pub timeout: Duration,
    /// Whether its name may lead to private addresses. An address in the URL itself always may.
    pub allow_private: bool,
}

/// A service.
pub(super) struct Service {
    http: reqwest::Client,
    base: String,
}

impl Service {
    pub fn new(settings: ServiceSettings) -> Result<Self, NoClient> {
        let ServiceSettings { url, timeout, allow_private } = settings;
        let guard = if allow_private { Guard::open() } else { Guard::new(addresses_in(&url)) };
        let client =
            ClientSettings { guard, connect_timeout: timeout, attempt_timeout: timeout, idle_max: IDLE_MAX, tls: None };
        Ok(Self { http: http_client(&client)?, base: url.as_str().trim_end_matches('/').to_owned() })
    }

    /// How often the password was seen.
    pub async fn count(&self, digits: &Digits) -> Result<u64, NoAnswer> {
        let mut last = NoAnswer("the service was not asked");
        for _ in 0..TRIES {
            match self.ask(digits.prefix()).await {
                Ok(answer) => return find(&answer, digits.suffix()),
                Err((error, false)) => return Err(error),
                Err((error, true)) => last = error,
            }
        }
        Err(last)
    }

    /// All of a prefix; or why not, and whether another try may help.
    async fn ask(&self, prefix: &str) -> Result<Vec<u8>, (NoAnswer, bool)> {
        let unanswered = |error: reqwest::Error| {
            let why = if error.is_timeout() { "no answer in time" } else { "the connection failed" };
            (NoAnswer(why), true)
        };
        let request = self.http.get(format!("{}/range/{prefix}", self.base)).header("Add-Padding", "true");
        let mut answer = request.send().await.map_err(unanswered)?;
        match answer.status() {
            StatusCode::OK => {}
            status if status.is_server_error() => return Err((NoAnswer("the service has failed"), true)),
            _ => return Err((NoAnswer("the service refuses to answer"), false)),
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(unanswered)? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err((NoAnswer("the answer is too long"), false));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

/// Looks through a whole answer. One line that is none makes it worth nothing: it is somebody else's.
fn find(answer: &[u8], suffix: &str) -> Result<u64, NoAnswer> {
    let lines = answer.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end).filter(|line| !line.is_empty());
    let mut found = None;
    for text in lines {
        let (digits, count) = line(text, DIGITS - PREFIX_DIGITS).ok_or(NoAnswer("the answer is something else"))?;
        if digits.eq_ignore_ascii_case(suffix.as_bytes()) {
            found = Some(count);
        }
    }
    match found {
        Some(count) => Ok(count),                                          // 0: a line of the padding
        None if answer.is_empty() => Err(NoAnswer("the answer is empty")), // every prefix has its lines
        None => Ok(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUFFIX: &str = "1E4C9B93F3F0682250B6CF8331B7EE68FD8";

    #[test]
    fn lines_are_found_and_padding_is_none() {
        let answer = |count: u64| format!("0018A45C4D1DEF81644B54AB7F969B88D65:1\r\n{SUFFIX}:{count}\r\n");
        assert_eq!(find(answer(3_861_493).as_bytes(), SUFFIX), Ok(3_861_493));
        assert_eq!(find(answer(0).as_bytes(), SUFFIX), Ok(0));
        assert_eq!(find(b"0018A45C4D1DEF81644B54AB7F969B88D65:1", SUFFIX), Ok(0));
    }

    #[test]
    fn what_is_not_the_protocol_is_no_answer() {
        for other in [
            "",
            "<html>Please sign in to this network</html>",
            "0018A45C4D1DEF81644B54AB7F969B88D65:",
            "0018A45C4D1DEF81644B54AB7F969B88D65:many",
            "0018A45C4D1DEF81644B54AB7F969B88D6:1",
            "0018A45C4D1DEF81644B54AB7F969B88D65:1\r\n1E4C9B93F3F0682250B6",
        ] {
            assert!(find(other.as_bytes(), SUFFIX).is_err(), "{other:?}");
        }
    }
}
