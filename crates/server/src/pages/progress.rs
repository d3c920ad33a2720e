//! How far a customer has come, kept by the browser: sealed in a cookie that only we can read, so that the server keeps
//! nothing for those who only look at a page.
//!
//! The cookie is worth no more than what it holds: a process or a token, which the database ends once it was used. The
//! tokens of forms are MACs of its id, so that no other site can make a browser send a form of ours.

use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyherald_core::id::ProjectKey;
use keyherald_core::seal::KeyRing;
use keyherald_core::{Ctx, Micros};
use serde::{Deserialize, Serialize};

use super::flow::{Address, Errand, Process};

/// How long a browser may rest between two steps, in seconds. Longer than any code or proof is good for.
const LIFE_S: i64 = 30 * 60;
/// Longest cookie that is looked at. Browsers keep up to 4096 bytes.
const BYTES_MAX: usize = 4096;

/// Where somebody stands. No `Debug`: it is personal.
#[derive(Clone, Serialize, Deserialize)]
pub struct Progress {
    id: String,
    until: Micros,
    /// The step.
    pub stage: Stage,
    /// What a partner has sent the customer for, if it is that which is under way.
    pub errand: Option<Errand>,
}

/// The steps.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Nothing was done yet.
    Begun,
    /// A code was asked for.
    Asked(Address, Process),
    /// The code was right.
    Proved(Address, Process),
    /// The password was changed.
    Done,
}

impl Progress {
    /// At the beginning.
    pub fn new(ctx: &mut Ctx) -> Self {
        let id = URL_SAFE_NO_PAD.encode(ctx.bytes::<16>());
        Self { id, until: ctx.now.plus(LIFE_S * Micros::SECOND), stage: Stage::Begun, errand: None }
    }

    /// A step further, with more time.
    pub fn at(self, stage: Stage, now: Micros) -> Self {
        Self { stage, until: now.plus(LIFE_S * Micros::SECOND), ..self }
    }

    /// What a partner has sent the customer for is under way from here on.
    pub fn on(self, errand: Errand) -> Self {
        Self { errand: Some(errand), ..self }
    }

    /// Something else is, or that has come to its end.
    pub fn alone(self) -> Self {
        Self { errand: None, ..self }
    }

    /// What the browser has sent, if it is ours, for this project, and not too old.
    pub fn of(headers: &HeaderMap, jar: &Jar<'_>, now: Micros) -> Option<Self> {
        let name = jar.name();
        let cookies = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
        let values = cookies.flat_map(|line| line.split(';')).filter_map(|cookie| cookie.trim().split_once('='));
        let value = values.filter(|(own, _)| *own == name).map(|(_, value)| value).next()?;
        let sealed = (value.len() <= BYTES_MAX).then(|| URL_SAFE_NO_PAD.decode(value).ok()).flatten()?;
        let plain = jar.ring.open(&jar.binding(), &sealed).ok()?;
        serde_json::from_slice::<Self>(&plain).ok().filter(|progress| now < progress.until)
    }

    /// The line that makes the browser keep it. `None`: it cannot be sealed.
    pub fn cookie(&self, jar: &Jar<'_>, ctx: &mut Ctx) -> Option<String> {
        let plain = zeroize::Zeroizing::new(serde_json::to_vec(self).ok()?);
        let value = URL_SAFE_NO_PAD.encode(jar.ring.seal(ctx, &jar.binding(), &plain).ok()?);
        let secure = if jar.is_secure { "; Secure" } else { "" };
        let name = jar.name();
        Some(format!("{name}={value}; Path=/; Max-Age={LIFE_S}; HttpOnly; SameSite=Strict{secure}"))
    }

    /// What a form must bring along.
    pub fn form_token(&self, jar: &Jar<'_>) -> Option<String> {
        jar.ring.mac(&jar.binding(), self.id.as_bytes()).ok().map(|mac| URL_SAFE_NO_PAD.encode(mac))
    }

    /// Whether a form has brought it.
    pub fn is_form_token(&self, jar: &Jar<'_>, sent: &str) -> bool {
        let mac = URL_SAFE_NO_PAD.decode(sent).unwrap_or_default();
        jar.ring.is_mac_of(&mac, &jar.binding(), self.id.as_bytes()).unwrap_or(false)
    }
}

/// Where a project's cookie is.
pub struct Jar<'a> {
    /// What it is sealed with.
    pub ring: &'a KeyRing,
    /// The project.
    pub project: &'a ProjectKey,
    /// Whether browsers reach us by https. Then the cookie can be set by nobody else, a neighbour's host included.
    pub is_secure: bool,
}

impl Jar<'_> {
    fn name(&self) -> String {
        let host = if self.is_secure { "__Host-" } else { "" };
        format!("{host}recovery-{}", self.project)
    }

    fn binding(&self) -> String {
        format!("recovery pages of {}", self.project)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyherald_core::seal::SealingKey;

    const NOW: Micros = Micros(1_772_600_767_890_000);

    fn kept(line: &str) -> HeaderMap {
        let pair = line.split(';').next().unwrap();
        HeaderMap::from_iter([(COOKIE, format!("a=b; {pair}").parse().unwrap())])
    }

    #[test]
    fn a_cookie_is_read_by_its_project_in_time_and_unaltered() {
        let ring = KeyRing::new(vec![SealingKey::new("test", [7; 32]).unwrap()]).unwrap();
        let (demo, other): (ProjectKey, ProjectKey) = ("demo".parse().unwrap(), "other".parse().unwrap());
        let mut ctx = Ctx::new(NOW, [1; 32]);
        let jar = Jar { ring: &ring, project: &demo, is_secure: true };
        let progress = Progress::new(&mut ctx);
        let line = progress.cookie(&jar, &mut ctx).unwrap();
        assert!(line.starts_with("__Host-recovery-demo="), "{line}");
        assert!(line.ends_with("; Path=/; Max-Age=1800; HttpOnly; SameSite=Strict; Secure"), "{line}");
        let headers = kept(&line);
        let read = Progress::of(&headers, &jar, NOW).unwrap();
        let token = read.form_token(&jar).unwrap();
        assert!(progress.is_form_token(&jar, &token));
        assert!(!Progress::new(&mut ctx).is_form_token(&jar, &token));
        assert!(!progress.is_form_token(&jar, ""));
        assert!(Progress::of(&headers, &jar, NOW.plus(LIFE_S * Micros::SECOND)).is_none());
        let renamed = kept(&line.replace("-demo", "-other"));
        assert!(Progress::of(&renamed, &Jar { ring: &ring, project: &other, is_secure: true }, NOW).is_none());
        assert!(Progress::of(&kept(&line.replace('=', "=A")), &jar, NOW).is_none());
        assert!(!line.contains("begun"));
    }
}
