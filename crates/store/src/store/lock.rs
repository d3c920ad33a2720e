//! One server per SQLite file.
//!
//! Two servers would not corrupt it, but both would deliver every message, each unaware of the other.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use crate::{Fault, FaultKind};

/// Holds `<file>.lock` locked; the operating system lets go of it when the process ends, however it ends.
pub(super) struct ServingLock {
    _file: File,
}

impl ServingLock {
    pub(super) fn take(database: &Path) -> Result<Self, Fault> {
        // By whatever links the file was named, the lock lies beside the file itself.
        let database = database.canonicalize().unwrap_or_else(|_| database.to_owned());
        let mut name = OsString::from(&database);
        name.push(".lock");
        let path = Path::new(&name);
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path).map_err(|error| {
            Fault::caused(FaultKind::Unavailable, format!("cannot open the lock file {}", path.display()), error)
        })?;
        match file.try_lock() {
            // Never removed: whoever opened it before the removal would lock another file than whoever came after.
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => {
                let database = database.display();
                let text = format!(
                    "another Keyherald server runs on {database}: stop it first, or use PostgreSQL to run several"
                );
                Err(Fault::new(FaultKind::Unavailable, text))
            }
            Err(TryLockError::Error(error)) => {
                Err(Fault::caused(FaultKind::Unavailable, format!("cannot lock {}", path.display()), error))
            }
        }
    }
}
