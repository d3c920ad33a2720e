//! Every scheme against published vectors, the ceilings, and strings that nobody made on purpose.

use proptest::prelude::*;

use super::scrypt::ScryptCost;
use super::*;
use crate::hash::argon2id::Cost;
use crate::hash::stored::Stored;

const KNOWN: &str = "correct horse battery staple";

/// `(password, hash)`, each from the place that is named above it.
const VECTORS: &[(&str, &str)] = &[
    // The reference implementation of Argon2, versions 1.0 and 1.3.
    ("password", "$argon2i$m=256,t=2,p=1$c29tZXNhbHQ$/U3YPXYsSb3q9XxHvc0MLxur+GP960kN9j7emXX8zwY"),
    ("password", "$argon2i$v=16$m=256,t=2,p=2$c29tZXNhbHQ$tsEVYKap1h6scGt5ovl9aLRGOqOth+AMB+KwHpDFZPs"),
    ("password", "$argon2i$v=19$m=256,t=2,p=2$c29tZXNhbHQ$T/XOJ2mh1/TIpJHfCdQan76Q5esCFVoT5MAeIM1Oq2E"),
    ("differentpassword", "$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$FK6NoBr+qHAMI1jc73xTWNkCEoK9iGY6RWL1n7dNIu4"),
    // bcrypt: OpenBSD by way of jBCrypt, crypt_blowfish (with what is cut off), and a salt of dots.
    ("", "$2a$06$DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkgY8jIucDrjc8deX1s."),
    ("a", "$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe"),
    ("U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
    (
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789chars after 72 are ignored",
        "$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui",
    ),
    (KNOWN, "$2b$10$......................vicDc9Z4ORMubWrVaJMicVy8brvECK."),
    (KNOWN, "$2y$10$......................vicDc9Z4ORMubWrVaJMicVy8brvECK."),
    // Django's wrapping of bcrypt, and LDAP's of anything.
    (KNOWN, "bcrypt$$2b$10$......................vicDc9Z4ORMubWrVaJMicVy8brvECK."),
    (KNOWN, "{CRYPT}$2b$10$......................vicDc9Z4ORMubWrVaJMicVy8brvECK."),
    // RFC 7914, 12.
    (
        "password",
        "$scrypt$ln=10,r=8,p=16$TmFDbA$/bq+HJ00cgB4VucZDQHp/nxq18vII3gw53N2Y0s3MWIurzDZLiKjiG/xCSedmDDaxyevuUqD7m2DYMvfoswGQA",
    ),
    (
        "pleaseletmein",
        "$scrypt$ln=14,r=8,p=1$U29kaXVtQ2hsb3JpZGU$cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofLVQylVYT8Pz2LUlwUkKpr55h6F3A1lHkDfzwF7RVdYhw",
    ),
    // crypt(3) and libsodium: the same password, salt and cost.
    ("pleaseletmein", "$7$C6..../....SodiumChloride$kBGj9fHznVYFQMEn/qDCfrDevf9YDtcDdKvEqHJLV8D"),
    // lambdaworks' scrypt for Java.
    ("secret", "$s0$e0801$epIxT/h6HbbwHaehFnh/bw==$7H0vsXlY8UxxyW/BWx/9GuY7jEvGjT71GFd6O4SZND0="),
    // firebase/scrypt, README.
    (
        "user1password",
        "$firescrypt$ln=14,r=8,p=1$42xEC+ixf3L2lw==$lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ==$Bw==$jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==",
    ),
    // RFC 6070 (SHA-1) and RFC 7914, 11 (SHA-256, two blocks).
    ("password", "$pbkdf2-sha1$i=4096,l=20$c2FsdA$SwB5AbdlSJq+rUnZJvch0GWkKcE"),
    ("password", "$pbkdf2$4096$c2FsdA$SwB5AbdlSJq.rUnZJvch0GWkKcE"),
    (
        "passwd",
        "$pbkdf2-sha256$i=1$c2FsdA$VawEblbjCJ/sFpHCJUS2BflBhSFt3gRl5oudV8INrLxJypzM8Xm2RZkWZLOdd+8xfHG4RbHjC9UJESBB06GXgw",
    ),
    // Django and passlib, as their documentation and hashcat's examples have them.
    ("hashcat", "pbkdf2_sha256$20000$H0dPx8NeajVu$GiC4k5kqbbR9qWBlsRgDywNqC2vd9kqfk7zdorEnNas="),
    ("password", "$pbkdf2-sha256$6400$.6UI/S.nXIk8jcbdHx3Fhg$98jZicV16ODfEsEZeYPGHU3kbrUrvUEXOPimVSQDD44"),
    (
        "hashcat",
        "$pbkdf2-sha512$25000$LyWE0HrP2RsjZCxlDGFMKQ$1vC5Ohk2mCS9b6akqsEfgeb4l74SF8XjH.SljXf3dMLHdlY1GK9ojcCKts6/asR4aPqBmk74nCDddU3tvSCJvw",
    ),
    // "Unix crypt using SHA-256 and SHA-512", the specification's own.
    ("Hello world!", "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"),
    ("Hello world!", "$5$rounds=10000$saltstringsaltst$3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA"),
    (
        "Hello world!",
        "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
    ),
    (
        "Hello world!",
        "$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v.",
    ),
    // Salted digests: hashcat's examples and passlib's documentation.
    ("hashcat", "{SSHA}AZKja92fbuuB9SpRlHqaoXxbTc43Mzc2MDM1Ng=="),
    ("hashcat", "{SSHA256}OZiz0cnQ5hgyel3Emh7NCbhBRCQ+HVBwYplQunHYnER7TLuV"),
    (
        "hashcat",
        "{SSHA512}ALtwKGBdRgD+U0fPAy31C28RyKYx7+a8kmfksccsOeLknLHv2DBXYI7TDnTolQMBuPkWDISgZr2cHfnNPFjGZTEyNDU4OTkw",
    ),
    ("password", "{SMD5}jNoSMNY0cybfuBWiaGlFw3Mfi/U="),
    // md5($pass.$salt) with the salt 7050461, and md5($salt.$pass) with 4225637426.
    ("hashcat", "$smd5$salt=suffix$NzA1MDQ2MQ$Ad+ubl1NkNmJJiIyWVmvvg"),
    ("hashcat", "$smd5$salt=prefix$NDIyNTYzNzQyNg$8P2lhjAxCm3ZGn2PCkztog"),
];

fn usual() -> Cost {
    Cost { memory_kib: 19456, passes: 2, lanes: 1 }
}

fn foreign(text: &str) -> Box<dyn Scheme> {
    match Stored::read(text, usual().ceiling()) {
        Ok(Stored::Foreign(hash)) => hash,
        Ok(Stored::Argon2id(_)) => panic!("{text}: one of ours"),
        Err(unusable) => panic!("{text}: {unusable}"),
    }
}

fn refusal(text: &str) -> UnusableHash {
    match Stored::read(text, usual().ceiling()) {
        Ok(_) => panic!("{text}: it was read"),
        Err(unusable) => unusable,
    }
}

#[test]
fn published_vectors_match_and_nothing_else_does() {
    for (password, text) in VECTORS {
        let hash = foreign(text);
        assert_eq!(verify(hash.as_ref(), b"wrong"), Ok(false), "{text}");
        let stored = foreign(&hash.write());
        assert_eq!(verify(stored.as_ref(), password.as_bytes()), Ok(true), "{text}");
    }
}

#[test]
fn what_is_stored_is_the_same_hash_in_one_form() {
    for (_, text) in VECTORS {
        let stored = foreign(text).write();
        assert!(stored.starts_with('$') && stored.len() <= 512, "{stored}");
        let again = foreign(&stored);
        assert_eq!(again.write(), stored);
    }
    // Different spellings of one hash are stored as one string.
    assert_eq!(
        foreign("pbkdf2_sha1$4096$salt$SwB5AbdlSJq+rUnZJvch0GWkKcE=").write(),
        foreign("$pbkdf2$4096$c2FsdA$SwB5AbdlSJq.rUnZJvch0GWkKcE").write()
    );
    assert_eq!(
        foreign("{SMD5}jNoSMNY0cybfuBWiaGlFw3Mfi/U=").write(),
        "$smd5$salt=suffix$cx+L9Q$jNoSMNY0cybfuBWiaGlFww"
    );
}

#[test]
fn an_argon2id_of_django_is_one_of_ours() {
    let ours = "$argon2id$v=19$m=19456,t=2,p=1$AQEBAQEBAQEBAQEBAQEBAQ$62QdG5Ru3xTGLX3KBXjk3JI2y0qvK/4QPpdRvIrGYkI";
    for text in [ours.to_owned(), format!("argon2{ours}")] {
        let stored = Stored::read(&text, usual().ceiling()).ok().unwrap();
        assert!(matches!(stored, Stored::Argon2id(_)));
        assert_eq!(stored.write(), ours);
    }
}

#[test]
fn argon2d_is_what_another_implementation_computes() {
    let params = argon2_rust::Params::builder()
        .memory(argon2_rust::params::Memory::kib(256))
        .passes(3)
        .lanes(2)
        .tag_len(argon2_rust::params::TagLen::bytes(32))
        .build()
        .unwrap();
    let mut tag = [0; 32];
    argon2_rust::Argon2::new(argon2_rust::Algorithm::Argon2d, argon2_rust::Version::V0x13, params)
        .hasher()
        .hash_into(KNOWN.as_bytes(), b"somesalt", &mut tag)
        .unwrap();
    let hash = foreign(&format!("$argon2d$v=19$m=256,t=3,p=2$c29tZXNhbHQ${}", text::base64(&tag)));
    assert_eq!(verify(hash.as_ref(), KNOWN.as_bytes()), Ok(true));
}

#[test]
fn the_functions_are_right_beyond_the_ceilings_too() {
    let mut key = [0; 32];
    let cost = ScryptCost::new(17, 8, 1).unwrap();
    cost.derive(KNOWN.as_bytes(), &[1; 16], &mut key).unwrap();
    assert_eq!(text::base64(&key), "IAjrhYjorM6Ch7ipEnduZQY7PZkGTi+GhYJ2HhKCcdc");
    let pbkdf2 =
        foreign("$pbkdf2-sha256$i=600000,l=32$AQEBAQEBAQEBAQEBAQEBAQ$/mM53S0u71ahrkl7KznOjgGitOMCY3njRcgv3Cka6Go");
    assert_eq!(pbkdf2.matches(KNOWN.as_bytes()), Ok(true));
}

#[test]
fn a_cost_above_the_ceiling_is_refused_with_what_it_would_take() {
    let salt_and_tag = "AQEBAQEBAQEBAQEBAQEBAQ$IAjrhYjorM6Ch7ipEnduZQY7PZkGTi+GhYJ2HhKCcdc";
    for (text, says) in [
        (format!("$scrypt$ln=17,r=8,p=1${salt_and_tag}"), "128 MiB of memory to verify, the limit is 64 MiB"),
        (format!("$scrypt$ln=16,r=8,p=8${salt_and_tag}"), "this scrypt hash takes about 1510 ms"),
        (format!("$argon2i$v=19$m=1048576,t=1,p=1${salt_and_tag}"), "1024 MiB"),
        (format!("$argon2id$v=19$m=1048576,t=1,p=1${salt_and_tag}"), "1024 MiB"),
        (format!("$argon2d$v=19$m=65536,t=4000000000,p=1${salt_and_tag}"), "limit is about 1000 ms"),
        (format!("$pbkdf2-sha256$i=4000000000${salt_and_tag}"), "limit is about 1000 ms"),
        ("$2b$15$......................vicDc9Z4ORMubWrVaJMicVy8brvECK.".to_owned(), "takes about 1967 ms"),
        ("$5$rounds=999999999$a$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5".to_owned(), "limit is about 1000 ms"),
    ] {
        let told = refusal(&text).to_string();
        assert!(told.contains(says), "{text}: {told}");
    }
    // What is in wide use is within it.
    for text in [
        format!("$scrypt$ln=16,r=8,p=2${salt_and_tag}"),
        format!("$scrypt$ln=13,r=8,p=10${salt_and_tag}"),
        format!("$argon2i$v=19$m=65536,t=4,p=1${salt_and_tag}"),
        format!("$pbkdf2-sha1$i=1300000${}", "AQEBAQEBAQEBAQEBAQEBAQ$SwB5AbdlSJq+rUnZJvch0GWkKcE"),
        format!("$pbkdf2-sha256$i=1200000${salt_and_tag}"),
        format!("$pbkdf2-sha512$i=600000${salt_and_tag}"),
        "$2b$14$......................vicDc9Z4ORMubWrVaJMicVy8brvECK.".to_owned(),
        "$5$rounds=656000$a$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5".to_owned(),
    ] {
        assert!(Stored::read(&text, usual().ceiling()).is_ok(), "{text}: {}", refusal(&text));
    }
}

#[test]
fn a_long_password_does_not_make_a_dear_hash_dearer() {
    let hash = foreign("$5$rounds=656000$a$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5");
    assert!(!hash.effort(1024).is_affordable());
    assert_eq!(verify(hash.as_ref(), &[b'a'; 1024]), Ok(false));
    for (_, text) in VECTORS {
        assert!(foreign(text).effort(1024).is_affordable(), "{text}");
    }
}

#[test]
fn broken_strings_are_refused_with_their_scheme() {
    for (text, scheme) in [
        ("$2b$10$......................vicDc9Z4ORMubWrVaJMicVy8brvECK", "bcrypt"),
        ("$2b$+9$......................vicDc9Z4ORMubWrVaJMicVy8brvECK.", "bcrypt"),
        ("$2b$03$......................vicDc9Z4ORMubWrVaJMicVy8brvECK.", "bcrypt"),
        ("$2b$10$\u{e9}....................vicDc9Z4ORMubWrVaJMicVy8brvECK.", "bcrypt"),
        ("$argon2i$v=17$m=256,t=2,p=2$c29tZXNhbHQ$T/XOJ2mh1/TIpJHfCdQan76Q5esCFVoT5MAeIM1Oq2E", "Argon2"),
        ("$argon2i$v=19$m=256,t=2,p=2$c29tZXNhbHQ$T/XOJ2mh1", "Argon2"),
        ("$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$", "Argon2id"),
        ("$scrypt$ln=14,r=0,p=1$c2FsdA$SwB5AbdlSJq+rUnZJvch0GWkKcE", "scrypt"),
        ("$scrypt$ln=14,r=8$c2FsdA$SwB5AbdlSJq+rUnZJvch0GWkKcE", "scrypt"),
        ("$s0$zzz$c2FsdA$SwB5AbdlSJq+rUnZJvch0GWkKcE", "scrypt"),
        ("$7$C6..", "scrypt"),
        ("$firescrypt$ln=14,r=8,p=1$c2FsdA$SwB5AbdlSJq+rUnZJvch0GWkKcE$Bw$AAAA", "Firebase scrypt"),
        ("$pbkdf2-sha256$i=0$c2FsdA$SwB5AbdlSJq+rUnZJvch0GWkKcE", "PBKDF2"),
        ("$pbkdf2-md5$i=1000$c2FsdA$SwB5AbdlSJq+rUnZJvch0GWkKcE", "PBKDF2"),
        ("$pbkdf2-sha1$i=4096,l=32$c2FsdA$SwB5AbdlSJq+rUnZJvch0GWkKcE", "PBKDF2"),
        ("$5$rounds=999$a$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5", "SHA-crypt"),
        ("$5$saltstringsaltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5", "SHA-crypt"),
        ("$6$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5", "SHA-crypt"),
        ("{SSHA}AZKja92fbuuB9SpRlHqaoXxbTc4=", "salted digest"),
        ("{SSHA384}AZKja92fbuuB9SpRlHqaoXxbTc43Mzc2MDM1Ng==", "salted digest"),
        ("$ssha1$salt=middle$c2FsdA$SwB5AbdlSJq+rUnZJvch0GWkKcE", "salted digest"),
    ] {
        assert!(refusal(text).to_string().starts_with(&format!("not a {scheme} hash: ")), "{text}: {}", refusal(text));
    }
    for text in ["", "plain text", "$1$a$b", "$2x$10$", "{SHA}VBPuJHI7uixaa6LQGWx4s+5GKNE=", "{CRYPT}ab", "argon2"] {
        assert_eq!(refusal(text), UnusableHash::UnknownScheme, "{text}");
    }
}

/// Strings that begin like a hash and go on with the characters that hashes are made of.
fn nearly_a_hash() -> impl Strategy<Value = String> {
    let beginnings: Vec<&str> = READERS.iter().flat_map(|(prefixes, ..)| prefixes.iter().copied()).collect();
    (prop::sample::select(beginnings), "[$=,.0-9a-zA-Z/+{}-]{0,80}").prop_map(|(begin, rest)| begin.to_owned() + &rest)
}

/// A vector with some of its characters replaced.
fn spoilt_hash() -> impl Strategy<Value = String> {
    let spoil = prop::collection::vec((any::<prop::sample::Index>(), prop::char::range('!', '~')), 1..4);
    (prop::sample::select(VECTORS), spoil).prop_map(|((_, text), places)| {
        let mut characters: Vec<char> = text.chars().collect();
        for (place, character) in places {
            *place.get_mut(&mut characters) = character;
        }
        characters.into_iter().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Nothing panics, and what is read can be paid for, stored, and read again as the same.
    #[test]
    fn any_string_is_refused_or_affordable(text in prop_oneof![any::<String>(), nearly_a_hash(), spoilt_hash()]) {
        if let Ok(stored) = Stored::read(&text, usual().ceiling()) {
            if let Stored::Foreign(hash) = &stored {
                prop_assert!(hash.effort(USUAL_PASSWORD_BYTES).is_affordable());
            }
            let written = stored.write();
            let again = Stored::read(&written, usual().ceiling()).ok().map(|again| again.write());
            prop_assert_eq!(again, Some(written));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is read is computed without a panic, for any password. Dear ones are left out: they take their second.
    #[test]
    fn any_hash_that_is_read_can_be_verified(text in spoilt_hash(), password in prop::collection::vec(any::<u8>(), 0..1024)) {
        if let Ok(Stored::Foreign(hash)) = Stored::read(&text, usual().ceiling())
            && hash.effort(password.len()).micros < 20_000
        {
            prop_assert!(verify(hash.as_ref(), &password).is_ok());
        }
    }
}
