//! `kind = "http"`: a provider that is described rather than programmed.
//!
//! Settings are read as everywhere; what is language (operations, rules, predicates, templates) is read into
//! [`crate::recipe`], and the whole is checked at the end, so that all problems are told at once.

mod auth;
mod fields;
mod op;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use url::Url;

pub use self::auth::Auth;
use self::fields::{list, text};
pub(in crate::config) use self::op::sms;
use crate::config::keys::{Keys, Place, Section, Written};
use crate::config::tree::Node;
use crate::recipe::check::Finding;
use crate::recipe::op::{Class, Op, OpName, Rule};
use crate::recipe::{Claims, IdForm, Probe, Recipe, Revokes};

/// The keys of `kind = "http"`.
#[derive(Clone, Debug, Default)]
pub struct Http {
    /// Below which all paths are. `None`: missing, which is reported.
    pub base_url: Option<Url>,
    /// `[providers.NAME.auth]`
    pub auth: Auth,
    id_form: IdForm,
    capabilities: Capabilities,
    ops: Written<BTreeMap<OpName, Op>>,
    errors: Written<Vec<Rule>>,
    probe: Option<Probing>,
}

/// `[providers.NAME.capabilities]`
#[derive(Clone, Debug)]
struct Capabilities {
    repeat_set_is_safe: bool,
    // For people: what an answer means is proved, never assumed.
    enforces_policy: bool,
    enforces_history: bool,
    reuse_on_retry_means_done: bool,
    claims: Claims,
}

/// `[providers.NAME.probe]`
#[derive(Clone, Debug, Default)]
struct Probing {
    by_sign_in: bool,
    changed_if: Written<String>,
    moved_by_edits: bool,
}

impl Default for Capabilities {
    fn default() -> Self {
        Self {
            repeat_set_is_safe: true,
            enforces_policy: false,
            enforces_history: false,
            reuse_on_retry_means_done: false,
            claims: Claims::default(),
        }
    }
}

impl Section for Http {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.optional("base_url", &mut self.base_url);
        keys.require("base_url", Some("such as base_url = \"https://idp.example.com\"".into()));
        keys.choice("id_kind", &mut self.id_form, &IdForm::NAMES);
        keys.section("auth", &mut self.auth);
        keys.section("capabilities", &mut self.capabilities);
        keys.written("ops", &mut self.ops, op::ops);
        keys.require("ops", Some("what can be done there, such as [providers.NAME.ops.set_password]".into()));
        keys.written("errors", &mut self.errors, list(table::rule(&Class::NAMES)));
        keys.optional_section("probe", &mut self.probe);
        for Finding { place, what, hint } in self.recipe().map(|recipe| recipe.findings()).unwrap_or_default() {
            let (first, below) =
                place.split_first().map_or(("", [].as_slice()), |(first, below)| (first.as_str(), below));
            let within = |what: &str| format!("{}: {what}", below.join("."));
            match first {
                "errors" => keys.refuse_written(("errors", &self.errors), below, what, hint),
                "auth" => keys.refuse("auth", within(&what), hint),
                "probe" => keys.refuse("probe", within(&what), hint),
                "capabilities" => keys.refuse("capabilities", within(&what), hint),
                _ => keys.refuse_written(("ops", &self.ops), below, what, hint),
            }
        }
    }
}

impl Http {
    /// What is written here as a whole. `None`: there is a problem with a part of it, which is reported.
    pub fn recipe(&self) -> Option<Recipe> {
        let probe = match &self.probe {
            None => None,
            Some(probing) => Some(probing.probe()?),
        };
        Some(Recipe {
            id_form: self.id_form,
            access: self.auth.access()?,
            claims: self.capabilities.claims,
            ops: self.ops.value.clone()?,
            errors: self.errors.value.clone().unwrap_or_default(),
            probe,
        })
    }

    /// All URLs in it, by the keys that they stand at.
    pub(super) fn urls(&self) -> impl Iterator<Item = (&'static str, &Url)> {
        let base = self.base_url.as_ref().map(|url| ("base_url", url));
        base.into_iter().chain(self.auth.token_url().map(|url| ("auth", url)))
    }
}

impl Section for Capabilities {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.value("repeat_set_is_safe", &mut self.repeat_set_is_safe);
        if !self.repeat_set_is_safe {
            let hint = "a set whose answer was lost is repeated with the same password: there is no other way on";
            keys.refuse("repeat_set_is_safe", "such a provider cannot be used", Some(hint.into()));
        }
        keys.value("enforces_policy", &mut self.enforces_policy);
        keys.value("enforces_history", &mut self.enforces_history);
        keys.value("reuse_on_retry_means_done", &mut self.reuse_on_retry_means_done);
        keys.choice("revokes_sessions", &mut self.claims.revokes_sessions, &Revokes::NAMES);
        keys.choice("restore", &mut self.claims.restores, &[("none", false), ("hash", true)]);
        keys.optional("max_password_bytes", &mut self.claims.password_bytes_max);
        if self.claims.password_bytes_max.is_some_and(|max| !(8..=1024).contains(&max)) {
            keys.refuse("max_password_bytes", "must be from 8 to 1024", None);
        }
    }
}

impl Section for Probing {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.choice("via", &mut self.by_sign_in, &[("lookup_by_id", false), ("verify_password", true)]);
        keys.require("via", Some("via = \"lookup_by_id\" or via = \"verify_password\"".into()));
        if !self.by_sign_in {
            keys.written("changed_if", &mut self.changed_if, changed_if);
            keys.require("changed_if", Some("such as changed_if = \"password_changed_at > before\"".into()));
            keys.value("moved_by_edits", &mut self.moved_by_edits);
        }
    }
}

impl Probing {
    fn probe(&self) -> Option<Probe> {
        if self.by_sign_in {
            return Some(Probe::SignIn);
        }
        Some(Probe::Field { name: self.changed_if.value.clone()?, moved_by_edits: self.moved_by_edits })
    }
}

/// `NAME > before` or `NAME != before`: the name. Values are only compared for being the same, so both mean as much.
fn changed_if(node: &Node, place: &mut Place<'_>) -> Option<String> {
    let text = text(node, place)?;
    let words: Vec<&str> = text.split_whitespace().collect();
    if let [name, ">" | "!=", "before"] = words.as_slice() {
        return Some((*name).to_owned());
    }
    let hint = "name a value that lookup_by_id extracts";
    place.refuse(node, "must be such as \"password_changed_at > before\"", Some(hint.to_owned()));
    None
}
