//! Import and export of customers, over files, on real stores.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must fail"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use keyherald::app::{App, Call};
use keyherald::cli::FileFormat;
use keyherald::clock::{ManualClock, Moments, Seeded};
use keyherald::commands::customers::export;
use keyherald::commands::customers::import::{Counts, Import, ImportOptions};
use keyherald::destination::CannotOpen;
use keyherald::hash::{HashOptions, HashPool};
use keyherald::operate::{Operations, Providers, Settings};
use keyherald_core::Micros;
use keyherald_core::create::AddressUse;
use keyherald_core::credential::AuthenticationMode;
use keyherald_core::customer::{Customer, Profile};
use keyherald_core::id::ProjectKey;
use keyherald_core::initiator::Initiator;
use keyherald_core::seal::{KeyRing, SealingKey};
use keyherald_core::secret::Password;
use keyherald_core::shop;
use keyherald_store::testing::TestStore;
use keyherald_store::tx::query_one;
use keyherald_store::{Sql, Tx, credential, customer, each_engine};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;

each_engine! {
    two_thousand_go_out_and_come_in_again,
    an_import_that_stopped_goes_on_and_doubles_nobody,
    what_is_wrong_with_one_record_is_told_and_concerns_no_other,
    a_customer_that_is_there_is_recognised_or_in_the_way,
    an_imported_customer_signs_in_and_its_hash_is_replaced,
    creations_are_told_only_if_it_is_asked_for,
    customers_of_stores_come_and_go,
    users_of_providers_come_and_go,
}

const NOW: &str = "2026-03-04T05:06:07.890Z";
/// Of `U*U`.
const BCRYPT: &str = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

fn demo() -> ProjectKey {
    "demo".parse().unwrap()
}

fn app(store: &TestStore) -> App {
    let options = HashOptions { memory_kib: 8, passes: 1, workers: Some(1), ..HashOptions::default() };
    let clock = Arc::new(ManualClock::at(Micros::parse_iso(NOW).unwrap()));
    let moments = Moments::new(clock, Arc::new(Seeded::new(7)));
    let ring = Arc::new(KeyRing::new(vec![SealingKey::new("test", [7; 32]).unwrap()]).unwrap());
    let (providers, settings) = (Providers::default(), Settings::default());
    App {
        store: (**store).clone(),
        hash: Arc::new(HashPool::start(&options).unwrap()),
        moments: moments.clone(),
        ring: ring.clone(),
        destinations: Arc::default(),
        opener: Arc::new(|_| Err(CannotOpen("nothing is sent here"))),
        test_timeout: Duration::from_secs(20),
        outbox: Arc::default(),
        operations: Operations::new((**store).clone(), ring, moments, (providers, <_>::default()), settings),
        passwords: <_>::default(),
        recorder: <_>::default(),
        feed: <_>::default(),
        subscriptions_changed: Arc::new(watch::Sender::new(0)),
    }
}

/// A folder with one file in it.
fn file(name: &str, text: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

fn options(file: &Path) -> ImportOptions {
    let is_csv = file.extension().is_some_and(|extension| extension == "csv");
    ImportOptions {
        project: demo(),
        file: file.to_owned(),
        format: if is_csv { FileFormat::Csv } else { FileFormat::Jsonl },
        errors: file.with_extension("errors"),
        resume: false,
        announce: false,
        batch: 500,
    }
}

async fn import(app: &App, options: ImportOptions) -> Counts {
    let mut import = Import::open(app, options).unwrap();
    while import.step().await.unwrap() {}
    assert_eq!(import.percent(), 100);
    import.finish().unwrap()
}

/// The reasons in an errors file, by line.
fn errors(options: &ImportOptions) -> Vec<(u64, String)> {
    let text = std::fs::read_to_string(&options.errors).unwrap();
    let of_line = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap();
        (value["line"].as_u64().unwrap(), value["reason"].as_str().unwrap().to_owned())
    };
    text.lines().map(of_line).collect()
}

async fn exported(app: &App, with_hashes: bool) -> String {
    let mut out = Vec::new();
    export::to_writer(app, &demo(), with_hashes, &mut out).await.ok().unwrap();
    String::from_utf8(out).unwrap()
}

async fn by_email(app: &App, email: &'static str) -> Option<Customer> {
    app.store.read(move |tx: &mut dyn Tx| customer::by_email(tx, &demo(), email)).await.unwrap()
}

async fn count(app: &App, sql: &'static str) -> i64 {
    let count = Sql::both("count", sql);
    app.store.read(move |tx: &mut dyn Tx| query_one(tx, &count, &[], |row| row.int(0))).await.unwrap().unwrap()
}

/// `count` customers with everything that a record can say.
fn many(count: usize) -> String {
    let record = |number: usize| {
        let mut record = json!({
            "email": format!("Customer.{number}@example.com"),
            "key": format!("key-{number}"),
            "externalId": format!("crm {}", number / 2),
            "customerNumber": number.to_string(),
            "firstName": "Zo\u{eb} \"Z\"",
            "lastName": "a,b\nc",
            "middleName": "M", "title": "Dr.", "salutation": "Mx.", "dateOfBirth": "1980-02-29", "companyName": "ACME",
            "vatId": "DE1", "locale": "de-AT",
            "addresses": [{"country": "DE", "city": "Ulm", "key": "home"}, {"country": "AT", "pOBox": "7"}],
            "defaultShippingAddress": 1, "shippingAddresses": [1], "billingAddresses": [0, 1],
            "isEmailVerified": number.is_multiple_of(2),
            "createdAt": Micros(1_600_000_000_000_000 + i64::try_from(number).unwrap() * 1000).iso(),
        });
        if number.is_multiple_of(3) {
            record["authenticationMode"] = "ExternalAuth".into();
        } else {
            record["passwordHash"] = BCRYPT.into();
        }
        record.to_string() + "\n"
    };
    (0..count).map(record).collect()
}

async fn two_thousand_go_out_and_come_in_again(store: &TestStore) {
    let app = app(store);
    let (_folder, path) = file("customers.jsonl", many(2000));
    let all_new = Counts { imported: 2000, ..Counts::default() };
    assert_eq!(import(&app, options(&path)).await, all_new);
    let out = exported(&app, true).await;
    assert_eq!(out.lines().count(), 2000);
    assert_eq!(out.lines().filter(|line| line.contains(BCRYPT)).count(), 1333);

    // In the same project nothing is new, with hashes or without.
    for text in [&out, &exported(&app, false).await] {
        let (_folder, path) = file("customers.jsonl", text);
        assert_eq!(import(&app, options(&path)).await, Counts { already_there: 2000, ..Counts::default() });
    }
    assert!(!exported(&app, false).await.contains("$2a$"));

    // In another one everybody is, and looks the same from there.
    let elsewhere = TestStore::sqlite().await;
    let other = self::app(&elsewhere);
    let (_folder, path) = file("customers.jsonl", &out);
    assert_eq!(import(&other, options(&path)).await, all_new);
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&exported(&other, true).await), sorted(&out));
}

async fn an_import_that_stopped_goes_on_and_doubles_nobody(store: &TestStore) {
    let app = app(store);
    let mut text = many(100);
    text.insert_str(0, "{}\n");
    text.push_str("{\"email\":\"\"}\n");
    let (_folder, path) = file("customers.jsonl", text);
    let whole = Counts { imported: 100, rejected: 2, ..Counts::default() };
    let options = ImportOptions { batch: 7, ..options(&path) };

    // Stopped between two batches: the next run knows all that this one did.
    let mut first = Import::open(&app, options.clone()).unwrap();
    for _ in 0..5 {
        assert!(first.step().await.unwrap());
    }
    let before = first.counts();
    assert_eq!((before.records(), before.rejected), (35, 1));
    drop(first);
    let resumed = ImportOptions { resume: true, ..options.clone() };
    let mut second = Import::open(&app, resumed.clone()).unwrap();
    assert_eq!(second.counts(), before);
    assert!(second.step().await.unwrap());
    drop(second);

    // Stopped between the commit and the progress file: a batch is read again, and its records are recognised.
    let progress = path.with_extension("jsonl.progress");
    let older = std::fs::read(&progress).unwrap();
    let mut third = Import::open(&app, resumed.clone()).unwrap();
    assert!(third.step().await.unwrap());
    drop(third);
    std::fs::write(&progress, older).unwrap();
    std::fs::OpenOptions::new().append(true).open(&options.errors).unwrap().set_len(1000).unwrap();
    let counts = import(&app, resumed.clone()).await;
    assert_eq!(counts, Counts { imported: 93, already_there: 7, ..whole });
    assert_eq!(errors(&options).iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 102]);
    assert_eq!(count(&app, "SELECT COUNT(*) FROM customer").await, 100);
    assert!(!progress.exists(), "it is through");

    // Once more from the beginning, and with --resume where there is nothing to go on from.
    for resume in [false, true] {
        let again = import(&app, ImportOptions { resume, ..options.clone() }).await;
        assert_eq!(again, Counts { already_there: 100, rejected: 2, ..Counts::default() });
    }

    // A CSV file is gone on with too, by the columns that its first line names.
    let rows: Vec<_> = (0..10).map(|number| format!("\"Two\nlines\",row.{number}@example.com,{BCRYPT}\n")).collect();
    let (_folder, csv) = file("rows.csv", format!("firstName,email,passwordHash\n{}", rows.concat()));
    let csv = ImportOptions { batch: 3, ..self::options(&csv) };
    let mut stopped = Import::open(&app, csv.clone()).unwrap();
    assert!(stopped.step().await.unwrap());
    drop(stopped);
    let counts = import(&app, ImportOptions { resume: true, ..csv }).await;
    assert_eq!(counts, Counts { imported: 10, ..Counts::default() });
    assert!(by_email(&app, "row.9@example.com").await.is_some());

    // Another file of the same name is not gone on with.
    let mut fourth = Import::open(&app, options.clone()).unwrap();
    assert!(fourth.step().await.unwrap());
    drop(fourth);
    std::fs::write(&path, many(3)).unwrap();
    let complaint = Import::open(&app, resumed).err().unwrap().to_string();
    assert!(complaint.contains("is of another file") && complaint.contains("leave --resume out"), "{complaint}");
}

async fn what_is_wrong_with_one_record_is_told_and_concerns_no_other(store: &TestStore) {
    let app = app(store);
    let hash = BCRYPT;
    let long = "x".repeat(70_000);
    let lines: Vec<Vec<u8>> = [
        format!(r#"{{"email":"a@example.com","passwordHash":"{hash}"}}"#),
        format!(r#"{{"email":"b@example.com","passwordHash":"{hash}""#),
        format!(r#"{{"email":"c\u0000@example.com","passwordHash":"{hash}"}}"#),
        format!(r#"{{"email":"d@example.com","passwordHash":"{hash}","firstName":"{long}"}}"#),
        format!(r#"{{"email":"e@example.com","passwordHash":"{hash}","phone":"1"}}"#),
        format!(r#"{{"email":"f@example.com","passwordHash":"{hash}","firstName":7}}"#),
        r#"{"email":"g@example.com","passwordHash":"plain text"}"#.to_owned(),
        r#"{"email":"h@example.com","passwordHash":"$2b$31$......................vicDc9Z4ORMubWrVaJMicVy8brvECK."}"#
            .to_owned(),
        r#"{"email":"i@example.com"}"#.to_owned(),
        String::new(),
        r#"{"email":"j@example.com","authenticationMode":"Password"}"#.to_owned(),
        r#"{"email":"k@example.com","authenticationMode":"ExternalAuth"}"#.to_owned(),
    ]
    .map(String::into_bytes)
    .to_vec();
    let mut text = lines.join(&b'\n');
    text.extend(b"\n{\"email\":\"l\xff@example.com\"}");
    let (_folder, path) = file("customers.jsonl", text);
    let options = options(&path);
    let counts = import(&app, options.clone()).await;
    assert_eq!(counts, Counts { imported: 3, without_password: 1, already_there: 0, rejected: 9 });
    let errors = errors(&options);
    let says = [
        (2, "not JSON: EOF"),
        (3, "email: the character U+0000"),
        (4, "the line is longer than 64 KiB"),
        (5, "there is no field \"phone\""),
        (6, "firstName: not a text"),
        (7, "passwordHash: its scheme is none"),
        (8, "passwordHash: this bcrypt hash takes about"),
        (9, "passwordHash: it is missing"),
        (13, "the line is not UTF-8"),
    ];
    assert_eq!(errors.len(), says.len(), "{errors:?}");
    for ((line, reason), (expected, says)) in errors.iter().zip(says) {
        assert_eq!((*line, reason.starts_with(says)), (expected, true), "{line}: {reason}");
        assert!(!reason.contains("plain text") && !reason.contains("$2") && !reason.contains("example.com"));
    }

    // The same in CSV: a record over several lines, a quote in the wrong place, a missing field, a quote without end.
    let csv = format!(
        "\u{feff}email,passwordHash,firstName,isEmailVerified\r\n\
         m@example.com,{hash},\"two\r\nlines, \"\"quoted\"\"\",true\r\n\
         n@example.com,{hash},5\" disk,\r\n\
         o@example.com,{hash}\r\n\
         p@example.com,{hash},,perhaps\r\n\
         \r\n\
         q@example.com,{hash},Q,\r\n\
         r@example.com,{hash},\"R,\r\n"
    );
    let (_folder, path) = file("customers.csv", csv);
    let options = self::options(&path);
    assert_eq!(import(&app, options.clone()).await, Counts { imported: 2, rejected: 4, ..Counts::default() });
    assert_eq!(self::errors(&options).iter().map(|(line, _)| *line).collect::<Vec<_>>(), [4, 5, 6, 9]);
    let m = by_email(&app, "m@example.com").await.unwrap();
    assert_eq!((m.profile.first_name.as_deref(), m.is_email_verified), (Some("two\nlines, \"quoted\""), true));

    let (_folder, path) = file("customers.csv", "email,phone\na@example.com,1\n");
    let complaint = Import::open(&app, self::options(&path)).err().unwrap().to_string();
    assert!(complaint.contains("its first line: there is no field \"phone\""), "{complaint}");
}

async fn a_customer_that_is_there_is_recognised_or_in_the_way(store: &TestStore) {
    let app = app(store);
    let record = |email: &str, more: Value| {
        let mut record = json!({"email": email, "passwordHash": BCRYPT});
        record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        record.to_string() + "\n"
    };
    let text = [
        record("ada@example.com", json!({"key": "ada", "customerNumber": "1"})),
        record("ada@example.com", json!({"key": "ada", "customerNumber": "1"})), // the same twice in one batch
        record("ADA@example.com", json!({"key": "ada", "customerNumber": "1"})),
        record("bob@example.com", json!({"key": "ada"})),
        record("bob@example.com", json!({"customerNumber": "1", "lastName": "B"})),
        record("bob@example.com", json!({})),
    ];
    let (_folder, path) = file("customers.jsonl", text.concat());
    let options = options(&path);
    let counts = import(&app, options.clone()).await;
    assert_eq!(counts, Counts { imported: 2, already_there: 1, rejected: 3, without_password: 0 });
    let told = |errors: Vec<(u64, String)>| errors.into_iter().map(|(_, reason)| reason).collect::<Vec<_>>();
    assert_eq!(
        told(errors(&options)),
        [
            "email: a customer has it already, and differs in email",
            "key: a customer has it already, and differs in email, customerNumber",
            "customerNumber: a customer has it already, and differs in email, key, lastName",
        ]
    );

    // Whoever signed up here is not taken for an imported customer, however much alike.
    let hash =
        app.hash.hash(keyherald::hash::Lane::Change, Password::new("U*U".into()).unwrap(), [1; 16]).await.unwrap();
    let command = keyherald_core::create::Command {
        email: "eve@example.com".into(),
        key: None,
        external_id: None,
        customer_number: None,
        mobile: None,
        stores: Vec::new(),
        authentication_mode: AuthenticationMode::Password,
        is_email_verified: false,
        profile: Profile::default(),
        addresses: AddressUse::default(),
        by: Initiator { client_id: Some("shop".into()), ..Initiator::default() },
    };
    let call = Call { by: command.by.clone(), ..Call::on(demo()) };
    app.create_customer(call, command, Some(Password::new("U*U".into()).unwrap())).await.unwrap();
    assert!(app.hash.is_current(&hash));
    let (_folder, path) = file("customers.jsonl", record("eve@example.com", json!({})));
    let options = self::options(&path);
    assert_eq!(import(&app, options.clone()).await.rejected, 1);
    assert_eq!(told(errors(&options)), ["email: a customer has it already, and differs in passwordHash"]);
}

/// One of each scheme: the other vectors are with their readers.
const SCHEMES: [(&str, &str); 9] = [
    ("password", "$argon2i$m=256,t=2,p=1$c29tZXNhbHQ$/U3YPXYsSb3q9XxHvc0MLxur+GP960kN9j7emXX8zwY"),
    (
        "correct horse battery staple",
        "$argon2id$v=19$m=12288,t=3,p=1$AQEBAQEBAQEBAQEBAQEBAQ$h72AeWehcj1t1ACIXBqErpuCM0Ss8DbV90LDpz3ViBc",
    ),
    ("U*U", BCRYPT),
    ("pleaseletmein", "$7$C6..../....SodiumChloride$kBGj9fHznVYFQMEn/qDCfrDevf9YDtcDdKvEqHJLV8D"),
    (
        "user1password",
        "$firescrypt$ln=14,r=8,p=1$42xEC+ixf3L2lw==$lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ==$Bw==$jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==",
    ),
    ("password", "$pbkdf2$4096$c2FsdA$SwB5AbdlSJq.rUnZJvch0GWkKcE"),
    ("hashcat", "pbkdf2_sha256$20000$H0dPx8NeajVu$GiC4k5kqbbR9qWBlsRgDywNqC2vd9kqfk7zdorEnNas="),
    ("Hello world!", "$5$rounds=10000$saltstringsaltst$3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA"),
    ("hashcat", "{SSHA}AZKja92fbuuB9SpRlHqaoXxbTc43Mzc2MDM1Ng=="),
];

async fn an_imported_customer_signs_in_and_its_hash_is_replaced(store: &TestStore) {
    let app = app(store);
    let line = |(number, (_, hash)): (usize, &(&str, &str))| {
        json!({"email": format!("{number}@example.com"), "passwordHash": hash}).to_string() + "\n"
    };
    let (_folder, path) = file("customers.jsonl", SCHEMES.iter().enumerate().map(line).collect::<String>());
    let options = options(&path);
    assert_eq!(import(&app, options.clone()).await.imported, 9);
    let call = || Call::on(demo());
    let password = |text: &str| Password::new(text.to_owned()).unwrap();
    for (number, (text, foreign)) in SCHEMES.iter().enumerate() {
        let email = format!("{number}@example.com");
        assert!(app.sign_in(call(), email.clone(), password("wrong")).await.is_err());
        let customer = app.sign_in(call(), email.clone(), password(text)).await.expect(foreign);
        let look = move |tx: &mut dyn Tx| credential::by_customer(tx, &demo(), customer.id);
        let upgraded = app.store.read(look).await.unwrap().unwrap();
        assert!(app.hash.is_current(&upgraded) && upgraded.as_phc().starts_with("$argon2id$v=19$m=8,t=1,p=1$"));
        assert!(app.sign_in(call(), email, password(text)).await.is_ok(), "{foreign}");
        assert!(app.store.read(look).await.unwrap().unwrap() == upgraded, "once is enough");
    }
    // The same import again finds the same passwords.
    assert_eq!(import(&app, options.clone()).await.already_there, 9);
    // A password that was changed here is in the way.
    let customer = by_email(&app, "0@example.com").await.unwrap();
    app.change_password(call(), customer.id, 1, password("password"), password("new")).await.unwrap();
    assert_eq!(import(&app, options.clone()).await, Counts { already_there: 8, rejected: 1, ..Counts::default() });
    assert_eq!(errors(&options)[0], (1, "email: a customer has it already, and differs in passwordHash".to_owned()));
}

async fn creations_are_told_only_if_it_is_asked_for(store: &TestStore) {
    let app = app(store);
    let line = |email: &str| json!({"email": email, "passwordHash": BCRYPT}).to_string();
    let (_folder, path) = file("customers.jsonl", line("quiet@example.com"));
    import(&app, options(&path)).await;
    assert_eq!(count(&app, "SELECT COUNT(*) FROM log").await, 0);
    let (_folder, path) = file("customers.jsonl", line("loud@example.com"));
    import(&app, ImportOptions { announce: true, ..options(&path) }).await;
    assert_eq!(count(&app, "SELECT COUNT(*) FROM log WHERE type = 'CustomerCreated' AND sequence = 1").await, 1);

    let (quiet, loud) = (by_email(&app, "quiet@example.com").await, by_email(&app, "loud@example.com").await);
    let quiet = quiet.unwrap();
    assert_eq!((quiet.last_sequence, loud.unwrap().last_sequence), (0, 1));
    // The first message of the quiet one is number one.
    let call = Call::on(demo());
    let password = |text: &str| Password::new(text.to_owned()).unwrap();
    let changed = app.change_password(call, quiet.id, 1, password("U*U"), password("new")).await.unwrap();
    assert_eq!((changed.version, changed.last_sequence), (2, 1));
}

#[tokio::test]
async fn an_export_file_is_whole_and_for_its_owner_only() {
    let store = TestStore::sqlite().await;
    let app = app(&store);
    let (folder, path) = file("customers.jsonl", many(3));
    import(&app, options(&path)).await;
    let out = folder.path().join("out.jsonl");
    std::fs::write(&out, "what was there before").unwrap();
    assert_eq!(export::to_file(&app, &demo(), true, &out).await.unwrap(), 3);
    assert_eq!(std::fs::read_to_string(&out).unwrap(), exported(&app, true).await);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let complaint =
        export::to_file(&app, &demo(), true, Path::new("/nowhere/out.jsonl")).await.unwrap_err().to_string();
    assert!(complaint.contains("cannot write /nowhere/out.jsonl"), "{complaint}");
}

async fn customers_of_stores_come_and_go(store: &TestStore) {
    let app = app(store);
    let command = shop::Command {
        key: "shop-a".parse().unwrap(),
        name: BTreeMap::new(),
        languages: Vec::new(),
        countries: Vec::new(),
        by: Initiator::default(),
    };
    app.create_store(Call::on(demo()), command.clone()).await.unwrap();
    let text = format!(
        "email,stores,passwordHash\nada@example.com,shop-a,{BCRYPT}\nada@example.com,shop-b,{BCRYPT}\nada@example.com,,{BCRYPT}\n"
    );
    let (_folder, path) = file("customers.csv", text);
    let counts = import(&app, options(&path)).await;
    assert_eq!((counts.imported, counts.rejected), (1, 2));
    let reasons = errors(&options(&path));
    assert_eq!(reasons[0], (3, "stores: the project has no such store; it must be made first".to_owned()));
    assert!(reasons[1].1.starts_with("email: a customer has it already"), "{reasons:?}");
    assert_eq!(by_email(&app, "ada@example.com").await, None, "no global one");

    let out = exported(&app, true).await;
    assert!(out.contains(r#""stores":["shop-a"]"#), "{out}");
    let (_folder, path) = file("customers.jsonl", &out);
    assert_eq!(import(&app, options(&path)).await, Counts { already_there: 1, ..Counts::default() });
}

async fn users_of_providers_come_and_go(store: &TestStore) {
    let app = app(store);
    let users = |users: &str, email: &str| format!(r#"{{"email":"{email}","providerUsers":{users}}}"#) + "\n";
    let ada = users(r#"{"idp":"auth0|1","ldap":"42"}"#, "ada@example.com");
    let text = [
        ada.clone(),
        users(r#"{"idp":"auth0|1"}"#, "bob@example.com"),
        users(r#"{"idp":"auth0|2"}"#, "ada@example.com"),
        users(r#"{"No Name":"1"}"#, "eve@example.com"),
        users(r#"{"idp":""}"#, "eve@example.com"),
        users("[]", "eve@example.com"),
    ];
    let (_folder, path) = file("customers.jsonl", text.concat());
    let counts = import(&app, options(&path)).await;
    assert_eq!((counts.imported, counts.rejected, counts.without_password), (1, 5, 0), "a password is elsewhere");
    let reasons: Vec<String> = errors(&options(&path)).into_iter().map(|(_, reason)| reason).collect();
    let expected = [
        "providerUsers: another customer is that user of idp",
        "providerUsers: the customer is another user of idp",
        "providerUsers: one is not the name of a provider",
        "providerUsers: an id has not 1 to 256 characters",
        "providerUsers: not an object of texts",
    ];
    assert_eq!(reasons, expected);
    assert_eq!(by_email(&app, "bob@example.com").await, None, "whole or not at all");

    let out = exported(&app, true).await;
    assert!(out.contains(r#""providerUsers":{"idp":"auth0|1","ldap":"42"}"#), "{out}");
    let (_folder, path) = file("customers.jsonl", &out);
    assert_eq!(import(&app, options(&path)).await, Counts { already_there: 1, ..Counts::default() });

    // Customers that were imported before their provider was: the same again, with the users.
    let (_folder, path) = file("customers.csv", "email,authenticationMode\nbob@example.com,Password\n");
    assert_eq!(import(&app, options(&path)).await.imported, 1);
    let (_folder, path) = file("customers.csv", "email,providerUsers\nbob@example.com,idp=auth0|3 ldap=43\n");
    assert_eq!(import(&app, options(&path)).await, Counts { already_there: 1, ..Counts::default() });
    assert_eq!(count(&app, "SELECT count(*) FROM provider_link").await, 4);
}

#[tokio::test]
async fn the_errors_file_cannot_be_the_input() {
    let store = TestStore::sqlite().await;
    let app = app(&store);
    let (_folder, path) = file("customers.jsonl", many(1));
    let complaint = Import::open(&app, ImportOptions { errors: path.clone(), ..options(&path) }).err().unwrap();
    assert!(complaint.to_string().contains("--errors names the file"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), many(1));
}
