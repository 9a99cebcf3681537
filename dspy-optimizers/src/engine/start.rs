//! The start of a study.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dspy_core::Seed;
use dspy_core::evaluate::Evaluate;
use dspy_core::lm::Budget;
use dspy_core::program::HasPredictors;
use serde::Serialize;
use serde_json::{Value, json};

use super::found::Found;
use super::headroom::check_best_score;
use super::nested::Parent;
use super::phase::CurrentPhase;
use super::running::Running;
use super::teacher::check_teacher;
use super::verification::VerificationCost;
use super::{ExampleFor, Program, Study};
use crate::budget::{Ledger, tighter};
use crate::counts::counted;
use crate::data::{Data, RowSet, Rows, label_names};
use crate::error::OptimizeError;
use crate::events::{Events, StudyEvent};
use crate::identity::program_identity;
use crate::journal::{Header, Journal, JournalError};
use crate::options::Options;
use crate::report::Parameters;
use crate::verify::Verify;
use dspy_core::evaluate::SharedMetric;

/// A builder of a [`Study`]; see [`Study::builder`].
#[derive(Debug)]
pub struct StudyBuilder<'d, P, T> {
    optimizer: String,
    program: P,
    data: &'d Data<P, T>,
    settings: Result<Value, serde_json::Error>,
    options: Options,
}

/// The rows of a study by use.
pub(crate) struct Splits<'d, E> {
    pub(crate) train: Rows<'d, E>,
    pub(crate) val: Rows<'d, E>,
    pub(crate) given_val: bool,
    pub(crate) holdout: Result<Rows<'d, E>, usize>,
    pub(crate) verify: Option<Verify>,
}

impl<'d, P: Program, T> StudyBuilder<'d, P, T> {
    pub(super) fn new(optimizer: String, program: P, data: &'d Data<P, T>) -> Self {
        StudyBuilder { optimizer, program, data, settings: Ok(Value::Null), options: Options::default() }
    }

    /// Sets the parameters of the algorithm: everything that determines the result besides seed, program and
    /// data. A journal cannot be resumed with different ones.
    #[must_use]
    pub fn settings(mut self, settings: &impl Serialize) -> Self {
        self.settings = serde_json::to_value(settings);
        self
    }

    /// Sets the options.
    #[must_use]
    pub fn options(mut self, options: &Options) -> Self {
        self.options = options.clone();
        self
    }

    /// Starts the study: checks the rows and opens the journal and the budget account.
    ///
    /// # Errors
    /// If a data set is empty, a row cannot be used, the program has no predictors, those of the teacher
    /// differ, the settings cannot be
    /// serialised as JSON, or the journal cannot be used.
    pub fn start<E>(self, metric: &SharedMetric<E, P::Output>) -> Result<Study<'d, P, E>, OptimizeError>
    where
        E: ExampleFor<P>,
        T: RowSet<E>,
    {
        let StudyBuilder { optimizer, program, data, settings, options } = self;
        check_best_score(options.best_score)?;
        let splits = Splits::of(&program, data, &options)?;
        let initial = Parameters::of(&program);
        if initial.is_empty() {
            return Err(OptimizeError::NoPredictors);
        }
        check_teacher(&program, data.teacher.as_ref())?;
        let mut identity = json!({
            "settings": settings.map_err(JournalError::Encode)?,
            "trainset": splits.train.identity(),
            "valset": splits.given_val.then(|| splits.val.identity()),
            "program": program_identity(&program),
            "teacher": data.teacher.as_ref().map(program_identity),
        });
        if let Value::Object(members) = &mut identity {
            if let Ok(holdout) = &splits.holdout {
                members.insert("holdout".into(), holdout.identity());
            }
            if let Some(version) = &options.code_version {
                members.insert("code_version".into(), version.as_str().into());
            }
        }
        let header = Header::new(&optimizer, options.seed, identity);
        let resources = Resources::find(&options, &header)?;
        let verification = splits.verification(program.named_predictors().len());
        let ledger = match verification.filter(|_| resources.budget != Budget::UNLIMITED) {
            Some(verification) => resources.searching(verification.rest_of(resources.budget)),
            None => resources.ledger.clone(),
        };
        let shortage = verification.and_then(|verification| verification.shortage(resources.budget));
        let first_rows = splits.val.len() as u64;
        resources
            .events
            .emit(&StudyEvent::Started { optimizer: optimizer.clone(), study: resources.name.clone() });
        // The outermost study reports what is wrong with the data.
        let overlaps = if resources.name.is_empty() { splits.overlaps(data) } else { Vec::new() };
        let study = Study {
            optimizer,
            name: resources.name,
            run_dir: resources.run_dir,
            program,
            initial,
            teacher: data.teacher.clone(),
            train: splits.train,
            val: splits.val,
            given_val: splits.given_val,
            holdout: splits.holdout,
            verify: splits.verify,
            journal: resources.journal,
            overall: resources.ledger,
            ledger,
            events: resources.events,
            // Demonstrations are made from traces, and metrics may inspect them.
            evaluate: Evaluate::new(metric.clone()).traced(true),
            failures: Mutex::default(),
            running: Arc::new(Running::default()),
            shares: Mutex::new(resources.shares),
            found: Mutex::new(Found::default()),
            phase: Mutex::new(CurrentPhase::default()),
            started: Instant::now(),
            shortage: shortage.clone(),
            budget: resources.budget,
            first_rows,
            options,
        };
        overlaps.into_iter().for_each(|warning| study.warn(warning));
        shortage.into_iter().for_each(|warning| study.warn_early(warning));
        Ok(study)
    }
}

impl<'d, E> Splits<'d, E> {
    /// Divides the data as the options say. The outputs of the program may be labels.
    ///
    /// # Errors
    /// If a set is empty, or a row cannot be used.
    pub(crate) fn of<P, T>(
        program: &P,
        data: &'d Data<P, T>,
        options: &Options,
    ) -> Result<Self, OptimizeError>
    where
        P: HasPredictors,
        T: RowSet<E>,
    {
        options.verify.map_or(Ok(()), |verify| verify.check())?;
        check_budget(options.budget)?;
        let named = |set: &'d T, name| set.rows(name).map(|rows| rows.named(name));
        let mut train = named(&data.train, "trainset")?;
        // Selections of the same data set have the same name, so that each row has only one name.
        let other = |set: &'d T, name| {
            let rows = named(set, name)?;
            Ok::<_, OptimizeError>(if rows.shares_data_with(&train) { rows.named(train.set()) } else { rows })
        };
        let val = data.val.as_ref().map(|set| other(set, "valset")).transpose()?;
        let holdout = data.holdout.as_ref().map(|set| other(set, "holdout")).transpose()?;
        let given_val = val.is_some();
        let mut val = val.unwrap_or_else(|| train.clone());
        if let Some(holdout) = holdout {
            let verify = Some(options.verify.unwrap_or_default());
            return Ok(Splits { train, val, given_val, holdout: Ok(holdout), verify });
        }
        let Some(verify) = options.verify else {
            return Ok(Splits { train, val, given_val, holdout: Err(0), verify: None });
        };
        let (rest, holdout) = verify.split(&val, &label_names(program), Seed::new(options.seed));
        if holdout.is_ok() {
            if !given_val {
                train = rest.clone();
            }
            val = rest;
        }
        Ok(Splits { train, val, given_val, holdout, verify: Some(verify) })
    }
}

impl<E> Splits<'_, E> {
    /// Returns the cost of the verification, if there is one.
    pub(crate) fn verification(&self, predictors: usize) -> Option<VerificationCost> {
        let (verify, holdout) = (self.verify?, self.holdout.as_ref().ok()?);
        Some(VerificationCost { verify, rows: holdout.len(), predictors })
    }

    /// Returns the part of a budget that the search may spend.
    pub(crate) fn search_budget(&self, program: &impl HasPredictors, budget: Budget) -> Budget {
        let verification = self.verification(program.named_predictors().len());
        verification.map_or(budget, |verification| verification.rest_of(budget))
    }

    /// Returns warnings of rows that are in several of the given sets.
    fn overlaps<P, T>(&self, data: &Data<P, T>) -> Vec<String> {
        let mut warnings = Vec::new();
        let of = |count: usize, rows: &Rows<'_, E>| format!("{count} of {}", counted(rows.len(), "row"));
        if self.given_val && !self.val.has_rows_of(&self.train) {
            let count = self.val.overlap(&[&self.train]);
            if count > 0 {
                let rows = of(count, &self.val);
                warnings.push(format!(
                    "{rows} of the valset are also in the trainset, so candidates are selected by rows that they have \
                     learnt from; give them to one of the sets, or pass the trainset alone, which is then also the valset"
                ));
            }
        }
        if let (Some(_), Ok(holdout)) = (&data.holdout, &self.holdout) {
            let count = holdout.overlap(&[&self.train, &self.val]);
            if count > 0 {
                let rows = of(count, holdout);
                warnings.push(format!(
                    "{rows} of the holdout are also in the trainset or valset, so the verification is not independent of \
                     the search; hold out other rows"
                ));
            }
        }
        warnings
    }
}

/// Checks that a limit in US dollars is a number.
fn check_budget(budget: Budget) -> Result<(), OptimizeError> {
    match budget.usd.filter(|usd| usd.is_nan() || *usd < 0.0) {
        None => Ok(()),
        Some(usd) => {
            let (value, expected) = (usd.to_string(), "a number of at least 0");
            Err(OptimizeError::Option { option: "budget.usd", value, expected })
        }
    }
}

/// The journal, the account and the listeners of a study.
struct Resources {
    name: String,
    journal: Arc<Journal>,
    /// The limits of this study.
    budget: Budget,
    ledger: Arc<Ledger>,
    events: Arc<Events>,
    run_dir: Option<PathBuf>,
    /// The duration of earlier processes.
    elapsed: Duration,
    /// The names of the studies that share their rollouts.
    shares: Vec<String>,
}

impl Resources {
    fn find(options: &Options, header: &Header) -> Result<Self, OptimizeError> {
        match Parent::current() {
            Some(parent) => Resources::inside(&parent, options, header),
            None => Resources::alone(options, header),
        }
    }

    fn alone(options: &Options, header: &Header) -> Result<Self, OptimizeError> {
        let journal = Arc::new(match &options.run_dir {
            Some(folder) => Journal::open(folder, header)?,
            None => Journal::in_memory(),
        });
        Ok(Resources {
            name: String::new(),
            budget: options.budget,
            ledger: Ledger::open(options.budget, journal.history("", journal.elapsed())),
            events: Arc::new(Events::new(
                options.progress,
                options.listener.clone(),
                journal.total("").usage(),
            )),
            run_dir: options.run_dir.clone(),
            elapsed: journal.elapsed(),
            shares: Vec::new(),
            journal,
        })
    }

    fn inside(parent: &Parent, options: &Options, header: &Header) -> Result<Self, OptimizeError> {
        if let Some(folder) = &options.run_dir {
            let expected = "none, as a nested optimizer writes to the journal of the outer one";
            let value = format!("`{}`", folder.display());
            return Err(OptimizeError::Option { option: "run_dir", value, expected });
        }
        let (name, journal) = (parent.next_name(), parent.journal.clone());
        journal.begin(&name, header)?;
        let budget = tighter(parent.budget, options.budget);
        Ok(Resources {
            ledger: parent.ledger.below(budget, journal.history(&name, Duration::ZERO)),
            budget,
            events: parent.events.clone(),
            run_dir: parent.run_dir.clone(),
            elapsed: Duration::ZERO,
            shares: parent.shares.clone(),
            journal,
            name,
        })
    }

    /// Creates the ledger of the search, which excludes the part of the budget reserved for the verification.
    fn searching(&self, budget: Budget) -> Arc<Ledger> {
        let name = format!("{}search", self.name);
        self.ledger.below(budget, self.journal.history(&name, self.elapsed))
    }
}
