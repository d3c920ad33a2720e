//! Access and refresh tokens, by digest.

use keyherald_core::Micros;
use keyherald_core::client::Scopes;
use keyherald_core::id::{CustomerId, ProjectKey};
use keyherald_core::secret::TokenDigest;
use keyherald_core::session::{Issued, Session, SessionKind};

use crate::tx::query_one;
use crate::{Fault, Tx, Value, statements};

statements! {
    INSERT = "INSERT INTO session (digest, kind, project, client_id, scopes, customer_id, expires_at, anonymous_id,
                  refresh_digest)
              VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    BY_DIGEST = "SELECT s.client_id, s.project, s.scopes, s.customer_id, s.expires_at, s.anonymous_id
                 FROM session s WHERE s.digest = $1 AND s.kind = $2 AND s.expires_at > $3";
    EXTEND = "UPDATE session SET expires_at = $2 WHERE digest = $1 AND kind = 'refresh' AND expires_at > $3";
    END_OF_CUSTOMER = "DELETE FROM session WHERE project = $1 AND customer_id = $2";
    // A sign-in is its refresh token and the access tokens that came with it and from it.
    END_OF_OTHERS = "DELETE FROM session WHERE project = $1 AND customer_id = $2 AND digest <> $3
                         AND digest <> COALESCE((SELECT s.refresh_digest FROM session s WHERE s.digest = $3), $3)
                         AND COALESCE(refresh_digest, digest)
                             <> COALESCE((SELECT s.refresh_digest FROM session s WHERE s.digest = $3), $3)";
    REVOKE = "DELETE FROM session WHERE digest = $1 AND client_id = $2";
    REVOKE_GRANTED = "DELETE FROM session WHERE refresh_digest = $1";
    // SQLite has one writer: to be in a write transaction is to hold every lock.
    LOCK_VISITOR = {
        sqlite: "SELECT 1 WHERE $1 <> $2",
        postgres: "SELECT 1 FROM (SELECT pg_advisory_xact_lock(hashtextextended($1 || ' ' || $2, 1))) AS locked"
    };
    FORGET_VISITOR = "DELETE FROM session WHERE project = $1 AND anonymous_id = $2 AND expires_at <= $3";
    VISITOR_IS_HERE = "SELECT 1 FROM session WHERE project = $1 AND anonymous_id = $2 LIMIT 1";
    SWEEP = "DELETE FROM session WHERE digest IN (SELECT digest FROM session WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)";
}

/// Stores what was issued: digests only.
pub fn insert(tx: &mut dyn Tx, issued: &Issued) -> Result<(), Fault> {
    let session = &issued.session;
    let mut put = |kind: SessionKind, digest: TokenDigest, expires_at: Micros, granted_by: Option<TokenDigest>| {
        let args: [Value; 9] = [
            digest.as_bytes().into(),
            kind.as_str().into(),
            (&session.project).into(),
            session.client_id.as_str().into(),
            session.scopes.to_string().into(),
            session.customer.into(),
            expires_at.into(),
            session.anonymous_id.as_ref().into(),
            granted_by.as_ref().map(TokenDigest::as_bytes).into(),
        ];
        tx.execute(&INSERT, &args)
    };
    put(SessionKind::Access, issued.access.digest(), session.expires_at, issued.granted_by)?;
    if let Some((value, expires_at)) = &issued.refresh {
        put(SessionKind::Refresh, value.digest(), *expires_at, None)?;
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
            anonymous_id: row.text_opt(5)?,
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

/// Ends all access and refresh tokens of a customer but this access token and those of the same sign-in.
pub fn end_of_others(
    tx: &mut dyn Tx,
    project: &ProjectKey,
    customer: CustomerId,
    kept: TokenDigest,
) -> Result<(), Fault> {
    tx.execute(&END_OF_OTHERS, &[project.into(), customer.into(), kept.as_bytes().into()]).map(drop)
}

/// Ends a token of this client, access or refresh, and with a refresh token the access tokens that came with it and from
/// it. Nothing if there is no such token, or it is another client's.
pub fn revoke(tx: &mut dyn Tx, digest: TokenDigest, client_id: &str) -> Result<(), Fault> {
    // Waits for a refresh that runs at the same moment, so that the token it issues is found below.
    if tx.execute(&REVOKE, &[digest.as_bytes().into(), client_id.into()])? == 1 {
        tx.execute(&REVOKE_GRANTED, &[digest.as_bytes().into()])?;
    }
    Ok(())
}

/// Whether tokens may be issued for this visitor: no live token has its id. Nobody else can be answered so until this
/// transaction ends.
///
/// Of the same visitor's dead tokens none is left, so that a refresh that began before them finds nothing to extend.
pub fn claim_visitor(tx: &mut dyn Tx, project: &ProjectKey, anonymous_id: &str, now: Micros) -> Result<bool, Fault> {
    let visitor: [Value; 2] = [project.into(), anonymous_id.into()];
    query_one(tx, &LOCK_VISITOR, &visitor, |_| Ok(()))?;
    tx.execute(&FORGET_VISITOR, &[project.into(), anonymous_id.into(), now.into()])?;
    Ok(query_one(tx, &VISITOR_IS_HERE, &visitor, |_| Ok(()))?.is_none())
}

/// Removes up to `limit` expired tokens and says how many there were.
pub fn sweep(tx: &mut dyn Tx, now: Micros, limit: i64) -> Result<u64, Fault> {
    tx.execute(&SWEEP, &[now.into(), limit.into()])
}
