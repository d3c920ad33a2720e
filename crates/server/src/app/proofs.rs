//! What was proved in verification processes, as whoever is about to use it looks at it (paysafe.md 3.8).

use keyherald_core::customer::Customer;
use keyherald_core::seal::KeyRing;
use keyherald_core::verification::{Claim, Kind, Limits, Proof, Purpose};
use keyherald_core::{Micros, Refusal};
use keyherald_store::{Fault, Tx, customer, verification};

use super::Call;

/// What must hold of the proofs that a call names.
#[derive(Clone)]
pub(super) struct Proofs {
    claims: Vec<Claim>,
    purpose: Purpose,
    limits: Limits,
}

/// How they are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// At first: to refuse what can be refused.
    First,
    /// In the transaction that uses them, under the customer's lock. Nobody else can use them until it ends.
    Last,
}

impl Proofs {
    /// These, for this purpose.
    pub(super) fn new(mut claims: Vec<Claim>, purpose: Purpose, limits: Limits) -> Self {
        // Locked in the same order by everybody.
        claims.sort_by_key(|claim| claim.id);
        Self { claims, purpose, limits }
    }

    /// The customer whose the first one is to be. Whether all are is not looked at.
    pub(super) fn owner(&self, tx: &mut dyn Tx, call: &Call) -> Result<Option<Customer>, Fault> {
        let Some(Claim { attribute, .. }) = self.claims.first() else { return Ok(None) };
        let found = match attribute.kind {
            Kind::Email => call.by_email(tx, attribute.value())?,
            Kind::Mobile => match attribute.value().parse() {
                Ok(mobile) => customer::by_mobile(tx, &call.project, &mobile)?,
                Err(_) => None,
            },
        };
        Ok(found.filter(|found| call.sees(found)))
    }

    /// Whether each of them is about something of this customer's.
    pub(super) fn are_of(&self, customer: &Customer) -> bool {
        self.claims.iter().all(|claim| claim.attribute.is_of(customer))
    }

    /// All of them, if they hold. Which one does not, and why, is nobody's business.
    pub(super) fn look(
        &self,
        tx: &mut dyn Tx,
        ring: &KeyRing,
        call: &Call,
        look: Look,
        now: Micros,
    ) -> Result<Result<Vec<Proof>, Refusal>, Fault> {
        let mut proofs = Vec::with_capacity(self.claims.len());
        for Claim { attribute, id } in &self.claims {
            let found = match look {
                Look::First => verification::by_id(tx, &call.project, *id)?,
                Look::Last => verification::lock(tx, &call.project, *id)?,
            };
            let Some(found) = found else { return Ok(Err(Refusal::NotProved)) };
            let is_about = found.is_about(ring, &call.project, attribute)?;
            let proof = found.process.proof(found.newest, (attribute.kind, self.purpose), &self.limits, now);
            match proof.filter(|_| is_about) {
                // Whoever repeats a call whose operation has it is told how that ends.
                Some(_) if look == Look::Last && found.process.reserved_by.is_some() => {
                    let retry_after_s = Refusal::UNDERWAY_RETRY_AFTER_S;
                    return Ok(Err(Refusal::PasswordChangeUnderway { retry_after_s }));
                }
                Some(proof) => proofs.push(proof),
                None => return Ok(Err(Refusal::NotProved)),
            }
        }
        Ok(if proofs.is_empty() { Err(Refusal::NotProved) } else { Ok(proofs) })
    }
}

/// Uses them up, in the transaction in which they were looked at last.
pub(super) fn consume(tx: &mut dyn Tx, call: &Call, proofs: &[Proof], now: Micros) -> Result<(), Fault> {
    proofs.iter().try_for_each(|proof| verification::consume(tx, &call.project, proof, now))
}
