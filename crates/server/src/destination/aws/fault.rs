//! AWS's error codes in the relay's words.
//!
//! The services write a code in three ways; what it means is the same everywhere. A code that is not known is judged by the
//! status: what AWS refuses with 4xx somebody must change.

use keyherald_core::delivery::{Cause, Outcome};
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::Value;

/// Longest code, in bytes.
const CODE_BYTES_MAX: usize = 64;

/// Too many requests, besides every code with `Throttl` in it.
const THROTTLING: [&str; 7] = [
    "BandwidthLimitExceeded",
    "LimitExceededException",
    "OverLimit",
    "PriorRequestNotComplete",
    "RequestLimitExceeded",
    "SlowDown",
    "TooManyRequestsException",
];

/// AWS's own trouble, and what is right the next time.
const TEMPORARY: [&str; 8] = [
    "InternalError",
    "InternalException",
    "InternalFailure",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceUnavailable",
];

/// What is wrong with this very message.
const POISON: [&str; 3] = ["InvalidMessageContents", "MalformedDetail", "BatchRequestTooLong"];

/// Parts of the sentences by which the same codes say that a message is too long.
const TOO_LONG: [&str; 3] = ["must be shorter than", "Message too long", "over the limit"];

/// The code of an error, and its sentence: JSON with `__type`, or XML with `Code`; newer services also name it in a header.
pub(super) fn read(headers: &HeaderMap, body: &str) -> (String, String) {
    let json: Option<Value> = serde_json::from_str(body).ok();
    let of_json = |names: [&str; 2]| {
        let json = json.as_ref()?;
        names.into_iter().find_map(|name| json.get(name)?.as_str())
    };
    let header = headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok());
    let code = of_json(["__type", "code"]).or(header).or_else(|| element(body, "Code")).unwrap_or_default();
    let text = of_json(["message", "Message"]).or_else(|| element(body, "Message")).unwrap_or_default();
    // `com.amazonaws.sqs#QueueDoesNotExist`, `ValidationException:http://..`
    let code = code.rsplit('#').next().and_then(|code| code.split(':').next()).unwrap_or_default();
    let is_code = |code: &str| {
        (1..=CODE_BYTES_MAX).contains(&code.len())
            && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    (if is_code(code) { code.to_owned() } else { String::new() }, text.to_owned())
}

fn element<'a>(body: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    Some(rest.split_once(&format!("</{name}>"))?.0)
}

/// What a failure means. `status`: of the answer, unless the request was answered well and one entry of it was not.
pub(super) fn outcome(status: Option<StatusCode>, code: &str, text: &str, retry_after_s: Option<u32>) -> Outcome {
    let number = status.map_or(0, |status| status.as_u16());
    let reason = match (status, code) {
        (Some(status), "") => format!("answered {}", status.as_u16()),
        (Some(status), code) => format!("answered {} {code}", status.as_u16()),
        (None, code) => format!("answered {code}"),
    };
    if POISON.contains(&code) || number == 413 || TOO_LONG.iter().any(|part| text.contains(part)) {
        return Outcome::Rejected { reason };
    }
    if code.contains("Throttl") || THROTTLING.contains(&code) || number == 429 {
        // AWS seldom says for how long. A second, which doubles for as long as it goes on, lets the rate find its measure.
        let retry_after_s = Some(retry_after_s.unwrap_or(1));
        return Outcome::Failed { reason, retry_after_s, cause: Cause::Throttled };
    }
    let is_temporary = TEMPORARY.contains(&code) || number >= 500 || number == 408;
    let cause = match (is_temporary, retry_after_s) {
        (true, Some(_)) => Cause::Throttled,
        (true, None) => Cause::Temporary,
        (false, _) => Cause::Refused,
    };
    Outcome::Failed { reason, retry_after_s, cause }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(body: &str) -> (String, String) {
        read(&HeaderMap::new(), body)
    }

    #[test]
    fn a_code_is_read_however_it_is_written() {
        for (body, code, text) in [
            (r#"{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"no such"}"#, "QueueDoesNotExist", "no such"),
            (r#"{"__type":"ValidationException:http://x/","Message":"m"}"#, "ValidationException", "m"),
            (
                "<ErrorResponse><Error><Type>Sender</Type><Code>NotFound</Code><Message>no topic</Message></Error></ErrorResponse>",
                "NotFound",
                "no topic",
            ),
            ("<html>Code</html>", "", ""),
            ("", "", ""),
            (r#"{"__type":"a b\n"}"#, "", ""),
            (r#"{"__type":7}"#, "", ""),
        ] {
            assert_eq!(said(body), (code.to_owned(), text.to_owned()), "{body}");
        }
        let long = format!("<Code>{}</Code>", "x".repeat(65));
        assert_eq!(said(&long).0, "");
        let headers = HeaderMap::from_iter([(
            reqwest::header::HeaderName::from_static("x-amzn-errortype"),
            reqwest::header::HeaderValue::from_static("AccessDeniedException"),
        )]);
        assert_eq!(read(&headers, "").0, "AccessDeniedException");
    }

    #[test]
    fn codes_mean_what_the_table_says() {
        let meant =
            |status: u16, code: &str, text: &str| match outcome(StatusCode::from_u16(status).ok(), code, text, None) {
                Outcome::Failed { cause, .. } => Some(cause),
                Outcome::Rejected { .. } => None,
                other => panic!("{other:?}"),
            };
        for (status, code, cause) in [
            (400, "ThrottlingException", Cause::Throttled),
            (400, "RequestThrottled", Cause::Throttled),
            (429, "Throttled", Cause::Throttled),
            (400, "KMSThrottlingException", Cause::Throttled),
            (503, "SlowDown", Cause::Throttled),
            (429, "", Cause::Throttled),
            (500, "InternalError", Cause::Temporary),
            (400, "InternalFailure", Cause::Temporary),
            (503, "ServiceUnavailable", Cause::Temporary),
            (502, "", Cause::Temporary),
            (408, "", Cause::Temporary),
            (400, "RequestTimeTooSkewed", Cause::Temporary),
            (400, "QueueDoesNotExist", Cause::Refused),
            (404, "NotFound", Cause::Refused),
            (403, "AccessDenied", Cause::Refused),
            (403, "SignatureDoesNotMatch", Cause::Refused),
            (400, "InvalidParameterValue", Cause::Refused),
            (403, "", Cause::Refused),
            (307, "", Cause::Refused),
        ] {
            assert_eq!(meant(status, code, ""), Some(cause), "{status} {code}");
        }
        for (status, code, text) in [
            (400, "InvalidMessageContents", ""),
            (400, "InvalidParameterValue", "Reason: Message must be shorter than 262144 bytes."),
            (400, "InvalidParameter", "Invalid parameter: Message too long"),
            (400, "ValidationException", "Total size of the entries in the request is over the limit."),
            (413, "", ""),
        ] {
            assert_eq!(meant(status, code, text), None, "{status} {code}");
        }
    }

    #[test]
    fn rest_that_is_asked_for_is_granted_and_throttling_rests_anyway() {
        let rest = |status, code: &str, asked| match outcome(StatusCode::from_u16(status).ok(), code, "", asked) {
            Outcome::Failed { retry_after_s, cause, .. } => (retry_after_s, cause),
            other => panic!("{other:?}"),
        };
        assert_eq!(rest(400, "ThrottlingException", None), (Some(1), Cause::Throttled));
        assert_eq!(rest(400, "ThrottlingException", Some(7)), (Some(7), Cause::Throttled));
        assert_eq!(rest(503, "ServiceUnavailable", Some(7)), (Some(7), Cause::Throttled));
        assert_eq!(rest(503, "ServiceUnavailable", None), (None, Cause::Temporary));
    }
}
