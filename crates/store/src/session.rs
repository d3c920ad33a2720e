//! Access and refresh tokens, by digest.

use keyherald_core::Micros;
use keyherald_core::client::Scopes;
use keyherald_core::id::{CustomerId, ProjectKey};
use keyherald_core::secret::TokenDigest;
use keyherald_core::session::{Issued, Session, SessionKind};

use crate::tx::query_one;
use crate::{Fault, Tx, Value, statements};

statements! {
    INSERT = "INSERT INTO session (digest, kind, project, client_id, scopes, customer_id, expires_at)
              VALUES ($1, $2, $3, $4, $5, $6, $7)";
    BY_DIGEST = "SELECT s.client_id, s.project, s.scopes, s.customer_id, s.expires_at
                 FROM session s WHERE s.digest = $1 AND s.kind = $2 AND s.expires_at > $3";
    EXTEND = "UPDATE session SET expires_at = $2 WHERE digest = $1 AND kind = 'refresh' AND expires_at > $3";
    END_OF_CUSTOMER = "DELETE FROM session WHERE project = $1 AND customer_id = $2";
    SWEEP = "DELETE FROM session WHERE digest IN (SELECT digest FROM session WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)";
}

/// Stores what was issued: digests only.
pub fn insert(tx: &mut dyn Tx, issued: &Issued) -> Result<(), Fault> {
    let session = &issued.session;
    let mut put = |kind: SessionKind, digest: TokenDigest, expires_at: Micros| {
        let args: [Value; 7] = [
            digest.as_bytes().into(),
            kind.as_str().into(),
            (&session.project).into(),
            session.client_id.as_str().into(),
            session.scopes.to_string().into(),
            session.customer.into(),
            expires_at.into(),
        ];
        tx.execute(&INSERT, &args)
    };
    put(SessionKind::Access, issued.access.digest(), session.expires_at)?;
    if let Some((value, expires_at)) = &issued.refresh {
        put(SessionKind::Refresh, value.digest(), *expires_at)?;
    }
    Ok(())
}

/// What a presented token stands for, if it is alive at `now`.
pub fn by_digest(
    tx: &mut dyn Tx,
    kind: SessionKind,
    digest: TokenDigest,
    now: Micros,
) -> Result<Option<Session>, Fault> {
    query_one(tx, &BY_DIGEST, &[digest.as_bytes().into(), kind.as_str().into(), now.into()], |row| {
        Ok(Session {
            client_id: row.text(0)?,
            project: row.parsed(1)?,
            scopes: Scopes::parse(&row.text(2)?),
            customer: row.parsed_opt(3)?,
            expires_at: row.micros(4)?,
        })
    })
}

/// A refresh token was used: its inactivity starts anew. False: it ended meanwhile.
pub fn extend_refresh(tx: &mut dyn Tx, digest: TokenDigest, until: Micros, now: Micros) -> Result<bool, Fault> {
    Ok(tx.execute(&EXTEND, &[digest.as_bytes().into(), until.into(), now.into()])? == 1)
}

/// Ends all access and refresh tokens of a customer.
pub fn end_of_customer(tx: &mut dyn Tx, project: &ProjectKey, customer: CustomerId) -> Result<(), Fault> {
    tx.execute(&END_OF_CUSTOMER, &[project.into(), customer.into()]).map(drop)
}

/// Removes up to `limit` expired tokens and says how many there were.
pub fn sweep(tx: &mut dyn Tx, now: Micros, limit: i64) -> Result<u64, Fault> {
    tx.execute(&SWEEP, &[now.into(), limit.into()])
}
