//! Every mail in every language, and what hostile values do to them: nothing.

use keyherald_core::Micros;
use keyherald_core::mail::{Carries, Letter, MailKind, Recipient};

use super::templates::{Sender, Templates, Written};

const SECRET: &str = "aB3-_xYz0123456789aB3-_xYz0123456789aB3-";
const LANGUAGES: [&str; 5] = ["bg", "de", "en", "es", "fr"];

fn sender() -> Sender {
    let link = |page: &str| format!("https://shop.example/{page}?a=1&b=2#token={{token}}").parse().unwrap();
    let linked = MailKind::ALL.into_iter().filter(|kind| kind.carries() == Carries::Link);
    Sender {
        name: "Böll & Söhne <Shop>".to_owned(),
        contact: Some("help@shop.example".to_owned()),
        locale: None,
        links: linked.map(|kind| (kind, link(kind.as_str()))).collect(),
    }
}

fn letter(kind: MailKind, locale: Option<&str>, name: Option<&str>) -> Letter {
    let at = Micros::parse_iso("2026-11-01T09:05:59.999Z").unwrap();
    let secret = (kind.carries() != Carries::Nothing).then(|| SECRET.to_owned());
    Letter {
        kind,
        to: Recipient {
            mobile: None,
            email: "jo@example.com".into(),
            name: name.map(str::to_owned),
            locale: locale.map(str::to_owned),
        },
        recovers: false,
        new_email: None,
        at,
        until: secret.as_ref().map(|_| at.plus(Micros::DAY)),
        secret,
        page: None,
    }
}

fn written(letter: &Letter) -> Written {
    Templates::built_in().unwrap().write(letter, &sender()).unwrap()
}

/// What a reader sees of the body of the HTML: no tags, no entities.
fn seen(html: &str) -> String {
    let body = html.split_once("<body>").unwrap().1;
    let mut text = String::new();
    let mut in_tag = false;
    for character in body.chars() {
        match character {
            '<' => in_tag = true,
            '>' => in_tag = false,
            _ if !in_tag => text.push(character),
            _ => {}
        }
    }
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#x27;", "'"), ("&#x2f;", "/"), ("&amp;", "&")];
    entities.iter().fold(text, |text, (entity, character)| text.replace(entity, character))
}

fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn every_mail_in_every_language_says_all_of_it_twice() {
    let templates = Templates::built_in().unwrap();
    assert_eq!(templates.languages().collect::<Vec<_>>(), LANGUAGES);
    for language in LANGUAGES {
        for kind in MailKind::ALL {
            let mail = templates.write(&letter(kind, Some(language), Some("Анна O’Neil")), &sender()).unwrap();
            let what = format!("{language} {kind:?}: {} {}", mail.text, mail.html);
            let html = seen(&mail.html);
            assert_eq!(mail.language, language);
            assert!(mail.html.contains(&format!("<html lang=\"{language}\">")), "{what}");
            for part in [&mail.text, &html] {
                assert!(part.contains("Анна O’Neil") && part.contains("Böll & Söhne <Shop>"), "{what}");
                // What happened, or until when: the day is the first of a month, the second of it, and in Sofia as well.
                assert!(part.contains("2026") && part.contains("09") && part.contains("05"), "{what}");
                assert!(part.contains("UTC"), "{what}");
                assert_eq!(part.contains("help@shop.example"), kind.carries() == Carries::Nothing, "{what}");
                match kind.carries() {
                    Carries::Nothing => assert!(!part.contains("https://"), "{what}"),
                    Carries::Code => assert!(part.contains(SECRET), "{what}"),
                    Carries::Link => {
                        let link = format!("https://shop.example/{}?a=1&b=2#token={SECRET}", kind.as_str());
                        assert!(part.contains(&link), "{what}");
                    }
                }
            }
            for part in [&mail.subject, &mail.text, &html] {
                assert!(
                    !["{{", "}}", "{%", "%}", "none", "undefined"].iter().any(|left| part.contains(left)),
                    "{what}"
                );
            }
            // The text has nothing that the HTML leaves out.
            for paragraph in mail.text.split("\n\n").map(squeezed) {
                assert!(squeezed(&html).contains(&paragraph), "{paragraph}: {what}");
            }
            assert!(!mail.html.contains("<img") && !mail.html.contains("http://"), "{what}");
            assert!(!mail.subject.contains(SECRET) && mail.subject.chars().count() <= 60, "{what}");
        }
    }
}

#[test]
fn a_code_comes_with_a_link_where_there_is_a_page_for_it() {
    let templates = Templates::built_in().unwrap();
    for language in LANGUAGES {
        let page = "https://paper.example/done?email=jo%40example.com&verificationCode={token}".parse().ok();
        let letter = Letter { page, ..letter(MailKind::VerificationCode, Some(language), None) };
        let mail = templates.write(&letter, &sender()).unwrap();
        let (link, html) = (format!("?email=jo%40example.com&verificationCode={SECRET}"), seen(&mail.html));
        for part in [&mail.text, &html] {
            assert!(part.contains(&format!("https://paper.example/done{link}")), "{language}: {part}");
            // The code by itself, too, for those who type it.
            assert!(part.lines().any(|line| line.trim() == SECRET), "{language}: {part}");
        }
        for paragraph in mail.text.split("\n\n").map(squeezed) {
            assert!(squeezed(&html).contains(&paragraph), "{paragraph}: {html}");
        }
        assert!(mail.html.contains("class=\"action\""), "{language}");
    }
}

#[test]
fn a_code_for_a_forgotten_password_says_so_and_until_when() {
    let mut subjects = Vec::new();
    for language in LANGUAGES {
        let other = letter(MailKind::VerificationCode, Some(language), None);
        let recovers = Letter { recovers: true, ..other.clone() };
        let (other, recovers) = (written(&other), written(&recovers));
        assert!(["2026", "09", "05"].iter().all(|part| recovers.text.contains(part)), "{}", recovers.text);
        assert!(recovers.text.contains(SECRET) && recovers.text.contains("Böll & Söhne <Shop>"), "{}", recovers.text);
        let of_other: Vec<&str> = other.text.split("\n\n").collect();
        let own = recovers.text.split("\n\n").filter(|paragraph| !of_other.contains(paragraph)).count();
        assert_eq!(own, 2, "what it is for, and what to do if it was somebody else: {}", recovers.text);
        subjects.extend([other.subject, recovers.subject]);
    }
    subjects.sort();
    subjects.dedup();
    assert_eq!(subjects.len(), 2 * LANGUAGES.len(), "{subjects:?}");
}

#[test]
fn languages_are_languages_of_their_own() {
    let templates = Templates::built_in().unwrap();
    for kind in MailKind::ALL {
        let of = |language| templates.write(&letter(kind, Some(language), None), &sender()).unwrap();
        let mut subjects: Vec<String> = LANGUAGES.map(|language| of(language).subject).to_vec();
        subjects.sort();
        subjects.dedup();
        assert_eq!(subjects.len(), LANGUAGES.len(), "{kind:?}: {subjects:?}");
    }
}

#[test]
fn one_mail_in_full() {
    let mail = written(&letter(MailKind::ResetPassword, Some("de-AT"), Some("Jo")));
    assert_eq!(mail.subject, "Wählen Sie ein neues Passwort");
    assert_eq!(
        mail.text,
        format!(
            "Guten Tag Jo,\n\n\
             Für Ihr Konto bei Böll & Söhne <Shop> wurde ein neues Passwort angefordert, wahrscheinlich von Ihnen. Über \
             diesen Link können Sie es wählen:\n\n\
             https://shop.example/reset_password?a=1&b=2#token={SECRET}\n\n\
             Der Link funktioniert nur einmal und bis zum 2. November 2026, 09:05 Uhr (UTC).\n\n\
             Wenn Sie das nicht angefordert haben, können Sie diese E-Mail ignorieren: Ihr Passwort bleibt, wie es ist. \
             Geben Sie den Link an niemanden weiter.\n\n\
             Böll & Söhne <Shop>\n"
        )
    );
    let french = written(&letter(MailKind::PasswordChanged, Some("fr"), None));
    assert!(french.text.starts_with("Bonjour,\n"), "{}", french.text);
    assert!(french.text.contains("le 1er novembre 2026 à 09\u{a0}h\u{a0}05 (UTC)."), "{}", french.text);
}

#[test]
fn the_language_is_the_customers_or_the_projects_or_english() {
    let templates = Templates::built_in().unwrap();
    let language = |customer: Option<&str>, project: Option<&str>| {
        let sender = Sender { locale: project.map(str::to_owned), ..sender() };
        templates.write(&letter(MailKind::PasswordChanged, customer, None), &sender).unwrap().language
    };
    for (customer, project, expected) in [
        (Some("de"), Some("fr"), "de"),
        (Some("de-CH"), None, "de"),
        (Some("zh-Hans-CN"), Some("bg-BG"), "bg"),
        (Some("ES_mx"), None, "es"),
        (None, Some("fr"), "fr"),
        (None, None, "en"),
        (Some("../../etc"), Some(""), "en"),
    ] {
        assert_eq!(language(customer, project), expected, "{customer:?} {project:?}");
    }
}

#[test]
fn hostile_names_and_codes_stay_words() {
    let hostile = [
        "<script>alert(1)</script>",
        "Jo\r\nBcc: all@example.com\r\n\r\nHello",
        "\u{202e}moc.live",
        "{{ sender }}{% include 'layout.html' %}",
        "\"onmouseover=\"x",
        "http://evil.example/click",
        &"long ".repeat(10_000),
        "\u{0}\u{7}\u{1b}[31m",
    ];
    for name in hostile {
        for kind in MailKind::ALL {
            let letter = Letter {
                secret: (kind.carries() != Carries::Nothing).then(|| name.to_owned()),
                ..letter(kind, Some("en"), Some(name))
            };
            let mail = written(&letter);
            let plain = written(&Letter { secret: letter.secret.as_ref().map(|_| SECRET.into()), ..letter.clone() });
            let tags = |html: &str| html.matches('<').count();
            assert_eq!(tags(&mail.html), tags(&plain.html), "{name:?} {}", mail.html);
            for part in [&mail.subject, &mail.text, &mail.html] {
                let bad = |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c);
                assert!(!part.contains(bad), "{name:?} {part}");
            }
            assert!(!mail.html.contains("<script"), "{name:?} {}", mail.html);
            // A code is ours, and text is no markup: only what it is shown in must hold.
            if kind.carries() != Carries::Code {
                assert!(!mail.text.contains("<script") && !mail.text.contains("evil.example/"), "{}", mail.text);
            }
            assert!(!mail.subject.contains('\n'));
            assert!(!mail.text.lines().any(|line| line.starts_with("Bcc:")), "{}", mail.text);
            assert!(mail.text.len() < 200_000);
        }
    }
}

#[test]
fn an_operators_files_take_the_place_of_ours_and_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let load = || Templates::load(Some(folder.path()));
    let problems = || load().err().unwrap_or_default().join("\n");

    put("layout.txt", "{{ greeting }}|{% for line in lines %}{{ line }}|{% endfor %}{{ link }}{{ code }}");
    let italian = include_str!("locales/en.toml").replace("Hello", "Ciao");
    put("it.toml", &italian);
    let mail = load().unwrap().write(&letter(MailKind::VerifyEmail, Some("it-IT"), Some("Jo")), &sender()).unwrap();
    assert!(mail.text.starts_with("Ciao Jo,|") && mail.html.contains("Ciao Jo,"), "{}", mail.text);

    put("it.toml", &italian.replace("{{ until }}", "{{ untill }}"));
    assert!(problems().contains("it.toml: reset_password"), "{}", problems());
    put("it.toml", &italian.replace("[mails.welcome]", "[mails.farewell]"));
    assert!(problems().contains("it.toml: "), "{}", problems());
    put("it.toml", &italian.replace("{{ sender }}", "{{ sender }"));
    assert!(problems().contains("it.toml: "), "{}", problems());
    put("it.toml", &italian);
    put("layout.html", "<html><body>{{ greeting }}</body></html>");
    assert!(problems().contains("its HTML leaves out the link or code"), "{}", problems());
    put("layout.html", "{% for %}");
    assert!(problems().contains("layout.html"), "{}", problems());
    std::fs::remove_file(folder.path().join("layout.html")).unwrap();
    put("readme.md", "");
    assert!(problems().contains("readme.md is no template"), "{}", problems());
}
