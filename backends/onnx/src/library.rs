//! The library of ONNX Runtime, loaded once and only if a model asks for it.
//!
//! Set-up fetches it, and the binary's run path names its directory. `LOCKSTEP_ONNXRUNTIME` names another one: the file, or
//! the directory that holds it. Versions after 1.24 may send usage data to their maker by default; the variable
//! `ORT_DISABLE_TELEMETRY=1`, set before the start, turns that off.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ort::environment::Environment;
use ort::ep::{CUDA, ExecutionProvider, TensorRT};
use ort::logging::LogLevel;

use crate::device::GpuOffer;
use crate::driver;

const VARIABLE: &str = "LOCKSTEP_ONNXRUNTIME";

#[cfg(target_os = "macos")]
const FILE: &str = "libonnxruntime.dylib";
#[cfg(not(target_os = "macos"))]
const FILE: &str = "libonnxruntime.so";

/// Returns the environment of all sessions. The first call loads the library.
///
/// # Errors
/// The library is missing or too old. The answer stays the same until the process ends.
pub(crate) fn environment() -> Result<&'static Environment, String> {
    static ENVIRONMENT: OnceLock<Result<Environment, String>> = OnceLock::new();
    ENVIRONMENT
        .get_or_init(|| load(std::env::var_os(VARIABLE).map(PathBuf::from)))
        .as_ref()
        .map_err(Clone::clone)
}

/// Returns what the library and the driver have for models on a GPU. The first call loads the library.
///
/// # Errors
/// Those of [`environment`].
pub(crate) fn gpu_offer() -> Result<&'static GpuOffer, String> {
    static OFFER: OnceLock<GpuOffer> = OnceLock::new();
    environment()?;
    Ok(OFFER.get_or_init(|| {
        let has = |provider: ort::Result<bool>| provider.unwrap_or(false);
        let (has_cuda, has_tensorrt) = (has(CUDA::is_available()), has(TensorRT::is_available()));
        // Of a library for the CPU the driver would be asked in vain.
        let gpus = if has_cuda { driver::gpu_count() } else { Ok(0) };
        tracing::debug!(has_cuda, has_tensorrt, ?gpus, "GPUs for ONNX Runtime");
        GpuOffer { has_cuda, has_tensorrt, gpus }
    }))
}

fn load(configured: Option<PathBuf>) -> Result<Environment, String> {
    let names_file = configured.is_some();
    let path = configured.map_or_else(|| PathBuf::from(FILE), |path| file(&path));
    let failed = |why: String| {
        format!(
            "ONNX Runtime cannot be used: {why}; run `make setup`, or set {VARIABLE} to the file of a libonnxruntime 1.24 or later"
        )
    };
    if names_file && !path.is_file() {
        return Err(failed(format!("there is no file {}", path.display())));
    }
    let builder = ort::init_from(&path).map_err(|error| failed(error.to_string()))?;
    let environment = builder
        .with_name("lockstep")
        .with_telemetry(false)
        .with_logger(std::sync::Arc::new(log))
        .build()
        .map_err(|error| failed(error.to_string()))?;
    tracing::debug!(build = ort::info(), "ONNX Runtime is loaded");
    Ok(environment)
}

fn file(path: &Path) -> PathBuf {
    if !path.is_dir() {
        return path.to_owned();
    }
    // Releases have it in `lib`.
    let within = path.join("lib").join(FILE);
    if within.is_file() { within } else { path.join(FILE) }
}

/// The runtime's message in one line.
pub fn said<R>(error: &ort::Error<R>) -> String {
    without_source(&error.message().split_whitespace().collect::<Vec<_>>().join(" "))
}

/// A message without the place in the runtime's own source, which is a path and a function with its arguments.
fn without_source(message: &str) -> String {
    let Some((before, place)) = message.split_once("/onnxruntime_src/") else { return message.to_owned() };
    let mut depth = 0_usize;
    let ends = place.char_indices().find(|(at, c)| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        *c == ')'
            && depth == 0
            && place.get(at + 1..).is_none_or(|rest| rest.is_empty() || rest.starts_with(' '))
    });
    let rest = ends.and_then(|(at, _)| place.get(at + 1..)).unwrap_or_default().trim_start();
    let rest = rest.strip_prefix("const ").unwrap_or(rest);
    if rest.is_empty() { message.to_owned() } else { format!("{before}{rest}") }
}

/// The runtime's own log. Its errors come back from the calls that failed, so that they are no errors here.
fn log(level: LogLevel, category: &str, _id: &str, place: &str, message: &str) {
    match level {
        LogLevel::Fatal | LogLevel::Error | LogLevel::Warning => {
            tracing::debug!(category, place, message, "ONNX Runtime warns");
        }
        LogLevel::Info | LogLevel::Verbose => tracing::trace!(category, place, message, "ONNX Runtime says"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_library_is_named_with_the_remedy() {
        let error = load(Some("/nowhere/libonnxruntime.so".into())).expect_err("it is not there");
        assert!(
            error.contains("there is no file /nowhere/libonnxruntime.so") && error.contains("make setup"),
            "{error}"
        );
    }

    #[test]
    fn message_loses_the_place_in_the_source() {
        let place = "/onnxruntime_src/onnxruntime/core/graph/model.cc:166 onnxruntime::(anonymous namespace)::f(onnx::ModelProto&&, int (*)())";
        for (after, expected) in
            [(" It has no graph.", "failed:It has no graph."), (" const It.", "failed:It.")]
        {
            assert_eq!(without_source(&format!("failed:{place}{after}")), expected);
        }
        assert_eq!(without_source("a plain message (1)"), "a plain message (1)");
    }

    #[test]
    fn directory_stands_for_the_library_in_it() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(file(folder.path()), folder.path().join(FILE));
        assert_eq!(file(Path::new("a.so")), Path::new("a.so"));
        let within = folder.path().join("lib").join(FILE);
        std::fs::create_dir(folder.path().join("lib")).expect("a folder");
        std::fs::write(&within, "").expect("written");
        assert_eq!(file(folder.path()), within);
    }
}
