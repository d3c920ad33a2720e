//! What requests cost: so that tests can say that two of them cost the same.

use super::TestServer;

/// What a request has cost: hashes, statements read and written, transactions.
#[derive(Debug, PartialEq, Eq)]
pub struct Cost {
    pub hashes: u64,
    pub read_statements: u64,
    pub write_statements: u64,
    pub writes: u64,
    pub commits: u64,
}

/// What all requests have cost so far.
pub fn spent(server: &TestServer) -> Cost {
    let (hash, store) = (server.app.hash.counters(), server.store().counters());
    Cost {
        hashes: hash.verified + hash.dummy + hash.hashed,
        read_statements: store.read_statements,
        write_statements: store.write_statements,
        writes: store.writes,
        commits: store.commits,
    }
}

impl Cost {
    /// What has come since.
    pub fn since(self, before: &Self) -> Self {
        Self {
            hashes: self.hashes - before.hashes,
            read_statements: self.read_statements - before.read_statements,
            write_statements: self.write_statements - before.write_statements,
            writes: self.writes - before.writes,
            commits: self.commits - before.commits,
        }
    }
}
