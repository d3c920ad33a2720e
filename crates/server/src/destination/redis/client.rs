//! redis-rs on a connection of ours.

use keyherald_core::delivery::Outcome;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, ErrorKind, RedisConnectionInfo, RedisError};
use tokio::task::{AbortHandle, JoinSet};

use super::Way;
use crate::destination::Delivery;
use crate::destination::broker::access::Access;
use crate::destination::broker::line::Client;
use crate::destination::broker::{HEARD_BYTES_MAX, broke, garbled, refused, temporary, throttled};
use crate::outbound::tether::Tether;

/// A connection to Redis.
pub(super) struct RedisClient {
    connection: MultiplexedConnection,
    way: Way,
    driver: AbortHandle,
    _drivers: JoinSet<()>,
}

impl RedisClient {
    /// Connects and signs in.
    pub(super) async fn connect(access: &Access, way: &Way) -> Result<(Self, Tether), Outcome> {
        let (stream, tether) = access.lend(access.dial().await?, HEARD_BYTES_MAX).await?;
        let mut info = RedisConnectionInfo::default().set_skip_set_lib_name();
        if let Some(user) = &access.user {
            info = info.set_username(user);
        }
        if let Some(password) = access.secrets.text("password") {
            info = info.set_password(password);
        }
        // Whoever sends has a time of its own.
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let made = MultiplexedConnection::new_with_config(&info, stream, config).await;
        let (connection, driver) = made.map_err(|error| meaning(&error))?;
        let mut drivers = JoinSet::new();
        let driver = drivers.spawn(driver);
        // As a part of signing in its refusal would not say why.
        let mut select = redis::cmd("SELECT");
        select.arg(way.database);
        select.exec_async(&mut connection.clone()).await.map_err(|error| meaning(&error))?;
        Ok((Self { connection, way: way.clone(), driver, _drivers: drivers }, tether))
    }

    fn entry(&self, delivery: &Delivery) -> Cmd {
        let mut command = redis::cmd("XADD");
        command.arg(&self.way.stream);
        if let Some(length) = self.way.length_max {
            // About: whole blocks are dropped, which costs next to nothing.
            command.arg("MAXLEN").arg("~").arg(length);
        }
        command.arg("*").arg("id").arg(delivery.message_id.to_string());
        command.arg("project").arg(delivery.project.to_string());
        command.arg("customer").arg(delivery.customer.to_string());
        for (name, value) in delivery.trace_fields() {
            command.arg(name).arg(value);
        }
        command.arg("contentType").arg(delivery.content_type).arg("body").arg(&*delivery.body);
        command
    }
}

impl Client for RedisClient {
    async fn publish(&self, delivery: Delivery) -> Outcome {
        // Read as the text of the entry's id, so that nothing else counts as one.
        match self.entry(&delivery).query_async::<String>(&mut self.connection.clone()).await {
            Ok(_) => Outcome::Delivered,
            Err(error) => meaning(&error),
        }
    }

    fn is_open(&self) -> bool {
        !self.driver.is_finished()
    }
}

/// What an error means: one of the server's by its first word.
fn meaning(error: &RedisError) -> Outcome {
    match error.kind() {
        ErrorKind::AuthenticationFailed => return refused("the server refuses our access"),
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => return garbled(),
        ErrorKind::Server(_) | ErrorKind::Extension => {}
        _ => return broke(),
    }
    match error.code().unwrap_or_default() {
        "OOM" | "MISCONF" | "NOREPLICAS" => throttled("the server has no room"),
        "LOADING" | "BUSY" | "TRYAGAIN" | "READONLY" | "MASTERDOWN" | "CLUSTERDOWN" => {
            temporary("the server does not take entries now")
        }
        "WRONGPASS" | "NOAUTH" | "NOPERM" | "DENIED" => refused("the server refuses our access"),
        "WRONGTYPE" => refused("what has the stream's name is no stream"),
        "MOVED" | "ASK" => refused("the stream is on another node of the cluster"),
        _ => refused("the server answers with an error"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_mean_what_their_first_word_says() {
        for (text, expected) in [
            ("-OOM command not allowed\r\n", throttled("the server has no room")),
            ("-LOADING Redis is loading\r\n", temporary("the server does not take entries now")),
            ("-READONLY You can't write\r\n", temporary("the server does not take entries now")),
            ("-WRONGPASS invalid username-password pair\r\n", refused("the server refuses our access")),
            ("-NOAUTH Authentication required.\r\n", refused("the server refuses our access")),
            ("-NOPERM no permission\r\n", refused("the server refuses our access")),
            ("-WRONGTYPE Operation against a key\r\n", refused("what has the stream's name is no stream")),
            ("-MOVED 866 10.0.0.1:6379\r\n", refused("the stream is on another node of the cluster")),
            ("-ERR something else\r\n", refused("the server answers with an error")),
        ] {
            let heard = redis::parse_redis_value(text.as_bytes()).and_then(redis::Value::extract_error);
            assert_eq!(meaning(&heard.unwrap_err()), expected, "{text}");
        }
    }
}
