//! `keyherald migrate`.

use std::process::ExitCode;

use keyherald_store::migrate::MigrationStatus;

use super::print;
use crate::boot;
use crate::clock::Moments;
use crate::complaint::Complaint;
use crate::config::Config;

/// Brings the database to this version, or only says where it stands.
pub async fn run(config: Config, status_only: bool) -> Result<ExitCode, Complaint> {
    let store = boot::open_store(&config)?;
    let unread = |fault| Complaint::because("the database's version cannot be read", &fault);
    if !status_only {
        let applied = store
            .migrate(Moments::of_system().now())
            .await
            .map_err(|fault| Complaint::because("the database cannot be brought to this version", &fault))?;
        for number in applied {
            print(&format!("applied {number:04}"));
        }
    }
    let status: MigrationStatus = store.migration_status().await.map_err(unread)?;
    store.close().await;
    for done in &status.applied {
        print(&format!("{:04} {:<24} applied {}", done.number, done.name, done.applied_at.iso()));
    }
    for name in &status.pending {
        print(&format!("{name:<29} to be applied"));
    }
    let state = match (status.pending.len(), status.ahead) {
        (0, 0) => "up to date".to_owned(),
        (0, ahead) => format!("{ahead} migrations ahead of this program, which may use it all the same"),
        (count, _) => format!("{count} migrations to be applied"),
    };
    print(&format!("{} database: {state}", store.engine_name()));
    Ok(ExitCode::SUCCESS)
}
