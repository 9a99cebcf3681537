use dspy_sandbox::Sandbox;
use dspy_strategies::Interpreter as _;
use std::time::{Duration, Instant};
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let t = Instant::now();
    let sandbox = Sandbox::builder().wall_time(Duration::from_secs(3)).build();
    if let Err(e) = sandbox.prepare().await { println!("{e}"); return; }
    println!("prepared {:?}", t.elapsed());
    let t = Instant::now();
    let mut s = match sandbox.open(vec![]).await { Ok(s) => s, Err(e) => { println!("{e}"); return; } };
    println!("open {:?}", t.elapsed());
    for code in std::env::args().skip(1) {
        let t = Instant::now();
        let r = s.run(&code).await;
        println!("{:?} {r:?}", t.elapsed());
    }
}
