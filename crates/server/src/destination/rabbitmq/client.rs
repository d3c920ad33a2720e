//! lapin on a connection of ours.
//!
//! lapin hands a message that came back to whoever is confirmed next, which among several may be another. So each channel
//! has one message at a time, and there are as many channels as messages that wait.

use std::future::{Future, ready};
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_rs::traits::Reactor;
use async_rs::util::RuntimeParts;
use async_rs::{Runtime, Tokio};
use futures_util::{AsyncRead, AsyncWrite, Stream};
use keyherald_core::Micros;
use keyherald_core::delivery::Outcome;
use lapin::auth::AuthProvider;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::tcp::AsyncTcpStream;
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ErrorKind};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

use super::Way;
use crate::destination::Delivery;
use crate::destination::broker::access::Access;
use crate::destination::broker::line::Client;
use crate::destination::broker::{broke, garbled, refused, rejected, temporary, throttled};
use crate::outbound::tether::{Tether, Tethered};

/// Messages that come back do so whole.
const HEARD_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Longest frame that we agree to, in bytes. lapin has room for 64 of them.
const FRAME_BYTES_MAX: u32 = 32 * 1024;
/// It outlives a restart of the broker.
const PERSISTENT: u8 = 2;

/// A connection to RabbitMQ.
pub(super) struct RabbitMqClient {
    connection: Connection,
    /// Those that have no message now.
    channels: Mutex<Vec<Channel>>,
    way: Way,
}

impl RabbitMqClient {
    /// Connects and signs in.
    pub(super) async fn connect(access: &Access, way: &Way) -> Result<(Self, Tether), Outcome> {
        let (stream, tether) = access.lend(access.dial().await?, HEARD_BYTES_MAX).await?;
        let user = access.sign_in().unwrap_or_default();
        let userinfo = AMQPUserInfo { username: user.0.to_owned(), password: user.1.to_owned() };
        let uri = AMQPUri {
            scheme: AMQPScheme::AMQP, // what lapin gets is secured already, if it is to be
            authority: AMQPAuthority { userinfo, host: access.place.host.to_string(), port: access.place.port },
            vhost: way.vhost.clone(),
            query: AMQPQueryString { frame_max: Some(FRAME_BYTES_MAX), ..AMQPQueryString::default() },
        };
        let mut properties = ConnectionProperties::default().with_connection_name("keyherald".into());
        if access.sign_in().is_none() {
            properties = properties.with_auth_provider(External);
        }
        let tokio = Tokio::current();
        let runtime = Runtime::new(RuntimeParts::new(tokio.clone(), Connected(tokio)));
        let stream = Mutex::new(Some(stream));
        let connect = async move |_: AMQPUri, _: Runtime<_>| {
            let stream = stream.lock().unwrap_or_else(PoisonError::into_inner).take();
            let stream = stream.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected))?;
            Ok(AsyncTcpStream::Plain(stream.compat()))
        };
        let connection = Connection::connector(uri, runtime, connect, properties).await;
        let connection = connection.map_err(|error| closed(&error))?;
        Ok((Self { connection, channels: Mutex::default(), way: way.clone() }, tether))
    }

    async fn channel(&self) -> lapin::Result<Channel> {
        let free = self.channels.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(channel) = free {
            return Ok(channel);
        }
        let channel = self.connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(channel)
    }

    async fn confirmed(&self, delivery: &Delivery) -> lapin::Result<Confirmation> {
        let channel = self.channel().await?;
        let customer = delivery.customer.to_string();
        let key = self.way.routing_key.clone().unwrap_or_else(|| customer.as_str().into());
        let mut headers = FieldTable::default();
        let own = [("customer", customer), ("project", delivery.project.to_string())];
        for (name, value) in own.into_iter().chain(delivery.trace_fields()) {
            headers.insert(name.into(), AMQPValue::LongString(LongString::from(value)));
        }
        let seconds = u64::try_from(delivery.created_at.0.div_euclid(Micros::SECOND)).unwrap_or(0);
        let properties = BasicProperties::default()
            .with_content_type(delivery.content_type.into())
            .with_headers(headers)
            .with_delivery_mode(PERSISTENT)
            .with_message_id(delivery.message_id.to_string().into())
            .with_timestamp(seconds)
            .with_app_id("keyherald".into());
        // What no queue takes comes back.
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let publish = channel.basic_publish(self.way.exchange.clone(), key, options, &delivery.body, properties);
        let confirmation = publish.await?.await?;
        self.channels.lock().unwrap_or_else(PoisonError::into_inner).push(channel);
        Ok(confirmation)
    }
}

impl Client for RabbitMqClient {
    async fn publish(&self, delivery: Delivery) -> Outcome {
        match self.confirmed(&delivery).await {
            Ok(Confirmation::Ack(None)) => Outcome::Delivered,
            Ok(Confirmation::Ack(Some(_))) => refused("no queue takes this message"),
            Ok(Confirmation::Nack(_)) => throttled("the broker could not take the message"),
            Ok(Confirmation::NotRequested) => garbled(),
            Err(error) => closed(&error),
        }
    }

    fn is_open(&self) -> bool {
        self.connection.status().connected()
    }

    async fn close(&self) {
        let _gone_anyway = self.connection.close(200, "OK".into()).await;
    }
}

/// What it means that the broker closes a channel or the connection, or that there is none any more.
fn closed(error: &lapin::Error) -> Outcome {
    match error.kind() {
        ErrorKind::ProtocolError(error) => match error.get_id() {
            403 => refused("the broker refuses our access"),
            404 => refused("there is no such exchange"),
            530 => refused("the broker does not allow this virtual host"),
            // The one way in which a message is refused for its size. A channel has one.
            406 => rejected("the message is larger than the broker allows"),
            code => temporary(&format!("the broker closes: {code}")),
        },
        ErrorKind::InvalidProtocolVersion(_) | ErrorKind::ParsingError(_) => garbled(),
        ErrorKind::ChannelsLimitReached => temporary("the broker allows no more channels"),
        _ => broke(),
    }
}

/// We are who our certificate says.
struct External;

impl AuthProvider for External {}

/// The connections that lapin's runtime makes: none. Time is tokio's.
#[derive(Clone, Debug)]
struct Connected(Tokio);

impl Reactor for Connected {
    type TcpStream = Compat<Tethered>;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: io::Read + io::Write + Send + 'static>(
        &self,
        _: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        Err::<Self::TcpStream, _>(io::ErrorKind::Unsupported.into())
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.0.sleep(duration)
    }

    fn interval(&self, duration: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.0.interval(duration)
    }

    fn tcp_connect_addr(&self, _: SocketAddr) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        ready(Err(io::ErrorKind::Unsupported.into()))
    }
}
