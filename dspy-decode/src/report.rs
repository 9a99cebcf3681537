//! The result of decoding: the value and a record of every repair.

use std::fmt;
use std::ops::Range;

use super::path::{Path, ValuePath};
use dspy_base::fold::fold;

/// A decoded value with a report of the repairs.
///
/// ```
/// let read = dspy_decode::decode::<Vec<u8>>("Sure: [1, 2,]")?;
/// assert_eq!(read.value, [1, 2]);
/// assert_eq!(read.report.repairs.len(), 2); // the prose, the trailing comma
/// # Ok::<(), dspy_decode::DecodeError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded<T> {
    /// The value, which satisfies the schema.
    pub value: T,
    /// The repairs that were made; empty if the text needed none.
    pub report: ParseReport,
}

impl<T> Decoded<T> {
    pub(super) fn exact(value: T) -> Self {
        Self { value, report: ParseReport::default() }
    }
}

/// The repairs that were needed to decode a value. A reply that needed none allocates nothing.
///
/// ```
/// let read = dspy_decode::decode::<bool>("Yes, it is.")?;
/// assert!(read.value);
/// assert!(read.report.cost() > 0);
/// assert!(!read.report.is_clean());
/// # Ok::<(), dspy_decode::DecodeError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ParseReport {
    /// The repairs, in the order in which they were made.
    pub repairs: Vec<Repair>,
    /// Number of other readings of the text that were rejected because they were worse than or equal to the
    /// one taken.
    pub alternatives: usize,
}

impl ParseReport {
    /// Returns whether the text needed no repair.
    ///
    /// ```
    /// assert!(dspy_decode::decode::<u8>("7")?.report.is_clean());
    /// # Ok::<(), dspy_decode::DecodeError>(())
    /// ```
    pub fn is_clean(&self) -> bool {
        self.repairs.is_empty()
    }

    /// Adds the repairs of one part of a larger text: the member `name`, whose text starts at `offset`.
    #[doc(hidden)]
    pub fn absorb(&mut self, part: ParseReport, name: &str, offset: usize) {
        self.alternatives += part.alternatives;
        let mut shared = None;
        self.repairs.extend(part.repairs.into_iter().map(|mut repair| {
            repair.path = repair.path.below(name, &mut shared);
            repair.span = repair.span.start + offset..repair.span.end + offset;
            repair
        }));
    }

    /// Adds the repairs of the part of a larger text that starts at `offset`.
    #[doc(hidden)]
    pub fn shift(&mut self, part: ParseReport, offset: usize) {
        self.alternatives += part.alternatives;
        self.repairs.extend(part.repairs.into_iter().map(|mut repair| {
            repair.span = repair.span.start + offset..repair.span.end + offset;
            repair
        }));
    }

    /// Adds the spelling of the member `name`, which the reply writes as `written`.
    #[doc(hidden)]
    pub fn called(&mut self, name: &str, written: &str, span: Range<usize>) {
        if written != name {
            let alike = fold(written) == fold(name);
            let kind = if alike { RepairKind::KeySpelling } else { RepairKind::KeyAlias };
            let path = Path::root().key(name).shared();
            self.repairs.push(Repair { kind, path, span, cost: kind.cost() });
        }
    }

    /// Records that the reply is in another format than the requested one.
    #[doc(hidden)]
    pub fn foreign(&mut self, span: Range<usize>) {
        let kind = RepairKind::ForeignSyntax;
        self.repairs.insert(0, Repair { kind, path: Path::root().shared(), span, cost: kind.cost() });
    }

    /// Returns the sum of the costs of all repairs: the distance between the text and the value.
    ///
    /// ```
    /// assert_eq!(dspy_decode::decode::<u8>("7")?.report.cost(), 0);
    /// # Ok::<(), dspy_decode::DecodeError>(())
    /// ```
    pub fn cost(&self) -> u64 {
        self.repairs.iter().map(|r| u64::from(r.cost)).sum()
    }
}

/// One repair of the text.
///
/// ```
/// use dspy_decode::{decode, RepairKind};
/// let read = decode::<u32>("1,250 km")?;
/// let repair = &read.report.repairs[0];
/// assert_eq!((read.value, repair.kind), (1250, RepairKind::Grouping));
/// assert_eq!(repair.path, "$");
/// # Ok::<(), dspy_decode::DecodeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repair {
    /// Kind of the repair.
    pub kind: RepairKind,
    /// Path in the value, as a JSON path such as `$.items[2].price`.
    pub path: ValuePath,
    /// Byte range of the text that was repaired. Empty if the input was a JSON value.
    pub span: Range<usize>,
    /// Distance from the text as written; see [`RepairKind::cost`].
    pub cost: u32,
}

macro_rules! repair_kinds {
    ($($(#[doc = $doc:literal])+ $name:ident = $cost:literal),+ $(,)?) => {
        /// The kinds of repair. Kinds of cost 1 repair the notation and leave no doubt about the value; kinds
        /// of a higher cost interpret words.
        ///
        /// ```
        /// use dspy_decode::RepairKind;
        /// assert!(RepairKind::TrailingComma.cost() < RepairKind::Mention.cost());
        /// ```
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum RepairKind { $($(#[doc = $doc])+ $name),+ }

        impl RepairKind {
            /// Returns the amount that one repair of this kind adds to the cost of a reading.
            ///
            /// ```
            /// assert_eq!(dspy_decode::RepairKind::Fence.cost(), 1);
            /// ```
            pub const fn cost(self) -> u32 {
                match self { $(Self::$name => $cost),+ }
            }
        }
    };
}

repair_kinds! {
    /// Words around the value that were ignored.
    Prose = 1,
    /// A Markdown code fence that was removed.
    Fence = 1,
    /// A comma before a closing bracket, or a surplus comma.
    TrailingComma = 1,
    /// A missing comma between two members.
    MissingComma = 1,
    /// A comment.
    Comment = 1,
    /// Quotation marks other than JSON's.
    QuoteStyle = 1,
    /// An object key without quotes.
    UnquotedKey = 1,
    /// A string value without quotes.
    UnquotedText = 1,
    /// An unescaped quotation mark inside a string.
    InnerQuote = 1,
    /// A raw line break or another control character inside a string.
    RawControl = 1,
    /// A backslash escape that JSON does not define.
    BadEscape = 1,
    /// `True`, `False`, `None`, a tuple, `=` for `:`, a variant written as a call, or the format of another
    /// adapter.
    ForeignSyntax = 1,
    /// An unclosed bracket where no content can be missing.
    MissingClose = 1,
    /// A surplus bracket, comma, colon or quotation mark.
    StrayMark = 1,
    /// A duplicate piece of the structure, of which one copy was ignored.
    Repetition = 1,
    /// A bracket, comma, colon or quotation mark that was missing, misplaced or replaced by another.
    WrongMark = 1,
    /// An object without braces.
    MissingBraces = 1,
    /// A key that differs in case or separators.
    KeySpelling = 1,
    /// A key that matches a declared alias.
    KeyAlias = 1,
    /// A choice that differs in case, accents, punctuation or spacing.
    ChoiceSpelling = 1,
    /// A choice that matches a declared alias.
    ChoiceAlias = 1,
    /// A choice that matches its title or description.
    ChoiceDescription = 2,
    /// The only choice named in a sentence.
    Mention = 8,
    /// A date, a time or a duration in another notation than its format.
    DateNotation = 1,
    /// Words around a string whose format identifies one token.
    Trimmed = 1,
    /// A number inside a string.
    NumberFromText = 2,
    /// Digit grouping or a decimal comma.
    Grouping = 2,
    /// A currency sign that was ignored.
    Currency = 2,
    /// A percent sign that was ignored or applied.
    Percent = 3,
    /// A fraction that was divided, or whose scale was ignored.
    Fraction = 4,
    /// A unit after a number that was ignored.
    Unit = 4,
    /// A number spelled in words or scaled by a word such as `million`.
    NumberWord = 4,
    /// The only number in a sentence.
    NumberInProse = 8,
    /// An integer with a decimal point.
    IntegerFromFloat = 1,
    /// A boolean from a word or from 0 or 1.
    BoolWord = 2,
    /// A boolean from a sentence.
    BoolInProse = 8,
    /// A null from a word such as `N/A`.
    NullWord = 3,
    /// A null for an optional member, which was dropped.
    NullDropped = 1,
    /// A number, boolean or structure that was taken as its text.
    TextFromValue = 4,
    /// A single value that became a one-element list.
    LoneToList = 6,
    /// A one-element list that became its element.
    ListToLone = 6,
    /// A list that was read from bullets or lines.
    Bullets = 2,
    /// A list that was read from a line with commas.
    CommaList = 4,
    /// Several consecutive objects that became a list.
    JoinedObjects = 3,
    /// A wrapper object with a single member that was removed.
    Unwrapped = 6,
    /// A single value that became the only member of an object.
    ImpliedKey = 10,
    /// JSON inside a string that was parsed.
    EmbeddedJson = 3,
    /// A key that the schema does not declare, which was dropped.
    ExtraKey = 3,
    /// Text that fits no other branch of a union and was kept as a string.
    TextBranch = 3,
}

impl RepairKind {
    /// Returns whether the repair concerns only the notation, so that it does not make a reading less likely.
    pub(super) const fn is_notation(self) -> bool {
        self.cost() <= 1
    }
}

impl fmt::Display for RepairKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
