//! Tokens of RFC 7515, our own, and what must not pass for one.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use url::Url;

use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const RSA_PEM: &str = include_str!("testing/rsa.pem");
const RSA_MODULUS: &str = include_str!("testing/rsa.modulus");
const NOW: Micros = Micros(1_800_000_000_000_000);
const NOW_S: i64 = 1_800_000_000;

fn verifier(algorithm: Algorithm, keys: Keys) -> Verifier {
    Verifier { algorithm, keys, issuer: None, audience: None }
}

fn hs256() -> Verifier {
    verifier(Algorithm::Hs256, Keys::secret(SECRET))
}

fn claims(claims: &Value) -> Map<String, Value> {
    claims.as_object().unwrap().clone()
}

fn signed(of: &Value) -> String {
    SigningKey::secret(SECRET).sign(&claims(of), None).unwrap()
}

async fn said(verifier: &Verifier, token: &str) -> Result<(), Unverified> {
    verifier.verify(token, NOW).await
}

fn refused(why: Refused) -> Result<(), Unverified> {
    Err(Unverified::Refused(why))
}

/// A key on P-256, its PKCS #8 form in PEM, and its JWK.
fn p256(kid: &str) -> (SigningKey, Value) {
    let random = SystemRandom::new();
    let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.as_ref(), &random).unwrap();
    let point = pair.public_key().as_ref();
    let encoded = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
    let jwk = json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": encoded(&point[1..33]), "y": encoded(&point[33..])});
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        base64::engine::general_purpose::STANDARD.encode(der.as_ref())
    );
    (SigningKey::of_pem(pem.as_bytes(), Algorithm::Es256).unwrap(), jwk)
}

fn rsa_jwk() -> Value {
    json!({"kty": "RSA", "kid": "r", "use": "sig", "alg": "RS256", "n": RSA_MODULUS, "e": "AQAB"})
}

fn set(keys: &[Value]) -> Vec<u8> {
    json!({"keys": keys}).to_string().into_bytes()
}

/// RFC 7515, appendix A.1 to A.3: the same claims, signed in each way, in the year 2011.
#[tokio::test]
async fn the_tokens_of_the_standard_are_good_until_they_expire() {
    let payload = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let key = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    let key = URL_SAFE_NO_PAD.decode(key).unwrap();
    let hs = Keys::Secret(hmac::Key::new(hmac::HMAC_SHA256, &key));
    let rsa = json!({"kty": "RSA", "e": "AQAB", "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"});
    let ec = json!({"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"});
    let known = |jwk: Value, algorithm| Keys::Known(KeySet::of_jwks(&set(&[jwk]), algorithm).unwrap());
    for (verifier, header, signature) in [
        (
            verifier(Algorithm::Hs256, hs),
            "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9",
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        ),
        (
            verifier(Algorithm::Rs256, known(rsa, Algorithm::Rs256)),
            "eyJhbGciOiJSUzI1NiJ9",
            "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
        ),
        (
            verifier(Algorithm::Es256, known(ec, Algorithm::Es256)),
            "eyJhbGciOiJFUzI1NiJ9",
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        ),
    ] {
        let token = format!("{header}.{payload}.{signature}");
        let at = |seconds: i64| Micros(seconds * Micros::SECOND);
        assert_eq!(verifier.verify(&token, at(1_300_819_379)).await, Ok(()), "{header}");
        assert_eq!(verifier.verify(&token, at(1_300_819_380)).await, refused(Refused::Expired));
    }
}

#[tokio::test]
async fn what_we_sign_is_good_in_each_way_and_not_with_another_key() {
    let of = claims(&json!({"sub": "ExternalSystem"}));
    let rsa = SigningKey::of_pem(RSA_PEM.as_bytes(), Algorithm::Rs256).unwrap();
    let (ec, jwk) = p256("e");
    let keys = set(&[rsa_jwk(), jwk]);
    let known = |algorithm| Keys::Known(KeySet::of_jwks(&keys, algorithm).unwrap());
    let by_rsa = rsa.sign(&of, None).unwrap();
    assert_eq!(said(&verifier(Algorithm::Rs256, known(Algorithm::Rs256)), &by_rsa).await, Ok(()));
    let of_pem = Keys::Known(KeySet::of_pem(RSA_PEM.as_bytes(), Algorithm::Rs256).unwrap());
    assert_eq!(said(&verifier(Algorithm::Rs256, of_pem), &by_rsa).await, Ok(()));
    let by_ec = ec.sign(&of, Some("e")).unwrap();
    assert_eq!(said(&verifier(Algorithm::Es256, known(Algorithm::Es256)), &by_ec).await, Ok(()));
    let (another, _) = p256("e");
    let forged = another.sign(&of, Some("e")).unwrap();
    assert_eq!(said(&verifier(Algorithm::Es256, known(Algorithm::Es256)), &forged).await, refused(Refused::Signature));
    let unknown = ec.sign(&of, Some("f")).unwrap();
    assert_eq!(
        said(&verifier(Algorithm::Es256, known(Algorithm::Es256)), &unknown).await,
        refused(Refused::UnknownKey)
    );
    assert!(KeySet::of_pem(RSA_PEM.as_bytes(), Algorithm::Es256).is_err());
    assert_eq!(SigningKey::of_pem(RSA_PEM.as_bytes(), Algorithm::Es256).err(), Some(CannotSign::OtherKey));
    assert_eq!(SigningKey::of_pem(b"abc", Algorithm::Es256).err(), Some(CannotSign::NoPem));
}

#[tokio::test]
async fn a_token_counts_for_its_one_algorithm() {
    let of = json!({"sub": "x"}).to_string();
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    for alg in ["none", "None", "HS512", "hs256", "RS256", ""] {
        let header = part(&json!({"alg": alg}).to_string());
        let signed = format!("{header}.{}", part(&of));
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()));
        assert_eq!(said(&hs256(), &format!("{signed}.{signature}")).await, refused(Refused::Algorithm), "{alg}");
        assert_eq!(said(&hs256(), &format!("{signed}.")).await, refused(Refused::Algorithm), "{alg}");
    }
    // A public key taken for a secret.
    let confused = SigningKey::secret(RSA_PEM).sign(&claims(&json!({})), None).unwrap();
    let keys = Keys::Known(KeySet::of_pem(RSA_PEM.as_bytes(), Algorithm::Rs256).unwrap());
    assert_eq!(said(&verifier(Algorithm::Rs256, keys), &confused).await, refused(Refused::Algorithm));
}

#[tokio::test]
async fn what_is_altered_or_no_token_is_refused() {
    let token = signed(&json!({"sub": "x"}));
    assert_eq!(said(&hs256(), &token).await, Ok(()));
    let other = verifier(Algorithm::Hs256, Keys::secret("another secret, of thirty-two bytes"));
    assert_eq!(said(&other, &token).await, refused(Refused::Signature));
    let mut parts: Vec<&str> = token.split('.').collect();
    let claims = URL_SAFE_NO_PAD.encode(r#"{"sub":"y"}"#);
    parts[1] = &claims;
    assert_eq!(said(&hs256(), &parts.join(".")).await, refused(Refused::Signature));
    let critical = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","crit":["b64"],"b64":false}"#);
    parts[0] = &critical;
    assert_eq!(said(&hs256(), &parts.join(".")).await, refused(Refused::Malformed));
    for nonsense in ["", ".", "..", "a.b.c", "x", &format!("{token}.x"), &format!("{token}="), &"a".repeat(9000)] {
        assert_eq!(said(&hs256(), nonsense).await, refused(Refused::Malformed), "{nonsense}");
    }
}

#[tokio::test]
async fn times_and_parties_count_where_they_are_given_or_asked_for() {
    for (of, expected) in [
        (json!({}), Ok(())),
        (json!({"exp": NOW_S + 1, "nbf": NOW_S}), Ok(())),
        (json!({"exp": NOW_S}), refused(Refused::Expired)),
        (json!({"exp": 0}), refused(Refused::Expired)),
        (json!({"exp": 1.5}), refused(Refused::Expired)),
        (json!({"exp": "never"}), refused(Refused::Malformed)),
        (json!({"exp": null}), refused(Refused::Malformed)),
        (json!({"nbf": NOW_S + 29}), Ok(())),
        (json!({"nbf": NOW_S + 31}), refused(Refused::NotYet)),
    ] {
        assert_eq!(said(&hs256(), &signed(&of)).await, expected, "{of}");
    }
    let strict = Verifier { issuer: Some("i".into()), audience: Some("a".into()), ..hs256() };
    for (of, is_good) in [
        (json!({"iss": "i", "aud": "a"}), true),
        (json!({"iss": "i", "aud": ["b", "a"]}), true),
        (json!({"iss": "i", "aud": ["b"]}), false),
        (json!({"iss": "i"}), false),
        (json!({"iss": "j", "aud": "a"}), false),
        (json!({"iss": ["i"], "aud": "a"}), false),
    ] {
        let expected = if is_good { Ok(()) } else { refused(Refused::Stranger) };
        assert_eq!(said(&strict, &signed(&of)).await, expected, "{of}");
    }
}

#[test]
fn of_a_key_set_counts_what_signs_in_this_way() {
    let (_, ec) = p256("e");
    let mut encrypts = rsa_jwk();
    encrypts["use"] = "enc".into();
    let mut other = rsa_jwk();
    other["alg"] = "PS256".into();
    let none = KeySet::of_jwks(&set(&[ec, encrypts, other, json!({"kty": "oct"}), json!(7)]), Algorithm::Rs256);
    assert_eq!(none.err(), Some(NoKey::None));
    assert_eq!(KeySet::of_jwks(b"<html>", Algorithm::Rs256).err(), Some(NoKey::NoSet));
}

/// An issuer on loopback: what it publishes, and how often it was asked.
struct Issuer {
    url: Url,
    asked: Arc<AtomicUsize>,
    says: Arc<std::sync::Mutex<Option<Vec<u8>>>>,
    _task: JoinSet<()>,
}

impl Issuer {
    async fn start(says: Option<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/keys", listener.local_addr().unwrap())).unwrap();
        let (asked, says) = (Arc::new(AtomicUsize::new(0)), Arc::new(std::sync::Mutex::new(says)));
        let (count, said) = (asked.clone(), says.clone());
        let mut task = JoinSet::new();
        task.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let answered: io::Result<()> = async {
                    let _request = stream.read(&mut [0; 4096]).await?;
                    count.fetch_add(1, Ordering::SeqCst);
                    let body = said.lock().unwrap().clone();
                    let status = if body.is_some() { "200 OK" } else { "503 Down" };
                    let body = body.unwrap_or_default();
                    let head =
                        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                    stream.write_all(&[head.as_bytes(), &body].concat()).await
                }
                .await;
                drop(answered);
            }
        });
        Self { url, asked, says, _task: task }
    }

    fn verifier(&self, fresh_for: Duration, again_after: Duration) -> Verifier {
        let settings = PublishedSettings::new(self.url.clone(), Algorithm::Es256);
        let published = Published::new(PublishedSettings { fresh_for, again_after, ..settings }).unwrap();
        verifier(Algorithm::Es256, Keys::Published(published))
    }

    fn publish(&self, keys: Option<&[Value]>) {
        *self.says.lock().unwrap() = keys.map(set);
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

const LONG: Duration = Duration::from_hours(1);

#[tokio::test]
async fn a_new_key_is_found_by_its_name_and_the_old_ones_stay_while_the_issuer_is_down() {
    let ((one, first), (two, second)) = (p256("1"), p256("2"));
    let by = |key: &SigningKey, kid| key.sign(&claims(&json!({})), Some(kid)).unwrap();
    let issuer = Issuer::start(Some(set(std::slice::from_ref(&first)))).await;
    let verifier = issuer.verifier(LONG, Duration::ZERO);
    for _ in 0..3 {
        assert_eq!(said(&verifier, &by(&one, "1")).await, Ok(()));
    }
    assert_eq!(issuer.asked(), 1, "kept");
    issuer.publish(Some(&[first, second.clone()]));
    assert_eq!(said(&verifier, &by(&two, "2")).await, Ok(()));
    assert_eq!(issuer.asked(), 2, "looked for by its name");
    issuer.publish(None);
    assert_eq!(said(&verifier, &by(&two, "3")).await, refused(Refused::UnknownKey));
    assert_eq!(said(&verifier, &by(&one, "1")).await, Ok(()));
    // Withdrawn: from the next look on.
    issuer.publish(Some(&[second]));
    assert_eq!(said(&verifier, &by(&one, "3")).await, refused(Refused::UnknownKey));
    assert_eq!(said(&verifier, &by(&one, "1")).await, refused(Refused::UnknownKey));
}

#[tokio::test]
async fn old_keys_are_looked_after_and_used_while_there_are_no_newer_ones() {
    let (one, first) = p256("1");
    let issuer = Issuer::start(Some(set(&[first]))).await;
    let verifier = issuer.verifier(Duration::ZERO, Duration::ZERO);
    let token = one.sign(&claims(&json!({})), None).unwrap();
    assert_eq!(said(&verifier, &token).await, Ok(()));
    issuer.publish(None);
    assert_eq!(said(&verifier, &token).await, Ok(()));
    assert_eq!(issuer.asked(), 2);
}

#[tokio::test]
async fn an_issuer_is_asked_once_in_a_while_however_many_names_are_made_up() {
    let (one, first) = p256("1");
    let issuer = Issuer::start(None).await;
    let verifier = issuer.verifier(LONG, LONG);
    let by = |kid: &str| one.sign(&claims(&json!({})), Some(kid)).unwrap();
    let (a, b) = (by("1"), by("2"));
    let both = tokio::join!(said(&verifier, &a), said(&verifier, &b));
    assert_eq!(both, (Err(Unverified::NoKeys), Err(Unverified::NoKeys)));
    issuer.publish(Some(&[first]));
    assert_eq!(said(&verifier, &by("1")).await, Err(Unverified::NoKeys), "not yet");
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn an_issuer_on_a_private_address_must_be_allowed() {
    let (one, first) = p256("1");
    let issuer = Issuer::start(Some(set(&[first]))).await;
    // A name that leads to a private address; the address itself, written down, would be trusted.
    let mut url = issuer.url.clone();
    url.set_host(Some("localhost.localdomain")).unwrap();
    let settings = PublishedSettings::new(url, Algorithm::Es256);
    let verifier = verifier(Algorithm::Es256, Keys::Published(Published::new(settings).unwrap()));
    assert_eq!(said(&verifier, &one.sign(&claims(&json!({})), None).unwrap()).await, Err(Unverified::NoKeys));
    assert_eq!(issuer.asked(), 0);
}
