//! An export: JSON lines that an import reads, in the order of the customers' ids.

use std::io::{self, Write};
use std::path::Path;

use keyherald_core::id::ProjectKey;

use super::import::{cannot, folder};
use super::record;
use crate::app::{App, Failure};
use crate::complaint::Complaint;

/// Writes all customers to `out`. Returns how many; none of the last page if nobody reads any more.
pub async fn to_writer(
    app: &App,
    project: &ProjectKey,
    with_hashes: bool,
    out: &mut impl Write,
) -> Result<u64, ExportError> {
    let (mut after, mut count) = (None, 0);
    loop {
        let page = app.export_customers(project.clone(), after, with_hashes).await.map_err(ExportError::Store)?;
        let Some(last) = page.last() else { return Ok(count) };
        after = Some(last.customer.id);
        for exported in &page {
            writeln!(out, "{}", record::to_json(exported)).map_err(ExportError::Output)?;
            count += 1;
        }
    }
}

/// Why an export stopped.
#[derive(Debug)]
pub enum ExportError {
    /// The database.
    Store(Failure),
    /// Where it is written to.
    Output(io::Error),
}

/// Writes all customers to a file that only its owner can read. It appears when it is whole.
pub async fn to_file(app: &App, project: &ProjectKey, with_hashes: bool, path: &Path) -> Result<u64, Complaint> {
    let unwritable = |error: io::Error| cannot("write", path, &error);
    // A temporary file is made with mode 0600.
    let aside = tempfile::NamedTempFile::new_in(folder(path)).map_err(unwritable)?;
    let mut out = io::BufWriter::new(aside);
    let count = to_writer(app, project, with_hashes, &mut out).await.map_err(|error| match error {
        ExportError::Store(failure) => Complaint::because("the database refused", &failure),
        ExportError::Output(error) => unwritable(error),
    })?;
    let aside = out.into_inner().map_err(|error| unwritable(error.into_error()))?;
    aside.as_file().sync_all().map_err(unwritable)?;
    aside.persist(path).map_err(|error| unwritable(error.error))?;
    Ok(count)
}
