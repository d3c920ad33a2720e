//! Listings: some rows of a table, by a filter, in an order, a page at a time.

use keyherald_core::filter::{Filter, SortKey};

use crate::filter::{Column, compile, order_by};
use crate::tx::{Row, query_all, query_one};
use crate::{Fault, Sql, Tx, Value};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Listing {
    /// Which rows.
    pub filter: Filter,
    /// In which order; where it leaves ties, and when it is empty, in the order of creation.
    pub sort: Vec<SortKey>,
    /// Most rows of the page; may be 0.
    pub limit: i64,
    /// Rows before the page.
    pub offset: i64,
    /// Whether to count the rows of all pages.
    pub with_total: bool,
}

/// What is found.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The rows of the page.
    pub results: Vec<T>,
    /// The rows of all pages, if they were to be counted.
    pub total: Option<i64>,
}

/// Where a listing's rows come from.
pub(crate) struct Source {
    /// Name in faults.
    pub name: &'static str,
    /// The columns that are read.
    pub selected: &'static str,
    /// `FROM .. WHERE ..` with the conditions that always hold. Joins must keep the number of rows.
    pub from: &'static str,
    /// The fields of filters and sorts.
    pub columns: &'static [Column],
    /// Orders rows by their creation, without ties.
    pub creation: &'static str,
}

impl Source {
    /// The page that is asked for. `args` are those of `from`, all of which must be used there.
    pub fn page<T>(
        &self,
        tx: &mut dyn Tx,
        mut args: Vec<Value>,
        listing: &Listing,
        read: impl FnMut(&dyn Row) -> Result<T, Fault>,
    ) -> Result<Page<T>, Fault> {
        let condition = compile(&listing.filter, self.columns, args.len() + 1)?;
        args.extend(condition.args);
        let rows = format!("{} AND {}", self.from, condition.sql);
        let total = if listing.with_total {
            let count = Sql::built(self.name, format!("SELECT count(*) {rows}"));
            query_one(tx, &count, &args, |row| row.int(0))?
        } else {
            None
        };
        let order = order_by(&listing.sort, self.columns, self.creation)?;
        let (limit, offset) = (args.len() + 1, args.len() + 2);
        args.extend([listing.limit.into(), listing.offset.into()]);
        let text = format!("SELECT {} {rows} ORDER BY {order} LIMIT ${limit} OFFSET ${offset}", self.selected);
        let results = query_all(tx, &Sql::built(self.name, text), &args, read)?;
        Ok(Page { results, total })
    }
}
