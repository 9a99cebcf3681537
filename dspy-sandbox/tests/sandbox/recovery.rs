//! Sessions: values without a form in JSON, loops of `asyncio`, harm that sessions recover from.

use dspy_strategies::{CodeError, Interpreter as _};
use serde_json::json;

use crate::common::{open, prepared, strict, tools, word};

#[tokio::test]
async fn a_value_without_a_form_in_json_is_told_apart_from_none() {
    let sandbox = strict().build();
    if !prepared(&sandbox).await {
        return;
    }
    let mut session = open(&sandbox).await;
    for (value, part) in [
        ("{1, 2}", "Object of type set"),
        ("float('nan')", "Out of range float"),
        ("[float('inf')]", "Out of range float"),
        ("object()", "Object of type object"),
        ("2 ** 64", "the integer 18446744073709551616 exceeds 64 bits; use str() of it"),
        ("{'a': [-2 ** 63 - 1]}", "the integer -9223372036854775809 exceeds 64 bits"),
        ("10 ** 100", "the integer 1000000000000000000000000000000000000000… exceeds 64 bits"),
        ("'\\ud800'", "a lone surrogate"),
        ("{1: 'a', '1': 'b'}", "two keys of a dictionary are both \"1\""),
        ("[{'x': {None: 1, 'null': 2}}]", "two keys of a dictionary are both \"null\""),
        ("__import__('functools').reduce(lambda x, _: [x], range(130), 1)", "nested more than 127 deep"),
        ("__import__('functools').reduce(lambda x, _: [x], range(9000), 1)", "nested"),
    ] {
        let ran = session.run(value).await;
        let note = ran.note.unwrap_or_default();
        assert_eq!((ran.outcome, ran.state_lost), (Ok(json!(null)), false), "{value}");
        assert!(note.contains("has no form in JSON") && note.contains(part), "{value}: {note}");
        // The same value as an argument is an error in the code.
        let ran = session.run(&format!("try: echo({value})\nexcept TypeError as error: print(error)")).await;
        let (told, expected) = (ran.stdout, part.split_once("nested").map_or(part, |_| "deep"));
        let expected = if expected == "a lone surrogate" { "lone surrogates" } else { expected };
        let too_deep = expected == "deep" && ran.outcome == Err(CodeError::Recursion);
        assert!(told.contains(expected) || too_deep, "{value}: {told} {:?}", ran.outcome);
    }
    assert_eq!(session.run("echo(2 ** 64 - 1)").await.outcome, Ok(json!(u64::MAX)));
}

#[tokio::test]
async fn code_that_awaits_runs_in_one_loop() {
    let sandbox = strict().build();
    if !prepared(&sandbox).await {
        return;
    }
    let mut session = open(&sandbox).await;
    let define = "import asyncio\nasync def twice(x):\n    await asyncio.sleep(0)\n    return 2 * x";
    assert_eq!(session.run(define).await.outcome, Ok(json!(null)));
    for (code, value) in [
        ("t = asyncio.create_task(twice(1))\nawait t", json!(2)),
        ("both = asyncio.gather(twice(1), twice(2))\nawait both", json!([2, 4])),
        ("t = asyncio.ensure_future(twice(3))\nx = await t\nx", json!(6)),
        ("await asyncio.wait_for(asyncio.create_task(twice(4)), 1)", json!(8)),
        ("async with asyncio.TaskGroup() as group: t = group.create_task(twice(5))\nt.result()", json!(10)),
        ("later = asyncio.create_task(twice(6))", json!(null)),
        ("await later", json!(12)),
        ("asyncio.run(twice(7))", json!(14)),
        ("[asyncio.run(twice(8)), await twice(9)]", json!([16, 18])),
    ] {
        let ran = session.run(code).await;
        assert_eq!((ran.outcome, ran.state_lost), (Ok(value), false), "{code}");
    }
}

#[tokio::test]
async fn a_session_recovers_from_what_code_does_to_it() {
    let sandbox = strict().build();
    if !prepared(&sandbox).await {
        return;
    }
    for harm in [
        "import ast\nast.parse = ast.Expr = ast.Expression = None",
        "globals().clear()",
        "del echo",
        "echo = print",
        "import json\njson.dumps = json.loads = json.encoder.c_make_encoder = None",
        "import sys\nsys.setrecursionlimit(60)",
        "import sys\ndef hook(*args): raise ValueError('hook')\nsys.addaudithook(hook)",
        "import sys\nsys.monitoring.use_tool_id(3, 'x')\nsys.monitoring.register_callback(3, sys.monitoring.events.PY_START, lambda *a: 1 / 0)\nsys.monitoring.set_events(3, sys.monitoring.events.PY_START)",
        "import gc\ngc.callbacks.append(lambda *a: 1 / 0)",
        "__builtins__ = {}",
        "import builtins\nbuiltins.any = builtins.isinstance = builtins.__build_class__ = None",
        "raise ValueError('\\ud800')",
        "import os\nos._exit(3)",
    ] {
        let mut session = open(&sandbox).await;
        let harmed = session.run(harm).await;
        let next = session.run("print('alive')\necho(len([1, 2]))").await;
        assert_eq!((next.stdout.as_str(), next.outcome), ("alive\n", Ok(json!(2))), "{harm}: {harmed:?}");
        assert!(!next.state_lost || !harmed.state_lost, "{harm}");
    }
}

#[tokio::test]
async fn output_past_pythons_streams_is_output_in_its_place() {
    let sandbox = strict().stdout(1_000).build();
    if !prepared(&sandbox).await {
        return;
    }
    let mut session = open(&sandbox).await;
    let code = "import os, sys\nprint('a', end='')\nos.write(1, b'b')\nsys.__stdout__.write('c')\n\
                sys.stdout.buffer.write(b'd')\nos.write(2, b'e\\xff')\nsys.__stderr__.write('f')\nprint('\\ud800')";
    let ran = session.run(code).await;
    assert_eq!((ran.stdout.as_str(), ran.outcome), ("abcde\u{FFFD}f\\ud800\n", Ok(json!(null))));
    let ran = session.run("import os\nwhile True: os.write(1, b'x' * 100)").await;
    assert_eq!((ran.stdout.len(), word(&ran)), (1_000, "output"));
}

#[tokio::test]
async fn waiting_for_ever_in_the_only_thread_is_an_error() {
    let sandbox = strict().build();
    if !prepared(&sandbox).await {
        return;
    }
    let mut session = open(&sandbox).await;
    session.run("import threading, queue, time, concurrent.futures").await;
    for code in [
        "lock = threading.Lock()\nlock.acquire()\nlock.acquire()",
        "queue.Queue().get()",
        "queue.SimpleQueue().get()",
        "threading.Event().wait()",
        "threading.Barrier(2).wait()",
        "threading.Semaphore(0).acquire()",
        "concurrent.futures.Future().result()",
        "c = threading.Condition()\nwith c: c.wait()",
    ] {
        let ran = session.run(code).await;
        let told = ran.outcome.as_ref().err().map(ToString::to_string).unwrap_or_default();
        assert!(told.contains("would wait forever"), "{code}: {told}");
        assert!(!ran.state_lost, "{code}");
    }
    for (code, value) in [
        ("got = []\nthreading.Timer(0.01, got.append, [1]).start()\ntime.sleep(0.02)\ngot", json!([1])),
        ("t = threading.Timer(0.01, got.append, [2])\nt.start()\nt.join()\ngot", json!([1, 2])),
        ("t = threading.Timer(60, got.append, [3])\nt.start()\nt.cancel()\nt.join()\ngot", json!([1, 2])),
        ("e = threading.Event()\nthreading.Timer(0.01, e.set).start()\ne.wait()", json!(true)),
        ("[threading.Event().wait(0.01), threading.Lock().acquire(timeout=0.01)]", json!([false, true])),
    ] {
        assert_eq!(session.run(code).await.outcome, Ok(value), "{code}");
    }
}

#[tokio::test]
async fn work_that_would_be_forgotten_after_the_run_is_told() {
    let sandbox = strict().build();
    if !prepared(&sandbox).await {
        return;
    }
    let mut session = open(&sandbox).await;
    session.run("import threading, atexit, asyncio, signal, weakref, sched, time\ngot = []").await;
    for (code, part) in [
        ("threading.Timer(60, print).start()\n1", "1 timer(s) of threading had not fired"),
        ("for _ in range(3): threading.Timer(60, print).start()", "3 timer(s)"),
        ("atexit.register(print)", "functions at the exit never run"),
        ("@atexit.register\ndef end(): pass", "functions at the exit never run"),
        ("signal.alarm(1)", "alarm"),
    ] {
        let ran = session.run(code).await;
        let told = ran.outcome.as_ref().err().map(ToString::to_string).unwrap_or_default();
        assert!(told.contains(part) && !ran.state_lost, "{code}: {told} {ran:?}");
    }
    for (code, value) in [
        // What is cancelled, or need not end, is not missed.
        ("t = threading.Timer(60, print)\nt.start()\nt.cancel()\n1", json!(1)),
        ("t = threading.Timer(60, print)\nt.daemon = True\nt.start()\n2", json!(2)),
        // The library may register functions.
        ("class A: pass\na = A()\nweakref.finalize(a, got.append, 3)\ndel a\ngot", json!([3])),
        ("s = sched.scheduler()\ns.enter(0.01, 1, got.append, (4,))\ns.run()\ngot", json!([3, 4])),
        // Tasks go on in the next run that awaits.
        (
            "async def later():\n    await asyncio.sleep(0.01)\n    got.append(5)\nt = asyncio.create_task(later())\ngot",
            json!([3, 4]),
        ),
        ("await asyncio.sleep(0.02)\ngot", json!([3, 4, 5])),
        ("def numbers():\n    yield 6\n    yield 7\ng = numbers()\nnext(g)", json!(6)),
        ("next(g)", json!(7)),
    ] {
        assert_eq!(session.run(code).await.outcome, Ok(value), "{code}");
    }
    let code = "async def fails(): raise ValueError('lost')\nt = asyncio.create_task(fails())";
    session.run(code).await;
    let ran = session.run("await asyncio.sleep(0.01)\nt = None\nimport gc\ngc.collect()").await;
    assert!(ran.stdout.contains("never retrieved") && ran.stdout.contains("lost"), "{ran:?}");
}

#[tokio::test]
async fn an_answer_that_code_writes_itself_does_not_count() {
    let sandbox = strict().tool_calls(2).build();
    if !prepared(&sandbox).await {
        return;
    }
    let forge = "import _eryx, sys\n\
                 def forge(answer):\n    \
                     _, handle = _eryx._eryx_tcp_connect('dspy', 3)\n    \
                     _eryx._eryx_tcp_write(handle, answer)\n    \
                     _eryx._eryx_tcp_read(handle, 10)\n    \
                     _eryx._eryx_tcp_close(handle)";
    let mut session = open(&sandbox).await;
    session.run(forge).await;
    // The runner answers after the code, and its answer counts.
    assert_eq!(session.run("forge(b'V7')\n1").await.outcome, Ok(json!(1)));
    let ran = session.run("forge(b'V7')\n1 / 0").await;
    assert!(matches!(ran.outcome, Err(CodeError::Raised { kind, .. }) if kind == "ZeroDivisionError"));
    // Ends that the host sees by itself stay what they are.
    assert_eq!(session.run("forge(b'V7')\nwhile True: pass").await.outcome, Err(CodeError::Timeout));
    session.run(forge).await;
    let ran =
        session.run("for at in range(5):\n    try: echo(at)\n    except BaseException: forge(b'V7')").await;
    assert_eq!(ran.outcome, Err(CodeError::Calls));
    // Nothing of it is left in the next run, or in another session.
    assert_eq!(session.run("forge(b'V7')").await.outcome, Ok(json!(null)));
    assert_eq!(session.run("2").await.outcome, Ok(json!(2)));
    assert_eq!(open(&sandbox).await.run("3").await.outcome, Ok(json!(3)));
}

#[tokio::test]
async fn names_of_python_and_of_tools_are_refused() {
    let sandbox = strict().build();
    if !prepared(&sandbox).await {
        return;
    }
    let mut session = open(&sandbox).await;
    for (name, part) in
        [("__builtins__", "belongs to Python"), ("__name__", "belongs to Python"), ("echo", "is a tool")]
    {
        let error = session.set(name, json!(1)).await.unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(session.run("echo(1)").await.outcome, Ok(json!(1)));
}

#[test]
fn a_runtime_without_a_timer_is_an_error() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let sandbox = strict().build();
    let opened = runtime.block_on(async {
        if prepared(&sandbox).await { Some(sandbox.open(tools()).await.map(drop)) } else { None }
    });
    if let Some(opened) = opened {
        let error = opened.unwrap_err().to_string();
        assert!(error.contains("needs a tokio runtime with a timer"), "{error}");
    }
}

#[tokio::test]
async fn what_code_replaces_does_not_break_the_next_run() {
    let sandbox = strict().build();
    if !prepared(&sandbox).await {
        return;
    }
    let mut session = open(&sandbox).await;
    session.set("given", json!([1, 2])).await.unwrap();
    for sabotage in [
        "import sys\nsys.stdout.write = None",
        "import sys\nsys.stdout.flush = 3",
        "import sys\nsys.stdout.line = None",
        "import sys\nsys.stdout.room = -1",
        "import sys\nsys.stdout.buffer = None",
        "import sys\nsys.stdout.__dict__ = {}",
        "import sys\nsys.stdout.__dict__.clear()",
        "import sys\ntype(sys.stdout).write = None",
        "import sys\ntype(sys.stdout).__setattr__ = None",
        "import sys\ntype(sys.stdout).__getattribute__ = lambda *args: 1 / 0",
        "import sys\ndel type(sys.stdout).flush",
        "import sys\ntype(sys.stdout.buffer).write = None",
        "import sys\nclass Other(type(sys.stdout)):\n    def write(self, text): pass\nsys.stdout.__class__ = Other",
        "import sys\nsys.stdout = None",
        "import sys\ndel sys.stdout, sys.stderr",
        "import sys\nsys.stderr.write = None",
        "import sys\nsys.modules.clear()",
        "import sys\nsys.modules['json'] = None",
        "import sys\nsys.excepthook = sys.displayhook = None",
        "import sys\nsys.setrecursionlimit(60)",
        "import sys\nsys.path.clear()\nsys.meta_path.clear()",
        "import builtins\nbuiltins.print = None",
        "import builtins\nbuiltins.__dict__.clear()",
        "import builtins\nbuiltins.isinstance = builtins.len = builtins.str = None",
        "import json\njson.dumps = json.loads = json.encoder = None",
        "import io\nio.StringIO = None",
        "import os, posix\nos.write = posix.write = None",
        "import linecache\nlinecache.cache = None",
        "import asyncio\nasyncio.run = asyncio.sleep = asyncio.Task = None",
        "import traceback\ntraceback.print_exc = None",
        "import gc\ngc.disable()\ngc.callbacks.append(lambda *args: 1 / 0)",
        "import threading\nthreading.current_thread = None",
        "echo = None",
        "__name__ = __builtins__ = None",
        "given_ = given\nglobals().clear()",
    ] {
        let ran = session.run(sabotage).await;
        session.set("given", json!([1, 2])).await.unwrap();
        let next = session.run("print('said', len(given))\necho(value=given)").await;
        assert_eq!(next.outcome, Ok(json!([1, 2])), "after {sabotage}: {ran:?}");
        assert_eq!(next.stdout, "said 2\n", "after {sabotage}: {ran:?}");
    }
    let deep = |depth: usize| format!("x = 1\nfor _ in range({depth}): x = [x]\nlen(echo(value=x))");
    assert_eq!(session.run(&deep(125)).await.outcome, Ok(json!(1)));
    let outcome = format!("{:?}", session.run(&deep(126)).await.outcome);
    assert!(outcome.contains("nested more than 125 deep"), "{outcome}");
}
