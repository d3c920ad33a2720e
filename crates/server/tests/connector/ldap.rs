//! What the LDAP connector does when no directory answers, or something else does.

use std::sync::Arc;
use std::time::Duration;

use keyherald::connector::{self, AccessSecret, By, CannotCall, Connector, Kind, LdapSettings, Limits, Net, Settings};
use keyherald_core::provider::ProviderError;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use url::Url;

use crate::conformance::{ctx, password};

fn opened(url: &str, filter: &str, net: Net) -> Result<Arc<dyn Connector>, CannotCall> {
    let settings = LdapSettings {
        url: Url::parse(url).unwrap(),
        starttls: false,
        bind_dn: "uid=svc,dc=example,dc=org".into(),
        bind_password: AccessSecret::new("service-secret".into()),
        base_dn: "dc=example,dc=org".into(),
        filter: filter.into(),
        id_attribute: "entryUUID".into(),
        email_attribute: "mail".into(),
        external_id_attribute: None,
        probe_attribute: None,
        locked_attribute: "pwdAccountLockedTime".into(),
    };
    connector::open(Settings { kind: Kind::Ldap(settings), net, limits: Limits::default() })
}

fn open(url: &str) -> Arc<dyn Connector> {
    let net = Net { total_timeout: Duration::from_secs(1), ..Net::default() };
    opened(url, "(objectClass=*)", net).unwrap()
}

async fn set(connector: &dyn Connector) -> Result<(), ProviderError> {
    connector.set_password(&"u1".parse().unwrap(), &password("New-pass-1!"), ctx()).await
}

#[tokio::test]
async fn a_directory_that_is_not_there_got_nothing() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    assert_eq!(set(&*open(&format!("ldap://127.0.0.1:{port}"))).await, Err(ProviderError::Transient));
    assert_eq!(set(&*open("ldapi://%2Fno%2Fsuch%2Fsocket")).await, Err(ProviderError::Transient));
}

#[tokio::test]
async fn what_is_no_directory_ends_the_call_and_nothing_else() {
    // Each is read as an answer to the bind; `ldap3` panics on some.
    for answer in [
        b"HTTP/1.1 400 Bad Request\r\n\r\n".as_slice(),
        b"\x30\x00",
        b"\x30\x03\x02\x01\x01",
        b"\x30\x05\x02\x01\x01\x61\x00",
        b"\x30\x08\x02\x01\x01\x61\x03\x0a\x01\x00",
        b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x01\xff\x04\x00",
        b"",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ldap://{}", listener.local_addr().unwrap());
        let mut task = JoinSet::new();
        task.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut buffer = [0; 1024];
                drop(stream.read(&mut buffer).await);
                drop(stream.write_all(answer).await);
            }
        });
        let connector = open(&url);
        assert_eq!(set(&*connector).await, Err(ProviderError::Transient), "{answer:02x?}");
        let found = connector.look_up(By::Email("u1@example.com"), ctx()).await;
        assert_eq!(found.err(), Some(ProviderError::Transient), "{answer:02x?}");
    }
}

#[tokio::test]
async fn names_lead_to_public_addresses_unless_the_operator_says_so() {
    // Not an address as an operator would write it, but one that every resolver knows.
    assert_eq!(set(&*open("ldap://127.1:9")).await, Err(ProviderError::Misconfigured));
    let allowed = opened("ldap://127.1:9", "(objectClass=*)", Net { allow_private: true, ..Net::default() }).unwrap();
    assert_eq!(set(&*allowed).await, Err(ProviderError::Transient));
    assert_eq!(set(&*open("ldap://localhost:9")).await, Err(ProviderError::Transient));
}

#[test]
fn a_filter_that_is_none_cannot_be_opened() {
    for filter in ["", "objectClass", "(objectClass=*", "(a=b)(c=d)"] {
        let refused = opened("ldaps://127.0.0.1", filter, Net::default()).err();
        assert!(matches!(refused, Some(CannotCall::Filter)), "{filter:?}");
    }
    assert!(matches!(opened("ldapi://", "(a=b)", Net::default()).err(), Some(CannotCall::NoHost)));
}
