//! Reset and e-mail tokens, by the digest of their value.

use keyherald_core::Micros;
use keyherald_core::id::{CustomerId, OperationId, ProjectKey, TokenId};
use keyherald_core::secret::TokenDigest;
use keyherald_core::token::{Token, TokenKind};

use crate::tx::query_one;
use crate::{Fault, Tx, Value, statements};

statements! {
    INSERT = "INSERT INTO token (project, digest, id, kind, customer_id, created_at, expires_at, invalidate_older, created_by, valid)
              VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1)";
    BY_DIGEST = "SELECT id, customer_id, created_at, expires_at, invalidate_older, created_by, valid, reserved_by
                 FROM token WHERE project = $1 AND digest = $2 AND kind = $3";
    // The values that messages still carry go with the tokens.
    FORGET_VALUES = "DELETE FROM log_secret WHERE project = $1 AND token_id IN
                        (SELECT id FROM token WHERE project = $1 AND customer_id = $2 AND kind = $3)";
    END = "UPDATE token SET valid = 0 WHERE project = $1 AND customer_id = $2 AND kind = $3 AND valid = 1";
    RESERVE = "UPDATE token SET reserved_by = $4 WHERE project = $1 AND customer_id = $2 AND kind = 'password' AND id = $3
               AND valid = 1 AND reserved_by IS NULL";
    RELEASE = "UPDATE token SET reserved_by = NULL WHERE project = $1 AND customer_id = $2 AND reserved_by = $3";
    DELETE = "DELETE FROM token WHERE project = $1 AND customer_id = $2";
    SWEEP = "DELETE FROM token WHERE (project, digest) IN
                (SELECT project, digest FROM token WHERE expires_at <= $1 AND reserved_by IS NULL
                 ORDER BY expires_at LIMIT $2)";
    SWEEP_VALUES = "DELETE FROM log_secret WHERE position IN
                        (SELECT position FROM log_secret WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)";
}

/// Writes a new token: the digest of its value only.
pub fn insert(tx: &mut dyn Tx, project: &ProjectKey, token: &Token, digest: TokenDigest) -> Result<(), Fault> {
    let args = [
        project.into(),
        digest.as_bytes().into(),
        token.id.into(),
        token.kind.as_str().into(),
        token.customer.into(),
        token.created_at.into(),
        token.expires_at.into(),
        token.invalidate_older_tokens.into(),
        Value::json(&token.created_by)?,
    ];
    tx.execute(&INSERT, &args).map(drop)
}

/// The token of this kind whose value has this digest, ended or not.
pub fn by_digest(
    tx: &mut dyn Tx,
    project: &ProjectKey,
    kind: TokenKind,
    digest: TokenDigest,
) -> Result<Option<Token>, Fault> {
    query_one(tx, &BY_DIGEST, &[project.into(), digest.as_bytes().into(), kind.as_str().into()], |row| {
        Ok(Token {
            id: row.parsed(0)?,
            kind,
            customer: row.parsed(1)?,
            created_at: row.micros(2)?,
            expires_at: row.micros(3)?,
            invalidate_older_tokens: row.flag(4)?,
            created_by: row.json(5)?,
            valid: row.flag(6)?,
            reserved_by: row.parsed_opt(7)?,
        })
    })
}

/// Ends all tokens of this kind that the customer has, and forgets their values.
pub fn end_of_customer(
    tx: &mut dyn Tx,
    project: &ProjectKey,
    customer: CustomerId,
    kind: TokenKind,
) -> Result<(), Fault> {
    let args = [project.into(), customer.into(), kind.as_str().into()];
    tx.execute(&FORGET_VALUES, &args)?;
    tx.execute(&END, &args).map(drop)
}

/// Keeps a password token for an operation: no other call can use it, and it stays while it would expire. False: it has
/// ended, or another operation has it. Whether it has expired is the caller's to look at.
pub fn reserve(
    tx: &mut dyn Tx,
    project: &ProjectKey,
    customer: CustomerId,
    token: TokenId,
    operation: OperationId,
) -> Result<bool, Fault> {
    Ok(tx.execute(&RESERVE, &[project.into(), customer.into(), token.into(), operation.into()])? == 1)
}

/// Gives back what the operation has reserved. What has ended meanwhile stays so.
pub fn release(
    tx: &mut dyn Tx,
    project: &ProjectKey,
    customer: CustomerId,
    operation: OperationId,
) -> Result<(), Fault> {
    tx.execute(&RELEASE, &[project.into(), customer.into(), operation.into()]).map(drop)
}

/// Removes all tokens of a customer that is deleted, and forgets their values.
pub fn delete_of_customer(tx: &mut dyn Tx, project: &ProjectKey, customer: CustomerId) -> Result<(), Fault> {
    for kind in [TokenKind::Password, TokenKind::Email] {
        tx.execute(&FORGET_VALUES, &[project.into(), customer.into(), kind.as_str().into()])?;
    }
    tx.execute(&DELETE, &[project.into(), customer.into()]).map(drop)
}

/// Removes up to `limit` tokens that expired so long ago that they count as unknown, and as many expired values.
pub fn sweep(tx: &mut dyn Tx, now: Micros, limit: i64) -> Result<u64, Fault> {
    let values = tx.execute(&SWEEP_VALUES, &[now.into(), limit.into()])?;
    let unknown_since = now.plus(-Token::EXPIRED_TOLD_FOR);
    Ok(values + tx.execute(&SWEEP, &[unknown_since.into(), limit.into()])?)
}
