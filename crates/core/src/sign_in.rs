//! Sign in by e-mail and password (commercetools.md 3.6): changes no version and makes no message.

use crate::Refusal;
use crate::credential::AuthenticationMode;
use crate::customer::Customer;

/// Decides. Unknown address, wrong password and sign-in elsewhere get one answer, at one cost.
pub fn decide(customer: Option<Customer>, password_matches: bool) -> Result<Customer, Refusal> {
    customer
        .filter(|customer| password_matches && customer.authentication_mode == AuthenticationMode::Password)
        .ok_or(Refusal::CredentialsWrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::create::tests::customer;

    #[test]
    fn only_a_known_customer_with_its_own_password_gets_in() {
        let external = Customer { authentication_mode: AuthenticationMode::ExternalAuth, ..customer() };
        assert!(decide(Some(customer()), true).is_ok());
        for (who, matches) in [(Some(customer()), false), (None, true), (Some(external), true)] {
            assert_eq!(decide(who, matches), Err(Refusal::CredentialsWrong));
        }
    }
}
