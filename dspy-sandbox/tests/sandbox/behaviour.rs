//! Sessions: variables, values, errors, output, tools.

use std::time::Duration;

use dspy_core::tools::{Tool, ToolSpec};
use dspy_sandbox::Sandbox;
use dspy_strategies::{CodeError, Interpreter as _};
use serde_json::{Value, json};

use crate::common::{open, prepared, strict, tools, word};

#[tokio::test]
async fn sessions_keep_variables_and_do_not_share_them() {
    let sandbox = strict().build();
    if !prepared(&sandbox).await {
        return;
    }
    let (mut one, mut two) = (open(&sandbox).await, open(&sandbox).await);
    one.set("rows", json!([{"a": 1}, {"a": 2.5}, null, "é\u{1F600}"])).await.unwrap();
    let ran = one.run("import math\ndef total(): return sum(r['a'] for r in rows[:2])\nprint(rows[3])").await;
    assert_eq!((ran.stdout.as_str(), ran.outcome), ("é\u{1F600}\n", Ok(json!(null))));
    let ran = one.run("total() + math.floor(1.5)").await;
    assert_eq!((ran.outcome, ran.state_lost), (Ok(json!(4.5)), false));
    assert_eq!(two.run("'rows' in globals()").await.outcome, Ok(json!(false)));
    assert!(two.set("not a name", json!(1)).await.is_err());
    assert!(two.set("lambda", json!(1)).await.is_err());
    assert_eq!(two.run("1").await.outcome, Ok(json!(1)));
}

#[tokio::test]
async fn a_value_that_exceeds_the_memory_is_refused() {
    let sandbox = strict().memory(8 << 20).wall_time(Duration::from_secs(30)).build();
    if !prepared(&sandbox).await {
        return;
    }
    let mut session = open(&sandbox).await;
    let refused = session.set("big", json!("x".repeat(20_000_000))).await.unwrap_err().to_string();
    assert!(refused.contains("exceeds the memory of the session"), "{refused}");
    assert_eq!(session.run("1").await.outcome, Ok(json!(1)));
}

#[tokio::test]
async fn the_value_is_that_of_the_last_expression() {
    let sandbox = strict().build();
    if !prepared(&sandbox).await {
        return;
    }
    let mut session = open(&sandbox).await;
    for (code, value) in [
        ("1 + 1", json!(2)),
        ("x = 5", json!(null)),
        ("x", json!(5)),
        ("(1, 'a', None, 2.5)", json!([1, "a", null, 2.5])),
        ("{1: 'a'}", json!({"1": "a"})),
        ("if True: 3", json!(null)),
        ("2 ** 64 - 1", json!(u64::MAX)),
        ("-2 ** 63", json!(i64::MIN)),
        ("[1e300, 0.1, -0.0, '99999999999999999999']", json!([1e300, 0.1, -0.0, "99999999999999999999"])),
        ("", json!(null)),
        ("# nothing", json!(null)),
        ("import sys\nsys.exit()\n3", json!(null)),
    ] {
        let ran = session.run(code).await;
        assert_eq!((ran.outcome, ran.note), (Ok(value), None), "{code}");
    }
}

#[tokio::test]
async fn errors_have_kind_message_and_line() {
    let sandbox = strict().build();
    if !prepared(&sandbox).await {
        return;
    }
    let mut session = open(&sandbox).await;
    for (code, kind, message, line) in [
        ("x = 1\n1 / 0", "ZeroDivisionError", "division by zero", Some(2)),
        ("def f():\n    raise KeyError('k')\n\nf()", "KeyError", "'k'", Some(2)),
        ("print('a')\nif x", "SyntaxError", "expected ':'", Some(2)),
        ("import sys; sys.exit(3)", "SystemExit", "3", Some(1)),
        ("import os; os._exit(4)", "SystemExit", "4", Some(1)),
        ("raise ValueError('a\\ud800')", "ValueError", "a\\ud800", Some(1)),
        ("class Odd(Exception): pass\nraise Odd('why')", "Odd", "why", Some(2)),
        ("import numpy", "ModuleNotFoundError", "No module named 'numpy'", Some(1)),
    ] {
        let ran = session.run(code).await;
        let error = CodeError::Raised { kind: kind.into(), message: message.into(), line };
        assert_eq!((ran.outcome, ran.state_lost), (Err(error), false), "{code}");
        assert_eq!(ran.stdout, "", "code that does not compile does not run");
    }
}

#[tokio::test]
async fn output_comes_back_up_to_the_limit_whatever_ends_the_code() {
    let sandbox = strict().stdout(1_000).wall_time(Duration::from_millis(500)).build();
    if !prepared(&sandbox).await {
        return;
    }
    let mut session = open(&sandbox).await;
    let ran = session.run("print('before')\nwhile True: pass").await;
    assert_eq!((ran.stdout.as_str(), word(&ran), ran.state_lost), ("before\n", "timeout", true));
    let ran = session.run("print('a', end='')\nimport sys\nprint('b', file=sys.stderr)\n1/0").await;
    assert_eq!((ran.stdout.as_str(), word(&ran)), ("ab\n", "raised"));
    let ran = session.run("x = 1\nprint('é' * 2_000)").await;
    assert_eq!((word(&ran), ran.state_lost), ("output", false));
    assert!(ran.stdout.len() <= 1_000 && ran.stdout.len() > 400, "{}", ran.stdout.len());
    assert_eq!(session.run("x").await.outcome, Ok(json!(1)));
}

#[tokio::test]
async fn tools_are_plain_functions_with_the_parameters_of_their_schemas() {
    let sandbox = strict().build();
    if !prepared(&sandbox).await {
        return;
    }
    let parameters = json!({"type": "object", "required": ["b", "a"], "properties":
        {"b": {"type": "integer"}, "a": {"type": "integer"}, "c": {"type": "integer"}}});
    let spec = ToolSpec::new("minus", "Subtracts.", parameters);
    let minus = Tool::from_spec(spec, |arguments: Value| async move {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let number = |name: &str| arguments[name].as_i64();
        Ok(json!(number("b").ok_or("no b")? - number("a").ok_or("no a")? - number("c").unwrap_or(0)))
    });
    let pay = Tool::from_spec(
        ToolSpec::new("pay", "Pays.", json!({"type": "object", "properties": {}})),
        |_: Value| async move { Ok(json!("paid")) },
    );
    let mut session = sandbox.open(vec![minus.clone(), pay.with_approval()]).await.unwrap();
    for (code, value) in [
        ("minus(5, 3)", json!(2)),
        ("minus(a=3, b=5)", json!(2)),
        ("minus(9, 1, c=2)", json!(6)),
        ("def deep(n): return minus(n, 1) if n < 3 else deep(n - 1)\ndeep(30)", json!(1)),
        ("sorted(map(lambda x: minus(x, 1), [3, 2]))", json!([1, 2])),
        ("minus.__name__ + minus.__doc__", json!("minusminus(b, a, c)\n\nSubtracts.")),
    ] {
        assert_eq!(session.run(code).await.outcome, Ok(value), "{code}");
    }
    for (code, kind, part) in [
        ("minus(1, 2, 3, 4)", "TypeError", "takes 3 arguments but 4 were given"),
        ("minus(1, b=2)", "TypeError", "multiple values for argument 'b'"),
        ("minus('x', 1)", "TypeError", "do not fit"),
        ("minus(object(), 1)", "TypeError", "takes values of JSON"),
        ("pay()", "RuntimeError", "needs an approval"),
    ] {
        let ran = session.run(code).await;
        let Err(CodeError::Raised { kind: is, message, .. }) = &ran.outcome else {
            panic!("{code}: {ran:?}")
        };
        assert!(is == kind && message.contains(part), "{code}: {is}: {message}");
    }
    let odd = |name: &str| {
        let spec = ToolSpec::new(name, "", json!({"type": "object", "properties": {}}));
        Tool::from_spec(spec, |_: Value| async move { Ok(json!(1)) })
    };
    for (tools, part) in [
        (vec![odd("a-b")], "`a-b` has a name that Python cannot call"),
        (vec![odd("class")], "`class` has a name that Python cannot call"),
        (vec![minus.clone(), minus], "duplicate tool `minus`"),
    ] {
        let error = sandbox.open(tools).await.err().unwrap().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[tokio::test]
async fn runs_are_the_same_for_the_same_seed() {
    let code = "import random, uuid, os\n[random.random(), str(uuid.uuid4()), os.urandom(4).hex(), list({'b', 'a', 'c', 'zz'}), hash('x')]";
    let mut values = Vec::new();
    for seed in [1, 1, 2] {
        let sandbox = strict().seed(seed).build();
        if !prepared(&sandbox).await {
            return;
        }
        values.push(open(&sandbox).await.run(code).await.outcome.unwrap());
    }
    assert_eq!(values[0], values[1]);
    assert_ne!(values[0][0], values[2][0]);
    assert_ne!(values[0][1], values[2][1]);
    assert_eq!(values[0][3], values[2][3]);
}

#[tokio::test]
async fn the_clock_is_granted() {
    for (granted, code) in [(false, "datetime.now().year == 2000"), (true, "datetime.now().year >= 2026")] {
        let sandbox = strict().clock(granted).build();
        if !prepared(&sandbox).await {
            return;
        }
        let ran = open(&sandbox).await.run(&format!("from datetime import datetime\n{code}")).await;
        assert_eq!(ran.outcome, Ok(json!(true)));
    }
}

#[tokio::test]
async fn a_folder_that_others_can_write_to_is_refused() {
    let parent = std::env::temp_dir().join(format!("dspy-sandbox-{}", std::process::id()));
    std::fs::create_dir_all(&parent).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&parent, std::fs::Permissions::from_mode(0o777)).unwrap();
        let error = Sandbox::builder().folder(&parent).build().prepare().await.unwrap_err().to_string();
        assert!(error.contains("others can write to it"), "{error}");
    }
    let file = parent.join("file");
    std::fs::write(&file, "").unwrap();
    let error =
        Sandbox::builder().folder(file.join("x")).build().open(tools()).await.err().unwrap().to_string();
    assert!(error.contains("cannot keep Python in"), "{error}");
    std::fs::remove_dir_all(&parent).unwrap();
}
