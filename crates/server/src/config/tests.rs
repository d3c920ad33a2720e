//! The configuration as a whole: layers, problems, the listing, the example file.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;

const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const EXAMPLE: &str = include_str!("../../../../keyherald.example.toml");

fn environment(variables: &[(&str, &str)]) -> Environment {
    Environment::of(variables.iter().map(|(name, value)| ((*name).into(), (*value).into())))
}

fn read(text: &str, variables: &[(&str, &str)]) -> Result<Config, Problems> {
    Config::read(text, Some("keyherald.toml".into()), environment(variables), Purpose::Maintain)
}

fn problems(text: &str, variables: &[(&str, &str)]) -> String {
    read(text, variables).unwrap_err().to_string()
}

#[test]
fn nothing_at_all_gives_the_defaults() {
    let config = read("", &[]).unwrap();
    assert_eq!(config.server, Server::default());
    assert_eq!(config.store.url.reveal(), "sqlite:keyherald.db");
    assert_eq!(config.delivery.retry_schedule.len(), 10);
}

#[test]
fn variables_win_over_the_file() {
    let text =
        "[server]\nlisten = \"127.0.0.1:1\"\nrequest_timeout = 20\n[[projects]]\nkey = \"one\"\nname = \"One\"\n";
    let variables = [
        ("KEYHERALD__SERVER__LISTEN", "0.0.0.0:2"),
        ("KEYHERALD__DELIVERY__RETRY_SCHEDULE", "0s, 1s,2"),
        ("KEYHERALD__DELIVERY__ALLOW_HTTP", "true"),
        ("KEYHERALD__DELIVERY__BREAKER__FAILURES", "3"),
        ("KEYHERALD__PROJECTS__0__KEY", "uno"),
        ("KEYHERALD__PROJECTS__1__KEY", "two"),
        ("KEYHERALD__PROJECTS__1__MESSAGES__DELETE_DAYS_AFTER_CREATION", "30"),
        ("KEYHERALD_CONFIG", "not a key: one underscore"),
    ];
    let config = read(text, &variables).unwrap();
    assert_eq!(config.server.listen.to_string(), "0.0.0.0:2");
    assert_eq!(config.server.request_timeout, Duration::from_secs(20));
    assert_eq!(config.delivery.retry_schedule, [0, 1, 2].map(Duration::from_secs));
    assert!(config.delivery.allow_http);
    assert_eq!(config.delivery.breaker.failures, 3);
    let [one, two] = config.projects.as_slice() else { panic!("two projects") };
    assert_eq!((one.key.as_str(), one.name.as_deref()), ("uno", Some("One")));
    assert_eq!(two.messages, Some(Messages { enabled: true, delete_days_after_creation: 30 }));
}

#[test]
fn elements_are_set_in_the_order_of_their_numbers() {
    let variables: Vec<(String, String)> =
        (0..12).map(|n| (format!("KEYHERALD__PROJECTS__{n}__KEY"), format!("p-{n}"))).collect();
    let borrowed: Vec<(&str, &str)> = variables.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    assert_eq!(read("", &borrowed).unwrap().projects[11].key.as_str(), "p-11");
    assert_eq!(
        problems("", &[("KEYHERALD__PROJECTS__2__KEY", "late")]),
        "KEYHERALD__PROJECTS__2__KEY: projects.2.key: there is no element 1: elements are numbered from 0 without gaps"
    );
}

#[test]
fn all_problems_are_told_at_once_with_their_places() {
    let text = r#"
[server]
lisen = "127.0.0.1:8080"
body_bytes_max = 5
public_url = "https://user:hunter2@example.com"

[hashing]
passes = "two"
memory_kib = 64

[delivery]
retry_schedule = ["0s", "soon"]
on_exhausted = "hodl"
allow_private_networks = ["10.0.0.0"]

[colours]

[[projects]]
name = "No key"

[[projects]]
key = "NO"
messages = { enabled = true, delete_days_after_creation = 91 }
"#;
    let told = problems(text, &[("KEYHERALD__LOG__LEVEL", "loud,,=")]);
    let expected = r#"keyherald.toml:3: server.lisen: unknown key
  hint: did you mean "listen"?
keyherald.toml:4: server.body_bytes_max: must be from 1024 to 67108864, not 5
keyherald.toml:5: server.public_url: must be an http or https URL without user, query and fragment, such as "https://keyherald.example.com", not this text
keyherald.toml:8: hashing.passes: must be a whole number, not "two"
keyherald.toml:9: hashing.memory_kib: with these passes, guessing passwords would be too cheap
  hint: OWASP's choices for memory_kib and passes: 47104 and 1, 19456 and 2, 12288 and 3, 9216 and 4, 7168 and 5
keyherald.toml:12: delivery.retry_schedule[1]: must be a duration such as "500ms", "5s", "30m", "2h", "1d", or a whole number of seconds, not "soon"
keyherald.toml:13: delivery.on_exhausted: must be one of ["skip", "hold"], not "hodl"
keyherald.toml:14: delivery.allow_private_networks[0]: must be a network in CIDR form, such as "10.0.0.0/8" or "fd00::/8", not "10.0.0.0"
keyherald.toml:16: colours: unknown key
  hint: known here: server, store, node, secrets, hashing, delivery, aws, mail, operations, log, metrics, traces, sms, projects, providers
keyherald.toml:18: projects[0].key: is missing
  hint: the project's key in URLs, such as key = "my-shop"
keyherald.toml:22: projects[1].key: must be 2 to 36 of a-z, 0-9, _ and -, not "NO"
keyherald.toml:23: projects[1].messages.delete_days_after_creation: must be from 1 to 90, not 91
KEYHERALD__LOG__LEVEL: log.level: is not a log level
  hint: use error, warn, info, debug or trace, or directives such as "info,keyherald::deliver=debug""#;
    assert_eq!(told, expected);
}

#[test]
fn syntax_errors_have_a_line_and_no_content() {
    let told = problems("[store]\nurl = \"postgres://kh:hunter2@db/kh\n[server]\nlisten 5\n", &[]);
    assert!(told.contains("keyherald.toml:2: not TOML") && told.contains("keyherald.toml:4: not TOML"), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
}

#[test]
fn origins_of_pages_are_told_one_by_one() {
    let text = "[server]\ncors = { origins = [\"https://a.example\", \"a.example\", \"https://a.example/x\"] }\n\
                [[projects]]\nkey = \"demo\"\nlanguages = [\"de\", \"de_CH\"]\n";
    let wanted =
        r#"must be the origin of web pages without a path, such as "https://shop.example.com", or "*" for all"#;
    assert_eq!(
        problems(text, &[]),
        format!(
            "keyherald.toml:2: server.cors.origins[1]: {wanted}, not \"a.example\"\n\
             keyherald.toml:2: server.cors.origins[2]: {wanted}, not \"https://a.example/x\"\n\
             keyherald.toml:5: projects[0].languages[1]: must be a language tag such as \"de\" or \"de-CH\", not \"de_CH\""
        )
    );
    let both = problems("", &[("KEYHERALD__SERVER__CORS__ORIGINS", "*,https://a.example")]);
    assert_eq!(
        both,
        "KEYHERALD__SERVER__CORS__ORIGINS: server.cors.origins: has \"*\" and others: \"*\" means all of them"
    );
}

#[test]
fn a_duplicate_key_and_a_wrong_shape_are_problems() {
    assert!(problems("[server]\n[server]\n", &[]).contains("keyherald.toml:2: not TOML"));
    assert_eq!(problems("server = 5", &[]), "keyherald.toml:1: server: must be a table, not an integer");
    assert_eq!(
        problems("[server]\nlisten = \"127.0.0.1:1\"", &[("KEYHERALD__SERVER__LISTEN__PORT", "5")]),
        "KEYHERALD__SERVER__LISTEN__PORT: server.listen.port: reaches into a key that holds text"
    );
}

#[test]
fn sealing_keys_come_from_files_and_variables() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sealing.key");
    std::fs::write(&file, format!("{}\n", "5f".repeat(31) + "00")).unwrap();
    let text = format!(
        "[secrets]\nsealing_keys = [{{ id = \"new\", key_file = {:?} }}, {{ id = \"old\", key_env = \"OLD\" }}]",
        file.display().to_string()
    );
    let config = read(&text, &[("OLD", KEY)]).unwrap();
    assert!(config.secrets.key_ring().is_ok());
    let shown = format!("{config:?}{}", config.listing());
    assert!(!shown.contains(KEY) && !shown.contains("5f5f"), "{shown}");
    assert!(shown.contains("key_env = \"OLD\""));
}

#[test]
fn problems_of_secrets_never_show_them() {
    let text = "[store]\nurl = \"postgres://kh:hunter2@db/kh\"\nurl_env = \"U\"\n[secrets]\nsealing_keys = [\n\
        { id = \"a\", key = \"hunter2\" },\n{ id = \"a\", key_env = \"SHORT\" },\n{ id = \"b\", key_env = \"ABSENT\" },\n\
        { id = \"c\", key_file = \"/nonexistent/k\" },\n{ id = \"d\" },\n{ key_env = \"ZEROS\" }]\n";
    let zeros = "00".repeat(32);
    let told = problems(text, &[("SHORT", "hunter2"), ("U", "x"), ("ZEROS", &zeros)]);
    let expected = [
        "keyherald.toml:3: store.url_env: give only one of url, url_file, url_env",
        "keyherald.toml:5: secrets.sealing_keys: the id \"a\" is given twice",
        "keyherald.toml:6: secrets.sealing_keys[0].key: a secret does not stand in the configuration",
        "keyherald.toml:7: secrets.sealing_keys[1].key_env: must hold 32 bytes as base64 or hex",
        "keyherald.toml:8: secrets.sealing_keys[2].key_env: the environment variable \"ABSENT\" is not set",
        "keyherald.toml:9: secrets.sealing_keys[3].key_file: cannot read /nonexistent/k: No such file or directory (os error 2)",
        "keyherald.toml:10: secrets.sealing_keys[4].key_file: is missing",
        "keyherald.toml:11: secrets.sealing_keys[5].id: is missing",
        "keyherald.toml:11: secrets.sealing_keys[5].key_env: must be random, not one byte repeated",
    ];
    let lines: Vec<&str> = told.lines().filter(|line| !line.starts_with("  hint")).collect();
    assert_eq!(lines, expected);
    assert!(!told.contains("hunter2"), "{told}");
}

#[test]
fn a_variable_may_replace_a_secret_of_the_file() {
    let config =
        read("[store]\nurl = \"sqlite:a.db\"", &[("KEYHERALD__STORE__URL_ENV", "U"), ("U", "sqlite:b.db")]).unwrap();
    assert_eq!(config.store.url.reveal(), "sqlite:b.db");
    let told = problems("", &[("KEYHERALD__STORE__URL_ENV", "U"), ("U", "mysql://h/d")]);
    assert!(told.starts_with("KEYHERALD__STORE__URL_ENV: store.url_env: must begin with sqlite:"), "{told}");
}

#[test]
fn to_serve_a_sealing_key_is_needed() {
    let told = Config::read("", None, Environment::default(), Purpose::Serve).unwrap_err();
    assert_eq!(told.list().len(), 1);
    assert!(told.to_string().contains("openssl rand -base64 32"), "{told}");
}

#[test]
fn the_listing_reads_back_as_itself() {
    let text = "[server]\npublic_url = \"https://kh.example.com/\"\n[delivery]\njitter = 1\nallow_private_networks = [\"10.0.0.0/8\"]\n\
        [secrets]\nsealing_keys = [{ id = \"a\", key_env = \"K\" }]\n[[projects]]\nkey = \"one\"\nmessages = {}\n[[projects]]\nkey = \"two\"\n";
    let listing = read(text, &[("K", KEY)]).unwrap().listing();
    assert_eq!(read(&listing, &[("K", KEY)]).unwrap().listing(), listing);
    assert!(listing.contains("10.0.0.0/8") && listing.contains("[[projects]]"), "{listing}");
}

#[test]
fn a_password_in_the_store_url_is_not_listed() {
    let config = read("[store]\nurl = \"postgres://kh:hunter2@db/kh\"", &[]).unwrap();
    let shown = format!("{config:?}{}", config.listing());
    assert!(!shown.contains("hunter2") && shown.contains("kh:***@db"), "{shown}");
    assert_eq!(config.store.url.reveal(), "postgres://kh:hunter2@db/kh");
}

#[test]
fn the_example_is_valid_as_it_is_and_with_every_comment_taken_away() {
    let aws = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"].map(|name| (name, "of AWS"));
    let variables = [[("KEYHERALD_SEALING_KEY", KEY), ("DATABASE_URL", "sqlite:other.db")].as_slice(), &aws].concat();
    let load = |text: &str| Config::read(text, None, environment(&variables), Purpose::Serve);
    let config = load(EXAMPLE).unwrap();
    assert_eq!(config.projects.len(), 1);
    // Lines such as `# key = value`; alternatives that exclude each other or name files stay comments.
    let is_key = |line: &str| {
        let key = line.split(" = ").next().unwrap_or_default();
        line.contains(" = ") && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') && !key.starts_with("url_")
    };
    let uncommented: Vec<&str> =
        EXAMPLE.lines().map(|line| line.strip_prefix("# ").filter(|rest| is_key(rest)).unwrap_or(line)).collect();
    let full = load(&uncommented.join("\n")).unwrap();
    // Every key of the listing is in the file; these stand in inline tables there.
    let inline = ["id", "key_env", "enabled", "delete_days_after_creation"];
    let keys = |text: &str| -> BTreeSet<String> {
        text.lines().filter_map(|line| Some(line.split_once(" = ")?.0.into())).collect()
    };
    let mut missing = keys(&full.listing());
    missing.retain(|key| !inline.contains(&key.as_str()) && !keys(&uncommented.join("\n")).contains(key));
    assert!(missing.is_empty(), "not in the example: {missing:?}");
    // What the comments call the default is the default.
    let (mut full, default) = (full, Config::default());
    full.server.public_url = None;
    full.hashing.workers = default.hashing.workers;
    assert_eq!((full.server, full.hashing), (default.server, default.hashing));
    assert_eq!((full.delivery, full.log), (default.delivery, default.log));
    assert_eq!((full.store.connections, full.store.readers), (default.store.connections, default.store.readers));
    assert_eq!(full.projects[0].messages, Some(Messages::default()));
}

#[test]
fn access_to_aws_is_whole_or_not_there() {
    let set = [("ID", "AKIDEXAMPLE"), ("KEY", "hush")];
    let whole = read("[aws]\naccess_key_id_env = \"ID\"\nsecret_access_key_env = \"KEY\"", &set).unwrap();
    let shown = format!("{whole:?}{}", whole.listing());
    assert!(!shown.contains("hush") && shown.contains("access_key_id_env = \"ID\""), "{shown}");
    for (text, missing) in [
        ("access_key_id = \"AKIDEXAMPLE\"", "aws.secret_access_key_file: is missing"),
        ("secret_access_key_env = \"KEY\"", "aws.access_key_id_file: is missing"),
        ("session_token_env = \"KEY\"", "aws.session_token_env: belongs to a key"),
    ] {
        let problems = read(&format!("[aws]\n{text}"), &set).unwrap_err().to_string();
        assert!(problems.contains(missing), "{problems}");
    }
}

const MAIL: &str = r#"
    [mail]
    from = "My shop <no-reply@shop.example.com>"
    [mail.smtp]
    host = "smtp.example.com"
    security = "starttls"
    username = "keyherald"
    password_env = "P"
    [[projects]]
    key = "one"
    [projects.mail]
    send = ["password_changed", "reset_password"]
    contact = "help@shop.example.com"
    links = { reset_password = "https://shop.example.com/reset#token={token}" }
"#;

#[test]
fn recovery_pages_have_a_way_for_their_codes_and_one_set_of_numbers() {
    let told = |more: &str| {
        let mail = MAIL.replace("\"reset_password\"]", "\"verification_code\", \"reset_password\"]");
        read(&format!("{mail}{more}"), &[("P", "hunter2")]).err().map(|problems| problems.to_string())
    };
    let without = problems(&format!("{MAIL}[projects.recovery]\n"), &[("P", "hunter2")]);
    assert!(without.contains("\"one\" send codes, but verification_code is neither in mail.send nor in"), "{without}");
    let otp = "[projects.recovery]\notp = { resend_interval = 5 }\n";
    assert_eq!(told(otp), None);
    let brand =
        |identifiers: &str| format!("[projects.paysafe]\nbrand = \"b\"\nrequired_identifiers = {identifiers}\n");
    assert_eq!(told(&format!("[projects.recovery]\n{}", brand("{ any_of = [\"email\"] }"))), None);
    // A number alone will do, where it is what the brand asks for or the only way that codes go.
    let partners = "delivery_mode = \"partner\"\n";
    assert_eq!(told(&format!("[projects.recovery]\n{}{partners}", brand("{ all_of = [\"mobile\"] }"))), None);
    let by_sms = "[projects.recovery]\n[projects.sms]\nsend = [\"verification_code\"]\n";
    let said = problems(&format!("{MAIL}{by_sms}"), &[("P", "hunter2")]);
    assert!(!said.contains("recovery pages"), "{said}");
    for (pages, identifiers, expected) in [
        (otp, "{ any_of = [\"email\"] }", "those of paysafe count"),
        ("[projects.recovery]\n", "{ all_of = [\"email\", \"mobile\"] }", "not enough for required_identifiers"),
    ] {
        let said = told(&format!("{pages}{}", brand(identifiers))).unwrap();
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn mail_reads_back_and_its_password_is_not_listed() {
    let config = read(MAIL, &[("P", "hunter2")]).unwrap();
    let shown = format!("{config:?}{}", config.listing());
    assert!(!shown.contains("hunter2") && shown.contains("#token={token}"), "{shown}");
    assert_eq!(read(&config.listing(), &[("P", "hunter2")]).unwrap().listing(), config.listing());
    let smtp = config.mail.smtp.unwrap();
    assert_eq!(smtp.password.unwrap().reveal(), "hunter2");
    assert_eq!(config.projects[0].mail.as_ref().unwrap().links.by_kind().len(), 1);
}

#[test]
fn mail_that_could_not_be_sent_is_refused() {
    let told = |from: &str, to: &str| {
        assert!(MAIL.contains(from), "{from}");
        let config = Config::read(
            &MAIL.replace(from, to),
            None,
            environment(&[
                ("P", "hunter2"),
                ("KEYHERALD__SECRETS__SEALING_KEYS__0__ID", "a"),
                ("KEYHERALD__SECRETS__SEALING_KEYS__0__KEY_ENV", "K"),
                ("K", KEY),
            ]),
            Purpose::Serve,
        );
        config.unwrap_err().to_string()
    };
    for (from, to, expected) in [
        ("https://shop", "http://shop", "must be an https address with {token}"),
        ("#token={token}", "", "must be an https address with {token}"),
        ("\"reset_password\"]", "\"verify_email\"]", "verify_email needs the page that its link leads to"),
        ("\"reset_password\"]", "\"welcome\"]", "welcome needs the page that its link leads to"),
        ("\"starttls\"", "\"none\"", "no password is sent without TLS"),
        ("username = \"keyherald\"", "", "belong together"),
        ("from = \"My shop <no-reply@shop.example.com>\"", "", "says from whom"),
        ("no-reply@shop", "no reply@shop\\r\\nBcc: a", "must be an address"),
        ("host = \"smtp.example.com\"", "", "smtp.host: is missing"),
    ] {
        let told = told(from, to);
        assert!(told.contains(expected), "{to}: {told}");
    }
}

const PROVIDER: &str = "[providers.auth0-main]\nkind = \"auth0\"\nbase_url = \"https://t.eu.auth0.com\"\nclient_id = \"c\"\n\
    client_secret_env = \"AUTH0_SECRET\"\nconnection = \"db\"\n";

#[test]
fn a_provider_has_a_name_a_kind_and_limits() {
    let secret = [("AUTH0_SECRET", "s3cret")];
    let text = format!("{PROVIDER}[providers.auth0-main.net]\ntotal_timeout = \"5s\"\nredirects = \"deny\"\n");
    let config = read(&text, &secret).unwrap();
    let (name, provider) = config.providers.iter().next().unwrap();
    assert_eq!((name.to_string(), provider.net.total_timeout), ("auth0-main".to_owned(), Duration::from_secs(5)));
    assert!(matches!(&provider.kind, Some(ProviderKind::Auth0(auth0)) if auth0.client_secret.reveal() == "s3cret"));
    assert!(!format!("{config:?}{}", config.listing()).contains("s3cret"));
    let again = read(&config.listing(), &secret).unwrap();
    assert_eq!(again.listing(), config.listing());
}

#[test]
fn what_is_wrong_with_a_provider_is_said_at_its_key() {
    let secret = [("AUTH0_SECRET", "s")];
    for (text, expected) in [
        ("[providers.\"a b\"]\nkind = \"auth0\"\n".to_owned(), "its name must be 1 to 64"),
        ("[providers.x]\nkind = \"okto\"\n".to_owned(), "providers.x.kind"),
        ("[providers.x]\nkind = \"auth0\"\n".to_owned(), "providers.x.client_secret_file: is missing"),
        (PROVIDER.replace("https", "http"), "providers.auth0-main.base_url: must begin with https://"),
        (
            format!("{PROVIDER}net = {{ total_timeout = \"1m\" }}\n"),
            "net.total_timeout: must be from \"10ms\" to \"30s\"",
        ),
        (format!("{PROVIDER}net = {{ redirects = \"follow\" }}\n"), "net.redirects: must be one of [\"deny\"]"),
    ] {
        let found = problems(&text, &secret);
        assert!(found.contains(expected), "{expected}: {found}");
    }
}

const NAVIGA: &str = r#"
    [[projects]]
    key = "one"
    [projects.naviga]
    client_group = "MG2GroupStripe"
    client = "DTI"
    paper = "MAA"
    jwt = { algorithm = "HS256", secret_env = "JWT" }
"#;

const JWT: &str = "0123456789abcdef0123456789abcdef-s3cret";

#[test]
fn a_naviga_tenant_reads_back_and_its_secret_is_not_listed() {
    let text = format!(
        "{NAVIGA}user_provider = \"auth0-main\"\nsource_systems = [\"ExternalSystem\"]\nkeep_local_hash = false\nseal_password = false\n\
         change_password_url = \"https://paper.example/password\"\nevent_ids = {{ authsystem_user_create = 4602 }}\n\
         old_event_codes = true\nauth_system = \"SSOR\"\nauth_system_id = 7\n{PROVIDER}"
    );
    let variables = [("JWT", JWT), ("AUTH0_SECRET", "s")];
    let config = read(&text, &variables).unwrap();
    let shown = format!("{config:?}{}", config.listing());
    assert!(!shown.contains("s3cret") && shown.contains("secret_env = \"JWT\""), "{shown}");
    assert_eq!(read(&config.listing(), &variables).unwrap().listing(), config.listing());
    let naviga = config.projects[0].naviga.as_ref().unwrap();
    assert_eq!(naviga.user_provider.as_ref().unwrap().to_string(), "auth0-main");
    assert_eq!(
        (naviga.jwt.algorithm, naviga.event_ids.authsystem_user_create),
        (Some(JwtAlgorithm::Hs256), Some(4602))
    );
    assert_eq!(
        (naviga.old_event_codes, naviga.auth_system, naviga.auth_system_id),
        (true, Some(AuthSystem::Ssor), Some(7))
    );
}

#[test]
fn a_tenant_has_no_password_rule_that_is_not_set() {
    let of = |text: &str| read(text, &[("JWT", JWT)]).unwrap().projects[0].naviga.as_ref().unwrap().password;
    assert_eq!(of(NAVIGA), PasswordRules::default());
    let text = format!("{NAVIGA}password = {{ chars_min = 8, complex = true, days_max = 90, history = 3 }}\n");
    assert_eq!(of(&text), PasswordRules { chars_min: Some(8), complex: true, days_max: Some(90), history: 3 });
}

#[test]
fn what_is_wrong_with_a_naviga_tenant_is_said_at_its_key() {
    let told = |from: &str, to: &str| {
        assert!(NAVIGA.contains(from), "{from}");
        problems(&NAVIGA.replace(from, to), &[("JWT", JWT), ("SHORT", "short")])
    };
    let jwt = "jwt = { algorithm = \"HS256\", secret_env = \"JWT\" }";
    for (from, to, expected) in [
        ("paper = \"MAA\"", "", "keyherald.toml:4: projects[0].naviga.paper: is missing"),
        (jwt, "", "projects[0].naviga.jwt.algorithm: is missing"),
        ("\"HS256\"", "\"none\"", "jwt.algorithm: must be one of [\"HS256\", \"RS256\", \"ES256\"], not \"none\""),
        ("\"HS256\"", "\"RS256\"", "jwt.secret_env: is for HS256 alone"),
        (", secret_env = \"JWT\"", "", "jwt.secret_file: is missing"),
        ("_env = \"JWT\"", "_env = \"SHORT\"", "jwt.secret_env: must have at least 32 bytes"),
        ("_env = \"JWT\"", " = \"abc\"", "jwt.secret: a secret does not stand in the configuration"),
        ("HS256\", secret_env = \"JWT\"", "ES256\"", "jwt.algorithm: needs a public key to check tokens with"),
        (
            "HS256\", secret_env = \"JWT\"",
            "ES256\", jwks_file = \"a\", public_key_file = \"b\"",
            "jwt.public_key_file: give only one of",
        ),
        ("secret_env = \"JWT\"", "secret_env = \"JWT\", jwks_file = \"a\"", "jwt.jwks_file: HS256 has a secret"),
        (
            "HS256\", secret_env = \"JWT\"",
            "RS256\", jwks_url = \"http://idp.example/keys\"",
            "jwt.jwks_url: must begin with https://",
        ),
        (
            "paper = ",
            "keep_local_hash = false\npaper = ",
            "keep_local_hash: without a provider the hash is the only one",
        ),
        ("paper = ", "password.chars_min = 0\npaper = ", "projects[0].naviga.password.chars_min: must be at least 1"),
        (
            "paper = ",
            "auth_system = \"SSOR\"\npaper = ",
            "projects[0].naviga.auth_system: without a provider users sign in here",
        ),
        (
            "paper = ",
            "password.complex = true\nuser_provider = \"auth0\"\npaper = ",
            "projects[0].naviga.password: the rules of a provider's passwords are its own",
        ),
        (
            "paper = ",
            "user_provider = \"auth0\"\npaper = ",
            "projects[0].naviga.user_provider: there is no [providers.auth0]\n  hint: describe it in a table [providers.auth0]",
        ),
    ] {
        let told = told(from, to);
        assert!(told.contains(expected), "{to}: {told}");
    }
}

#[test]
fn a_tenant_is_one_project() {
    let other = NAVIGA.replace("\"one\"", "\"two\"").replace("DTI", "dti");
    let told = problems(&format!("{NAVIGA}{other}"), &[("JWT", JWT)]);
    assert!(told.contains("projects[1].naviga: is the tenant of projects[0] too"), "{told}");
    let other = NAVIGA.replace("\"one\"", "\"two\"").replace("MAA", "TF");
    assert!(read(&format!("{NAVIGA}{other}"), &[("JWT", JWT)]).is_ok());
    let shop = "[[projects]]\nkey = \"users\"\n";
    let told = problems(&format!("{NAVIGA}{shop}"), &[("JWT", JWT)]);
    assert!(told.contains("projects[1].key: \"users\" is the beginning of paths of the Naviga API"), "{told}");
    assert!(read(shop, &[]).is_ok());
}

#[test]
fn a_lease_outlasts_two_attempts() {
    let lease = |text: &str| problems(&format!("[store]\nurl = \"postgres://db/kh\"\n{text}"), &[]);
    let told = lease("[node]\nlease = \"32s\"\n");
    assert!(told.contains("node.lease: must be more than 32 s: twice the longest time-out of a delivery"), "{told}");
    let told = lease("[delivery]\nattempt_timeout = \"20s\"\n");
    assert!(told.contains("node.lease: must be more than 42 s"), "{told}");
    // On SQLite there is nobody to lose it to.
    assert!(read("[delivery]\nattempt_timeout = \"5m\"\n", &[]).is_ok());
    let told = problems("[node]\nname = \"a b\"\nrole = \"both\"\n", &[]);
    assert!(told.contains("node.name: must be 1 to 100 of") && told.contains("node.role: must be one of"), "{told}");
}
