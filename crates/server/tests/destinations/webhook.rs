//! A webhook's receiver.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use keyherald_core::id::MessageId;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::receiver::{Got, Receiver};

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const POISON: &[u8] = b"not for us";

#[derive(Default)]
struct Kept {
    got: Vec<Got>,
    rest_s: Option<u32>,
}

type Shared = Arc<Mutex<Kept>>;

/// One that takes everything but the poison.
pub struct Hook {
    address: SocketAddr,
    kept: Shared,
    _task: JoinSet<()>,
}

impl Receiver for Hook {
    const KIND: &'static str = "Webhook";
    const DROPS_COPIES: bool = false;
    const ENDLESS: &'static [u8] = b"HTTP/1.1 204 No Content\r\nx: ";

    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, kept, mut task) = (listener.local_addr().unwrap(), Shared::default(), JoinSet::new());
        let service = Router::new().fallback(answer).with_state(kept.clone());
        task.spawn(async move { drop(axum::serve(listener, service).await) });
        Self { address, kept, _task: task }
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn draft(&self, host: &str, port: u16) -> Value {
        json!({"type": "Webhook", "url": format!("http://{host}:{port}/hook"), "secret": SECRET})
    }

    fn secrets(&self) -> Vec<String> {
        vec![SECRET.to_owned()]
    }

    async fn got(&self) -> Vec<Got> {
        self.kept.lock().unwrap().got.clone()
    }

    fn poison(&self) -> Result<Vec<u8>, &'static str> {
        Ok(POISON.to_vec())
    }

    fn ask_for_rest(&self, seconds: u32) -> Result<(), &'static str> {
        self.kept.lock().unwrap().rest_s = Some(seconds);
        Ok(())
    }

    fn spelled(id: MessageId) -> String {
        format!("msg_{}", id.uuid().simple())
    }
}

async fn answer(State(kept): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let mut kept = kept.lock().unwrap();
    if let Some(seconds) = kept.rest_s.take() {
        return (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, seconds.to_string())]).into_response();
    }
    if body == POISON {
        return StatusCode::UNPROCESSABLE_ENTITY.into_response();
    }
    let id = headers["webhook-id"].to_str().unwrap().to_owned();
    kept.got.push(Got { id, body: body.to_vec() });
    StatusCode::NO_CONTENT.into_response()
}
