//! How many shards and instances there are, to be seen by whoever sees the metrics, and to be changed by hand from this
//! machine: `GET /scaling`, `PUT /scaling/shards` and `PUT /scaling/instances/STEP`, with `{"count": 4}`, or
//! `{"count": null}` to leave them to the law of scaling again.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix_web::http::header::{ContentType, HOST};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};

/// The most that a request may say, in bytes.
const MOST: usize = 1024;

/// How many of something there are and are to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// How many there are; 0 before the pipeline runs.
    pub current: usize,
    /// How many are asked for, if anybody has asked.
    pub asked: Option<usize>,
    /// Whether that was by hand, so that the law of scaling leaves them alone.
    pub by_hand: bool,
}

/// How many of everything there are, as the JSON of `/scaling`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Sync actors.
    pub shards: Count,
    /// Instances of models, by step.
    pub instances: BTreeMap<String, Count>,
}

/// What can have another number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted<'a> {
    /// Sync actors.
    Shards,
    /// The instances of a step.
    Instances(&'a str),
}

/// Why there will not be as many as asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAsked {
    /// There is no such step.
    #[error("{0}")]
    Unknown(String),
    /// That many cannot be.
    #[error("{0}")]
    Outside(String),
}

/// Who sees to it that there are as many as asked for. Called on the server's thread; must not block.
pub trait Scaling: Send + Sync {
    /// How many there are.
    fn counts(&self) -> Counts;

    /// Asks for so many; `None` leaves them to the law of scaling.
    ///
    /// # Errors
    /// When there cannot be so many.
    fn ask(&self, what: Counted<'_>, count: Option<usize>) -> Result<(), NotAsked>;
}

type Shared = web::Data<Arc<dyn Scaling>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    count: Option<usize>,
}

pub(super) fn routes(config: &mut web::ServiceConfig, scaling: &Shared) {
    config
        .app_data(scaling.clone())
        .app_data(web::PayloadConfig::new(MOST))
        .route("/scaling", web::get().to(counts))
        .route("/scaling/shards", web::put().to(shards))
        .route("/scaling/instances/{step}", web::put().to(instances));
}

async fn counts(scaling: Shared) -> HttpResponse {
    HttpResponse::Ok().json(scaling.counts())
}

async fn shards(request: HttpRequest, scaling: Shared, body: web::Bytes) -> HttpResponse {
    change(&request, &scaling, Counted::Shards, &body)
}

async fn instances(
    request: HttpRequest,
    scaling: Shared,
    step: web::Path<String>,
    body: web::Bytes,
) -> HttpResponse {
    change(&request, &scaling, Counted::Instances(&step), &body)
}

fn change(request: &HttpRequest, scaling: &Shared, what: Counted<'_>, body: &[u8]) -> HttpResponse {
    let said = |mut response: actix_web::HttpResponseBuilder, why: String| {
        response.insert_header(ContentType::plaintext()).body(why + "\n")
    };
    if !is_from_here(request) {
        let why = "numbers are changed from the machine itself: run `lockstep scale` there";
        return said(HttpResponse::Forbidden(), why.into());
    }
    let asked: Asked = match serde_json::from_slice(body) {
        Ok(asked) => asked,
        Err(error) => {
            let why =
                format!("{error}; write {{\"count\": 4}}, or {{\"count\": null}} for the law of scaling");
            return said(HttpResponse::BadRequest(), why);
        }
    };
    match scaling.ask(what, asked.count) {
        Ok(()) => HttpResponse::Ok().json(scaling.counts()),
        Err(NotAsked::Unknown(why)) => said(HttpResponse::NotFound(), why),
        Err(NotAsked::Outside(why)) => said(HttpResponse::UnprocessableEntity(), why),
    }
}

/// Whether a program on this machine asks, and not a page in its browser: that could have a name of its own resolve to
/// this machine (DNS rebinding), but it cannot send another name than its own.
fn is_from_here(request: &HttpRequest) -> bool {
    let peer_is_here = request.peer_addr().is_some_and(|peer| peer.ip().to_canonical().is_loopback());
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name =
        host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(host, |(name, _)| name);
    let address = name.trim_start_matches('[').trim_end_matches(']');
    let is_no_name = name == "localhost" || address.parse::<std::net::IpAddr>().is_ok();
    peer_is_here && is_no_name
}
