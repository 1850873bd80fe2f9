//! The HTTP server, on a thread of its own.

use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::mpsc;
use std::thread::JoinHandle;

use actix_web::dev::ServerHandle;
use actix_web::http::header::{CONTENT_TYPE, ContentType};
use actix_web::{App, HttpResponse, web};
use lockstep_telemetry::Metrics;

use super::health::HealthCheck;
use super::scaling::{self, Changes};
use super::status::{STATUS_PATH, StatusCheck};

/// A server of metrics, health, status and scaling.
#[derive(Debug)]
pub struct HttpServer;

/// The reason why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The setting is not an address.
    #[error("http.listen: {listen:?} is not an address ({reason}); write host:port, as \"127.0.0.1:9464\"")]
    Address {
        /// As configured.
        listen: String,
        /// In the system's words.
        reason: String,
    },
    /// The system refuses the address.
    #[error(
        "http.listen: cannot listen on {address} ({reason}); write another address, port 0 for any free port, or false for \
         no server"
    )]
    Bind {
        /// The address.
        address: SocketAddr,
        /// In the system's words.
        reason: String,
    },
    /// The server's thread did not start.
    #[error("the HTTP server did not start: {0}")]
    Start(String),
}

/// A running server. It stops when dropped or by [`HttpHandle::stop`].
pub struct HttpHandle {
    address: SocketAddr,
    server: ServerHandle,
    /// The server's thread; none once it is joined.
    thread: Option<JoinHandle<()>>,
}

/// The endpoints of the server.
#[derive(Clone)]
pub struct Endpoints {
    /// The metrics of `/metrics`.
    pub metrics: Metrics,
    /// The health of `/health`.
    pub health: HealthCheck,
    /// The status of `/v1/status`.
    pub status: StatusCheck,
    /// The numbers of `/scaling`. Without them the server has no such path.
    pub scaling: Option<Changes>,
}

impl HttpServer {
    /// Starts to listen on `host:port`. Port 0 takes any free port, see [`HttpHandle::address`].
    ///
    /// # Errors
    /// If `listen` is not an address, or the system refuses it.
    pub fn start(listen: &str, endpoints: Endpoints) -> Result<HttpHandle, HttpError> {
        let address = resolve(listen)?;
        let bind = |reason: std::io::Error| HttpError::Bind { address, reason: reason.to_string() };
        let listener = TcpListener::bind(address).map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        if !address.ip().is_loopback() {
            tracing::warn!(
                %address,
                remedy = "set http.listen to a loopback address, unless the network is trusted",
                "other machines can read metrics and health without a password"
            );
        }
        let (started, start) = mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("lockstep-http".to_owned())
            .spawn(move || actix_web::rt::System::new().block_on(serve(listener, endpoints, started)))
            .map_err(|error| HttpError::Start(error.to_string()))?;
        match start.recv() {
            Ok(Ok(server)) => {
                let (metrics, health) =
                    (format!("http://{address}/metrics"), format!("http://{address}/health"));
                tracing::info!(%metrics, %health, "serving metrics and health");
                Ok(HttpHandle { address, server, thread: Some(thread) })
            }
            Ok(Err(error)) => Err(HttpError::Start(error)),
            Err(_) => Err(HttpError::Start("its thread has ended".to_owned())),
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
    endpoints: Endpoints,
    started: mpsc::SyncSender<Result<ServerHandle, String>>,
) {
    let scaling = endpoints.scaling.clone().map(web::Data::new);
    let endpoints = web::Data::new(endpoints);
    let server = actix_web::HttpServer::new(move || {
        App::new()
            .app_data(endpoints.clone())
            .configure(|config| scaling.iter().for_each(|scaling| scaling::routes(config, scaling)))
            .route("/metrics", web::get().to(metrics))
            .route("/health", web::get().to(health))
            .route("/health/live", web::get().to(live))
            .route("/health/ready", web::get().to(ready))
            .route(STATUS_PATH, web::get().to(status))
            .default_service(web::to(nothing))
    })
    .workers(1)
    .shutdown_timeout(1)
    // The command handles signals, and stops all threads in order.
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
        tracing::error!(%error, "the HTTP server has stopped: metrics and health are no longer served");
    }
}

async fn metrics(endpoints: web::Data<Endpoints>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"))
        .body(endpoints.metrics.render())
}

async fn health(endpoints: web::Data<Endpoints>) -> HttpResponse {
    answer(&endpoints, |ready, live| ready && live)
}

async fn live(endpoints: web::Data<Endpoints>) -> HttpResponse {
    answer(&endpoints, |_, live| live)
}

async fn ready(endpoints: web::Data<Endpoints>) -> HttpResponse {
    answer(&endpoints, |ready, _| ready)
}

async fn status(endpoints: web::Data<Endpoints>) -> HttpResponse {
    HttpResponse::Ok().json((endpoints.status)())
}

fn answer(endpoints: &Endpoints, well: fn(bool, bool) -> bool) -> HttpResponse {
    let health = (endpoints.health)();
    let mut response =
        if well(health.ready, health.live) { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    response.json(health)
}

async fn nothing() -> HttpResponse {
    HttpResponse::NotFound()
        .insert_header(ContentType::plaintext())
        .body("not here; there are /metrics, /health, /health/live, /health/ready, /v1/status and /scaling\n")
}

impl HttpHandle {
    /// The address of the server, with the actual port for port 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops listening, waits at most a second for pending requests, and joins the thread.
    pub fn stop(mut self) {
        self.stop_now();
    }

    fn stop_now(&mut self) {
        if let Some(thread) = self.thread.take() {
            // `stop` sends the command at once. Its future only waits for the end, and so does the join.
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
