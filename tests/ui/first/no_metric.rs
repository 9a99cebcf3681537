use dspy::optimizers::BootstrapFewShot;

fn main() {
    let _ = BootstrapFewShot::builder().max_rounds(2).build();
}
