//! A forgotten password of a customer who has a provider: the proof is kept for the operation, used with its success, and
//! given back otherwise.

use keyherald::app::limits::Limited;
use keyherald::app::recover_credentials::Recovery;
use keyherald::app::verify_identifier::{Initiation, Verifying};
use keyherald::app::{Answer, App};
use keyherald_core::customer::Customer;
use keyherald_core::policy::Surface;
use keyherald_core::verification::{Attribute, Claim, Kind, Limits, Purpose};
use keyherald_core::{Ctx, Refusal};
use keyherald_store::testing::TestStore;
use keyherald_store::{Tx, each_engine, verification};
use tokio::task::JoinSet;

use crate::faults::refusal;
use crate::provider::{Asked, Fate, secret};
use crate::stage::{NEW, call, check, demo};
use crate::turns::standing;

each_engine! {
    a_recovery_runs_as_an_operation_and_uses_its_proof_once,
    a_refused_recovery_gives_its_proof_back,
    a_proof_that_is_in_use_is_nobody_elses,
}

const STRONG: &str = "a password that nobody guesses";

/// A process in which the customer's address was proved.
async fn proved(app: &App, customer: &Customer) -> Claim {
    let attribute = Attribute::parse(Kind::Email, &customer.email).unwrap();
    let about = (attribute.clone(), Purpose::PasswordReset);
    let begun = app.begin_verification(call(), Verifying::default(), None, about).await.unwrap();
    let Initiation::Begun { process, .. } = begun else { panic!("not begun") };
    let verify = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
        let mut found = verification::lock(tx, &demo(), process.id)?.unwrap();
        found.process.verified_at = Some(ctx.now);
        verification::save(tx, &demo(), &found.process, &Limits::default())
    };
    app.store.write(&app.moments.ctx(), verify).await.unwrap();
    Claim { attribute, id: process.id }
}

async fn recover(app: &App, claim: &Claim, new: &str) -> Answer<Limited> {
    let recovery = Recovery {
        claims: vec![claim.clone()],
        new: secret(new),
        surface: Surface::Own,
        circumstances: <_>::default(),
    };
    app.recover_credentials(call(), &Verifying::default(), None, recovery).await
}

async fn a_recovery_runs_as_an_operation_and_uses_its_proof_once(store: &TestStore) {
    let stage = standing(store);
    let process = stage.process(1).await;
    let ada = process.linked(&stage, "ada").await;
    let claim = proved(&process.app, &ada).await;
    assert_eq!(recover(&process.app, &claim, STRONG).await.unwrap(), Limited::Done(()));
    assert_eq!(stage.provider.password("ada").unwrap(), STRONG);
    assert_eq!(refusal(recover(&process.app, &claim, NEW).await), Refusal::NotProved);
    check(&stage, &process, &ada, "ada").await;
    assert_eq!(stage.count("SELECT count(*) FROM verification WHERE reserved_by IS NOT NULL").await, 0);
}

async fn a_refused_recovery_gives_its_proof_back(store: &TestStore) {
    let stage = standing(store);
    let process = stage.process(1).await;
    let ada = process.linked(&stage, "ada").await;
    let claim = proved(&process.app, &ada).await;
    let refused = recover(&process.app, &claim, "weak-1 for the provider alone").await;
    assert!(matches!(refusal(refused), Refusal::ProviderRefused(_)));
    assert_eq!(stage.count("SELECT count(*) FROM verification WHERE reserved_by IS NOT NULL").await, 0);
    recover(&process.app, &claim, STRONG).await.unwrap();
    check(&stage, &process, &ada, "ada").await;
}

async fn a_proof_that_is_in_use_is_nobody_elses(store: &TestStore) {
    let stage = standing(store);
    let process = stage.process(1).await;
    let ada = process.linked(&stage, "ada").await;
    let claim = proved(&process.app, &ada).await;
    stage.provider.script([Fate::Lost]);
    let (app, mine) = (process.app.clone(), claim.clone());
    let mut first = JoinSet::new();
    first.spawn(async move { recover(&app, &mine, STRONG).await });
    stage.provider.begun(Asked::Set, 1).await;
    let other = recover(&process.app, &claim, "another password that nobody guesses").await;
    assert!(matches!(refusal(other), Refusal::PasswordChangeUnderway { .. }));
    stage.settle().await;
    assert_eq!(first.join_next().await.unwrap().unwrap().unwrap(), Limited::Done(()));
    assert_eq!(refusal(recover(&process.app, &claim, STRONG).await), Refusal::NotProved);
    check(&stage, &process, &ada, "ada").await;
}
