//! What the server is known to do otherwise than the contract says. The model is right all the same; what shows the defect
//! is not drawn, or not looked at, so that all the rest is held until it is mended. The aim is an empty file.

/// On PostgreSQL: a reset token is made for an e-mail address that the customer gives up at the same moment, and lives on
/// (3.2).
pub const RESET_TOKEN_FOR_A_FORMER_ADDRESS: bool = true;
