//! Promises of the settings about text.

use lockstep_engine::tensor::DType;

use super::*;

/// A pipeline whose model takes ids, mask and types of i32, with those makers.
fn read(ids: &str, types: &str) -> Result<Pipeline, Vec<problem::Problem>> {
    let repository = tempfile::tempdir().expect("a folder");
    let folder = repository.path().join("mood/1");
    std::fs::create_dir_all(&folder).expect("a folder");
    let input =
        |name: &str| format!("[[inputs]]\nname = \"{name}\"\ndtype = \"i32\"\nshape = [\"batch\", 8]\n");
    let manifest = format!(
        "backend = \"libtorch\"\nfile = \"model.pt\"\nlicence = \"none\"\norigin = \"a test\"\n{}{}{}\
         [[outputs]]\nname = \"logits\"\ndtype = \"f32\"\nshape = [\"batch\", 2]\n",
        input("ids"),
        input("mask"),
        input("types"),
    );
    std::fs::write(folder.join("model.toml"), manifest).expect("a writable file");
    std::fs::write(folder.join("model.pt"), "").expect("a writable file");
    let tokenizer = root().join("tests/golden/preprocess/tokenizer.json");
    let settings = |more: &str| format!("{{ tokenizer = {tokenizer:?}, length = 8{more} }}");
    let text = format!(
        "[pipeline]\nname = \"mood\"\n[inputs.captions]\ncontent_type = \"text/plain\"\n[models]\nrepository = {:?}\n\
         [steps.mood]\nmodel = \"mood\"\n[steps.mood.inputs]\n\
         ids = {{ from = \"captions\", token_ids = {} }}\n\
         mask = {{ from = \"captions\", attention_mask = {} }}\n\
         types = {{ from = \"captions\", token_type_ids = {} }}\n\
         [steps.mood.outputs]\nmood = {{ raw = {{ output = \"logits\" }} }}\n",
        repository.path(),
        settings(ids),
        settings(", dtype = \"i32\""),
        settings(types),
    );
    load_text(&text, &Overrides::default()).map_err(|problems| problems.list().to_vec())
}

#[test]
fn tokens_have_the_type_that_the_model_takes() {
    let pipeline = read(", dtype = \"i32\"", ", dtype = \"i32\", pad_type_id = 3").expect("settings");
    let Binding::Input { preprocess: Preprocess::TokenTypeIds(spec), .. } = &pipeline.steps[0].bindings[2]
    else {
        panic!("types are expected: {:?}", pipeline.steps[0].bindings);
    };
    assert_eq!((spec.dtype, spec.pad_id, spec.length), (DType::I32, Some(3), 8));
    for (ids, types, place, expected) in [
        ("", ", dtype = \"i32\"", "steps.mood.inputs.ids", "i64 [8] a row, expected i32 [8] a row"),
        (
            ", dtype = \"i32\", pad_id = 2147483648",
            ", dtype = \"i32\"",
            "steps.mood.inputs.ids.token_ids.pad_id",
            "is 2147483648, which i32 cannot hold; write dtype = \"i64\"",
        ),
        (
            ", dtype = \"i32\"",
            ", dtype = \"i32\", pad_id = 3",
            "steps.mood.inputs.types.token_type_ids.pad_id",
            "pad_type_id",
        ),
    ] {
        let problems = read(ids, types).expect_err(place);
        assert!(
            problems.iter().any(|problem| problem.key == place && problem.message.contains(expected)),
            "{place}: {problems:#?}"
        );
    }
}
