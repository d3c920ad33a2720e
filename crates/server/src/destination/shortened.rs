//! A message without its payload, for destinations of the commercetools contract that do not take it whole: what it is about
//! stays, what it says goes, and consumers read it under `/messages/{id}` (commercetools.md 8.3).

use serde_json::{Map, Value, json};

/// What every message has, whatever its type.
const COMMON: &[&str] = &[
    "notificationType",
    "projectKey",
    "id",
    "version",
    "sequenceNumber",
    "resource",
    "resourceVersion",
    "resourceUserProvidedIdentifiers",
    "type",
    "createdAt",
    "createdBy",
    "lastModifiedAt",
    "lastModifiedBy",
];

/// The body without the payload: in `Platform` the message itself, in `CloudEvents` the event's data. `None`: it is neither, or
/// has none that could be left out.
pub(super) fn shortened(body: &[u8]) -> Option<Vec<u8>> {
    let mut body: Map<String, Value> = serde_json::from_slice(body).ok()?;
    let message = if body.contains_key("specversion") { body.get_mut("data")?.as_object_mut()? } else { &mut body };
    if message.get("notificationType")? != "Message" || message.contains_key("payloadNotIncluded") {
        return None;
    }
    let (before, payload_type) = (message.len(), message.get("type")?.clone());
    message.retain(|name, _| COMMON.contains(&name.as_str()));
    if message.len() == before {
        return None;
    }
    let why = json!({"reason": "Payload too large.", "payloadType": payload_type});
    message.insert("payloadNotIncluded".to_owned(), why);
    Some(Value::from(body).to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Value {
        json!({"notificationType": "Message", "projectKey": "p", "id": "m", "version": 1, "sequenceNumber": 2,
            "resource": {"typeId": "customer", "id": "c"}, "resourceVersion": 2, "resourceUserProvidedIdentifiers": {},
            "type": "CustomerLastNameSet", "lastName": "Doe", "createdAt": "t", "lastModifiedAt": "t"})
    }

    fn short(body: &Value) -> Option<Value> {
        shortened(body.to_string().as_bytes()).map(|body| serde_json::from_slice(&body).unwrap())
    }

    #[test]
    fn what_the_type_adds_goes_and_why_is_told() {
        let mut expected = message();
        expected.as_object_mut().unwrap().remove("lastName");
        expected["payloadNotIncluded"] = json!({"reason": "Payload too large.", "payloadType": "CustomerLastNameSet"});
        assert_eq!(short(&message()), Some(expected.clone()));
        let event = |data: &Value| json!({"specversion": "1.0", "id": "m", "dataref": "/p/messages/m", "data": data});
        assert_eq!(short(&event(&message())), Some(event(&expected)));
        assert_eq!(short(&expected), None, "once is enough");
    }

    #[test]
    fn what_has_no_payload_stays() {
        for body in
            [json!({"notificationType": "ResourceCreated", "version": 1}), json!([1]), json!({"specversion": "1.0"})]
        {
            assert_eq!(short(&body), None, "{body}");
        }
        assert_eq!(shortened(b"no JSON"), None);
    }
}
