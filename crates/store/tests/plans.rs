//! Every documented way to look something up is led by an index, on both engines: no statement goes through a whole
//! table, and none sorts what an index has in order. Read off the plans of the engines themselves.
#![expect(clippy::unwrap_used, reason = "test support")]

mod ways;

use keyherald_core::Ctx;
use keyherald_core::id::SubscriptionId;
use keyherald_store::delivery::intervention;
use keyherald_store::testing::{TestStore, block_on};
use keyherald_store::tx::query_all;
use keyherald_store::{Fault, Row, Sql, StoreUrl, Tx, Value, each_engine};

use ways::{START, WAYS, Way, fill, filled_in, id, project};

const ROWS: i64 = 40_000;

/// Asks for the plan of each statement before it is run.
struct Explaining<'t> {
    tx: &'t mut dyn Tx,
    plans: Vec<String>,
}

impl Explaining<'_> {
    fn explain(&mut self, sql: &Sql, args: &[Value]) -> Result<(), Fault> {
        let explain = Sql {
            name: "EXPLAIN",
            sqlite: format!("EXPLAIN QUERY PLAN {}", sql.sqlite).into(),
            postgres: format!("EXPLAIN {}", sql.postgres).into(),
        };
        let mut plan = Vec::new();
        self.tx.query(&explain, args, &mut |row| {
            plan.push(row.text(3).or_else(|_| row.text(0))?);
            Ok(())
        })?;
        self.plans.push(plan.join("\n"));
        Ok(())
    }
}

impl Tx for Explaining<'_> {
    fn execute(&mut self, sql: &Sql, args: &[Value]) -> Result<u64, Fault> {
        self.explain(sql, args)?;
        self.tx.execute(sql, args)
    }

    fn query(
        &mut self,
        sql: &Sql,
        args: &[Value],
        row: &mut dyn FnMut(&dyn Row) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.explain(sql, args)?;
        self.tx.query(sql, args, row)
    }
}

/// What is wrong with a plan.
fn faults(plan: &str, way: &Way, engine: &str) -> Vec<String> {
    let primary = format!("sqlite_autoindex_{}_1", way.index.trim_end_matches("_pkey"));
    let index = if engine == "sqlite" && way.index.ends_with("_pkey") { primary.as_str() } else { way.index };
    let mut faults = whole_tables(plan);
    if !plan.contains(index) {
        faults.push(format!("{index} is not used"));
    }
    let sorts = |line: &str| {
        line == "USE TEMP B-TREE FOR ORDER BY" || line.trim_start_matches([' ', '-', '>']).starts_with("Sort ")
    };
    if way.ordered && plan.lines().any(sorts) {
        faults.push("sorts".to_owned());
    }
    faults
}

/// Lines that go through a whole table of those that grow, or through all that a project has of it.
fn whole_tables(plan: &str) -> Vec<String> {
    let tables = ["log", "customer", "customer_email", "credential", "token", "session", "attempt"];
    let aliases = ["l", "c", "m", "s", "r"];
    let names: Vec<&str> = tables.into_iter().chain(aliases).collect();
    let is_whole = |line: &&str| {
        let mut words = line.split_whitespace().skip_while(|word| *word == "->");
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("SCAN"), Some(name), ..) => names.contains(&name),
            (Some("Seq"), Some("Scan"), Some("on"), Some(name)) => tables.contains(&name),
            (Some("Parallel"), Some("Seq"), Some("Scan"), Some("on")) => true,
            _ => false,
        }
    };
    plan.lines().filter(is_whole).map(|line| line.trim().to_owned()).collect()
}

async fn every_way_is_led_by_its_index(store: &TestStore) {
    fill(store, ROWS, |_| {}).await;
    let mut found_faults = Vec::new();
    for way in WAYS {
        let plans = store.read(|tx| {
            let mut explaining = Explaining { tx, plans: Vec::new() };
            let found = (way.ask)(&mut explaining, ROWS, 12_346)?;
            assert!(found > 0, "{} finds nothing", way.name);
            Ok(explaining.plans)
        });
        for plan in plans.await.unwrap() {
            let faults = faults(&plan, way, store.engine_name());
            if !faults.is_empty() {
                found_faults.push(format!("{}: {}\n{plan}\n", way.name, faults.join(", ")));
            }
        }
    }
    assert!(found_faults.is_empty(), "{}", found_faults.join("\n"));
}

/// What several statements answer together: each of these indexes leads to something.
async fn what_operators_ask_is_led_by_indexes(store: &TestStore) {
    fill(store, ROWS, |_| {}).await;
    let id = fill_deliveries(store).await;
    let plans = store.read(move |tx| {
        let mut explaining = Explaining { tx, plans: Vec::new() };
        let lag = intervention::lag(&mut explaining, &project(), id)?;
        assert!(lag.waiting == LANES && lag.letters == LANES && !lag.owed.is_empty(), "{lag:?}");
        assert!(intervention::before(&mut explaining, &project(), START.plus(1))?.is_some());
        let plans = std::mem::take(&mut explaining.plans);
        Ok(plans)
    });
    let plans = plans.await.unwrap();
    for index in ["log_told", "log_by_customer", "log_by_time"] {
        let is_primary = index == "log_told" && store.engine_name() == "postgres"; // as good: one project has all of the log
        let leads = |plan: &String| plan.contains(index) || (is_primary && plan.contains("log_pkey"));
        assert!(plans.iter().any(leads), "{index}: {plans:#?}");
    }
    let whole: Vec<_> = plans.iter().filter(|plan| !whole_tables(plan).is_empty()).collect();
    assert!(whole.is_empty(), "{whole:#?}");
}

/// Lanes of the subscription that wait, and as many letters.
const LANES: i64 = 500;
static CURSORS: &str = "INSERT INTO delivery_cursor (subscription_id, partition, position)
    {numbers} SELECT '018bcfe5-6800-7000-8000-000000000001', i, 20000 FROM n";
static PARKED: &str =
    "INSERT INTO parked_lane (subscription_id, customer_id, partition, from_position, failed_attempts,
        next_at, last_error, parked_at)
    {numbers} SELECT '018bcfe5-6800-7000-8000-000000000001', {id}, 0, 1, 1, NULL, 'answered 500', {at} FROM n";
static ASIDE: &str = "INSERT INTO dead_letter (project, id, subscription_id, position, message_id, customer_id, reason,
        attempts, last_error, created_at)
    {numbers} SELECT 'demo', {id}, '018bcfe5-6800-7000-8000-000000000001', 20000 + i, {id}, {id}, 'exhausted', 1, '', {at}
    FROM n";

async fn fill_deliveries(store: &TestStore) -> SubscriptionId {
    let filling = [(CURSORS, 64), (PARKED, LANES), (ASIDE, LANES)];
    let filling = filling.map(|(text, rows)| (Sql::built("FILL", filled_in(text)), rows));
    let is_postgres = store.engine_name() == "postgres";
    let work = move |tx: &mut dyn Tx, _: &mut Ctx| {
        filling.iter().try_for_each(|(sql, rows)| tx.execute(sql, &[0.into(), (*rows).into()]).map(drop))?;
        if is_postgres { tx.execute(&ANALYZE, &[]).map(drop) } else { Ok(()) }
    };
    store.write(&Ctx::new(START, [0; 32]), work).await.unwrap();
    id(1).parse().unwrap()
}

static ANALYZE: Sql = Sql::both("ANALYZE", "ANALYZE");
static TOKENS: &str =
    "INSERT INTO token (project, digest, id, kind, customer_id, created_at, expires_at, invalidate_older,
        created_by, valid)
    {numbers} SELECT 'demo', CAST({digits} AS {bytes}), {id}, 'password', {id}, {at}, {at} + 1, 0, '{}', 1 FROM n";
static SESSIONS: &str = "INSERT INTO session (digest, kind, project, client_id, scopes, customer_id, expires_at)
    {numbers} SELECT CAST({digits} AS {bytes}), 'access', 'demo', 'client-' || (i % 1000), '', {id}, {at} FROM n";

/// Of each customer one.
async fn fill_tokens_and_sessions(store: &TestStore) {
    let bytes = if store.engine_name() == "sqlite" { "BLOB" } else { "BYTEA" };
    let filling = [TOKENS, SESSIONS].map(|text| Sql::built("FILL", filled_in(&text.replace("{bytes}", bytes))));
    let is_postgres = store.engine_name() == "postgres";
    let work = move |tx: &mut dyn Tx, _: &mut Ctx| {
        filling.iter().try_for_each(|sql| tx.execute(sql, &[0.into(), ROWS.into()]).map(drop))?;
        if is_postgres { tx.execute(&ANALYZE, &[]).map(drop) } else { Ok(()) }
    };
    store.write(&Ctx::new(START, [0; 32]), work).await.unwrap();
}

/// Batches whose size is a value: without it PostgreSQL takes them for a tenth of the table, with it for what they are.
const SIZED_BATCHES: [&str; 2] = ["keyherald_store::session::SWEEP", "keyherald_store::token::SWEEP"];

/// The statements of the program's own: tokens and sessions by digest, the relay's pages, batches of retention, sweeps
/// and all the rest. Planned without regard to values, as a prepared statement may be.
async fn no_fixed_statement_reads_a_whole_table(store: &TestStore) {
    fill(store, ROWS, |_| {}).await;
    fill_tokens_and_sessions(store).await;
    let plans = match store.url() {
        StoreUrl::Sqlite(_) => {
            store.read(|tx| keyherald_store::statements().map(|sql| sqlite_plan(tx, sql)).collect()).await.unwrap()
        }
        StoreUrl::Postgres(url) => {
            let url = url.clone();
            std::thread::spawn(move || postgres_plans(&url)).join().unwrap()
        }
    };
    let faults: Vec<String> = plans
        .iter()
        .filter(|(name, plan)| !SIZED_BATCHES.contains(name) && !whole_tables(plan).is_empty())
        .map(|(name, plan)| format!("{name}\n{plan}\n"))
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(plans.len() > 80, "{}", plans.len());
}

fn sqlite_plan(tx: &mut dyn Tx, sql: &Sql) -> Result<(&'static str, String), Fault> {
    let mut plan = Vec::new();
    let explain = Sql::built("EXPLAIN", format!("EXPLAIN QUERY PLAN {}", sql.sqlite));
    let args = vec![Value::Null; placeholders(&sql.sqlite)];
    tx.query(&explain, &args, &mut |row| {
        plan.push(row.text(3)?);
        Ok(())
    })?;
    Ok((sql.name, plan.join("\n")))
}

/// On a connection of its own: a plan for any values is only made for a statement that is prepared by name.
fn postgres_plans(url: &str) -> Vec<(&'static str, String)> {
    let mut client = postgres::Client::connect(url, postgres::NoTls).unwrap();
    client.batch_execute("SET plan_cache_mode = force_generic_plan").unwrap();
    let explained = |sql: &'static Sql| {
        let nulls = vec!["NULL"; placeholders(&sql.postgres)].join(", ");
        let values = if nulls.is_empty() { nulls } else { format!("({nulls})") };
        client.batch_execute(&format!("DEALLOCATE ALL; PREPARE planned AS {}", sql.postgres)).unwrap();
        let rows = client.simple_query(&format!("EXPLAIN EXECUTE planned{values}")).unwrap();
        let lines = rows.iter().filter_map(|message| match message {
            postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        });
        (sql.name, lines.collect::<Vec<_>>().join("\n"))
    };
    keyherald_store::statements().map(explained).collect()
}

/// The highest number of a placeholder.
fn placeholders(text: &str) -> usize {
    let number = |rest: &str| rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0);
    text.split('$').skip(1).map(number).max().unwrap_or(0)
}

/// Each index of a large table has its numbers: without, SQLite takes it for the best of all.
#[test]
fn every_index_of_a_large_table_has_its_statistics() {
    static MISSING: Sql = Sql::both(
        "MISSING",
        "SELECT i.tbl_name, i.name FROM sqlite_schema i WHERE i.type = 'index'
            AND i.tbl_name IN (SELECT tbl FROM sqlite_stat1) AND i.name NOT IN (SELECT idx FROM sqlite_stat1)
         UNION ALL SELECT s.tbl, s.idx FROM sqlite_stat1 s WHERE s.idx NOT IN (SELECT name FROM sqlite_schema)",
    );
    block_on(async {
        let store = TestStore::sqlite().await;
        let missing =
            store.read(|tx| query_all(tx, &MISSING, &[], |row| Ok((row.text(0)?, row.text(1)?)))).await.unwrap();
        assert!(missing.is_empty(), "a row in sqlite_stat1 is missing or too many for: {missing:?}");
    });
}

each_engine! {
    every_way_is_led_by_its_index,
    what_operators_ask_is_led_by_indexes,
    no_fixed_statement_reads_a_whole_table,
}
