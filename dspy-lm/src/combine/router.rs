//! A router that selects a model for each request.

use super::Members;
use crate::{DeltaSink, Lm, LmError, Request, Response};

pub(super) struct Router<F> {
    members: Members,
    choose: F,
}

impl<F> Router<F>
where
    F: for<'a> Fn(&Request, &'a [Lm]) -> &'a Lm + Send + Sync + 'static,
{
    async fn ask(&self, request: &Request, sink: Option<&DeltaSink>) -> Result<Response, LmError> {
        self.members.not_empty()?;
        (self.choose)(request, &self.members.models).pass(request.clone(), sink).await
    }
}

model_of_members!([F: for<'m> Fn(&Request, &'m [Lm]) -> &'m Lm + Send + Sync + 'static] Router<F>);

impl Lm {
    /// Creates a model that calls the one of `models` that `choose` returns. `choose` is called once for each
    /// request, with at least one model.
    ///
    /// The name is part of the model's id, so that cached replies of one rule are not returned for another.
    ///
    /// ```
    /// use dspy_lm::Lm;
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let lm = Lm::router("by length", [Lm::scripted(["small"]), Lm::scripted(["large"])], |request, models| {
    ///     let length: usize = request.messages.iter().map(|message| message.text().len()).sum();
    ///     &models[usize::from(length > 20)]
    /// });
    /// assert_eq!(lm.ask("Short?").await?, "small");
    /// assert_eq!(lm.ask("A question that is rather longer?").await?, "large");
    /// # Ok::<(), dspy_lm::LmError>(()) }).unwrap();
    /// ```
    pub fn router<F>(name: &str, models: impl IntoIterator<Item = Lm>, choose: F) -> Lm
    where
        F: for<'a> Fn(&Request, &'a [Lm]) -> &'a Lm + Send + Sync + 'static,
    {
        Lm::custom(Router { members: Members::new(&format!("router {name}"), models), choose })
    }
}
