//! The breach check over real HTTP: what it tells, what it believes, and what becomes of a password without an answer.

use std::time::Duration;

use keyherald::breach::{Check, ServiceSettings, Settings};
use keyherald_core::policy::Broken;
use keyherald_core::secret::Password;
use keyherald_store::testing::block_on;

use crate::http_double::{HttpDouble, Says};

/// SHA-1 of `password` is 5BAA6 and this.
const SUFFIX: &str = "1E4C9B93F3F0682250B6CF8331B7EE68FD8";

fn password(text: &str) -> Password {
    Password::new(text.to_owned()).ok().unwrap()
}

/// What the service says: the suffix among others, with lines of padding.
fn lines(count: u64) -> String {
    let others = (0..900).map(|n| format!("{n:035X}:{}", if n % 3 == 0 { 0 } else { n }));
    let ours = [format!("{SUFFIX}:{count}")];
    others.chain(ours).collect::<Vec<_>>().join("\r\n")
}

fn answer(count: u64) -> Says {
    Says::Answer(200, "content-type: text/plain\r\n", lines(count))
}

fn check(double: &HttpDouble, is_required: bool, count_min: u32) -> Check {
    let url = double.url.clone();
    let settings = ServiceSettings { url, timeout: Duration::from_millis(400), allow_private: false };
    Check::new(Settings::Service(settings), is_required, count_min).unwrap()
}

async fn told(check: &Check, text: &str) -> Option<Broken> {
    check.broken_by(&password(text).nfc(), &password(text)).await
}

#[test]
fn five_digits_are_told_and_padding_is_asked_for() {
    block_on(async {
        let double = HttpDouble::start(answer(3_861_493)).await;
        let check = check(&double, false, 1);
        assert_eq!(told(&check, "password").await, Some(Broken::Breached));
        let got = double.got();
        assert_eq!(got.len(), 1);
        let request = &got[0];
        assert_eq!(request.line, "GET /range/5BAA6");
        assert_eq!(request.header("add-padding"), Some("true"));
        assert!(request.header("user-agent").unwrap().starts_with("Keyherald/"));
        assert!(request.body.is_empty() && !format!("{request:?}").contains(SUFFIX));
        // Another prefix: its suffix is not in the answer.
        assert_eq!(told(&check, "four blue teapots in the sky").await, None);
    });
}

#[test]
fn padding_and_rare_passwords_do_not_count() {
    block_on(async {
        let double = HttpDouble::start(answer(0)).await;
        assert_eq!(told(&check(&double, true, 1), "password").await, None);
        double.next([answer(9), answer(10)]);
        let check = check(&double, true, 10);
        assert_eq!(told(&check, "password").await, None);
        assert_eq!(told(&check, "password").await, Some(Broken::Breached));
    });
}

#[test]
fn a_password_is_looked_for_as_it_was_typed_too() {
    block_on(async {
        let double = HttpDouble::start(answer(0)).await;
        let check = check(&double, false, 1);
        assert_eq!(told(&check, "cafe\u{301} cre\u{300}me").await, None);
        let lines: Vec<String> = double.got().into_iter().map(|got| got.line).collect();
        assert!(lines.len() == 2 && lines[0] != lines[1], "{lines:?}");
        assert_eq!(told(&check, "caf\u{e9} cr\u{e8}me").await, None);
        assert_eq!(double.got()[2].line, lines[0], "one password in normal form");
    });
}

#[test]
fn one_fault_is_outlived_by_a_second_try() {
    block_on(async {
        let double = HttpDouble::start(answer(5)).await;
        for fault in [
            Says::Answer(500, "", String::new()),
            Says::Answer(503, "retry-after: 120\r\n", String::new()),
            Says::Cut(lines(5), 1000),
            Says::Silence,
        ] {
            let before = double.got().len();
            double.next([fault.clone()]);
            assert_eq!(told(&check(&double, false, 1), "password").await, Some(Broken::Breached), "{fault:?}");
            assert_eq!(double.got().len(), before + 2, "{fault:?}");
        }
    });
}

#[test]
fn without_an_answer_it_fails_as_the_project_wants_it() {
    block_on(async {
        let double = HttpDouble::start(answer(5)).await;
        let page = Says::Answer(200, "", "<html>Please sign in to this network</html>".to_owned());
        for (fault, tries) in [
            (Says::Answer(500, "", String::new()), 2),
            (Says::Silence, 2),
            (Says::Cut(lines(5), 1000), 2),
            (Says::Answer(429, "", String::new()), 1),
            (Says::Answer(302, "location: https://elsewhere.example/\r\n", String::new()), 1),
            (Says::Answer(200, "", String::new()), 1),
            (Says::Answer(200, "", "x".repeat(2 * 1024 * 1024)), 1),
            (page, 1),
        ] {
            for (is_required, expected) in [(false, None), (true, Some(Broken::NotChecked))] {
                let before = double.got().len();
                double.next(vec![fault.clone(); tries]);
                assert_eq!(told(&check(&double, is_required, 1), "password").await, expected, "{fault:?}");
                assert_eq!(double.got().len(), before + tries, "{fault:?}");
            }
        }
        let nobody = ServiceSettings {
            url: "http://127.0.0.1:1".parse().unwrap(),
            timeout: Duration::from_millis(400),
            allow_private: false,
        };
        let check = Check::new(Settings::Service(nobody), true, 1).unwrap();
        assert_eq!(told(&check, "password").await, Some(Broken::NotChecked));
    });
}

#[test]
fn a_copy_is_asked_without_any_network() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pwned.txt");
        let around = ["0000000000000000000000000000000000000001:3", "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF:1"];
        std::fs::write(&file, format!("{}\r\n5BAA6{SUFFIX}:3861493\r\n{}\r\n", around[0], around[1])).unwrap();
        let of_file = Check::new(Settings::Copy(file), true, 1).unwrap();
        let prefixes = folder.path().join("prefixes");
        std::fs::create_dir(&prefixes).unwrap();
        std::fs::write(prefixes.join("00000.txt"), "").unwrap();
        std::fs::write(prefixes.join("5BAA6.txt"), lines(7)).unwrap();
        let of_folder = Check::new(Settings::Copy(prefixes), true, 1).unwrap();
        for check in [&of_file, &of_folder] {
            assert_eq!(told(check, "password").await, Some(Broken::Breached));
        }
        assert_eq!(told(&of_file, "four blue teapots in the sky").await, None);
        assert_eq!(
            told(&of_folder, "four blue teapots in the sky").await,
            Some(Broken::NotChecked),
            "a file is missing"
        );
        assert!(Check::new(Settings::Copy(folder.path().join("nothing")), true, 1).is_err());
    });
}
