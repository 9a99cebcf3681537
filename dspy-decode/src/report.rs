//! What a successful decode hands back: the value and an account of every liberty taken with the text.

use std::fmt;
use std::ops::Range;

use super::path::{Path, ValuePath};
use dspy_base::fold::fold;

/// A value read from a reply, with the account of how it was read.
///
/// ```
/// let read = dspy_decode::decode::<Vec<u8>>("Sure: [1, 2,]")?;
/// assert_eq!(read.value, [1, 2]);
/// assert_eq!(read.report.repairs.len(), 2); // the prose, the trailing comma
/// # Ok::<(), dspy_decode::DecodeError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded<T> {
    /// The value; it satisfies the schema.
    pub value: T,
    /// Every repair that was needed; empty when the text was exactly right.
    pub report: ParseReport,
}

impl<T> Decoded<T> {
    pub(super) fn exact(value: T) -> Self {
        Self { value, report: ParseReport::default() }
    }
}

/// The repairs behind a value. Nothing is allocated for a text that needed none.
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
    /// Each repair in the order in which it was made.
    pub repairs: Vec<Repair>,
    /// How many other readings of the text were weighed and found worse (or equal to the one taken).
    pub alternatives: usize,
}

impl ParseReport {
    /// Whether the text was taken exactly as written.
    ///
    /// ```
    /// assert!(dspy_decode::decode::<u8>("7")?.report.is_clean());
    /// # Ok::<(), dspy_decode::DecodeError>(())
    /// ```
    pub fn is_clean(&self) -> bool {
        self.repairs.is_empty()
    }

    /// Takes in what was repaired in one part of a larger text: the member `name`, whose text starts at `offset`.
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

    /// Takes in what was repaired in the part of a larger text that starts at `offset`.
    #[doc(hidden)]
    pub fn shift(&mut self, part: ParseReport, offset: usize) {
        self.alternatives += part.alternatives;
        self.repairs.extend(part.repairs.into_iter().map(|mut repair| {
            repair.span = repair.span.start + offset..repair.span.end + offset;
            repair
        }));
    }

    /// Takes in how the reply spells the name of a part: the member `name`, which it calls `written`.
    #[doc(hidden)]
    pub fn called(&mut self, name: &str, written: &str, span: Range<usize>) {
        if written != name {
            let alike = fold(written) == fold(name);
            let kind = if alike { RepairKind::KeySpelling } else { RepairKind::KeyAlias };
            let path = Path::root().key(name).shared();
            self.repairs.push(Repair { kind, path, span, cost: kind.cost() });
        }
    }

    /// Tells that a text is in another format than the one that was asked for.
    #[doc(hidden)]
    pub fn foreign(&mut self, span: Range<usize>) {
        let kind = RepairKind::ForeignSyntax;
        self.repairs.insert(0, Repair { kind, path: Path::root().shared(), span, cost: kind.cost() });
    }

    /// The sum of the costs of all repairs: how far the text was from the value.
    ///
    /// ```
    /// assert_eq!(dspy_decode::decode::<u8>("7")?.report.cost(), 0);
    /// # Ok::<(), dspy_decode::DecodeError>(())
    /// ```
    pub fn cost(&self) -> u64 {
        self.repairs.iter().map(|r| u64::from(r.cost)).sum()
    }
}

/// One liberty taken with the text.
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
    /// What was done.
    pub kind: RepairKind,
    /// Where in the value, as a JSON path such as `$.items[2].price`.
    pub path: ValuePath,
    /// Which bytes of the text it concerns. Empty when the input was a JSON value and not a text.
    pub span: Range<usize>,
    /// How far it departs from the letter of the text; see [`RepairKind::cost`].
    pub cost: u32,
}

macro_rules! repair_kinds {
    ($($(#[doc = $doc:literal])+ $name:ident = $cost:literal),+ $(,)?) => {
        /// The kinds of repair. Kinds of cost 1 mend the notation and leave no doubt about the value; the dearer
        /// ones interpret words.
        ///
        /// ```
        /// use dspy_decode::RepairKind;
        /// assert!(RepairKind::TrailingComma.cost() < RepairKind::Mention.cost());
        /// ```
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum RepairKind { $($(#[doc = $doc])+ $name),+ }

        impl RepairKind {
            /// What one repair of this kind adds to the cost of a reading.
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
    /// Words around the value were left out.
    Prose = 1,
    /// A Markdown code fence was taken off.
    Fence = 1,
    /// A comma before a closing bracket, or one comma too many, was skipped.
    TrailingComma = 1,
    /// Two members had no comma between them.
    MissingComma = 1,
    /// A comment was skipped.
    Comment = 1,
    /// Quotes other than JSON's were read as quotes.
    QuoteStyle = 1,
    /// An object key had no quotes.
    UnquotedKey = 1,
    /// A string value had no quotes.
    UnquotedText = 1,
    /// A quotation mark inside a string was not escaped.
    InnerQuote = 1,
    /// A raw line break or another control character stood inside a string.
    RawControl = 1,
    /// A backslash escape that JSON does not know.
    BadEscape = 1,
    /// `True`, `False`, `None`, a tuple, `=` for `:`, a call of a variant, or the format of another adapter.
    ForeignSyntax = 1,
    /// A bracket was left open although nothing can be missing.
    MissingClose = 1,
    /// A bracket, comma, colon or quotation mark too many was left out.
    StrayMark = 1,
    /// A piece of the structure that stood there twice was left out once.
    Repetition = 1,
    /// A bracket, comma, colon or quotation mark was missing, misplaced or taken for another.
    WrongMark = 1,
    /// An object came without its braces.
    MissingBraces = 1,
    /// A key differed in case or separators.
    KeySpelling = 1,
    /// A key was matched by a declared alias.
    KeyAlias = 1,
    /// A choice differed in case, accents, punctuation or spacing.
    ChoiceSpelling = 1,
    /// A choice was matched by a declared alias.
    ChoiceAlias = 1,
    /// A choice was matched by its title or description.
    ChoiceDescription = 2,
    /// The only choice named in a sentence.
    Mention = 8,
    /// A date, a time or a duration was written in another way than its format.
    DateNotation = 1,
    /// Words around a string whose format singles out one token.
    Trimmed = 1,
    /// A number in a string.
    NumberFromText = 2,
    /// Digit grouping or a decimal comma.
    Grouping = 2,
    /// A currency sign was left out.
    Currency = 2,
    /// A percent sign was left out or applied.
    Percent = 3,
    /// A fraction was divided out, or its scale left out.
    Fraction = 4,
    /// A unit after a number was left out.
    Unit = 4,
    /// A number spelt in words or scaled by a word such as `million`.
    NumberWord = 4,
    /// The only number in a sentence.
    NumberInProse = 8,
    /// A whole number written with a decimal point.
    IntegerFromFloat = 1,
    /// A truth value from a word or from 0 or 1.
    BoolWord = 2,
    /// A truth value from a sentence.
    BoolInProse = 8,
    /// Nothing, from a word such as `N/A`.
    NullWord = 3,
    /// A null for a member that may be absent was dropped.
    NullDropped = 1,
    /// A number, truth value or structure was taken as its text.
    TextFromValue = 4,
    /// A lone value became a one-element list.
    LoneToList = 6,
    /// A one-element list became its element.
    ListToLone = 6,
    /// A list was read from bullets or lines.
    Bullets = 2,
    /// A list was read from a line with commas.
    CommaList = 4,
    /// Several objects one after another became a list.
    JoinedObjects = 3,
    /// A wrapper object with a single member was taken off.
    Unwrapped = 6,
    /// A lone value became the only member of an object.
    ImpliedKey = 10,
    /// JSON inside a string was read.
    EmbeddedJson = 3,
    /// A key that the schema does not know was dropped.
    ExtraKey = 3,
    /// A text that fits no other branch of a union was kept as text.
    TextBranch = 3,
}

impl RepairKind {
    /// Mending notation does not make one reading less likely than another.
    pub(super) const fn is_notation(self) -> bool {
        self.cost() <= 1
    }
}

impl fmt::Display for RepairKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
