//! The numbers of shards and instances over HTTP.
//!
//! `GET /scaling` shows them to any reader of the metrics. `PUT /scaling/shards` and `PUT /scaling/instances/STEP` change them, with
//! the token (`Authorization: Bearer TOKEN`) and `{"count": 4}`. `{"count": null}` returns them to the autoscaler.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix_web::http::header::{AUTHORIZATION, ContentType, WWW_AUTHENTICATE};
use actix_web::{HttpRequest, HttpResponse, web};
use lockstep_engine::pipeline::HttpToken;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

/// The largest body of a request, in bytes.
const MOST: usize = 1024;

/// The current and the desired number of shards, or of instances of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScalingCount {
    /// The current number; 0 before the pipeline runs.
    pub current: usize,
    /// The desired number, if one is set.
    pub desired: Option<usize>,
    /// True if the desired number is a manual override, which the autoscaler does not change.
    pub manual_override: bool,
}

/// The numbers of shards and instances, as the JSON of `/scaling`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScalingCounts {
    /// Sync actors.
    pub shards: ScalingCount,
    /// Instances of models, by step.
    pub instances: BTreeMap<String, ScalingCount>,
}

/// The subject of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted<'a> {
    /// Sync actors.
    Shards,
    /// The instances of a step.
    Instances(&'a str),
}

/// The reason why a number is not set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSet {
    /// There is no such step.
    #[error("{0}")]
    Unknown(String),
    /// The number is out of range.
    #[error("{0}")]
    Outside(String),
}

/// Reads and sets the numbers. The server's thread calls it; it must not block.
pub trait Scaling: Send + Sync {
    /// Returns the current and desired numbers.
    fn counts(&self) -> ScalingCounts;

    /// Sets the desired number; `None` returns it to the autoscaler.
    ///
    /// # Errors
    /// If the number is out of range, or there is no such step.
    fn set_desired(&self, what: Counted<'_>, count: Option<usize>) -> Result<(), NotSet>;
}

/// The access to scaling over HTTP.
#[derive(Clone)]
pub struct Changes {
    /// Reads and sets the numbers.
    pub scaling: Arc<dyn Scaling>,
    /// The token that a request must show. Without a token all changes are refused. The source address gives no protection: behind
    /// a proxy or beside other containers, all requests come from this machine.
    pub token: Option<HttpToken>,
}

type SharedChanges = web::Data<Changes>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CountRequest {
    count: Option<usize>,
}

pub(super) fn routes(config: &mut web::ServiceConfig, scaling: &SharedChanges) {
    config
        .app_data(scaling.clone())
        .app_data(web::PayloadConfig::new(MOST))
        .route("/scaling", web::get().to(counts))
        .route("/scaling/shards", web::put().to(shards))
        .route("/scaling/instances/{step}", web::put().to(instances));
}

async fn counts(scaling: SharedChanges) -> HttpResponse {
    HttpResponse::Ok().json(scaling.scaling.counts())
}

async fn shards(request: HttpRequest, scaling: SharedChanges, body: web::Bytes) -> HttpResponse {
    change(&request, &scaling, Counted::Shards, &body)
}

async fn instances(
    request: HttpRequest,
    scaling: SharedChanges,
    step: web::Path<String>,
    body: web::Bytes,
) -> HttpResponse {
    change(&request, &scaling, Counted::Instances(&step), &body)
}

fn change(request: &HttpRequest, scaling: &SharedChanges, what: Counted<'_>, body: &[u8]) -> HttpResponse {
    let text = |mut response: actix_web::HttpResponseBuilder, why: String| {
        response.insert_header(ContentType::plaintext()).body(why + "\n")
    };
    let Some(token) = &scaling.token else {
        let why = "this process was started without a token, so HTTP cannot change its numbers; set LOCKSTEP_HTTP_TOKEN or \
                   http.token_file and restart it";
        return text(HttpResponse::Forbidden(), why.into());
    };
    if !shows(request, token) {
        let why = "the token is missing or wrong; set LOCKSTEP_HTTP_TOKEN or LOCKSTEP_HTTP_TOKEN_FILE to the one that the \
                   process was started with (in a request: Authorization: Bearer TOKEN)";
        let mut response = HttpResponse::Unauthorized();
        response.insert_header((WWW_AUTHENTICATE, "Bearer"));
        return text(response, why.into());
    }
    let request: CountRequest = match serde_json::from_slice(body) {
        Ok(request) => request,
        Err(error) => {
            let why = format!("{error}; write {{\"count\": 4}}, or {{\"count\": null}} for the autoscaler");
            return text(HttpResponse::BadRequest(), why);
        }
    };
    match scaling.scaling.set_desired(what, request.count) {
        Ok(()) => HttpResponse::Ok().json(scaling.scaling.counts()),
        Err(NotSet::Unknown(why)) => text(HttpResponse::NotFound(), why),
        Err(NotSet::Outside(why)) => text(HttpResponse::UnprocessableEntity(), why),
    }
}

/// Returns true if a request shows the token. The comparison takes the same time however much of the token is right.
fn shows(request: &HttpRequest, token: &HttpToken) -> bool {
    let shown = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let shown = shown.and_then(|value| {
        let (scheme, shown) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| shown.trim())
    });
    shown.is_some_and(|shown| bool::from(shown.as_bytes().ct_eq(token.reveal().as_bytes())))
}
