use super::*;

#[test]
fn models_init_writes_the_digest_that_models_check_verifies() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("model.onnx");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/voice-onnx/1/model.onnx");
    std::fs::copy(shipped, &file).expect("copied");
    init(&file, false).expect("an ONNX file describes its tensors");
    let text = std::fs::read_to_string(folder.path().join(MANIFEST)).expect("written");
    let written = Manifest::parse(&text).expect("a good model.toml");
    assert_eq!(written.sha256, Some(digest_of(&file).expect("readable")));

    let names = names(&written.signature).map(|name| (name.to_owned(), 512)).collect();
    let chosen = ModelChoice {
        model: folder.path().to_owned(),
        extent: names,
        threads: 1,
        optimize: "none".to_owned(),
    };
    check(&chosen).expect("the file is the one of model.toml");
    let mut longer = std::fs::read(&file).expect("readable");
    longer.push(0);
    std::fs::write(&file, longer).expect("written");
    let error = check(&chosen).expect_err("another file").to_string();
    assert!(error.contains("model.onnx: its SHA-256 digest is"), "{error}");
}

#[test]
fn models_check_takes_a_folder_with_one_onnx_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/voice-onnx/1/model.onnx");
    let chosen = ModelChoice {
        model: folder.path().to_owned(),
        extent: vec![("n".to_owned(), 1)],
        threads: 1,
        optimize: "none".to_owned(),
    };
    let refused = || Found::new(&chosen).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(refused().contains("not exactly one .onnx file"), "{}", refused());
    std::fs::copy(&shipped, folder.path().join("any.onnx")).expect("copied");
    assert!(!refused().contains("not exactly one"), "{}", refused());
    std::fs::copy(&shipped, folder.path().join("other.onnx")).expect("copied");
    assert!(refused().contains("not exactly one .onnx file"), "{}", refused());
}

#[test]
fn models_check_refuses_what_init_says_to_correct() {
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("backends/onnx/tests/faulty");
    for (name, says) in [("no_batch", "without the batch axis"), ("huge_row", "more than 4 GiB")] {
        let model = files.join(name).with_extension("onnx");
        let chosen = ModelChoice { model, extent: Vec::new(), threads: 1, optimize: "none".to_owned() };
        let error = check(&chosen).expect_err("a faulty file").to_string();
        assert!(error.contains(says) && error.contains("lockstep models init"), "{error}");
    }
}

#[test]
fn models_bench_bounds_sizes_and_seconds() {
    assert_eq!((batch_size("4096"), whole_seconds("600")), (Ok(4096), Ok(600)));
    for text in ["0", "0.5", "100000000000"] {
        assert!(batch_size(text).is_err_and(|why| why.contains("1 to 4096")), "{text}");
        assert!(whole_seconds(text).is_err_and(|why| why.contains("whole seconds")), "{text}");
    }
}

#[test]
fn models_commands_show_each_tensor_in_one_line() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("backends/onnx/tests/faulty/names.onnx");
    let told = lockstep_assemble::describe(&file).expect("an ONNX file");
    let lines = errors_of(&told.signature).into_iter().chain([tensors(&told.signature)]);
    for line in lines {
        assert!(line.contains("put") && !line.contains('\n'), "{line}");
    }
    let own = lockstep_assemble::describe(&file.with_file_name("own_operator.onnx"));
    assert!(own.is_err_and(|why| why.ends_with("with operators of ONNX itself")));
}
