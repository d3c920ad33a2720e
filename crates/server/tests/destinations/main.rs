//! What every kind of destination must do, asked of each of them over a connection that can be held up, cut and taken away.
//!
//! A kind is a file here that says how its receiver is reached and read, and a line below. Where a question has no meaning for
//! a kind, its file says why. Brokers are real ones, which `cargo xtask test` starts. A kind whose cargo feature is not built has
//! one ignored test that says so.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "test support")]

/// Makes a test of each question for one kind.
macro_rules! conformance {
    ($kind:ident, $receiver:ty $(, #[$ignore:meta])?) => {
        mod $kind {
            case!(($(#[$ignore])?) $receiver, a_big_payload_arrives_as_it_is);
            case!(($(#[$ignore])?) $receiver, a_copy_has_the_same_id);
            case!(($(#[$ignore])?) $receiver, a_lost_answer_is_a_repeat);
            case!(($(#[$ignore])?) $receiver, a_message_says_in_which_trace_it_is);
            case!(($(#[$ignore])?) $receiver, a_poison_message_keeps_nobody_else_up);
            case!(($(#[$ignore])?) $receiver, a_receiver_that_does_not_answer_in_time_gets_it_again);
            case!(($(#[$ignore])?) $receiver, a_receiver_that_went_away_gets_everything_in_order);
            case!(($(#[$ignore])?) $receiver, a_receiver_that_talks_without_end_is_left);
            case!(($(#[$ignore])?) $receiver, a_slow_receiver_gets_everything_once);
            case!(($(#[$ignore])?) $receiver, messages_of_a_customer_arrive_in_order);
            case!(($(#[$ignore])?) $receiver, private_addresses_are_not_called);
            case!(($(#[$ignore])?) $receiver, rest_that_is_asked_for_is_granted);
            case!(($(#[$ignore])?) $receiver, secrets_are_not_shown);
        }
    };
}

macro_rules! case {
    (($($attribute:tt)*) $receiver:ty, $case:ident) => {
        #[test]
        $($attribute)*
        fn $case() {
            keyherald_store::testing::block_on(crate::cases::$case::<$receiver>());
        }
    };
}

/// Stands for the questions that a kind was not asked.
#[cfg(not(all(feature = "kafka", feature = "mqtt", feature = "rabbitmq", feature = "redis")))]
macro_rules! not_built {
    ($kind:ident, $why:literal) => {
        #[test]
        #[ignore = $why]
        fn $kind() {
            panic!($why);
        }
    };
}

/// The same of the questions that have a meaning for Pub/Sub: a draft of it names no host, and the account is the server's.
macro_rules! of_pubsub {
    ($kind:ident, $receiver:ty $(, #[$ignore:meta])?) => {
        mod $kind {
            case!(($(#[$ignore])?) $receiver, a_big_payload_arrives_as_it_is);
            case!(($(#[$ignore])?) $receiver, a_copy_has_the_same_id);
            case!(($(#[$ignore])?) $receiver, a_lost_answer_is_a_repeat);
            case!(($(#[$ignore])?) $receiver, a_poison_message_keeps_nobody_else_up);
            case!(($(#[$ignore])?) $receiver, a_receiver_that_does_not_answer_in_time_gets_it_again);
            case!(($(#[$ignore])?) $receiver, a_receiver_that_went_away_gets_everything_in_order);
            case!(($(#[$ignore])?) $receiver, a_slow_receiver_gets_everything_once);
            case!(($(#[$ignore])?) $receiver, messages_of_a_customer_arrive_in_order);
            case!(($(#[$ignore])?) $receiver, rest_that_is_asked_for_is_granted);
        }
    };
}

mod aws;
mod aws_faults;
mod cases;
mod double;
mod event_grid;
#[path = "../support/http_double.rs"]
mod http_double;
#[cfg(feature = "kafka")]
mod kafka;
#[cfg(feature = "kafka")]
mod kafka_front;
#[cfg(feature = "mqtt")]
mod mqtt;
mod nats;
mod pubsub;
#[cfg(feature = "rabbitmq")]
mod rabbitmq;
mod receiver;
#[cfg(feature = "redis")]
mod redis;
mod scene;
mod service_bus;
#[path = "../relay/stage.rs"]
#[expect(dead_code, reason = "parts of it are for the relay's own tests")]
mod stage;
mod tap;
mod webhook;

conformance!(on_moto_bus, crate::aws::Bus, #[ignore = "needs moto: cargo xtask test starts one"]);
conformance!(on_moto_fifo_queue, crate::aws::Queue<true>, #[ignore = "needs moto: cargo xtask test starts one"]);
conformance!(on_moto_fifo_topic, crate::aws::Topic, #[ignore = "needs moto: cargo xtask test starts one"]);
conformance!(on_moto_queue, crate::aws::Queue<false>, #[ignore = "needs moto: cargo xtask test starts one"]);
conformance!(on_nats, crate::nats::Stream, #[ignore = "needs NATS: cargo xtask test starts one"]);
conformance!(on_service_bus, crate::service_bus::Queue);
conformance!(on_webhook, crate::webhook::Hook);
of_pubsub!(on_pubsub, crate::pubsub::Topic);

#[cfg(feature = "kafka")]
conformance!(on_kafka, crate::kafka::Real, #[ignore = "needs Kafka: cargo xtask test starts one"]);
#[cfg(feature = "kafka")]
conformance!(on_played_kafka, crate::kafka::Played, #[ignore = "needs Kafka: cargo xtask test starts one"]);
#[cfg(not(feature = "kafka"))]
not_built!(on_kafka, "needs the cargo feature `kafka`, which is not built");

#[cfg(feature = "mqtt")]
conformance!(on_mosquitto, crate::mqtt::Subscriber, #[ignore = "needs Mosquitto: cargo xtask test starts one"]);
#[cfg(not(feature = "mqtt"))]
not_built!(on_mosquitto, "needs the cargo feature `mqtt`, which is not built");

#[cfg(feature = "rabbitmq")]
conformance!(on_rabbitmq, crate::rabbitmq::Queue, #[ignore = "needs RabbitMQ: cargo xtask test starts one"]);
#[cfg(not(feature = "rabbitmq"))]
not_built!(on_rabbitmq, "needs the cargo feature `rabbitmq`, which is not built");

#[cfg(feature = "redis")]
conformance!(on_redis, crate::redis::Stream, #[ignore = "needs Redis: cargo xtask test starts one"]);
#[cfg(not(feature = "redis"))]
not_built!(on_redis, "needs the cargo feature `redis`, which is not built");
