use super::*;
use crate::infer::signature::RowsOf;

const FACES: &str = include_str!("../../../models/faces/1/model.toml");
const VOICE: &str = include_str!("../../../models/voice/1/model.toml");

#[test]
fn manifest_reads_the_models_of_the_repository() {
    let faces = Manifest::parse(FACES).expect("faces");
    assert_eq!((faces.backend.as_str(), faces.file.as_deref()), ("libtorch", Some("model.pt")));
    let digest = faces.sha256.map(|digest| digest.to_string()).unwrap_or_default();
    assert!(digest.starts_with("92900680") && digest.ends_with("e529858e2"), "{digest}");
    let rows: Vec<_> = (0..4).map(|output| faces.signature.rows_of(output)).collect();
    assert_eq!(rows, [Some(RowsOf::Index(3)); 4]);
    let voice = Manifest::parse(VOICE).expect("voice").signature;
    assert_eq!(voice.state_pairs(), [(1, 1), (2, 2)]);
    assert_eq!(
        voice.inputs.iter().map(TensorSpec::batch_axis).collect::<Vec<_>>(),
        [Some(0), Some(1), Some(0)]
    );
    assert_eq!(voice.inputs[0].to_string(), "f32 [batch, 512*n]");
}

#[test]
fn built_in_model_needs_no_file() {
    let identity = Manifest::parse(include_str!("../../../models/identity/1/model.toml")).expect("identity");
    assert_eq!((identity.backend.as_str(), identity.file), ("builtin", None));
}

#[track_caller]
fn refused(text: &str, from: &str, to: &str, said: &str) {
    assert!(text.contains(from), "{from}");
    let errors = Manifest::parse(&text.replacen(from, to, 1)).expect_err(to);
    assert!(errors.iter().any(|error| error.contains(said)), "{to}: {errors:?}");
}

#[test]
fn manifest_names_each_error_with_its_remedy() {
    refused(FACES, "backend = \"libtorch\"", "backend = \"\"", "backend is empty");
    refused(FACES, "\"model.pt\"", "\"../model.pt\"", "beside model.toml");
    refused(FACES, "\"model.pt\"", "\".\"", "beside model.toml");
    refused(FACES, "file = \"model.pt\"", "", "sha256 is the digest of a file, but there is none");
    refused(FACES, "sha256 = \"9", "sha256 = \"", "sha256 = \"29006808");
    refused(FACES, "sha256 = \"9", "sha256 = \"", "it has 63 digits; write 64 hexadecimal digits");
    refused(FACES, "sha256 = \"9", "sha256 = \"g", "'g' is no hexadecimal digit");
    refused(FACES, "licence", "license", "unknown field `license`");
    refused(
        FACES,
        "\"batch\", 3",
        "1, 3",
        "input frames is f32 [1, 3, height, width], without the batch axis",
    );
    refused(
        FACES,
        "[\"faces\", 4]\nrows = \"frame_index\"",
        "[\"faces\", 4]",
        "output boxes is f32 [faces, 4]",
    );
    refused(FACES, "rows = \"frame_index\"", "rows = \"frames\"", "none of the outputs");
    refused(FACES, "rows = \"frame_index\"", "rows = \"scores\"", "it must be i64");
    refused(FACES, "[\"faces\", 4]", "[\"boxes\", 4]", "must have the same name");
    refused(FACES, "[\"faces\", 4]", "[\"batch\", 4]", "batched or ragged");
    refused(FACES, "name = \"scores\"", "name = \"boxes\"", "named twice");
    refused(FACES, "dtype = \"f32\"", "dtype = \"f8\"", "f8");
    refused(VOICE, "512*n", "n*512", "\"n*512\"");
    refused(VOICE, "512*n", "0*n", "\"0*n\"");
    refused(VOICE, "\"512*n\"", "\"batch\"", "2 batch axes");
    refused(VOICE, "output = \"context\"", "output = \"state\"", "carried twice");
    refused(VOICE, "output = \"context\"", "output = \"memory\"", "none of the outputs");
    refused(VOICE, "[2, \"batch\", 128]", "[\"batch\", 2, 128]", "must be the same");
    refused(VOICE, "64]", "4611686018427387904]", "takes more than 4 GiB");
    refused(VOICE, "[2, \"batch\", 128]", "[4294967296, \"batch\", 4294967296]", "takes more than 4 GiB");
    refused(VOICE, "512*n", "9223372036854775807*n", "takes more than 4 GiB");
    refused(VOICE, "[[inputs]]", "max_batch = 0\n[[inputs]]", "max_batch is 0");
    let named = VOICE.replace("[\"batch\", 64]", "[\"batch\", \"m\"]");
    refused(&named, "", "", "its extents must be numbers");
}

#[test]
fn manifest_reports_all_errors_at_once() {
    let text = FACES.replace("\"batch\", 3", "1, 3").replace("name = \"scores\"", "name = \"boxes\"");
    assert_eq!(Manifest::parse(&text).expect_err("two mistakes").len(), 2);
}

#[test]
fn description_is_written_as_a_manifest_that_reads_the_same() {
    let read = Manifest::parse(VOICE).expect("a good model.toml");
    let signature = Signature { state: Vec::new(), max_batch: Some(7), ..read.signature };
    let description = Description { backend: "onnxruntime", signature };
    let sha256 = FileDigest([0x5a; 32]);
    let again = Manifest::parse(&description.to_toml("a \"b\".onnx", sha256)).expect("a good model.toml");
    assert_eq!((again.backend.as_str(), again.file.as_deref()), ("onnxruntime", Some("a \"b\".onnx")));
    assert_eq!((again.sha256, again.signature), (Some(sha256), description.signature));
}

const SHARDED: &str = r#"
backend = "onnxruntime"
file = "model.onnx"
weights = { file = "model.safetensors.index.json", sha256 = { "a.safetensors" = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff" }, prepack = true }
[[inputs]]
name = "x"
dtype = "f32"
shape = ["batch"]
[[outputs]]
name = "y"
dtype = "f32"
shape = ["batch"]
"#;

#[test]
fn manifest_reads_weights_that_are_apart_from_the_file() {
    let weights = Manifest::parse(SHARDED).expect("a good model.toml").weights.expect("weights");
    assert!(weights.is_index() && weights.prepack && weights.sha256.contains_key("a.safetensors"));
    let whole = SHARDED.replace(".index.json", "").replace(", prepack = true", "");
    let weights = Manifest::parse(&whole).expect("a good model.toml").weights.expect("weights");
    assert!(!weights.is_index() && !weights.prepack);
    refused(SHARDED, "model.safetensors", "../model.safetensors", "weights.file = \"../model");
    refused(SHARDED, "model.safetensors.index.json", "model.bin", "must be the name of a file");
    refused(SHARDED, "\"onnxruntime\"", "\"pt2\"", "weights: backend = \"pt2\" takes no weights");
    refused(SHARDED, "\"onnxruntime\"", "\"libtorch\"", "weights.prepack is a choice of");
    refused(SHARDED, "\"00112233", "\"0112233", "is no digest: it has 63 digits");
    refused(SHARDED, "a.safetensors", "a/b.safetensors", "weights.sha256: \"a/b.safetensors\" must be");
    refused(SHARDED, "file = \"model.safetensors", "name = \"model.safetensors", "unknown field `name`");
}
