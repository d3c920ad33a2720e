//! `keyherald customers import | export`.

mod csv;
pub mod export;
pub mod import;
mod lines;
mod record;
mod source;
mod ticker;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use keyherald_core::id::ProjectKey;

use self::export::ExportError;
use self::import::{Counts, Import, ImportOptions, beside};
use self::ticker::Ticker;
use super::{load, print};
use crate::app::App;
use crate::boot;
use crate::cli::{Customers, CustomersExport, CustomersImport, FileFormat};
use crate::clock::Moments;
use crate::complaint::Complaint;
use crate::config::Purpose;

/// Records in one transaction: enough to share a commit, few enough not to keep others waiting.
const BATCH: usize = 500;

/// Runs one of the commands on the database that the configuration names.
pub async fn run(command: Customers) -> Result<ExitCode, Complaint> {
    let (file, project) = match &command {
        Customers::Import(CustomersImport { file, project, .. })
        | Customers::Export(CustomersExport { file, project, .. }) => (file, project),
    };
    let config = load(file, Purpose::Serve)?;
    if !config.projects.iter().any(|known| known.key == *project) {
        let known: Vec<_> = config.projects.iter().map(|project| project.key.to_string()).collect();
        return Err(Complaint::new(format!("there is no project {project}"))
            .hint(format!("the configuration has: {}", known.join(", "))));
    }
    let app = boot::assemble(&config, boot::open_store(&config)?, Moments::of_system())?;
    let outcome = match command {
        Customers::Import(options) => run_import(&app, options).await,
        Customers::Export(options) => run_export(&app, options).await,
    };
    app.store.close().await;
    outcome
}

async fn run_import(app: &App, options: CustomersImport) -> Result<ExitCode, Complaint> {
    let errors = options.errors.unwrap_or_else(|| beside(&options.input, ".errors"));
    let options = ImportOptions {
        project: options.project,
        format: options.format.unwrap_or_else(|| format_of(&options.input)),
        file: options.input,
        errors: errors.clone(),
        resume: options.resume,
        announce: options.announce,
        batch: BATCH,
    };
    let mut import = Import::open(app, options)?;
    let mut ticker = Ticker::new(import.counts());
    while import.step().await? {
        ticker.tick(import.counts(), import.percent());
    }
    ticker.end();
    let counts = import.finish()?;
    print(&summary(counts, &errors));
    Ok(if counts.rejected == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn format_of(file: &Path) -> FileFormat {
    let is_csv = file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
    if is_csv { FileFormat::Csv } else { FileFormat::Jsonl }
}

fn summary(counts: Counts, errors: &Path) -> String {
    let Counts { imported, without_password, already_there, rejected } = counts;
    let mut lines = vec![format!("{imported} imported, {already_there} there already, {rejected} rejected")];
    if without_password > 0 {
        lines.push(format!("{without_password} of the imported have no password and must reset it"));
    }
    if rejected > 0 {
        lines.push(format!("what was rejected, and why: {}", errors.display()));
    }
    lines.join("\n")
}

async fn run_export(app: &App, options: CustomersExport) -> Result<ExitCode, Complaint> {
    let CustomersExport { project, out, with_hashes, .. } = options;
    match out {
        Some(path) => {
            let count = export::to_file(app, &project, with_hashes, &path).await?;
            print(&format!("{count} customers in {}", path.display()));
        }
        None => to_stdout(app, &project, with_hashes).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn to_stdout(app: &App, project: &ProjectKey, with_hashes: bool) -> Result<(), Complaint> {
    let mut out = io::BufWriter::new(io::stdout());
    let written = export::to_writer(app, project, with_hashes, &mut out).await;
    match written.and_then(|_| out.flush().map_err(ExportError::Output)) {
        Ok(()) => Ok(()),
        // Nobody reads on (`| head`).
        Err(ExportError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(ExportError::Output(error)) => Err(Complaint::because("cannot write to stdout", &error)),
        Err(ExportError::Store(failure)) => Err(Complaint::because("the database refused", &failure)),
    }
}
