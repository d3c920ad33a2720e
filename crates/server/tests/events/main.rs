//! Events of Paysafe's contract on real stores, over real HTTP on loopback: the bytes that are kept, signed and sent are the
//! same at every try, and what a partner's endpoint does is its own affair. Every test runs on both engines.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "test support")]

/// Makes two tests of each `async fn name(stage: Stage)`.
macro_rules! each_engine {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            use keyherald_store::testing::{TestStore, block_on};

            use crate::stage::Stage;

            #[test]
            fn sqlite() {
                block_on(async { super::$name(Stage::on(TestStore::sqlite().await).await).await });
            }

            #[test]
            #[ignore = "needs PostgreSQL: cargo xtask test starts one"]
            fn postgres() {
                block_on(async { super::$name(Stage::on(TestStore::postgres().await).await).await });
            }
        }
    )*};
}

mod alert;
mod binary;
#[path = "../black_box/mod.rs"]
#[expect(dead_code, reason = "parts of it are for other tests")]
mod black_box;
mod bytes;
mod codes;
mod lanes;
mod limits;
mod partner;
mod resend;
mod silence;
mod stage;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "each test target uses a part of it")]
mod support;
