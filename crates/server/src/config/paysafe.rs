//! `[projects.paysafe]`: the brand of Paysafe's wallet contract that a project is (paysafe.md 6.2).

use std::ops::RangeInclusive;
use std::time::Duration;

use keyherald_core::body_signature::SigningSecret;
use keyherald_core::policy::{Form, Rule};
use keyherald_core::verification::{Code, Kind, Limits};

use super::PaysafeWebhook;
use super::keys::{Keys, Section};
use super::secret::{KeyNames, Secret};
use super::setting::{Setting, text};
use super::tree::Node;

/// `[projects.paysafe]`
#[derive(Clone, Debug)]
pub struct Paysafe {
    /// The brand's identity in the paths of tokens.
    pub brand: String,
    /// What must be proved before a password is replaced.
    pub required_identifiers: RequiredIdentifiers,
    /// What customers sign in with.
    pub credential_kind: CredentialKind,
    /// Passwords.
    pub password: PasswordRules,
    /// Digits of a PIN.
    pub pin_length: u32,
    /// Codes, and how many.
    pub otp: Otp,
    /// How long a proof can be used.
    pub valid_for: Duration,
    /// The status of what was initiated or attempted.
    pub verification_success_status: u16,
    /// The `status` of an attempt that was right.
    pub verification_success_value: String,
    /// The status of a credential that was replaced.
    pub credentials_success: u16,
    /// Whether `deviceInfo` must have an `appType`.
    pub require_app_type: bool,
    /// What one source, one customer and the brand as a whole may do.
    pub limits: Rates,
    /// Who sends codes to customers.
    pub delivery_mode: DeliveryMode,
    /// What the partner hears of processes.
    pub data_verification: DataVerification,
    /// Whether requests must be signed, and with what.
    pub request_signing: bool,
    /// The partner's secret, in Base64.
    pub request_signing_secret: Option<Secret>,
    /// How long tokens live.
    pub token: TokenLives,
    /// Where its events go.
    pub webhook: PaysafeWebhook,
}

/// `projects.paysafe.required_identifiers`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequiredIdentifiers {
    /// One of these is enough.
    pub any_of: Vec<Kind>,
    /// All of these are needed.
    pub all_of: Vec<Kind>,
}

impl RequiredIdentifiers {
    /// All that can be proved for a recovery.
    pub fn kinds(&self) -> impl Iterator<Item = Kind> {
        Kind::ALL.into_iter().filter(|kind| self.any_of.contains(kind) || self.all_of.contains(kind))
    }

    /// Whether it takes nothing besides one of this kind.
    pub fn is_enough(&self, kind: Kind) -> bool {
        self.any_of.contains(&kind) || self.all_of.as_slice() == [kind]
    }
}

/// `projects.paysafe.credential_kind`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialKind {
    /// A password.
    Password,
    /// A PIN.
    Pin,
}

/// `projects.paysafe.delivery_mode`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryMode {
    /// This server, by mail or SMS.
    Server,
    /// The partner, who gets each code by a webhook.
    Partner,
}

/// `projects.paysafe.data_verification`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataVerification {
    /// Whether the partner is told of each process. Absent: only if it delivers the codes; then it always is.
    pub events: Option<bool>,
    /// Whether it is also told when one comes to nothing.
    pub failure_events: bool,
}

/// `projects.paysafe.password`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordRules {
    /// Fewest characters.
    pub min_length: u32,
    /// Most characters.
    pub max_length: u32,
    /// How many of the last passwords, the current one among them, cannot be chosen again.
    pub history: u32,
}

/// `projects.paysafe.otp`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Otp {
    /// Digits.
    pub length: u32,
    /// How long a code can be tried.
    pub expiry: Duration,
    /// How often it can be tried.
    pub allowable_attempts: u32,
    /// Processes of one address or number within the window.
    pub allowable_processes: u32,
    /// How long a process counts.
    pub process_window: Duration,
    /// How long an address or a number rests that has had too many.
    pub cooldown: Duration,
    /// The least time between two messages to one address or number.
    pub resend_interval: Duration,
}

/// `projects.paysafe.limits`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Of one source address.
    pub ip: IpRates,
    /// Of one customer.
    pub customer: CustomerRates,
    /// Of the brand.
    pub brand: BrandRates,
}

/// `projects.paysafe.limits.ip`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpRates {
    /// Processes begun.
    pub initiations: u32,
    /// Codes tried.
    pub attempts: u32,
    /// Passwords replaced, or not.
    pub changes: u32,
    /// Within this time.
    pub per: Duration,
}

/// `projects.paysafe.limits.customer`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomerRates {
    /// Passwords replaced, or not, by whoever has proved or shown to be the customer.
    pub changes: u32,
    /// Within this time.
    pub per: Duration,
}

/// `projects.paysafe.limits.brand`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrandRates {
    /// Processes begun.
    pub initiations: u32,
    /// Within this time.
    pub per: Duration,
}

/// `projects.paysafe.token`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenLives {
    /// Of back ends.
    pub admin_ttl: Duration,
    /// Of apps.
    pub configuration_ttl: Duration,
}

impl Default for Paysafe {
    fn default() -> Self {
        Self {
            brand: String::new(),
            required_identifiers: RequiredIdentifiers::default(),
            credential_kind: CredentialKind::Password,
            password: PasswordRules::default(),
            pin_length: 6,
            otp: Otp::default(),
            valid_for: Duration::from_mins(15),
            verification_success_status: 201,
            verification_success_value: "VERIFIED".to_owned(),
            credentials_success: 200,
            require_app_type: true,
            limits: Rates::default(),
            delivery_mode: DeliveryMode::Server,
            data_verification: DataVerification::default(),
            request_signing: false,
            request_signing_secret: None,
            token: TokenLives::default(),
            webhook: PaysafeWebhook::default(),
        }
    }
}

impl Default for PasswordRules {
    fn default() -> Self {
        Self { min_length: 8, max_length: 128, history: 1 }
    }
}

impl Default for Otp {
    fn default() -> Self {
        Self {
            length: 6,
            expiry: Duration::from_mins(10),
            allowable_attempts: 3,
            allowable_processes: 5,
            process_window: Duration::from_hours(1),
            cooldown: Duration::from_mins(30),
            resend_interval: Duration::from_secs(30),
        }
    }
}

impl Default for IpRates {
    fn default() -> Self {
        Self { initiations: 30, attempts: 100, changes: 30, per: Duration::from_mins(10) }
    }
}

impl Default for CustomerRates {
    fn default() -> Self {
        Self { changes: 10, per: Duration::from_mins(10) }
    }
}

impl Default for BrandRates {
    fn default() -> Self {
        Self { initiations: 600, per: Duration::from_mins(1) }
    }
}

impl Default for TokenLives {
    fn default() -> Self {
        Self { admin_ttl: Duration::from_hours(10), configuration_ttl: Duration::from_mins(15) }
    }
}

impl Paysafe {
    /// What is asked of a new password or PIN.
    pub fn rule(&self) -> Rule {
        let small = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
        let form = match self.credential_kind {
            CredentialKind::Password => {
                Form::Text { min: small(self.password.min_length), max: small(self.password.max_length) }
            }
            CredentialKind::Pin => Form::Pin { digits: u8::try_from(self.pin_length).unwrap_or(u8::MAX) },
        };
        Rule { form, history: u8::try_from(self.password.history).unwrap_or(u8::MAX) }
    }

    /// The numbers of verification processes.
    pub fn verification_limits(&self) -> Limits {
        let limits = self.otp.limits();
        let is_ours = self.delivery_mode == DeliveryMode::Server;
        // The partner decides when its own messages leave.
        let resend_interval = if is_ours { limits.resend_interval } else { 0 };
        Limits { resend_interval, valid_for: micros(self.valid_for), ..limits }
    }
}

impl Otp {
    /// The numbers of verification processes, as far as they are set here.
    pub fn limits(&self) -> Limits {
        Limits {
            code_digits: self.length,
            code_life: micros(self.expiry),
            attempts: self.allowable_attempts,
            processes: self.allowable_processes,
            window: micros(self.process_window),
            cooldown: micros(self.cooldown),
            resend_interval: micros(self.resend_interval),
            ..Limits::default()
        }
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

impl Setting for Kind {
    const WANTED: &'static str = "email or mobile";

    fn read(node: &Node) -> Option<Self> {
        let name = text(node)?.trim();
        Self::ALL.into_iter().find(|kind| kind.as_str().eq_ignore_ascii_case(name))
    }

    fn write(&self) -> toml::Value {
        self.as_str().to_ascii_lowercase().into()
    }
}

static SIGNING_SECRET: KeyNames = KeyNames {
    inline: "request_signing_secret",
    file: "request_signing_secret_file",
    variable: "request_signing_secret_env",
    masked: None,
};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_hours(24);
const COUNT: RangeInclusive<u32> = 1..=1_000_000;

impl Section for Paysafe {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.value("brand", &mut self.brand);
        keys.require(
            "brand",
            Some("the brand's identity in the paths of tokens, such as brand = \"my-wallet\"".into()),
        );
        if !self.brand.is_empty() && !is_brand(&self.brand) {
            keys.refuse("brand", "must be 1 to 50 of a-z, A-Z, 0-9, _ and -", None);
        }
        keys.section("required_identifiers", &mut self.required_identifiers);
        let kinds = [("password", CredentialKind::Password), ("pin", CredentialKind::Pin)];
        keys.choice("credential_kind", &mut self.credential_kind, &kinds);
        keys.section("password", &mut self.password);
        keys.within("pin_length", &mut self.pin_length, 4..=12);
        keys.section("otp", &mut self.otp);
        keys.within("valid_for", &mut self.valid_for, SECOND..=DAY);
        keys.value("verification_success_status", &mut self.verification_success_status);
        if ![200, 201].contains(&self.verification_success_status) {
            keys.refuse("verification_success_status", "must be 200 or 201", None);
        }
        keys.value("verification_success_value", &mut self.verification_success_value);
        keys.value("credentials_success", &mut self.credentials_success);
        if ![200, 204].contains(&self.credentials_success) {
            keys.refuse("credentials_success", "must be 200 or 204", None);
        }
        keys.value("require_app_type", &mut self.require_app_type);
        keys.section("limits", &mut self.limits);
        let modes = [("server", DeliveryMode::Server), ("partner", DeliveryMode::Partner)];
        keys.choice("delivery_mode", &mut self.delivery_mode, &modes);
        keys.section("data_verification", &mut self.data_verification);
        if self.delivery_mode == DeliveryMode::Partner && self.data_verification.events == Some(false) {
            keys.refuse("delivery_mode", "partner takes the codes from data_verification.events, which are off", None);
        }
        keys.value("request_signing", &mut self.request_signing);
        keys.optional_secret(&SIGNING_SECRET, &mut self.request_signing_secret);
        self.check_signing(keys);
        keys.section("token", &mut self.token);
        keys.section("webhook", &mut self.webhook);
    }
}

impl Paysafe {
    fn check_signing(&self, keys: &mut Keys<'_>) {
        let hint = "256 random bytes in Base64, as `openssl rand -base64 256` makes them";
        match &self.request_signing_secret {
            None if self.request_signing => {
                keys.require_one(&SIGNING_SECRET, hint);
            }
            Some(secret) if secret.is_readable() => {
                if let Err(error) = SigningSecret::parse(secret.reveal()) {
                    keys.refuse_secret(&SIGNING_SECRET, &error.to_string(), hint);
                }
            }
            Some(_) | None => {}
        }
    }
}

fn is_brand(text: &str) -> bool {
    (1..=50).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

impl Section for RequiredIdentifiers {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.list("any_of", &mut self.any_of, 0..=2);
        keys.list("all_of", &mut self.all_of, 0..=2);
        if !self.any_of.is_empty() && !self.all_of.is_empty() {
            keys.refuse("all_of", "give any_of or all_of", None);
        }
        if self.any_of.is_empty() && self.all_of.is_empty() {
            self.any_of = Kind::ALL.to_vec();
        }
    }
}

impl Section for DataVerification {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.optional("events", &mut self.events);
        keys.value("failure_events", &mut self.failure_events);
    }
}

impl Section for PasswordRules {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.within("min_length", &mut self.min_length, 1..=128);
        keys.within("max_length", &mut self.max_length, 64..=1024);
        keys.within("history", &mut self.history, 0..=24);
    }
}

impl Section for Otp {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.within("length", &mut self.length, Code::DIGITS);
        keys.within("expiry", &mut self.expiry, SECOND..=DAY);
        keys.within("allowable_attempts", &mut self.allowable_attempts, 1..=10);
        keys.within("allowable_processes", &mut self.allowable_processes, 1..=100);
        keys.within("process_window", &mut self.process_window, SECOND..=DAY);
        keys.within("cooldown", &mut self.cooldown, SECOND..=DAY);
        keys.within("resend_interval", &mut self.resend_interval, Duration::ZERO..=Duration::from_mins(10));
    }
}

impl Section for Rates {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.section("ip", &mut self.ip);
        keys.section("customer", &mut self.customer);
        keys.section("brand", &mut self.brand);
    }
}

impl Section for IpRates {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.within("initiations", &mut self.initiations, COUNT);
        keys.within("attempts", &mut self.attempts, COUNT);
        keys.within("changes", &mut self.changes, COUNT);
        keys.within("per", &mut self.per, SECOND..=DAY);
    }
}

impl Section for CustomerRates {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.within("changes", &mut self.changes, COUNT);
        keys.within("per", &mut self.per, SECOND..=DAY);
    }
}

impl Section for BrandRates {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.within("initiations", &mut self.initiations, COUNT);
        keys.within("per", &mut self.per, SECOND..=DAY);
    }
}

impl Section for TokenLives {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.within("admin_ttl", &mut self.admin_ttl, SECOND..=DAY);
        keys.within("configuration_ttl", &mut self.configuration_ttl, SECOND..=DAY);
    }
}
