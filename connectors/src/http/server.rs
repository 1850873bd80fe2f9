//! The server, on a thread of its own.

use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::mpsc;
use std::thread::JoinHandle;

use actix_web::dev::ServerHandle;
use actix_web::http::header::{CONTENT_TYPE, ContentType};
use actix_web::{App, HttpResponse, web};

use super::health::HealthCheck;
use super::recorder::Metrics;
use super::scaling::{self, Changes};

/// Metrics and health over HTTP.
#[derive(Debug)]
pub struct HttpServer;

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address cannot be understood.
    #[error("http.listen = {listen:?} is no address ({reason}); write host:port, as \"127.0.0.1:9464\"")]
    Address {
        /// As configured.
        listen: String,
        /// In the system's words.
        reason: String,
    },
    /// The address cannot be had.
    #[error(
        "cannot listen on {address} ({reason}); write another http.listen, port 0 for any that is free, or \
         false to serve nothing"
    )]
    Bind {
        /// The address.
        address: SocketAddr,
        /// In the system's words.
        reason: String,
    },
    /// The server's thread did not come up.
    #[error("the HTTP server did not start: {0}")]
    Start(String),
}

/// A running server. It stops when dropped or by [`HttpHandle::stop`].
pub struct HttpHandle {
    address: SocketAddr,
    server: ServerHandle,
    /// The server's thread; taken when it is joined.
    thread: Option<JoinHandle<()>>,
}

struct State {
    metrics: Metrics,
    health: HealthCheck,
}

impl HttpServer {
    /// Starts to listen on `host:port`; port 0 takes any that is free, see [`HttpHandle::address`]. Without `scaling` nothing is
    /// told of numbers, and none can be asked for.
    ///
    /// # Errors
    /// When the address is none or cannot be had.
    pub fn start(
        listen: &str,
        metrics: Metrics,
        health: HealthCheck,
        scaling: Option<Changes>,
    ) -> Result<HttpHandle, HttpError> {
        let address = resolve(listen)?;
        let bind = |reason: std::io::Error| HttpError::Bind { address, reason: reason.to_string() };
        let listener = TcpListener::bind(address).map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        if !address.ip().is_loopback() {
            tracing::warn!(
                "metrics and health on {address} can be read from other machines, without a password"
            );
        }
        let (started, start) = mpsc::sync_channel(1);
        let (state, scaling) = (web::Data::new(State { metrics, health }), scaling.map(web::Data::new));
        let thread = std::thread::Builder::new()
            .name("lockstep-http".to_owned())
            .spawn(move || actix_web::rt::System::new().block_on(serve(listener, (state, scaling), started)))
            .map_err(|error| HttpError::Start(error.to_string()))?;
        match start.recv() {
            Ok(Ok(server)) => {
                tracing::info!("metrics on http://{address}/metrics, health on http://{address}/health");
                Ok(HttpHandle { address, server, thread: Some(thread) })
            }
            Ok(Err(error)) => Err(HttpError::Start(error)),
            Err(_) => Err(HttpError::Start("its thread ended".to_owned())),
        }
    }
}

fn resolve(listen: &str) -> Result<SocketAddr, HttpError> {
    let wrong = |reason: String| HttpError::Address { listen: listen.to_owned(), reason };
    let mut addresses = listen.to_socket_addrs().map_err(|error| wrong(error.to_string()))?;
    addresses.next().ok_or_else(|| wrong("the name resolves to nothing".to_owned()))
}

async fn serve(
    listener: TcpListener,
    (state, scaling): (web::Data<State>, Option<web::Data<Changes>>),
    started: mpsc::SyncSender<Result<ServerHandle, String>>,
) {
    let server = actix_web::HttpServer::new(move || {
        App::new()
            .app_data(state.clone())
            .configure(|config| scaling.iter().for_each(|scaling| scaling::routes(config, scaling)))
            .route("/metrics", web::get().to(metrics))
            .route("/health", web::get().to(health))
            .route("/health/live", web::get().to(live))
            .route("/health/ready", web::get().to(ready))
            .default_service(web::to(nothing))
    })
    .workers(1)
    .shutdown_timeout(1)
    // Signals are the command's business: it stops everything in order.
    .disable_signals()
    .listen(listener);
    let server = match server {
        Ok(server) => server.run(),
        Err(error) => {
            let _ = started.send(Err(error.to_string()));
            return;
        }
    };
    if started.send(Ok(server.handle())).is_err() {
        return;
    }
    if let Err(error) = server.await {
        tracing::error!("metrics and health are no longer served: {error}");
    }
}

async fn metrics(state: web::Data<State>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"))
        .body(state.metrics.render())
}

async fn health(state: web::Data<State>) -> HttpResponse {
    answer(&state, |ready, live| ready && live)
}

async fn live(state: web::Data<State>) -> HttpResponse {
    answer(&state, |_, live| live)
}

async fn ready(state: web::Data<State>) -> HttpResponse {
    answer(&state, |ready, _| ready)
}

fn answer(state: &State, well: fn(bool, bool) -> bool) -> HttpResponse {
    let health = (state.health)();
    let mut response =
        if well(health.ready, health.live) { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    response.json(health)
}

async fn nothing() -> HttpResponse {
    HttpResponse::NotFound()
        .insert_header(ContentType::plaintext())
        .body("not here; there are /metrics, /health, /health/live, /health/ready and /scaling\n")
}

impl HttpHandle {
    /// Where it listens, with the port that was found for port 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops listening, lets requests under way end (for at most a second), and joins the thread.
    pub fn stop(mut self) {
        self.stop_now();
    }

    fn stop_now(&mut self) {
        if let Some(thread) = self.thread.take() {
            // The command is sent when this is called, the future only waits for its end; so does joining.
            drop(self.server.stop(true));
            if thread.join().is_err() {
                tracing::error!("the HTTP server's thread panicked");
            }
        }
    }
}

impl Drop for HttpHandle {
    fn drop(&mut self) {
        self.stop_now();
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
