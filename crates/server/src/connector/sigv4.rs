//! AWS Signature Version 4, in the header, with the body signed: for what stands behind AWS's gateways, and for AWS itself.
//!
//! The whole algorithm is hashing a canonical form of the request; AWS's own crates for it would bring in dozens of others, and
//! a client that does not connect through our guard. S3 writes paths in another way, and is not called here.

use std::fmt::Write;

use keyherald_core::Micros;
use ring::{digest, hmac};

/// Who signs, for what, and when.
pub struct Signer<'a> {
    /// Which key.
    pub access_key_id: &'a str,
    /// The key.
    pub secret_access_key: &'a str,
    /// Of temporary access.
    pub session_token: Option<&'a str>,
    /// Where.
    pub region: &'a str,
    /// Which service, by its name in signatures: `sqs`.
    pub service: &'a str,
    /// AWS takes no signature that is more than a few minutes off.
    pub now: Micros,
}

/// A request without its signature.
pub struct Unsigned<'a> {
    /// Its method, in capitals.
    pub method: &'a str,
    /// The host as the header has it: with the port unless that is the scheme's.
    pub host: &'a str,
    /// The path with its percent-encoding, which is encoded once more here.
    pub path: &'a str,
    /// The query, encoded and sorted.
    pub query: &'a str,
    /// The headers that are signed besides the host and our own.
    pub headers: &'a [(String, String)],
    /// The body.
    pub body: &'a [u8],
}

impl Signer<'_> {
    /// The headers that sign a request: its time, the session token, and the signature.
    pub fn sign(&self, request: &Unsigned<'_>) -> Vec<(&'static str, String)> {
        let time: String =
            self.now.iso().chars().take_while(|c| *c != '.').filter(char::is_ascii_alphanumeric).collect();
        let time = time + "Z";
        let day: String = time.chars().take(8).collect();
        let mut signing = vec![("x-amz-date", time.clone())];
        signing.extend(self.session_token.map(|token| ("x-amz-security-token", token.to_owned())));
        let (canonical, signed) = canonical(request, &signing);
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hashed(canonical.as_bytes()));
        let first = mac(format!("AWS4{}", self.secret_access_key).as_bytes(), &day);
        let key = [self.region, self.service, "aws4_request"].iter().fold(first, |key, part| mac(key.as_ref(), part));
        let signature = hex(mac(key.as_ref(), &text).as_ref());
        let id = self.access_key_id;
        let value = format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={signed}, Signature={signature}");
        signing.push(("authorization", value));
        signing
    }
}

/// The request in the form that is signed, and the names of the headers in it.
fn canonical(request: &Unsigned<'_>, signing: &[(&'static str, String)]) -> (String, String) {
    let path = request.path.split('/').map(super::percent::encode).collect::<Vec<_>>().join("/");
    let path = if path.is_empty() { "/" } else { path.as_str() };
    let mut headers = vec![("host".to_owned(), request.host.to_owned())];
    headers.extend(request.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), in_one_line(value))));
    headers.extend(signing.iter().map(|(name, value)| ((*name).to_owned(), in_one_line(value))));
    // Stable: of one name, values stay in their order.
    headers.sort_by(|(one, _), (other, _)| one.cmp(other));
    let (mut lines, mut names): (String, Vec<&str>) = <_>::default();
    for same in headers.chunk_by(|(one, _), (other, _)| one == other) {
        let values: Vec<&str> = same.iter().map(|(_, value)| value.as_str()).collect();
        if let Some((name, _)) = same.first() {
            lines.extend([name, ":", values.join(",").as_str(), "\n"]);
            names.push(name);
        }
    }
    let (names, body) = (names.join(";"), hashed(request.body));
    (format!("{}\n{path}\n{}\n{lines}\n{names}\n{body}", request.method, request.query), names)
}

fn in_one_line(value: &str) -> String {
    value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

fn hashed(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn mac(key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
