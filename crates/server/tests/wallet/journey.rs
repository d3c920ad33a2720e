//! From a changed password to the wallet, over the death of the process in between.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::black_box::api::{Api, http_client};
use crate::black_box::server::Launch;
use crate::http_double::{Got, HttpDouble, Says};
use crate::{CLIENT, SECRET, yes};

const PATIENCE: Duration = Duration::from_mins(1);

fn launch(folder: &Path, double: &HttpDouble) -> Launch {
    Launch {
        program: env!("CARGO_BIN_EXE_keyherald").into(),
        data: folder.join("data"),
        store: None,
        log: folder.join("log"),
        settings: vec![
            ("KEYHERALD__HASHING__MEMORY_KIB", "64".into()),
            ("KEYHERALD__HASHING__PASSES", "1".into()),
            ("KEYHERALD__PROJECTS__0__WALLET__BASE_URL", double.url.to_string()),
            ("KEYHERALD__PROJECTS__0__WALLET__ALLOW_INSECURE_HTTP", "true".into()),
            ("KEYHERALD__PROJECTS__0__WALLET__BRAND", "wallet".into()),
            ("KEYHERALD__PROJECTS__0__WALLET__CLIENT_ID", CLIENT.into()),
            ("KEYHERALD__PROJECTS__0__WALLET__CLIENT_SECRET_ENV", "WALLET_SECRET".into()),
            ("WALLET_SECRET", SECRET.into()),
        ],
    }
}

/// The notices that came, once there are so many and they are as they should be.
async fn notices(double: &HttpDouble, count: usize, is_so: impl Fn(&[Got]) -> bool) -> Vec<Got> {
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            let got = double.got();
            let told: Vec<Got> = got.into_iter().filter(|got| got.line.ends_with("/change-notifications")).collect();
            if told.len() >= count && is_so(&told) {
                return told;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("no such notices: {:?}", double.got()))
}

async fn customer(api: &Api, email: &str, external_id: Option<&str>) -> Value {
    let mut draft = json!({"email": email, "password": "the first one"});
    if let Some(id) = external_id {
        draft["externalId"] = id.into();
    }
    let made = api.post("/customers", &draft).await.unwrap();
    assert_eq!(made.status, 201, "{}", made.body);
    made.body["customer"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_is_told_once_it_is_committed_and_none_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let double = HttpDouble::start(yes()).await;
    let launch = launch(folder.path(), &double);
    let http = http_client(Duration::from_secs(20)).unwrap();
    let server = launch.start().unwrap();
    let api = Api::sign_in(&http, &server).await.unwrap();
    let ada = customer(&api, "ada@example.com", Some("10040500")).await;
    let eve = customer(&api, "eve@example.com", None).await;
    // A password that is a customer's first is no change.
    double.next([yes()]);
    for (customer, new) in [(&eve, "the second of eve"), (&ada, "the second of ada")] {
        let change = json!({
            "id": customer["id"], "version": customer["version"],
            "currentPassword": "the first one", "newPassword": new,
        });
        let changed = api.post("/customers/password", &change).await.unwrap();
        assert_eq!(changed.status, 200, "{}", changed.body);
    }
    let told = notices(&double, 1, |_| true).await;
    assert_eq!(told[0].line, "POST /v2/customer-persons/10040500/change-notifications");

    // The wallet reads the next one and says nothing; the process dies, and tells again what it cannot know to be told.
    double.next([Says::Silence]);
    let asked = api.post("/customers/password-token", &json!({"email": "ada@example.com"})).await.unwrap();
    let reset = json!({"tokenValue": asked.text("/value"), "newPassword": "the third of ada"});
    assert_eq!(api.post("/customers/password/reset", &reset).await.unwrap().status, 200);
    let told = notices(&double, 2, |_| true).await;
    server.kill();
    let server = launch.start().unwrap();
    assert_ne!(told[0].body, told[1].body, "another change, another time");
    // What was told just before may come once more; the one that had no answer comes, and as it was.
    let again =
        notices(&double, told.len(), |again| again.iter().filter(|got| got.body == told[1].body).count() > 1).await;
    // Nothing is told of whom the wallet does not have.
    assert!(again.iter().all(|told| told.line.contains("10040500")), "{again:?}");
    drop(server);
    let log = std::fs::read_to_string(&launch.log).unwrap();
    assert!(!log.contains(SECRET) && !log.contains("t-1\"") && !log.contains("10040500"), "{log}");
}
