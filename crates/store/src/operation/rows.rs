//! How an operation lies in its row.

use keyherald_core::credential::PasswordHash;
use keyherald_core::id::OperationId;
use keyherald_core::operation::{Intent, Operation};
use keyherald_core::seal::KeyRing;
use keyherald_core::secret::Password;

use crate::{Fault, Row};

/// What seal and MAC are bound to.
pub(super) fn binding(id: OperationId) -> String {
    format!("operation:{id}:password")
}

/// Reads a row of the columns of `selected!`.
pub(super) fn read(row: &dyn Row) -> Result<Operation, Fault> {
    let hash = |text: String| {
        PasswordHash::parse(&text).map_err(|_| Fault::corrupt("an operation's hash is not a PHC string"))
    };
    Ok(Operation {
        project: row.parsed(0)?,
        id: row.parsed(1)?,
        customer: row.parsed(2)?,
        began_at: row.micros(3)?,
        intent: row.json(4)?,
        log: row.json(5)?,
        hash: row.text_opt(6)?.map(hash).transpose()?,
        password_at_hand: row.flag(7)?,
        revision: row.int(8)?,
    })
}

/// Opens a sealed password.
pub(super) fn open(ring: &KeyRing, id: OperationId, sealed: &[u8]) -> Result<Password, Fault> {
    let plain = ring.open(&binding(id), sealed)?;
    let text = std::str::from_utf8(&plain).map_err(|_| Fault::corrupt("a sealed password is not text"))?;
    Password::new(text.to_owned()).map_err(|_| Fault::corrupt("a sealed password is too long"))
}

/// What of an intent need not outlive the operation.
pub(super) struct Erased {
    /// The customer is deleted: who it was at the provider goes too.
    pub(super) customer_too: bool,
}

impl Erased {
    pub(super) fn of(&self, intent: &Intent) -> Result<Intent, Fault> {
        let mut intent = intent.clone();
        intent.by = intent.by.impersonal();
        if self.customer_too {
            intent.link.user = "erased".parse().map_err(|_| Fault::corrupt("a fixed name does not parse"))?;
        }
        Ok(intent)
    }
}
