use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> StepCondition {
    StepCondition::parse(text).expect(text)
}

/// Decides a condition over values by their paths; those that are not there are unknown.
fn holds(text: &str, values: &BTreeMap<&str, ShownValue>) -> Option<bool> {
    parse(text).holds(&|path: &ShownPath| values.get(path.to_string().as_str()).cloned())
}

#[test]
fn conditions_decide_by_the_shown_values() {
    let values = BTreeMap::from([
        ("voice.speech", ShownValue::Number(0.5)),
        ("voice.speech.detected", ShownValue::Flag(true)),
        ("seen.class.label", ShownValue::Text("it's".to_owned())),
        ("faces.faces.count", ShownValue::Number(2.0)),
    ]);
    for (text, expected) in [
        ("voice.speech >= 0.5", Some(true)),
        ("voice.speech > 0.5", Some(false)),
        ("voice.speech <= 0.5", Some(true)),
        ("voice.speech<0.5", Some(false)),
        ("voice.speech == 5e-1", Some(true)),
        ("voice.speech != 0.5", Some(false)),
        ("faces.faces.count > -1", Some(true)),
        ("seen.class.label == 'it''s'", Some(true)),
        ("seen.class.label != \"it's\"", Some(false)),
        ("voice.speech.detected", Some(true)),
        ("not voice.speech.detected", Some(false)),
        // `not` binds tighter than `and`, and `and` tighter than `or`.
        ("not voice.speech > 1 and faces.faces.count == 1", Some(false)),
        ("voice.speech.detected or voice.speech > 1 and voice.speech > 2", Some(true)),
        ("(voice.speech.detected or voice.speech > 1) and voice.speech > 2", Some(false)),
        // An unknown value decides nothing, but the others may.
        ("said.text == ''", None),
        ("not said.text == ''", None),
        ("said.text == '' and voice.speech > 0", None),
        ("said.text == '' and voice.speech > 1", Some(false)),
        ("voice.speech > 1 or said.text == ''", None),
        ("said.text == '' or voice.speech > 0", Some(true)),
        // The check of a configuration refuses these. They decide nothing.
        ("seen.class.label == 1", None),
        ("voice.speech == 'a'", None),
        ("voice.speech", None),
    ] {
        assert_eq!(holds(text, &values), expected, "{text}");
    }
}

#[test]
fn parser_names_the_place_and_the_remedy() {
    for (text, expected) in [
        ("", "ends too early; write a comparison, as voice.speech >= 0.5"),
        ("voice.speech = 0.5", "at character 14: \"=\" is no comparison; write =="),
        ("voice.speech >= ", "ends too early; write a number, or a text in quotes, after the comparison"),
        (
            "voice >= 0.5",
            "at character 1: \"voice\" names no output of a step; write STEP.OUTPUT or STEP.OUTPUT.FIELD",
        ),
        ("a.b.c.d", "at character 1: \"a.b.c.d\" names no output"),
        (
            "a.b == dog",
            "at character 8: \"dog\" is neither a number nor a text in quotes; write a number, or 'dog'",
        ),
        ("a.b == 'dog", "at character 8: \"'\" begins a text that never ends; write the quote at its end"),
        ("0.5 <= a.b", "at character 1: \"0.5\" cannot begin a condition; write a comparison"),
        ("a.b && c.d", "at character 5: \"&\" is unknown; write and"),
        ("a.b || c.d", "at character 5: \"|\" is unknown; write or"),
        ("!a.b", "at character 1: \"!\" is unknown; write not, or != to compare"),
        ("ä.b > 1", "at character 1: \"ä.b\" is unknown"),
        ("a.b > 1e999", "at character 7: \"1e999\" begins no number; write a decimal number"),
        ("a.b > 0x10", "at character 7: \"0x10\" begins no number"),
        ("a.b > +inf", "at character 7: \"+\" begins no number"),
        (
            "a.b > 1 < 2",
            "at character 9: \"<\" stands where the condition has ended; write and or or before it",
        ),
        ("(a.b > 1", "at character 1: \"(\" is never closed; write )"),
        ("(a.b > 1 c.d", "at character 10: \"c.d\" stands where ), and or or is expected; write one of them"),
        ("a.b > 1)", "at character 8: \")\" is a parenthesis too many; remove it, or write ( before it"),
        ("a.b > 1 and", "ends too early; write a comparison"),
        ("and a.b > 1", "at character 1: \"and\" has nothing before it; write a comparison"),
    ] {
        let error = StepCondition::parse(text).expect_err(text);
        assert!(error.starts_with(expected), "{text}: {error}");
    }
    let deep = |depth: usize| format!("{}a.b{}", "(".repeat(depth), ")".repeat(depth));
    assert!(StepCondition::parse(&deep(32)).is_ok());
    let error = StepCondition::parse(&deep(100_000)).expect_err("too deep");
    assert_eq!(error, "at character 33: \"(\" is nested more than 32 deep; write it flatter");
}

#[test]
fn unmet_condition_says_what_it_found() {
    let operand = |path: &ShownPath| {
        Ok::<_, ()>(ShownOperand { path: path.clone(), step: 0, view: 0, field: ShownField::Score })
    };
    let unmet = |text: &str, value: &dyn Fn(&str) -> Result<ShownValue, String>| {
        let condition = parse(text).try_map(&mut { operand }).expect("no error");
        condition.unmet(|operand| value(&operand.to_string()))
    };
    let number = |number: f64| move |_: &str| Ok(ShownValue::Number(number));
    assert_eq!(unmet("voice.speech >= 0.5", &number(0.5)), None);
    assert_eq!(
        unmet("voice.speech >= 0.5", &number(0.12)).as_deref(),
        Some("when voice.speech >= 0.5 does not hold: it is 0.12")
    );
    assert_eq!(
        unmet("a.b > 1 and a.b < 2 and c.d > 1", &number(1.0)).as_deref(),
        Some("when a.b > 1 and a.b < 2 and c.d > 1 does not hold: a.b is 1, c.d is 1")
    );
    let skipped = |_: &str| Err("step voice was skipped".to_owned());
    assert_eq!(
        unmet("not (voice.speech >= 0.5 or voice.text == 'x')", &skipped).as_deref(),
        Some("when not (voice.speech >= 0.5 or voice.text == 'x') does not hold: step voice was skipped")
    );
    let text = |_: &str| Ok(ShownValue::Text("a".repeat(100)));
    let long = unmet("a.b == 'x'", &text).expect("unmet");
    assert!(long.ends_with(&format!("it is '{}…'", "a".repeat(60))), "{long}");
}

fn name() -> impl Strategy<Value = String> {
    "[A-Za-z][A-Za-z0-9_-]{0,6}"
}

fn any_path() -> impl Strategy<Value = ShownPath> {
    (name(), name(), proptest::option::of(name())).prop_map(|(step, output, field)| ShownPath {
        step,
        output,
        field,
    })
}

fn condition() -> impl Strategy<Value = StepCondition> {
    let number = prop_oneof![proptest::num::f64::NORMAL, Just(0.0), Just(0.5)].prop_map(Constant::Number);
    let constant = prop_oneof![number, any::<String>().prop_map(Constant::Text)];
    let relation = proptest::sample::select(Relation::ALL.map(|(_, relation)| relation).to_vec());
    let leaf = prop_oneof![
        any_path().prop_map(StepCondition::Flag),
        (any_path(), relation, constant).prop_map(|(value, relation, constant)| {
            StepCondition::Comparison { value, relation, constant }
        }),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|one| StepCondition::Not(Box::new(one))),
            proptest::collection::vec(inner.clone(), 2..4).prop_map(StepCondition::All),
            proptest::collection::vec(inner, 2..4).prop_map(StepCondition::Any),
        ]
    })
}

proptest! {
    #[test]
    fn parser_reads_back_each_condition_that_is_written(condition in condition()) {
        prop_assert_eq!(StepCondition::parse(&condition.to_string()), Ok(condition));
    }

    #[test]
    fn parser_takes_any_text(text in any::<String>(), parts in "([()'\"<>=!&|. 0-9a-eE+-]|and |or |not |a.b){0,40}") {
        for text in [text, parts] {
            match StepCondition::parse(&text) {
                Ok(condition) => prop_assert_eq!(StepCondition::parse(&condition.to_string()), Ok(condition)),
                Err(error) => prop_assert!(error.contains(';'), "{}", error),
            }
        }
    }

    #[test]
    fn conditions_obey_the_laws_of_logic(
        (one, two) in (condition(), condition()),
        values in proptest::collection::vec(proptest::option::of(0..3), 8),
    ) {
        let value_of = |path: &ShownPath| {
            let known = (*values.get(path.step.len() % 8)?)?;
            Some(match known {
                0 => ShownValue::Flag(path.output.len() > 3),
                1 => ShownValue::Number(path.output.len() as f64),
                _ => ShownValue::Text(path.output.clone()),
            })
        };
        let not = |one: &StepCondition| StepCondition::Not(Box::new(one.clone()));
        let decided = |one: &StepCondition| one.holds(&value_of);
        prop_assert_eq!(decided(&not(&not(&one))), decided(&one));
        let both = StepCondition::All(vec![one.clone(), two.clone()]);
        prop_assert_eq!(decided(&both), decided(&StepCondition::All(vec![two.clone(), one.clone()])));
        prop_assert_eq!(decided(&not(&both)), decided(&StepCondition::Any(vec![not(&one), not(&two)])));
    }
}
