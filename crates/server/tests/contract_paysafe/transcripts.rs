//! Every file of `transcripts/`, on both engines. `{{app}}` is a configuration token, `{{back}}` an admin token.

use keyherald_store::testing::{TestStore, block_on};

use crate::stage::{Stage, brand};
use crate::transcript::{Defaults, Names};

async fn run(store: TestStore, name: &str, text: &str) {
    let stage = Stage::on(store, brand()).await;
    let mut names = Names::new();
    names.insert("app".into(), stage.token.clone());
    names.insert("back".into(), stage.admin().await);
    let headers = vec![("authorization", format!("Bearer {}", stage.token))];
    crate::transcript::run(&stage.server, name, text, Defaults { names, headers }).await;
}

macro_rules! transcripts {
    ($($name:ident),* $(,)?) => {
        $(mod $name {
            const TEXT: &str = include_str!(concat!("transcripts/", stringify!($name), ".txt"));

            #[test]
            fn sqlite() {
                super::block_on(async { super::run(super::TestStore::sqlite().await, stringify!($name), TEXT).await });
            }

            #[test]
            #[ignore = "needs PostgreSQL: cargo xtask test starts one"]
            fn postgres() {
                super::block_on(async { super::run(super::TestStore::postgres().await, stringify!($name), TEXT).await });
            }
        })*

        #[test]
        fn no_file_is_forgotten() {
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract_paysafe/transcripts");
            let files = std::fs::read_dir(folder).unwrap();
            let mut files: Vec<String> = files
                .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
                .collect();
            files.sort();
            assert_eq!(files, [$(stringify!($name)),*]);
        }
    };
}

transcripts! {
    hosted_credentials,
}
