//! What a directory's results mean (providers.md 4.9), with what the password policy adds in its control.

use keyherald_core::provider::{PolicyText, ProviderError, TrialAnswer};
use keyherald_core::secret::Password;
use ldap3::LdapResult;

use crate::connector::Doubt;

/// The control of the password policy, in requests and in answers (draft-behera-ldap-password-policy).
pub(super) const POLICY_CONTROL: &str = "1.3.6.1.4.1.42.2.27.8.5.1";

/// What the policy says about a request or an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PolicyError {
    Expired,
    Locked,
    ChangeAfterReset,
    NotAllowed,
    MustSupplyOld,
    Quality,
    TooShort,
    TooYoung,
    InHistory,
}

impl PolicyError {
    fn of(result: &LdapResult) -> Option<Self> {
        let control = result.ctrls.iter().find(|control| control.1.ctype == POLICY_CONTROL)?;
        Some(match error_number(control.1.val.as_deref()?)? {
            0 => Self::Expired,
            1 => Self::Locked,
            2 => Self::ChangeAfterReset,
            3 => Self::NotAllowed,
            4 => Self::MustSupplyOld,
            5 => Self::Quality,
            6 => Self::TooShort,
            7 => Self::TooYoung,
            8 => Self::InHistory,
            _ => return None,
        })
    }
}

/// `SEQUENCE { warning [0] CHOICE {..} OPTIONAL, error [1] ENUMERATED OPTIONAL }`. All of it fits lengths of one byte;
/// what does not says nothing to us.
fn error_number(value: &[u8]) -> Option<u8> {
    let (0x30, mut rest, _) = element(value)? else { return None };
    while let Some((tag, content, after)) = element(rest) {
        if let (0x81, [number]) = (tag, content) {
            return Some(*number);
        }
        rest = after;
    }
    None
}

/// The first element: its tag, its content, and what comes after it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (content, after) = rest.split_at_checked(usize::from(*length)).filter(|_| *length < 0x80)?;
    Some((*tag, content, after))
}

/// What became of a new password.
pub(super) fn of_set(result: &LdapResult, password: &Password) -> Result<(), ProviderError> {
    if result.rc == 0 {
        return Ok(());
    }
    let message = || Some(PolicyText::new(&result.text, password)).filter(|text| !text.as_str().is_empty());
    let violation = |rule: &str| ProviderError::PolicyViolation { rule: Some(rule.to_owned()), message: message() };
    Err(match PolicyError::of(result) {
        Some(PolicyError::Quality) => violation("quality"),
        Some(PolicyError::TooShort) => violation("length"),
        Some(PolicyError::TooYoung) => ProviderError::TooYoung,
        Some(PolicyError::InHistory) => ProviderError::PasswordReused { message: message() },
        Some(PolicyError::Locked) => ProviderError::UserBlocked,
        Some(PolicyError::Expired | PolicyError::ChangeAfterReset) => ProviderError::NeedsInteraction,
        Some(PolicyError::NotAllowed) => ProviderError::CredentialUnsupported,
        // Our own access lacks the right to set a password without the old one.
        Some(PolicyError::MustSupplyOld) => ProviderError::Misconfigured,
        None if result.rc == 19 => ProviderError::PolicyViolation { rule: None, message: message() },
        None => error(result.rc).of_write(),
    })
}

/// What any other result than success means.
pub(super) fn error(code: u32) -> Doubt {
    Doubt::No(match code {
        // No such attribute (another value was expected there), and a failed assertion.
        16 | 122 => ProviderError::Stale,
        // No such object, and what cannot be a name of one.
        32 | 34 => ProviderError::UserNotFound,
        50 => ProviderError::InsufficientScope,
        // Protocol, sign-in method, encryption, referral, critical control, unwilling to perform: asked of the wrong
        // server, or in a way that it is set up to refuse.
        2 | 7 | 8 | 10 | 12 | 13 | 53 => ProviderError::Misconfigured,
        // Busy and unavailable: nothing was begun. A value that exists: the directory's own, of two changes of a
        // password within one second, for its history has no finer time.
        20 | 51 | 52 => ProviderError::Transient,
        // Errors of its own, and limits that ended what had begun.
        1 | 3 | 11 | 54 | 71 | 80 => return Doubt::Yes,
        _ => ProviderError::InvalidRequest,
    })
}

/// What the sign-in of our own access says.
pub(super) fn of_own_sign_in(code: u32) -> Result<(), ProviderError> {
    match code {
        0 => Ok(()),
        // Wrong name or password, no password there, and whatever else is said about who we are.
        14 | 32 | 34 | 48 | 49 | 50 => Err(ProviderError::AdminAuth),
        code => Err(error(code).of_read()),
    }
}

/// What a trial sign-in says. Wrong passwords and locked accounts have one code; the policy's control, if the directory
/// may tell, keeps them apart.
pub(super) fn of_trial(result: &LdapResult) -> TrialAnswer {
    match (result.rc, PolicyError::of(result)) {
        (0, _) => TrialAnswer::SignedIn,
        (49, None) => TrialAnswer::Wrong,
        // Locked, expired, inactive, without a password: nothing about the one that was tried.
        (49, Some(_)) | (19 | 48 | 53, _) => TrialAnswer::CannotTell,
        (code, _) => TrialAnswer::Failed(error(code).of_read()),
    }
}

#[cfg(test)]
mod tests {
    use ldap3::controls::{Control, RawControl};

    use super::*;

    fn result(rc: u32, policy: Option<&[u8]>) -> LdapResult {
        let control = |value: &[u8]| {
            Control(None, RawControl { ctype: POLICY_CONTROL.into(), crit: false, val: Some(value.to_vec()) })
        };
        let ctrls = policy.map(control).into_iter().collect();
        LdapResult { rc, matched: String::new(), text: String::new(), refs: Vec::new(), ctrls }
    }

    #[test]
    fn the_policys_error_is_found_beside_a_warning_and_nonsense_says_nothing() {
        for (value, number) in [
            (&[0x30, 3, 0x81, 1, 8][..], Some(8)),
            (&[0x30, 8, 0xa0, 3, 0x80, 1, 5, 0x81, 1, 2], Some(2)),
            (&[0x30, 0], None),
            (&[0x30, 5, 0xa0, 3, 0x80, 1, 5], None),
            (&[], None),
            (&[0x30], None),
            (&[0x30, 9, 0x81, 1, 8], None),
            (&[0x30, 0x83, 0x81, 1, 8], None),
            (&[0x30, 2, 0x81, 0], None),
            (&[0x04, 3, 0x81, 1, 8], None),
        ] {
            assert_eq!(error_number(value), number, "{value:02x?}");
        }
    }

    #[test]
    fn each_result_has_its_class() {
        let password = Password::new("x".into()).unwrap();
        let said = |number: u8| Some([0x30, 3, 0x81, 1, number]);
        for (rc, policy, class) in [
            (19, said(5), "policy_violation"),
            (19, said(6), "policy_violation"),
            (19, said(7), "too_young"),
            (19, said(8), "password_reused"),
            (19, None, "policy_violation"),
            (49, said(1), "user_blocked"),
            (50, said(0), "needs_interaction"),
            (50, said(2), "needs_interaction"),
            (50, said(3), "credential_unsupported"),
            (50, said(4), "misconfigured"),
            (50, said(99), "insufficient_scope"),
            (32, None, "user_not_found"),
            (122, None, "stale"),
            (16, None, "stale"),
            (53, None, "misconfigured"),
            (51, None, "transient"),
            (80, None, "ambiguous"),
            (21, None, "invalid_request"),
        ] {
            let refused = of_set(&result(rc, policy.as_ref().map(<[u8; 5]>::as_slice)), &password);
            assert_eq!(refused.unwrap_err().code(), class, "{rc} {policy:?}");
        }
        // The password is set; what else the policy has to say about the account changes nothing about that.
        assert_eq!(of_set(&result(0, Some(&[0x30, 3, 0x81, 1, 2])), &password), Ok(()));
    }

    #[test]
    fn a_locked_account_tells_nothing_about_a_password() {
        assert_eq!(of_trial(&result(49, None)), TrialAnswer::Wrong);
        assert_eq!(of_trial(&result(49, Some(&[0x30, 3, 0x81, 1, 1]))), TrialAnswer::CannotTell);
        assert_eq!(of_trial(&result(0, Some(&[0x30, 3, 0x81, 1, 2]))), TrialAnswer::SignedIn);
    }
}
