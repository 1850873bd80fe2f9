//! Finds the reason why a broker's certificate is not trusted.
//!
//! librdkafka reports only that the certificate is not trusted, but passes OpenSSL's own code to a callback. So this module makes a
//! client of the same properties, with that callback, only to read the code.

#![allow(unsafe_code)]

use std::ffi::{c_char, c_int, c_void};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use rdkafka::bindings;
use rdkafka::client::{Client, ClientContext};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::types::{RDKafka, RDKafkaType};

/// OpenSSL's code for the fault of a certificate; 0 if there is none.
#[derive(Default)]
struct VerifyCode(AtomicI32);

impl ClientContext for VerifyCode {
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}

    fn error(&self, _: KafkaError, _: &str) {}
}

/// Returns the fault of the brokers' certificates, with its remedy, as a client of these settings sees it. None without a fault or
/// without an answer.
pub(super) fn fault(config: &ClientConfig, within: Duration) -> Option<(String, &'static str)> {
    let native = config.create_native_config().ok()?;
    // SAFETY: `native` owns the configuration, which lives until the client below takes it. `note` is a function of the required
    // type, valid for as long as the program runs.
    unsafe { bindings::rd_kafka_conf_set_ssl_cert_verify_cb(native.ptr(), Some(note)) };
    let client = Client::new(config, native, RDKafkaType::RD_KAFKA_PRODUCER, VerifyCode::default()).ok()?;
    let _unreachable = client.fetch_metadata(None, within);
    match client.context().0.load(Ordering::Acquire) {
        0 => None,
        code => Some(words(code)),
    }
}

/// Keeps the first code that is not 0, and returns the same verdict as OpenSSL.
unsafe extern "C" fn note(
    _client: *mut RDKafka,
    _broker: *const c_char,
    _id: i32,
    code: *mut c_int,
    _depth: c_int,
    _certificate: *const c_char,
    _size: usize,
    _error: *mut c_char,
    _error_size: usize,
    opaque: *mut c_void,
) -> c_int {
    // SAFETY: librdkafka passes a pointer to a valid integer (its rdkafka.h, `rd_kafka_conf_set_ssl_cert_verify_cb`).
    let code = unsafe { *code };
    // SAFETY: `Client::new` makes the address of the context, a `Verdict` behind an `Arc`, the configuration's opaque
    // pointer. The client keeps that `Arc`, and is destroyed, which ends librdkafka's threads, before it. It is shared
    // between them only as a shared reference to an atomic.
    let verdict = unsafe { &*opaque.cast::<VerifyCode>() };
    if code != 0 {
        let _kept = verdict.0.compare_exchange(0, code, Ordering::AcqRel, Ordering::Relaxed);
    }
    c_int::from(code == 0)
}

/// OpenSSL's codes (its `x509_vfy.h`).
fn words(code: i32) -> (String, &'static str) {
    let (what, remedy) = match code {
        9 => {
            ("the broker's certificate is not valid yet", "correct this machine's clock, or the certificate")
        }
        10 => ("the broker's certificate has expired", "renew it; this machine's clock may also be wrong"),
        18..=21 => (
            "the broker's certificate is signed by an authority that is not trusted",
            "write the authority's certificate as ssl.ca.location",
        ),
        23 => ("the broker's certificate has been revoked", "renew it"),
        26 => (
            "the broker's certificate is not for servers",
            "take one for servers (extendedKeyUsage serverAuth)",
        ),
        62 | 64 => (
            "the broker's certificate is for another host name",
            "write in kafka.brokers, and in the brokers' advertised.listeners, a name that it has, or take one with this \
             name; ssl.endpoint.identification.algorithm = \"none\" gives that protection up",
        ),
        _ => {
            let what = format!("the broker's certificate is not trusted (OpenSSL's code {code})");
            return (what, "see `openssl verify` of that code, and ssl.ca.location");
        }
    };
    (what.to_owned(), remedy)
}
