//! What the server is known to do otherwise than the contract says. The model is right all the same; what shows the defect
//! is not drawn, or not looked at, so that all the rest is held until it is mended. The aim is an empty file.

/// A sign-in at the token endpoint is refused as wrong if anything else about the customer changes at the same moment (1.3).
pub const SIGN_IN_LOSES_TO_ANY_CHANGE: bool = true;

/// The duplicate that a change of stores leads to is told with an empty `duplicateValue` (2.4).
pub const DUPLICATE_VALUE_IS_LEFT_OUT: bool = true;

/// On PostgreSQL: a reset token is made for an e-mail address that the customer gives up at the same moment, and lives on
/// (3.2).
pub const RESET_TOKEN_FOR_A_FORMER_ADDRESS: bool = true;
