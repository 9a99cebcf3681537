fn main() {
    let _ = dspy::predict!("question -> when: list[datetime], how_long: timedelta, photo: dspy.Imag, x: numpy.array");
}
