//! The drafts of the contract's own destinations (commercetools.md 8.2), field by field. Those that are no [`super::KINDS`] cannot
//! be sent to; their drafts are checked all the same, so that their author hears first what is wrong with them.

use keyherald_core::Micros;
use serde_json::{Map, Value};
use url::Url;

use super::{Endurance, Invalid};

/// Longest text of a field, in bytes.
const TEXT_BYTES_MAX: usize = 4096;

/// What the contract promises of all of them (commercetools.md 8.5).
pub const ENDURANCE: Endurance = Endurance { tries_for: 48 * Micros::HOUR, refused_for: 24 * Micros::HOUR };

/// A kind, as far as it is known.
pub struct CloudKind {
    /// The discriminator in a draft.
    pub name: &'static str,
    fields: &'static [Field],
}

struct Field {
    name: &'static str,
    required: bool,
    form: Form,
}

/// What a text must look like.
#[derive(Clone, Copy)]
enum Form {
    Any,
    Url,
    OneOf(&'static [&'static str]),
    /// 12 digits.
    AwsAccount,
    /// It becomes a part of a host's name.
    AwsRegion,
    /// Of a topic.
    Arn,
    /// `host:port`.
    HostPort,
    /// `Endpoint=..;SharedAccessKeyName=..;SharedAccessKey=..`.
    AzureConnection,
}

const fn required(name: &'static str, form: Form) -> Field {
    Field { name, required: true, form }
}

const fn optional(name: &'static str, form: Form) -> Field {
    Field { name, required: false, form }
}

const AWS_MODE: Field = optional("authenticationMode", Form::OneOf(&["Credentials", "IAM"]));
const AWS_KEY: Field = optional("accessKey", Form::Any);
const AWS_SECRET: Field = optional("accessSecret", Form::Any);

static KINDS: [CloudKind; 8] = [
    CloudKind {
        name: "SQS",
        fields: &[required("queueUrl", Form::Url), required("region", Form::AwsRegion), AWS_MODE, AWS_KEY, AWS_SECRET],
    },
    CloudKind { name: "SNS", fields: &[required("topicArn", Form::Arn), AWS_MODE, AWS_KEY, AWS_SECRET] },
    CloudKind {
        name: "EventBridge",
        fields: &[
            required("region", Form::AwsRegion),
            required("accountId", Form::AwsAccount),
            optional("source", Form::Any), // the service fills it
        ],
    },
    CloudKind { name: "AzureServiceBus", fields: &[required("connectionString", Form::AzureConnection)] },
    CloudKind { name: "EventGrid", fields: &[required("uri", Form::Url), required("accessKey", Form::Any)] },
    CloudKind { name: "GoogleCloudPubSub", fields: &[required("projectId", Form::Any), required("topic", Form::Any)] },
    CloudKind {
        name: "ConfluentCloud",
        fields: &[
            required("bootstrapServer", Form::HostPort),
            required("apiKey", Form::Any),
            required("apiSecret", Form::Any),
            required("acks", Form::OneOf(&["0", "1", "all"])),
            required("topic", Form::Any),
            optional("key", Form::Any),
        ],
    },
    CloudKind { name: "IronMQ", fields: &[required("uri", Form::Url)] },
];

/// The kind with this name.
pub fn kind(name: &str) -> Option<&'static CloudKind> {
    KINDS.iter().find(|kind| kind.name == name)
}

/// Checks a draft of the kind with this name.
pub(super) fn check(name: &str, draft: &Map<String, Value>) -> Result<(), Invalid> {
    kind(name).map_or(Ok(()), |kind| kind.check(draft))
}

impl CloudKind {
    /// Checks a draft field by field. No text repeats what the draft says: some of it is secret.
    pub fn check(&self, draft: &Map<String, Value>) -> Result<(), Invalid> {
        for field in self.fields {
            field.check(draft.get(field.name))?;
        }
        let has = |name: &str| draft.get(name).is_some_and(|value| !value.is_null());
        let signs = self.fields.iter().any(|field| field.name == AWS_MODE.name);
        if signs && draft.get(AWS_MODE.name).and_then(Value::as_str) != Some("IAM") {
            for name in [AWS_KEY.name, AWS_SECRET.name] {
                if !has(name) {
                    let text = "is required, unless authenticationMode is IAM".to_owned();
                    return Err(Invalid { field: name, text });
                }
            }
        }
        Ok(())
    }
}

impl Field {
    fn check(&self, value: Option<&Value>) -> Result<(), Invalid> {
        let refuse = |text: String| Err(Invalid { field: self.name, text });
        let text = match value {
            None | Some(Value::Null) if self.required => return refuse("is required".to_owned()),
            None | Some(Value::Null) => return Ok(()),
            Some(Value::String(text)) => text,
            Some(_) => return refuse("must be a string".to_owned()),
        };
        if text.is_empty() || text.len() > TEXT_BYTES_MAX {
            return refuse(format!("must have 1 to {TEXT_BYTES_MAX} bytes"));
        }
        if text.chars().any(char::is_control) {
            return refuse("must not contain control characters".to_owned());
        }
        match self.form.broken_by(text) {
            Some(must) => refuse(must),
            None => Ok(()),
        }
    }
}

impl Form {
    /// What the text must be, if it is not.
    fn broken_by(self, text: &str) -> Option<String> {
        let (fits, must) = match self {
            Self::Any => (true, ""),
            Self::Url => {
                let is_web = |url: &Url| ["http", "https"].contains(&url.scheme()) && url.has_host();
                (Url::parse(text).is_ok_and(|url| is_web(&url)), "must be an absolute URL that begins with https://")
            }
            Self::OneOf(known) => {
                let fits = known.contains(&text);
                return (!fits).then(|| format!("must be one of {}", known.join(", ")));
            }
            Self::AwsAccount => {
                (text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()), "must have 12 digits")
            }
            Self::AwsRegion => (is_region(text), "must be a region, such as eu-west-1"),
            Self::Arn => (is_topic(text), "must be the ARN of a topic: arn:aws:sns:REGION:ACCOUNT:TOPIC"),
            Self::HostPort => {
                let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty() && !host.contains('/'));
                (port.is_some_and(|(_, port)| port.parse::<u16>().is_ok()), "must be a host and a port: host:9092")
            }
            Self::AzureConnection => (
                ["Endpoint=", "SharedAccessKey="].iter().all(|part| text.contains(part)),
                "must be a connection string: Endpoint=..;SharedAccessKeyName=..;SharedAccessKey=..",
            ),
        };
        (!fits).then(|| must.to_owned())
    }
}

fn is_region(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.len() <= 32 && text.bytes().all(is_allowed) && !text.starts_with('-') && !text.ends_with('-')
}

fn is_topic(text: &str) -> bool {
    match text.split(':').collect::<Vec<_>>().as_slice() {
        ["arn", partition, "sns", region, account, topic] => {
            partition.starts_with("aws")
                && !region.is_empty()
                && is_region(region)
                && account.bytes().all(|byte| byte.is_ascii_digit())
                && !topic.is_empty()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wrong(name: &str, draft: &Value) -> Option<&'static str> {
        let checked = kind(name).unwrap().check(draft.as_object().unwrap());
        let invalid = checked.err()?;
        assert!(!invalid.to_string().contains("hush"), "{invalid}");
        Some(invalid.field)
    }

    #[test]
    fn drafts_that_are_right() {
        for (name, draft) in [
            (
                "SQS",
                json!({"queueUrl": "https://sqs.eu/1/q", "region": "eu", "accessKey": "a", "accessSecret": "hush"}),
            ),
            ("SQS", json!({"queueUrl": "https://sqs.eu/1/q", "region": "eu", "authenticationMode": "IAM"})),
            ("SNS", json!({"topicArn": "arn:aws:sns:eu-west-1:123456789012:t", "authenticationMode": "IAM"})),
            ("EventBridge", json!({"region": "eu", "accountId": "123456789012"})),
            (
                "AzureServiceBus",
                json!({"connectionString": "Endpoint=sb://x/;SharedAccessKeyName=n;SharedAccessKey=hush"}),
            ),
            ("EventGrid", json!({"uri": "https://x.eventgrid.azure.net/api", "accessKey": "hush"})),
            ("GoogleCloudPubSub", json!({"projectId": "p", "topic": "t"})),
            (
                "ConfluentCloud",
                json!({"bootstrapServer": "x.eu.aws.confluent.cloud:9092", "apiKey": "k", "apiSecret": "hush", "acks": "all", "topic": "t", "key": null}),
            ),
            ("IronMQ", json!({"uri": "https://mq.example/1"})),
        ] {
            assert_eq!(wrong(name, &draft), None, "{name}");
        }
        assert!(kind("Webhook").is_none());
    }

    #[test]
    fn drafts_that_are_wrong_by_field() {
        for (name, draft, field) in [
            ("SQS", json!({}), "queueUrl"),
            ("SQS", json!({"queueUrl": "sqs", "region": "eu"}), "queueUrl"),
            ("SQS", json!({"queueUrl": "https://sqs.eu/1/q"}), "region"),
            ("SQS", json!({"queueUrl": "https://sqs.eu/1/q", "region": "eu"}), "accessKey"),
            ("SQS", json!({"queueUrl": "https://sqs.eu/1/q", "region": "eu", "accessKey": "a"}), "accessSecret"),
            (
                "SQS",
                json!({"queueUrl": "https://sqs.eu/1/q", "region": "eu", "authenticationMode": "hush"}),
                "authenticationMode",
            ),
            ("SNS", json!({"topicArn": "arn:x", "authenticationMode": "IAM"}), "topicArn"),
            ("SNS", json!({"topicArn": 7}), "topicArn"),
            (
                "SNS",
                json!({"topicArn": "arn:aws:sqs:eu-west-1:123456789012:q", "authenticationMode": "IAM"}),
                "topicArn",
            ),
            ("SNS", json!({"topicArn": "arn:aws:sns:x/#:123456789012:t", "authenticationMode": "IAM"}), "topicArn"),
            ("SQS", json!({"queueUrl": "https://sqs.eu/1/q", "region": "evil.example/#"}), "region"),
            ("EventBridge", json!({"region": "eu", "accountId": "1"}), "accountId"),
            ("EventBridge", json!({"region": "", "accountId": "123456789012"}), "region"),
            ("AzureServiceBus", json!({"connectionString": "hush"}), "connectionString"),
            ("EventGrid", json!({"uri": "https://x", "accessKey": "hush\n"}), "accessKey"),
            ("GoogleCloudPubSub", json!({"projectId": "p"}), "topic"),
            ("ConfluentCloud", json!({"bootstrapServer": "https://x"}), "bootstrapServer"),
            (
                "ConfluentCloud",
                json!({"bootstrapServer": "x:1", "apiKey": "k", "apiSecret": "hush", "acks": 1, "topic": "t"}),
                "acks",
            ),
            ("IronMQ", json!({"uri": null}), "uri"),
        ] {
            assert_eq!(wrong(name, &draft), Some(field), "{name} {draft}");
        }
    }
}
