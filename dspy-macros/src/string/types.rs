//! Types in a signature string: Rust's, resolved where the macro is called, and the spellings of Python.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote, quote_spanned};

use super::literal::LiteralEnum;
use super::scan::Scanner;
use super::source::{Problem, Source};
use crate::krate::Krate;
use crate::suggest::remedy;

/// Deeper types than this are a mistake, or an attack on the stack.
const DEEPEST: usize = 32;

/// Spellings that are ours in lower case; other lower-case words are no types.
const LOWER: [&str; 21] = [
    "str", "int", "float", "bool", "list", "dict", "set", "tuple", "i8", "i16", "i32", "i64", "i128", "u8",
    "u16", "u32", "u64", "u128", "usize", "f32", "f64",
];

/// Reads types and collects the enums that stand for `Literal[…]`.
#[derive(Debug)]
pub(crate) struct Types<'a> {
    pub(crate) source: &'a Source,
    pub(crate) krate: &'a Krate,
    /// What the names of the enums begin with.
    pub(crate) prefix: String,
    pub(crate) enums: Vec<LiteralEnum>,
}

/// A type; `None` of Python is the absence of one.
type Found = Option<TokenStream>;

impl Types<'_> {
    /// `T | U | None`.
    pub(crate) fn union(&mut self, scan: &mut Scanner<'_>, depth: usize) -> Result<TokenStream, Problem> {
        scan.skip_space();
        let at = scan.at();
        if depth > DEEPEST {
            return Err(Problem::new(at, "types nest too deeply"));
        }
        let mut choices = vec![self.single(scan, depth)?];
        while scan.eat("|") {
            choices.push(self.single(scan, depth)?);
        }
        one_of(choices, at)
    }

    fn single(&mut self, scan: &mut Scanner<'_>, depth: usize) -> Result<Found, Problem> {
        let start = {
            scan.skip_space();
            scan.at()
        };
        let Some((word, at)) = scan.word() else { return self.unnamed(scan, depth).map(Some) };
        if scan.peek("::") {
            let first = segment(word, self.source, at)?;
            return self.path(quote!(#first), scan, depth).map(Some);
        }
        match word {
            "Literal" => {
                let span = self.source.span(at..at + word.len());
                let name = format_ident!("{}{}", self.prefix, self.suffix(), span = span);
                let literal = LiteralEnum::parse(name.clone(), scan)?;
                self.enums.push(literal);
                return Ok(Some(quote!(#name)));
            }
            "None" => return Ok(None),
            "Union" => {
                let mut inner = scan.clone();
                if inner.eat("[") {
                    return self.python_union(scan, at, depth);
                }
            }
            _ => {}
        }
        let arguments = self.arguments(scan, depth)?;
        self.named(word, start, &arguments).map(Some)
    }

    /// `Union[A, B]`, whose arguments may be `None`.
    fn python_union(&mut self, scan: &mut Scanner<'_>, at: usize, depth: usize) -> Result<Found, Problem> {
        scan.expect("[")?;
        let mut choices = vec![self.single(scan, depth + 1)?];
        while scan.eat(",") {
            choices.push(self.single(scan, depth + 1)?);
        }
        scan.expect("]")?;
        if choices.len() < 2 {
            return Err(Problem::new(at, "`Union` takes 2 to 16 type arguments, found 1"));
        }
        one_of(choices, at).map(Some)
    }

    fn suffix(&self) -> String {
        if self.enums.iter().any(|known| known.name == self.prefix) {
            (self.enums.len() + 1).to_string()
        } else {
            String::new()
        }
    }

    fn arguments(&mut self, scan: &mut Scanner<'_>, depth: usize) -> Result<Vec<TokenStream>, Problem> {
        let close = if scan.eat("[") {
            "]"
        } else if scan.eat("<") {
            ">"
        } else {
            return Ok(Vec::new());
        };
        self.list(close, scan, depth)
    }

    fn list(
        &mut self,
        close: &str,
        scan: &mut Scanner<'_>,
        depth: usize,
    ) -> Result<Vec<TokenStream>, Problem> {
        let mut list = vec![self.union(scan, depth + 1)?];
        while scan.eat(",") && !scan.peek(close) {
            list.push(self.union(scan, depth + 1)?);
        }
        scan.expect(close)?;
        Ok(list)
    }

    /// `(A, B)`, `[T; 3]` and paths that begin with `::`.
    fn unnamed(&mut self, scan: &mut Scanner<'_>, depth: usize) -> Result<TokenStream, Problem> {
        if scan.peek("::") {
            return self.path(TokenStream::new(), scan, depth);
        }
        if scan.eat("(") {
            if scan.eat(")") {
                return Ok(quote!(()));
            }
            let parts = self.list(")", scan, depth)?;
            return Ok(quote!((#(#parts,)*)));
        }
        if scan.eat("[") {
            let item = self.union(scan, depth + 1)?;
            scan.expect(";")?;
            scan.skip_space();
            let end = scan.rest().find(']').unwrap_or(scan.rest().len());
            let length: Result<TokenStream, _> = scan.rest()[..end].parse();
            let length = length.map_err(|_| Problem::new(scan.at(), "expected the length of the array"))?;
            scan.advance(end);
            scan.expect("]")?;
            return Ok(quote!([#item; #length]));
        }
        Err(Problem::new(scan.at(), "expected a type such as `str`, `int`, `float`, `bool`, `list[str]`"))
    }

    /// The rest of `first::second<T>`.
    fn path(
        &mut self,
        mut path: TokenStream,
        scan: &mut Scanner<'_>,
        depth: usize,
    ) -> Result<TokenStream, Problem> {
        while scan.eat("::") {
            let Some((word, at)) = scan.word() else {
                return Err(Problem::new(scan.at(), "expected a name after `::`"));
            };
            let name = segment(word, self.source, at)?;
            path.extend(quote!(::#name));
        }
        let arguments = self.arguments(scan, depth)?;
        Ok(if arguments.is_empty() { path } else { quote!(#path<#(#arguments),*>) })
    }

    /// A type that is a single name with arguments.
    fn named(&self, word: &str, at: usize, arguments: &[TokenStream]) -> Result<TokenStream, Problem> {
        let span = self.source.span(at..at + word.len());
        let private = self.krate.private();
        let any = quote_spanned!(span=> #private::serde_json::Value);
        let [first, second] = [0, 1].map(|at| arguments.get(at).cloned().unwrap_or_else(|| any.clone()));
        let (tokens, allowed) = match word {
            "str" | "String" => (quote_spanned!(span=> ::std::string::String), 0..=0),
            "int" => (quote_spanned!(span=> i64), 0..=0),
            "float" => (quote_spanned!(span=> f64), 0..=0),
            "Any" => (any, 0..=0),
            "list" | "List" | "Vec" => (quote_spanned!(span=> ::std::vec::Vec<#first>), 0..=1),
            // Sorted, so that the same value always makes the same prompt.
            "set" | "Set" if !arguments.is_empty() => {
                (quote_spanned!(span=> ::std::collections::BTreeSet<#first>), 0..=1)
            }
            "set" | "Set" => (quote_spanned!(span=> ::std::vec::Vec<#any>), 0..=0),
            "dict" | "Dict" if arguments.is_empty() => {
                (quote_spanned!(span=> ::std::collections::BTreeMap<::std::string::String, #any>), 0..=0)
            }
            "dict" | "Dict" | "BTreeMap" => {
                (quote_spanned!(span=> ::std::collections::BTreeMap<#first, #second>), 0..=2)
            }
            "HashMap" => (quote_spanned!(span=> ::std::collections::HashMap<#first, #second>), 2..=2),
            "tuple" | "Tuple" => (quote_spanned!(span=> (#(#arguments,)*)), 1..=16),
            "Optional" | "Option" => (quote_spanned!(span=> ::core::option::Option<#first>), 1..=1),
            "bool" => (quote_spanned!(span=> bool), 0..=0),
            _ => return self.rust(word, at, arguments),
        };
        if allowed.contains(&arguments.len()) {
            return Ok(tokens);
        }
        let (low, high) = (allowed.start(), allowed.end());
        let wanted = if low == high { low.to_string() } else { format!("{low} to {high}") };
        Err(Problem::new(at, format!("`{word}` takes {wanted} type arguments, found {}", arguments.len())))
    }

    /// A type of the caller's. Types have capitals, so a word without is a misspelt type of ours.
    fn rust(&self, word: &str, at: usize, arguments: &[TokenStream]) -> Result<TokenStream, Problem> {
        let lower = word.starts_with(|c: char| c.is_lowercase());
        if lower && !LOWER.contains(&word) && !matches!(word, "isize" | "char") {
            let all = "known are str, int, float, bool, list[…], dict[str, …], tuple[…], Optional[…], Literal[…], Any \
                       and the types of Rust";
            let remedy = remedy(word, LOWER, || all.into());
            return Err(Problem::new(at, format!("unknown type `{word}`; {remedy}")));
        }
        let name = ident(word, self.source, at)?;
        Ok(if arguments.is_empty() { quote!(#name) } else { quote!(#name<#(#arguments),*>) })
    }
}

/// The one type of a union, optional if `None` is another choice.
fn one_of(choices: Vec<Found>, at: usize) -> Result<TokenStream, Problem> {
    let all = choices.len();
    let mut types = choices.into_iter().flatten();
    match (types.next(), types.next()) {
        (None, _) => Ok(quote!(())),
        (Some(only), None) if all == 1 => Ok(only),
        (Some(only), None) => Ok(quote!(::core::option::Option<#only>)),
        _ => Err(Problem::new(
            at,
            "a union of several types; declare an enum with `#[dspy::field_type]` and `#[serde(untagged)]`, and name it \
             here",
        )),
    }
}

/// `word` as a part of a path, which may be `self` and its like.
fn segment(word: &str, source: &Source, at: usize) -> Result<Ident, Problem> {
    match word {
        "self" | "super" | "crate" => Ok(Ident::new(word, source.span(at..at + word.len()))),
        _ => ident(word, source, at),
    }
}

/// `word` as an identifier.
pub(crate) fn ident(word: &str, source: &Source, at: usize) -> Result<Ident, Problem> {
    let span = source.span(at..at + word.len());
    let parsed = syn::parse_str::<Ident>(word).or_else(|_| match word {
        // Keywords with a meaning in paths have no raw form.
        "self" | "Self" | "super" | "crate" | "_" => Err(()),
        _ => syn::parse_str::<Ident>(&format!("r#{word}")).map_err(|_| ()),
    });
    let mut ident =
        parsed.map_err(|()| Problem::new(at, format!("`{word}` is not a name in Rust; choose another")))?;
    ident.set_span(span);
    Ok(ident)
}
