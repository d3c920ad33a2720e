//! `keyherald customers`: its words and helps.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use keyherald_core::id::ProjectKey;

use super::ConfigFile;

/// `keyherald customers`
#[derive(Debug, Subcommand)]
pub enum Customers {
    /// Take over customers that another system made, with the hashes of their passwords.
    ///
    /// Each customer is one JSON object on a line of its own, or one row of a CSV file whose first line names the
    /// columns. A record is imported whole or not at all: what is wrong with one is written to the errors file with the
    /// number of its line, and the import goes on. Exit code 1 if any record was rejected.
    ///
    /// A record whose customer is there already, just as it says, is counted and skipped, so that an import can be run
    /// again. One that differs is rejected: an import never changes a customer. The server may be running meanwhile.
    #[command(after_long_help = IMPORT_RECORDS)]
    Import(CustomersImport),
    /// Write all customers of a project as JSON lines that `customers import` reads.
    ///
    /// In the order of their ids. Customers that come or change meanwhile may be missing or be in it as they were.
    #[command(after_help = "\
Examples:
  keyherald customers export --config keyherald.toml --project my-shop | jq .email
  keyherald customers export --config keyherald.toml --project my-shop --with-hashes --out customers.jsonl")]
    Export(CustomersExport),
}

const IMPORT_RECORDS: &str = "\
Fields (texts, unless it is said otherwise; only email must be there):
  email               signs in with it, in whatever letter case
  passwordHash        see below
  authenticationMode  Password (the default) or ExternalAuth. Without a passwordHash it must be
                      said: Password then means that the password has to be reset first
                      (unless the customer has one at an identity provider)
  key, externalId, customerNumber, firstName, lastName, middleName, title, salutation,
  dateOfBirth, companyName, vatId, locale
  isEmailVerified     true or false (the default)
  mobile              in international form: +359897765463; one customer's only
  createdAt           as 2022-09-19T14:34:35.843Z
  stores              keys of stores that the project has: [\"a\", \"b\"]; in CSV separated by spaces
  addresses           [{\"country\": \"DE\", \"city\": \"Ulm\", ...}] (JSON lines only), used by place:
                      defaultShippingAddress, defaultBillingAddress: 0; shippingAddresses,
                      billingAddresses: [0, 1]
  providerUsers       who the customer is at identity providers, by their names in the configuration:
                      {\"auth0-main\": \"auth0|507f1f77\"}; in CSV auth0-main=auth0|507f1f77. Passwords
                      are set there as well. May be added to customers that are there already

Password hashes, each verified as it is until its owner signs in, and then replaced by Argon2id:
  Argon2              $argon2id$v=19$m=65536,t=3,p=4$SALT$TAG, and argon2i, argon2d
  bcrypt              $2a$, $2b$, $2y$, up to cost 14
  scrypt              $scrypt$ln=16,r=8,p=1$SALT$TAG, $s0$e0801$SALT$TAG, $7$...; up to 64 MiB
  PBKDF2              $pbkdf2-sha256$i=600000,l=32$SALT$TAG with sha1, sha256 or sha512;
                      passlib's $pbkdf2-sha256$29000$SALT$TAG, Django's pbkdf2_sha256$...
  Firebase            $firescrypt$ln=14,r=8,p=1$SALT$HASH$SEPARATOR$SIGNER-KEY
  SHA-crypt           $5$, $6$, with rounds=
  salted digests      $ssha1$, $ssha256$, $ssha512$ or $smd5$, then salt=prefix$SALT$DIGEST or
                      salt=suffix$SALT$DIGEST; LDAP's {SSHA}, {SSHA256}, {SSHA512}, {SMD5}
SALT, TAG and so on are Base64. A hash that would take more than 64 MiB or about a second to verify is
rejected. Passwords in clear are not imported: hash them first.

Examples:
  keyherald customers import --config keyherald.toml --project my-shop customers.jsonl
  keyherald customers import --config keyherald.toml --project my-shop --resume customers.csv

  {\"email\":\"ada@example.com\",\"passwordHash\":\"$2b$10$N9qo8uLOickgx2ZMRZoMye...\",\"key\":\"c-1\"}";

/// `keyherald customers import`
#[derive(Debug, Args)]
pub struct CustomersImport {
    #[command(flatten)]
    pub file: ConfigFile,
    /// The project that the customers will belong to.
    #[arg(long, value_name = "KEY")]
    pub project: ProjectKey,
    /// The file of customers.
    #[arg(value_name = "FILE")]
    pub input: PathBuf,
    /// Its format. Default: csv if it is named so, jsonl otherwise.
    #[arg(long, value_enum)]
    pub format: Option<FileFormat>,
    /// Where to write what was rejected: JSON lines with line and reason. Overwritten. Default: FILE.errors.
    #[arg(long, value_name = "FILE")]
    pub errors: Option<PathBuf>,
    /// Go on where the last import of this file stopped (FILE.progress says where).
    #[arg(long)]
    pub resume: bool,
    /// Send CustomerCreated for every imported customer.
    ///
    /// Without it no message is made: an import is not a sign-up, and whoever welcomes new customers would write to all
    /// of them. The first message about such a customer is then the first change here, with sequence number 1.
    #[arg(long)]
    pub announce: bool,
}

/// The format of a file of customers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FileFormat {
    /// One JSON object a line.
    Jsonl,
    /// Comma-separated values; the first line names the columns.
    Csv,
}

/// `keyherald customers export`
#[derive(Debug, Args)]
pub struct CustomersExport {
    #[command(flatten)]
    pub file: ConfigFile,
    /// The project whose customers are written.
    #[arg(long, value_name = "KEY")]
    pub project: ProjectKey,
    /// Write to this file, which only its owner may read. It appears when it is whole. Default: stdout.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Write the hashes of the passwords too. Whoever reads them can try passwords at leisure.
    #[arg(long)]
    pub with_hashes: bool,
}
