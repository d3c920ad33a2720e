//! `cargo xtask blocklist`: makes the list of common passwords that comes with the server.
//!
//! The list is ours: made of what everybody knows about passwords, and of nobody's leaked ones. People take a word, a name
//! or a row of the keyboard, say it twice when it is too short, and put a year or `123` behind it. These are such words in
//! the languages of our mails, and these habits. Run it again after changing them; a test holds the file to this program.

use std::collections::BTreeSet;
use std::process::ExitCode;

use crate::{Result, root};

/// Where the list lies.
const FILE: &str = "crates/core/src/policy/common.txt";
/// Shortest password that is of use in it: no policy takes a shorter one.
const CHARACTERS_MIN: usize = 8;
/// From here on a password fits where it is the only thing that is asked for.
const LONG_MIN: usize = 15;
/// Longest one: what is longer than that, nobody types.
const CHARACTERS_MAX: usize = 40;

/// What passwords are made of most of all.
const FAVOURITES: &str = "
    password passwort passw0rd p@ssword p@ssw0rd motdepasse contraseña contrasena parola парола qwerty qwertz azerty
    qwertyuiop asdfgh asdfghjkl iloveyou letmein welcome admin login secret geheim hallo hello bonjour hola dragon
    monkey football baseball sunshine princess superman batman master shadow soccer charlie abc123 changeme default
    internet computer samsung pokemon starwars whatever trustno1 123456 123456789 12345678 1q2w3e4r 1qaz2wsx";

/// Other words that are passwords, in the languages of our mails.
const WORDS: &str = "
    administrator adventure alexander amsterdam angel apple august australia autumn banana barcelona basketball
    beautiful berlin birthday blink182 brooklyn bulgaria butterfly california cheese chelsea chicken chocolate
    christmas coffee cookie cowboy december diamond dolphin eagle elephant england ferrari flower forever france
    freedom friends gandalf garfield germany ginger goodluck google guitar hamburg hannover harley heaven hockey
    honey hunter india jesus juventus killer kitty liverpool london loveyou lovely lucky madrid magic manchester
    matrix mercedes minecraft money mother mustang naruto ninja november october orange paris passion peaches peanut
    pepper phoenix pizza purple rainbow ranger september silver snoopy sofia spiderman spring startrek summer
    superstar sweety test thunder tiger toyota united universe victory vienna winter wizard yellow zaq12wsx access
    qazwsx asdf zxcvbnm yxcvbnm server system user guest temp office company customer account mypassword schatz
    liebe ichliebedich fussball sommer herbst frühling schalke04 bayern borussia deutschland österreich schweiz
    blume engel sonne sonnenschein schokolade prinzessin hallo123 willkommen kennwort standard passwort1 katze hund
    pferd mausi schnecke wasser kaffee jetaime amour doudou soleil chouchou marseille loulou bonheur chocolat coucou
    princesse papillon vacances toulouse lapin moncoeur bienvenue secretaire bisous camille teamo tequiero amorcito
    mariposa estrella realmadrid futbol corazon bonita hermosa sevilla valencia mexico colombia argentina clave
    bienvenido hola123 princesa chocolate1 teamomucho obicham obichamte обичамте levski cska sofia1 slance слънце
    zdravei здравей bulgaria1 българия varna plovdiv mamka lubov любов ivanivanov lozenec kotka";

/// First names that people take: their own, their children's.
const NAMES: &str = "
    adam adrian alejandro alex alexandra alice amanda andrea andrew angela anna anthony antonio ashley barbara
    benjamin brandon carlos carmen caroline christian christine claudia daniel daniela david diana dimitar eduardo
    elena elizabeth emily emma fernando florian francisco gabriel georgi george hannah ivan jackson jasmine jennifer
    jessica jordan joshua julia julian justin katrin kevin laura lauren leon lisa lucas manuel maria marie marko
    martin matthew maximilian melissa michael michelle monika nadia natalie nicolas nicole nikolay oliver olivia
    pablo patrick petar petra philipp pierre rachel rebecca richard robert samantha sandra sarah sebastian simon
    sophie stefan stephanie susanne theresa thomas tobias todor vanessa victoria viktor vladimir william yordan zoe";

/// What stands behind, or before, when a rule asks for digits or signs, or when the word was too short.
const ENDINGS: &str = "
    1 2 7 11 12 13 21 22 23 69 77 88 99 00 007 123 321 111 666 777 1234 4321 12345 54321 123456 654321 1234567
    12345678 123456789 1234567890 0123456789 ! !! 1! 12! 123! 1234! @123 @1234 #1 123456! 123123 112233 abc abc123
    qwerty";

/// Whole passwords that everybody has heard of.
const PHRASES: &str = "
    abrakadabra adminadminadmin allyouneedislove anotherbrickinthewall correcthorsebatterystaple cestlavie
    dontstopmenow dontworrybehappy einsteinmc2 esistwieesist forgotmypassword goodmorningsunshine gutenmorgen
    hakunamatata happybirthdaytoyou harrypotter hastalavista hastalavistababy hellokitty helloworldhelloworld
    houstonwehaveaproblem icecream ichbineinberliner ichliebedichueberalles ihateyou ilovemydog ilovemyfamily
    ilovemyhusband ilovemymother ilovemywife iloveyoubaby iloveyouforever iloveyousomuch iloveyoutothemoonandback
    imissyou incorrectpassword itsasecret jaimelechocolat jenesaispas jetaimemonamour jetaimepourtoujours justdoit
    keepcalmandcarryon killthemall lacucaracha letmeinletmein letmeinplease linkinpark liverpoolfc livelaughlove
    loveisintheair lordoftherings loremipsumdolor loremipsumdolorsitamet manchesterunited maytheforcebewithyou
    meinpasswort meinpasswortistgeheim micasaestucasa mynameisbond myownpassword mypasswordispassword neversaynever
    nopainnogain nopassword obichamtemnogo onceuponatime opensesame passwordispassword passwordpassword1
    passwordsecret playstation pleaseletmein quelquechose redhotchilipeppers rockandroll rockyou sesamoeffnedich
    sesamöffnedich ábretesésamo abretesesamo sexdrugsrockandroll showmethemoney stairwaytoheaven
    supercalifragilisticexpialidocious superpassword superuser sweetdreams teamomuchomiamor teamoparasiempre
    tequieromucho thequickbrownfox thequickbrownfoxjumps thesecretpassword thisisapassword thisismypassword
    thisisnotapassword thisissparta tobeornottobe tobeornottobethatisthequestion topsecret twinkletwinklelittlestar
    unbelievable vivalavida vivelafrance wearethechampions welcometothejungle welcometomyworld whatisthepassword
    whatthehell winteriscoming wordpass yellowsubmarine yesterday youarebeautiful youaremysunshine youshallnotpass
    yourpassword многотеобичам обичамтемного паролатае моятапарола";

/// The rows of keyboards, as people run their fingers over them.
const ROWS: &str = "
    1234567890 qwertyuiop asdfghjkl zxcvbnm qwertzuiop yxcvbnm azertyuiop qsdfghjklm wxcvbn чшертъуиоп явертъуиоп
    асдфгхйкл зьцжбнм";

/// Walks over several rows.
const WALKS: &str = "
    1q2w3e4r 1q2w3e4r5t 1q2w3e4r5t6y 1q2w3e4r5t6y7u 1q2w3e4r5t6y7u8i 1q2w3e4r5t6y7u8i9o 1q2w3e4r5t6y7u8i9o0p
    q1w2e3r4 q1w2e3r4t5 q1w2e3r4t5y6 q1w2e3r4t5y6u7i8 1qaz2wsx 1qaz2wsx3edc 1qaz2wsx3edc4rfv 1qaz2wsx3edc4rfv5tgb
    1qaz2wsx3edc4rfv5tgb6yhn 1qazxsw2 1qazxsw23edc 1qazxsw23edcvfr4 zaq12wsx zaq1xsw2 zaq1xsw2cde3 zaq1xsw2cde3vfr4
    qazwsxedc qazwsxedcrfv qazwsxedcrfvtgb qazwsxedcrfvtgbyhn qazwsxedcrfvtgbyhnujm qweasdzxc qweasdzxcrtyfgh
    qweasdzxcrtyfghvbn qwerasdfzxcv qwerasdfzxcvtyui asdfqwerzxcv qwaszx qwaszxerdfcv poiuytrewq lkjhgfdsa mnbvcxz
    0987654321 qwertyuiopasdfghjklzxcvbnm qwertyuiopasdfghjkl qwertyuiopasdf asdfghjklzxcvbnm qwertzuiopasdfghjkl
    qwertzuiopasdfghjklyxcvbnm azertyuiopqsdfghjklm azertyuiopqsdfghjklmwxcvbn 1234567890qwertyuiop
    qwertyuiop1234567890 qwertyuiop[] asdfghjkl;' zxcvbnm,./ !qaz@wsx !qaz2wsx 1qaz@wsx !qaz@wsx#edc
    !qaz@wsx#edc$rfv 1qaz2wsx!qaz@wsx qwer1234 qwer1234asdf qwer1234asdf5678 asdf1234 asdf1234qwer5678 abcd1234
    abcd1234efgh5678 aa123456 a1b2c3d4 a1b2c3d4e5 a1b2c3d4e5f6 a1b2c3d4e5f6g7 a1b2c3d4e5f6g7h8 147258369
    147258369147258369 741852963 159357 159753 15975346 789456123 789456123789456123 963852741 135792468 1357924680
    246813579 3141592653589793 314159265358979 31415926535 271828182845904 2718281828459045 11223344 1122334455
    112233445566 112233445566778899 123321 123321123321 1234554321 12344321 123454321 123456654321 1234567887654321
    12345678987654321 123456789987654321 1234567890987654321 112358132134 1123581321345589
    abcdefghijklmnopqrstuvwxyz aabbccddeeff aaabbbccc aaabbbcccddd aaabbbcccdddeee";

/// Writes the list.
pub(crate) fn run() -> Result<ExitCode> {
    let list = list();
    std::fs::write(root().join(FILE), text(&list))?;
    let long = list.iter().filter(|entry| entry.chars().count() >= LONG_MIN).count();
    println!("{FILE}: {} passwords, {long} of {LONG_MIN} characters or more", list.len());
    Ok(ExitCode::SUCCESS)
}

fn text(list: &BTreeSet<String>) -> String {
    list.iter().flat_map(|entry| [entry.as_str(), "\n"]).collect()
}

/// The words of one of the lists above.
fn all(words: &'static str) -> impl Iterator<Item = &'static str> {
    words.split_whitespace()
}

fn list() -> BTreeSet<String> {
    let mut list = BTreeSet::new();
    let mut put = |entry: String| {
        if (CHARACTERS_MIN..=CHARACTERS_MAX).contains(&entry.chars().count()) {
            list.insert(entry);
        }
    };
    all(PHRASES).chain(all(WALKS)).for_each(|entry| put(entry.to_owned()));
    rows(&mut put);
    numbers(&mut put);
    let words = || all(FAVOURITES).chain(all(WORDS)).chain(all(NAMES));
    words().for_each(|word| alone(word, &mut put));
    for word in all(WORDS) {
        for ending in
            ["1", "12", "123", "1234", "12345", "123456", "123456789", "1234567890", "!", "1!", "123!", "@123"]
        {
            put(format!("{word}{ending}"));
        }
    }
    for word in all(FAVOURITES) {
        favourite(word, &mut put);
    }
    for name in all(NAMES) {
        for ending in ["1", "12", "123", "1234", "12345", "123456", "123456789", "1234567890", "!"] {
            put(format!("{name}{ending}"));
        }
        for whole in
            [format!("ilove{name}"), format!("iloveyou{name}"), format!("{name}iloveyou"), format!("{name}forever")]
        {
            put(whole);
        }
    }
    list
}

/// A word as it is, and as often as it takes to be long enough.
fn alone(word: &str, put: &mut impl FnMut(String)) {
    (1..=4).for_each(|times| put(word.repeat(times)));
    for year in 2020..=2030 {
        put(format!("{word}{year}"));
    }
}

/// What is only done with the words that everybody takes.
fn favourite(word: &str, put: &mut impl FnMut(String)) {
    for other in all(FAVOURITES) {
        put(format!("{word}{other}"));
    }
    for ending in all(ENDINGS) {
        put(format!("{word}{ending}"));
        put(format!("{word}{word}{ending}"));
    }
    for ending in ["1", "12", "123", "1234", "!"] {
        put(format!("{ending}{word}"));
        put(format!("{word}{ending}{word}{ending}"));
    }
    for year in 1980..=2030 {
        put(format!("{word}{year}"));
    }
    for year in 2020..=2030 {
        put(format!("{word}{year}!"));
    }
    for before in ["my", "the", "new", "ilove", "iloveyou", "thisismy", "mysecret"] {
        put(format!("{before}{word}"));
        put(format!("{before}{word}1"));
        put(format!("{before}{word}123"));
    }
}

/// Rows forwards and backwards, from their beginning, and twice.
fn rows(put: &mut impl FnMut(String)) {
    for row in all(ROWS) {
        let backwards: String = row.chars().rev().collect();
        for row in [row.to_owned(), backwards] {
            let length = row.chars().count();
            for taken in 3..=length {
                let part: String = row.chars().take(taken).collect();
                (1..=4).for_each(|times| put(part.repeat(times)));
                put(format!("{part}123"));
                put(format!("{part}123456"));
                put(format!("{part}123456789"));
            }
        }
    }
}

/// Digits: counted on, repeated, and dates of a kind.
fn numbers(put: &mut impl FnMut(String)) {
    let up = "12345678901234567890";
    let down = "98765432109876543210";
    for length in CHARACTERS_MIN..=up.len() {
        for digits in [up, down] {
            put(digits.chars().take(length).collect());
        }
        put(format!("0{}", up.chars().take(length).collect::<String>()));
    }
    for digit in '0'..='9' {
        (CHARACTERS_MIN..=20).for_each(|length| put(String::from(digit).repeat(length)));
    }
    for piece in [
        "12", "123", "1234", "12345", "123456", "1234567", "12345678", "01", "321", "4321", "789", "147", "159", "69",
        "1010",
    ] {
        (2..=10).for_each(|times| put(piece.repeat(times)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_what_this_program_makes() {
        let file = std::fs::read_to_string(root().join(FILE)).unwrap();
        assert!(file == text(&list()), "{FILE} is out of date: run `cargo xtask blocklist`");
    }
}
