//! How many shards and instances there are, to be seen by whoever sees the metrics, and to be changed by who has the token
//! (`Authorization: Bearer TOKEN`): `GET /scaling`, `PUT /scaling/shards` and `PUT /scaling/instances/STEP`, with `{"count": 4}`, or
//! `{"count": null}` to leave them to the law of scaling again.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix_web::http::header::{AUTHORIZATION, ContentType, WWW_AUTHENTICATE};
use actix_web::{HttpRequest, HttpResponse, web};
use lockstep_engine::pipeline::HttpToken;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

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
    pub manual_override: bool,
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

/// What can be changed over HTTP, and by whom.
#[derive(Clone)]
pub struct Changes {
    /// Who does it.
    pub scaling: Arc<dyn Scaling>,
    /// What has to be shown; without one nothing can be changed. Where a request comes from says nothing: behind a proxy or
    /// beside other containers all come from this machine.
    pub token: Option<HttpToken>,
}

type Shared = web::Data<Changes>;

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
    HttpResponse::Ok().json(scaling.scaling.counts())
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
    let Some(token) = &scaling.token else {
        let why = "nothing can be changed over HTTP, as this process was started without a token; set LOCKSTEP_HTTP_TOKEN \
                   or http.token_file where it is started";
        return said(HttpResponse::Forbidden(), why.into());
    };
    if !shows(request, token) {
        let why = "the token is missing or wrong; set LOCKSTEP_HTTP_TOKEN or LOCKSTEP_HTTP_TOKEN_FILE to the one that the \
                   process was started with (in a request: Authorization: Bearer TOKEN)";
        let mut response = HttpResponse::Unauthorized();
        response.insert_header((WWW_AUTHENTICATE, "Bearer"));
        return said(response, why.into());
    }
    let asked: Asked = match serde_json::from_slice(body) {
        Ok(asked) => asked,
        Err(error) => {
            let why =
                format!("{error}; write {{\"count\": 4}}, or {{\"count\": null}} for the law of scaling");
            return said(HttpResponse::BadRequest(), why);
        }
    };
    match scaling.scaling.ask(what, asked.count) {
        Ok(()) => HttpResponse::Ok().json(scaling.scaling.counts()),
        Err(NotAsked::Unknown(why)) => said(HttpResponse::NotFound(), why),
        Err(NotAsked::Outside(why)) => said(HttpResponse::UnprocessableEntity(), why),
    }
}

/// Whether a request shows the token. How long the comparison takes tells nothing of how much of it is right.
fn shows(request: &HttpRequest, token: &HttpToken) -> bool {
    let shown = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let shown = shown.and_then(|value| {
        let (scheme, shown) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| shown.trim())
    });
    shown.is_some_and(|shown| bool::from(shown.as_bytes().ct_eq(token.reveal().as_bytes())))
}
