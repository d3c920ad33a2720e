//! Subscriptions that are sent a part of what they ask for, or in a form of their own.

use super::*;

fn of_customers(more: &Value) -> Value {
    let mut draft = json!({
        "destination": {"type": "Webhook", "url": "https://example.com/hook"},
        "messages": [{"resourceTypeId": "customer"}, {"resourceTypeId": "customer-password-token"}],
    });
    draft.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    draft
}

impl Stage<'_> {
    async fn post(&self, path: &str, body: &Value) -> Value {
        let answered = self.server.json(&self.token, Method::POST, path, body).await;
        assert!(answered.status.is_success(), "{path} {}", answered.json());
        answered.json()
    }

    /// Updates the subscription from whatever version it has.
    async fn update(&self, action: &Value) {
        let path = format!("/demo/subscriptions/{}", self.id);
        let there = self.server.json(&self.token, Method::GET, &path, &Value::Null).await.json();
        self.post(&path, &json!({"version": there["version"], "actions": [action]})).await;
    }

    /// The bodies that were accepted, in the order in which they came.
    fn bodies(&self) -> Vec<Value> {
        let accepted = self.receiver.arrivals().into_iter().filter(|arrival| arrival.outcome == Outcome::Delivered);
        accepted.map(|arrival| serde_json::from_slice(&arrival.body).unwrap()).collect()
    }

    fn types(&self) -> Vec<String> {
        self.bodies().iter().map(|body| body["type"].as_str().unwrap().to_owned()).collect()
    }
}

const TOKEN: &str = "CustomerPasswordTokenCreated";

pub async fn what_is_filtered_out_is_not_owed_and_holds_up_nothing(server: &TestServer) {
    let filter = json!({"filter": {"where": format!("type = \"{TOKEN}\"")}});
    let stage = Stage::subscribed(server, None, &of_customers(&filter)).await;
    for name in ["a", "b", "c"] {
        stage.customer(name).await;
    }
    stage.token_of("a").await;
    stage.until("the token is told", async |stage| stage.receiver.accepted() == 1).await;
    stage.until_owed_nothing().await;
    assert_eq!(stage.types(), [TOKEN]);

    // Behind a message that fails there is one that is not wanted, and another that is.
    let customer = stage.customer("held").await;
    stage.refuse(Some(customer));
    stage.token_of("held").await;
    stage.until("it is held", async |stage| stage.standing().await["heldCustomers"] == 1).await;
    let there = json!({"version": 1, "actions": [{"action": "setFirstName", "firstName": "Jo"}]});
    stage.post(&format!("/demo/customers/{customer}"), &there).await;
    stage.token_of("held").await;
    let owed = async |stage: &Stage<'_>| stage.standing().await["lagMessages"] == 2;
    stage.until("two are owed, and not three", owed).await;
    stage.refuse(None);
    stage.act(&format!("skip?customerId={customer}")).await;
    stage.until("the other arrives", async |stage| stage.arrived(customer).len() == 1).await;
    stage.until_owed_nothing().await;

    // What is sent once more is filtered as it was; and a lane that begins with what is not wanted goes on.
    stage.act(&format!("replay?customerId={customer}&after=0")).await;
    stage.until("both arrive", async |stage| stage.arrived(customer).len() == 3).await;
    stage.until_owed_nothing().await;
    assert!(stage.types().iter().all(|of_type| of_type == TOKEN));
}

pub async fn stores_and_flows_are_those_of_the_message(server: &TestServer) {
    let filter = json!({"changes": [{"resourceTypeId": "customer"}], "filter": {"stores": ["berlin"]}});
    let stage = Stage::subscribed(server, None, &of_customers(&filter)).await;
    for key in ["berlin", "ulm"] {
        stage.post("/demo/stores", &json!({"key": key})).await;
    }
    let mut made = Vec::new();
    for stores in [json!([]), json!(["ulm"]), json!(["ulm", "berlin"])] {
        let stores: Vec<Value> =
            stores.as_array().unwrap().iter().map(|key| json!({"typeId": "store", "key": key})).collect();
        let draft = json!({"email": format!("{}@example.com", stores.len()), "password": "secret", "stores": stores});
        made.push(stage.post("/demo/customers", &draft).await["customer"]["id"].as_str().unwrap().to_owned());
    }
    // Whoever leaves the store is heard of once more, and then no longer.
    let in_berlin = made.pop().unwrap();
    let to_ulm = json!({"action": "setStores", "stores": [{"typeId": "store", "key": "ulm"}]});
    for (version, action) in [(1, to_ulm), (2, json!({"action": "setFirstName", "firstName": "Jo"}))] {
        stage.post(&format!("/demo/customers/{in_berlin}"), &json!({"version": version, "actions": [action]})).await;
    }
    let token = json!({"email": "2@example.com"});
    stage.post("/demo/in-store/key=ulm/customers/password-token", &token).await;
    stage.until_owed_nothing().await;
    let told: Vec<(Value, Value)> = stage
        .bodies()
        .into_iter()
        .map(|body| (body["notificationType"].clone(), body.get("type").or(body.get("version")).unwrap().clone()))
        .collect();
    let mut wanted = [
        (json!("Message"), json!("CustomerCreated")),
        (json!("ResourceCreated"), json!(1)),
        (json!("Message"), json!("CustomerStoresSet")),
    ];
    let mut told = told;
    told.sort_by_key(|one| one.1.to_string());
    wanted.sort_by_key(|one| one.1.to_string());
    assert_eq!(told, wanted);
    assert!(stage.bodies().iter().all(|body| body["resource"]["id"] == in_berlin.as_str()));

    stage.update(&json!({"action": "setChanges"})).await;
    stage.update(&json!({"action": "setFilter", "filter": {"flows": ["reset", "recover"]}})).await;
    let before = stage.bodies().len();
    let token = stage.post("/demo/customers/password-token", &json!({"email": "0@example.com"})).await;
    let reset = json!({"tokenValue": token["value"], "newPassword": "another"});
    stage.post("/demo/customers/password/reset", &reset).await;
    let change = json!({"id": made[0], "version": 2, "currentPassword": "another", "newPassword": "third"});
    stage.post("/demo/customers/password", &change).await;
    stage.until("the reset is told", async |stage| stage.bodies().len() > before).await;
    stage.until_owed_nothing().await;
    let told = stage.bodies().split_off(before);
    assert_eq!((told.len(), &told[0]["type"], &told[0]["reset"]), (1, &json!("CustomerPasswordUpdated"), &json!(true)));
}

/// Takes a step for each pair of addresses: more than there may be, of a customer who has many.
const PAIRS: &str = r#"{"type": {{ message.type }}{% if message.customer is defined %}{% for a in message.customer.addresses %}{% for b in
    message.customer.addresses %}{% endfor %}{% endfor %}{% endif %}}"#;

pub async fn what_no_template_fits_is_put_aside_and_can_be_sent_again(server: &TestServer) {
    let draft = of_customers(&json!({"transformation": {"template": PAIRS}}));
    let stage = Stage::subscribed(server, None, &draft).await;
    stage.customer("few").await;
    stage.until("it arrives", async |stage| stage.receiver.accepted() == 1).await;
    assert_eq!(stage.bodies(), [json!({"type": "CustomerCreated"})]);
    let mut ids: Vec<String> = Vec::new();
    for name in ["many", "more"] {
        let addresses: Vec<Value> = (0..200).map(|_| json!({"country": "DE"})).collect();
        let draft = json!({"email": format!("{name}@example.com"), "password": "secret", "addresses": addresses});
        ids.push(stage.post("/demo/customers", &draft).await["customer"]["id"].as_str().unwrap().to_owned());
        stage.token_of(name).await;
    }
    // The lanes go on.
    stage.until("both tokens arrive", async |stage| stage.receiver.accepted() == 3).await;
    stage.until_owed_nothing().await;
    let letters = stage.letters().await;
    assert_eq!(letters.len(), 2);
    for letter in &letters {
        let why = letter["lastError"].as_str().unwrap();
        assert!(
            letter["reason"] == "untransformed" && why.starts_with("the template fails: it takes more than"),
            "{letter}"
        );
    }
    stage.attempts.write(&server.app.store, &server.app.moments, std::future::ready(())).await.unwrap();
    let attempts = stage.get(&format!("attempts?customerId={}", ids[0])).await;
    let mut outcomes: Vec<_> =
        attempts["results"].as_array().unwrap().iter().map(|one| one["outcome"].as_str().unwrap()).collect();
    outcomes.sort_unstable();
    assert_eq!(outcomes, ["delivered", "untransformed"]);

    // One is dropped; the other is sent with a template that fits, with what came after it for its customer.
    let of =
        |id: &str| letters.iter().find(|letter| letter["customerId"] == id).unwrap()["id"].as_str().unwrap().to_owned();
    stage.act(&format!("drop?letterId={}", of(&ids[1]))).await;
    let action = json!({"action": "setTransformation", "transformation": {"template": "{\"is\": {{ message.type }}}"}});
    stage.update(&action).await;
    stage.act(&format!("replay?letterId={}", of(&ids[0]))).await;
    let customer: CustomerId = ids[0].parse().unwrap();
    stage.until("both arrive", async |stage| stage.arrived(customer).len() == 3).await;
    stage.until_owed_nothing().await;
    let told = stage.bodies();
    assert_eq!(told[3..], [json!({"is": "CustomerCreated"}), json!({"is": TOKEN})]);
    assert!(stage.letters().await.is_empty());
}
