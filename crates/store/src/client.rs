//! API clients.

use keyherald_core::Micros;
use keyherald_core::client::{ApiClient, Scopes};
use keyherald_core::id::ProjectKey;

use crate::tx::{Row, query_all, query_one};
use crate::{Fault, Tx, statements};

macro_rules! columns {
    () => {
        "client_id, project, name, secret, scopes, access_token_s, refresh_token_s, created_at, revoked_at"
    };
}

statements! {
    PUT = "INSERT INTO api_client (client_id, project, name, secret, scopes, access_token_s, refresh_token_s, created_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
           ON CONFLICT (client_id) DO UPDATE SET project = $2, name = $3, secret = $4, scopes = $5,
               access_token_s = $6, refresh_token_s = $7, revoked_at = NULL";
    BY_ID = (concat!("SELECT ", columns!(), " FROM api_client WHERE client_id = $1"));
    OF_PROJECT = (concat!("SELECT ", columns!(), " FROM api_client WHERE project = $1 ORDER BY created_at, client_id LIMIT 1000"));
    REVOKE = "UPDATE api_client SET revoked_at = $3 WHERE project = $1 AND client_id = $2 AND revoked_at IS NULL";
    END_SESSIONS = "DELETE FROM session WHERE client_id = $1";
}

/// Writes a client; one with the same id is replaced (the development client is put at every start).
pub fn put(tx: &mut dyn Tx, client: &ApiClient) -> Result<(), Fault> {
    let args = [
        client.id.as_str().into(),
        (&client.project).into(),
        client.name.as_str().into(),
        client.secret.as_bytes().into(),
        client.scopes.to_string().into(),
        client.access_token_s.into(),
        client.refresh_token_s.into(),
        client.created_at.into(),
    ];
    tx.execute(&PUT, &args).map(drop)
}

/// The client with this id, revoked or not, and the stored digest of its secret.
pub fn by_id(tx: &mut dyn Tx, client_id: &str) -> Result<Option<ApiClient>, Fault> {
    query_one(tx, &BY_ID, &[client_id.into()], read)
}

/// The first thousand clients of a project, oldest first.
pub fn of_project(tx: &mut dyn Tx, project: &ProjectKey) -> Result<Vec<ApiClient>, Fault> {
    query_all(tx, &OF_PROJECT, &[project.into()], read)
}

/// Revokes a client and ends all its tokens. False: no such client, or revoked already.
pub fn revoke(tx: &mut dyn Tx, project: &ProjectKey, client_id: &str, now: Micros) -> Result<bool, Fault> {
    let revoked = tx.execute(&REVOKE, &[project.into(), client_id.into(), now.into()])? == 1;
    if revoked {
        tx.execute(&END_SESSIONS, &[client_id.into()])?;
    }
    Ok(revoked)
}

fn read(row: &dyn Row) -> Result<ApiClient, Fault> {
    let digest: [u8; 32] = row.bytes(3)?.try_into().map_err(|_| Fault::corrupt("a client's digest is not 32 bytes"))?;
    Ok(ApiClient {
        id: row.text(0)?,
        project: row.parsed(1)?,
        name: row.text(2)?,
        secret: digest.into(),
        scopes: Scopes::parse(&row.text(4)?),
        access_token_s: row.int(5)?,
        refresh_token_s: row.int(6)?,
        created_at: row.micros(7)?,
        revoked_at: row.int_opt(8)?.map(Micros),
    })
}
