//! Listings: some rows of a table, by a filter, in an order, a page at a time.

use keyherald_core::filter::{Filter, SortKey};

use crate::filter::{Column, Ordered, alternatives, compile, order_by};
use crate::sql::Text;
use crate::tx::{Row, query_all, query_one};
use crate::{Fault, Sql, Tx, Value};

/// Rows that are counted at most where counting means to look at each: the contract's limit for filtered queries too, for
/// nobody can page beyond it.
pub const TOTAL_MAX: i64 = 10_000;

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
    /// The rows of all pages, if they were to be counted; if need be only up to [`TOTAL_MAX`].
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
    /// Whether all rows are counted when nothing is filtered: an index alone can do it.
    pub counted_whole: bool,
    /// Expressions that order rows by their creation, without ties.
    pub creation: &'static [&'static str],
}

impl Source {
    /// The page that is asked for. `args` are those of `from`, all of which must be used there.
    pub fn page<T>(
        &self,
        tx: &mut dyn Tx,
        args: Vec<Value>,
        listing: &Listing,
        read: impl FnMut(&dyn Row) -> Result<T, Fault>,
    ) -> Result<Page<T>, Fault> {
        let total = if listing.with_total { Some(self.total(tx, args.clone(), &listing.filter)?) } else { None };
        let (text, args) = self.statement(args, listing)?;
        let results = query_all(tx, &Sql::built(self.name, text), &args, read)?;
        Ok(Page { results, total })
    }

    /// How many rows there are, up to [`TOTAL_MAX`] unless all are wanted and quickly counted.
    fn total(&self, tx: &mut dyn Tx, mut args: Vec<Value>, filter: &Filter) -> Result<i64, Fault> {
        let condition = compile(filter, self.columns, args.len() + 1)?;
        args.extend(condition.args);
        let mut text = Text::default();
        text.push("SELECT count(*) FROM (SELECT 1 ");
        text.push(self.from);
        text.push(" AND ");
        text.push_text(&condition.sql);
        if *filter != Filter::All || !self.counted_whole {
            text.push(&format!(" LIMIT ${}", args.len() + 1));
            args.push(TOTAL_MAX.into());
        }
        text.push(") AS found");
        let total = query_one(tx, &Sql::built(self.name, text), &args, |row| row.int(0))?;
        Ok(total.unwrap_or(0))
    }

    /// The statement of a page. A list of values of a column that is to be asked one by one becomes a union of
    /// statements, each of which an index answers in the order that is asked for and up to the page's end.
    fn statement(&self, mut args: Vec<Value>, listing: &Listing) -> Result<(Text, Vec<Value>), Fault> {
        let order = order_by(&listing.sort, self.columns, self.creation)?;
        let alternatives = alternatives(&listing.filter, self.columns)?;
        let (limit, offset) = (args.len() + 1, args.len() + 2);
        args.extend([listing.limit.into(), listing.offset.into()]);
        let mut text = Text::default();
        if let [filter] = alternatives.as_slice() {
            self.select(&mut text, &mut args, filter, &order, false)?;
            text.push(&format!(" LIMIT ${limit} OFFSET ${offset}"));
            return Ok((text, args));
        }
        let end = args.len() + 1;
        args.push(listing.limit.saturating_add(listing.offset).into());
        for (place, filter) in alternatives.iter().enumerate() {
            text.push(if place == 0 { "SELECT * FROM (" } else { " UNION ALL SELECT * FROM (" });
            self.select(&mut text, &mut args, filter, &order, true)?;
            text.push(&format!(" LIMIT ${end}) AS part{place}"));
        }
        for (place, key) in order.iter().enumerate() {
            text.push(&format!("{} key{place}{}", if place == 0 { " ORDER BY" } else { "," }, key.direction));
        }
        text.push(&format!(" LIMIT ${limit} OFFSET ${offset}"));
        Ok((text, args))
    }

    /// Writes `SELECT .. ORDER BY ..`; `with_keys` also selects what it is ordered by, as `key0`, `key1` ...
    fn select(
        &self,
        text: &mut Text,
        args: &mut Vec<Value>,
        filter: &Filter,
        order: &[Ordered],
        with_keys: bool,
    ) -> Result<(), Fault> {
        let condition = compile(filter, self.columns, args.len() + 1)?;
        args.extend(condition.args);
        text.push("SELECT ");
        text.push(self.selected);
        for (place, key) in order.iter().enumerate().filter(|_| with_keys) {
            text.push(", ");
            text.push_words(key.by);
            text.push(&format!(" AS key{place}"));
        }
        text.push(" ");
        text.push(self.from);
        text.push(" AND ");
        text.push_text(&condition.sql);
        for (place, key) in order.iter().enumerate() {
            text.push(if place == 0 { " ORDER BY " } else { ", " });
            text.push_words(key.by);
            text.push(key.direction);
        }
        Ok(())
    }
}
