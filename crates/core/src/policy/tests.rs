//! The rules, one by one and on random passwords.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::create::tests::customer;
use crate::customer::{Customer, Profile};

static SHIPPED: LazyLock<Blocklist> = LazyLock::new(Blocklist::shipped);
static LINES: LazyLock<Vec<&'static str>> = LazyLock::new(|| include_str!("common.txt").lines().collect());

fn policy(min: u16, max: u16) -> Policy {
    Policy { form: Form::Text { min, max }, bytes_max: None, history: 0 }
}

fn broken_by(policy: Policy, text: &str) -> Vec<Broken> {
    check(policy, text, &About::default())
}

fn check(policy: Policy, text: &str, about: &About) -> Vec<Broken> {
    let password = Password::new(text.to_owned()).unwrap().nfc();
    policy.check(&password, &SHIPPED, about)
}

fn pin(text: &str) -> Vec<Broken> {
    broken_by(Policy { form: Form::Pin { digits: 6 }, bytes_max: None, history: 1 }, text)
}

fn anna() -> Customer {
    let profile = Profile {
        first_name: Some("Anna".to_owned()),
        last_name: Some("Schmidt-Weiß".to_owned()),
        date_of_birth: Some("1985-11-22".to_owned()),
        ..Profile::default()
    };
    Customer { email: "anna.s82@mail.example".to_owned(), profile, ..customer() }
}

fn about_anna() -> About {
    About::new(&"my-shop".parse().unwrap(), Some("Herald's Books"), Some(&anna()))
}

#[test]
fn length_is_counted_in_code_points() {
    let policy = policy(15, 128);
    assert_eq!(broken_by(policy, "blue teapot sky"), []);
    assert_eq!(broken_by(policy, "blue teapot sk"), [Broken::TooShort { min: 15 }]);
    assert_eq!(broken_by(policy, "шпорт върху лед"), []);
    assert_eq!(broken_by(policy, "🦔🦊🐻🐼🐨🐯🦁🐮🐷🐸🐵🐔🐧🐦🐤"), []);
    assert_eq!(broken_by(policy, &"blue teapot sky ".repeat(8)), []);
    let long = format!("{}!", "blue teapot sky ".repeat(8));
    assert_eq!(broken_by(policy, &long), [Broken::TooLong { max: 128 }]);
    assert_eq!(broken_by(policy, ""), [Broken::TooShort { min: 15 }]);
}

#[test]
fn length_is_counted_after_normalisation() {
    // Eight letters, each written as two code points.
    let decomposed = "e\u{301}a\u{300}o\u{302}u\u{308}i\u{301}n\u{303}e\u{300}a\u{308}";
    assert_eq!(broken_by(policy(9, 128), decomposed), [Broken::TooShort { min: 9 }]);
    assert_eq!(broken_by(policy(8, 64), decomposed), []);
}

#[test]
fn bytes_count_where_a_provider_cuts() {
    let policy = Policy { bytes_max: Some(72), ..policy(8, 128) };
    let sky = "синьото небе над чайника и още нещо"; // 35 letters, 64 bytes
    assert_eq!(broken_by(policy, sky), []);
    assert_eq!(broken_by(policy, &format!("{sky} тук да")), [Broken::TooManyBytes { max: 72 }]);
}

#[test]
fn what_is_far_too_long_is_not_looked_at() {
    let text = "a".repeat(Password::BYTES_MAX.min(INPUT_CHARACTERS_MAX + 1));
    let told = broken_by(policy(8, 128), &text);
    assert!(told.contains(&Broken::TooLong { max: 128 }), "{told:?}");
}

#[test]
fn common_passwords_are_refused_as_a_whole() {
    let policy = policy(8, 128);
    for common in
        ["password", "PassWord1", "qwertyuiop", "correct horse battery staple", "monkeymonkeymonkey", "iloveyou!"]
    {
        assert_eq!(broken_by(policy, common), [Broken::Common], "{common}");
    }
    for taken in ["my password is a blue teapot", "qwertyuiop on a rainy day"] {
        assert_eq!(broken_by(policy, taken), [], "{taken}");
    }
    let short = broken_by(Policy { form: Form::Text { min: 15, max: 128 }, ..policy }, "password");
    assert_eq!(short, [Broken::TooShort { min: 15 }, Broken::Common]);
}

#[test]
fn the_shipped_list_is_long_enough_for_both_minima() {
    let lines = &*LINES;
    let parsed = Blocklist::parse(include_str!("common.txt")).unwrap();
    assert_eq!(parsed.len(), lines.len(), "folded, each once");
    assert!(lines.is_sorted() && lines.iter().all(|line| SHIPPED.has(line)), "sorted, and folded already");
    for min in [Policy::SOLE_FACTOR_MIN, Policy::SECOND_FACTOR_MIN] {
        let fitting = lines.iter().filter(|line| line.chars().count() >= usize::from(min)).count();
        assert!(fitting >= 3000, "{fitting} of at least {min} characters"); // ASVS 6.2.4
    }
}

#[test]
fn a_list_of_ones_own_replaces_it() {
    let list = Blocklist::parse("\nBlue Teapot Sky\r\nзлатнатарибка\n").unwrap();
    let check = |text: &str| policy(8, 128).check(&Password::new(text.to_owned()).unwrap(), &list, &About::default());
    assert_eq!(check("blue teapot SKY"), [Broken::Common]);
    assert_eq!(check("Златна Тарибка"), [Broken::Common]);
    assert_eq!(check("iloveyou"), []);
    assert_eq!(Blocklist::parse("\n\n").err(), Some(NotAList::Empty));
    assert_eq!(Blocklist::parse(&format!("a\n{}", "x".repeat(1025))).err(), Some(NotAList::LongLine(2)));
}

#[test]
fn what_is_known_of_the_customer_is_no_password() {
    let about = about_anna();
    let personal = [
        "anna.s82@mail.example",
        "ANNA-SCHMIDT-WEIß-1985",
        "schmidt weiß 22.11.",
        "AnnaSchmidt!!!!",
        "myshopanna2026!",
        "ilove anna 1985",
        "19851122-anna.s82",
    ];
    for text in personal {
        assert_eq!(check(policy(8, 128), text, &about), [Broken::Personal], "{text}");
    }
    for service in ["my-shop-2026", "heraldsbooks1", "passwordmyshop"] {
        assert_eq!(check(policy(8, 128), service, &about), [Broken::ServiceName], "{service}");
    }
    for taken in ["anna likes blue teapots", "my shop around the corner", "anna 73915 82640 11975"] {
        assert_eq!(check(policy(8, 128), taken, &about), [], "{taken}");
    }
    let number = anna().number.to_string();
    assert_eq!(check(policy(8, 128), &number, &about), [Broken::Personal]);
    let mobile = about_anna().with("+359 88 123 4567");
    assert_eq!(check(policy(8, 128), "359881234567", &mobile), [Broken::Personal]);
}

#[test]
fn a_pin_is_digits_in_no_order() {
    assert_eq!(pin("739152"), []);
    for form in ["", "73915", "7391522", "73915a", "٧٣٩١٥٢", "739 52"] {
        assert_eq!(pin(form), [Broken::NotAPin { digits: 6 }], "{form}");
    }
    assert_eq!(pin("777777"), [Broken::SameDigits]);
    assert_eq!(pin("123456"), [Broken::DigitRun]);
    assert_eq!(pin("654321"), [Broken::DigitRun]);
    assert_eq!(pin("890123"), [], "the contract's rule counts by one, without a turn at nine");
}

#[test]
fn codes_are_stable_and_each_is_another() {
    let codes: std::collections::BTreeSet<&str> = Broken::ALL.into_iter().map(Broken::code).collect();
    assert_eq!(codes.len(), Broken::ALL.len());
    assert!(codes.contains("too_short") && codes.contains("reused"));
}

proptest! {
    /// Nothing that a person can type makes the check panic; length alone decides about lengths.
    #[test]
    fn any_text_is_judged(text in "\\PC{0,200}", min in 1_u16..40, max in 40_u16..256) {
        let policy = policy(min, max);
        let told = check(policy, &text, &about_anna());
        let length = text.nfc().count();
        prop_assert_eq!(told.contains(&Broken::TooShort { min }), length < usize::from(min));
        prop_assert_eq!(told.contains(&Broken::TooLong { max }), length > usize::from(max));
    }

    /// Both ways to write a letter are one password.
    #[test]
    fn decomposed_and_composed_are_judged_alike(text in "[éàöñжйğ ]{8,40}") {
        let decomposed: String = text.nfd().collect();
        let about = about_anna();
        prop_assert_eq!(check(policy(15, 128), &text, &about), check(policy(15, 128), &decomposed, &about));
    }

    /// Letter case, and signs between words, do not make a listed password another one; more words do.
    #[test]
    fn a_listed_password_stays_one(place in 0_usize..100_000, upper in any::<u64>()) {
        let line = LINES[place % LINES.len()];
        let varied: String = line
            .chars()
            .enumerate()
            .map(|(n, c)| if upper >> (n % 64) & 1 == 1 { c.to_ascii_uppercase() } else { c })
            .collect();
        let told = broken_by(policy(1, 128), &varied);
        prop_assert!(told == [Broken::Common] || told == [Broken::Predictable], "{varied}: {told:?}");
        let sentence = format!("{line} and three blue teapots");
        prop_assert_eq!(broken_by(policy(1, 128), &sentence), vec![]);
    }

    /// No composition rule hides anywhere: random letters of one case are as good as anything.
    #[test]
    fn random_letters_of_one_case_are_taken(text in "[a-z]{16,64}") {
        let told = broken_by(policy(15, 128), &text);
        prop_assert!(told.is_empty() || told == [Broken::Predictable], "{told:?}");
    }

    /// Of all PINs exactly those with one digit and the runs are refused.
    #[test]
    fn pins_are_refused_by_rule_alone(number in 0_u32..1_000_000) {
        let text = format!("{number:06}");
        let same = number % 111_111 == 0;
        let run = "0123456789".contains(&text) || "9876543210".contains(&text);
        prop_assert_eq!(!pin(&text).is_empty(), same || run, "{}", text);
    }

    /// A password is judged by what it is made of, wherever its owner's words stand in it.
    #[test]
    fn own_words_in_any_order_are_personal(order in prop::collection::vec(0_usize..4, 2..5), digits in "[0-9]{0,4}") {
        let words = ["anna", "schmidt", "weiß", "s82"];
        let text: String = order.into_iter().map(|n| words[n]).collect::<String>() + &digits;
        let told = check(policy(1, 128), &text, &about_anna());
        prop_assert!(told == [Broken::Personal] || told == [Broken::Predictable] || told == [Broken::Common], "{text}: {told:?}");
    }
}
