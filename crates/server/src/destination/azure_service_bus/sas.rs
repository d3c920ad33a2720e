//! Shared access signatures: an HMAC over what is asked for and until when.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use keyherald_core::Micros;
use reqwest::header::HeaderValue;
use ring::hmac;
use url::form_urlencoded::byte_serialize;

use super::connection::Connection;

/// How long one is good, in seconds: made for each request, so long enough for clocks that differ, and not longer.
const LIFE_S: i64 = 900;

/// The value of `Authorization` for a request that is made `now`. `None`: it cannot stand in a header.
pub(super) fn authorization(connection: &Connection, now: Micros) -> Option<HeaderValue> {
    let until_s = now.0.div_euclid(Micros::SECOND).saturating_add(LIFE_S);
    let resource = encoded(&connection.resource);
    // The key's text is the key: it is not decoded.
    let key = hmac::Key::new(hmac::HMAC_SHA256, connection.key.as_bytes());
    let signature = hmac::sign(&key, format!("{resource}\n{until_s}").as_bytes());
    let (signature, name) = (encoded(&STANDARD.encode(signature)), encoded(&connection.key_name));
    let value = format!("SharedAccessSignature sr={resource}&sig={signature}&se={until_s}&skn={name}");
    let mut value = HeaderValue::from_str(&value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn encoded(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::Policy;

    /// Made by Python's `hmac`, `base64` and `urllib.parse.quote`, as Azure's documentation has it.
    #[test]
    fn it_is_signed_as_documented() {
        let text = "Endpoint=sb://shop.servicebus.windows.net/;SharedAccessKeyName=send;SharedAccessKey=SECRETKEY;EntityPath=customers";
        let connection = Connection::parse(text, &Policy::default()).ok().unwrap();
        let value = authorization(&connection, Micros(1_760_000_000_999_999)).unwrap();
        let expected = "SharedAccessSignature sr=https%3A%2F%2Fshop.servicebus.windows.net%2Fcustomers\
            &sig=VR%2BU6PgUCNrfRd5EP5Hivdt78qzqtyb9Vbwes8h8tT4%3D&se=1760000900&skn=send";
        assert_eq!(value.to_str().unwrap(), expected);
        assert!(value.is_sensitive());
    }
}
