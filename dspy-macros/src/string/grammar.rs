//! `inputs -> outputs`.

use proc_macro2::Ident;
use quote::quote;
use syn::{LitStr, Token, Type, Visibility, parse_quote};

use super::literal::{LiteralEnum, prefix};
use super::scan::Scanner;
use super::source::{Problem, Source};
use super::types::{Types, ident};
use crate::docs::Docs;
use crate::errors::Errors;
use crate::krate::Krate;
use crate::signature::{Field, Role};

/// What a signature string says.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) fields: Vec<Field>,
    pub(crate) enums: Vec<LiteralEnum>,
}

const NEXT_INPUT: &str = "expected `,` or `->`; a signature reads `inputs -> outputs`";
const NEXT_OUTPUT: &str = "expected `,` or the end of the signature";

/// Reads the string; `signature` is the name of the struct. A field with an error is left out, unless only its type
/// is wrong: then it is a text.
pub(crate) fn parse(source: &Source, signature: &Ident, krate: &Krate, errors: &mut Errors) -> Parsed {
    let text = source.text();
    let types = Types { source, krate, prefix: String::new(), enums: Vec::new() };
    let mut parser = Parser { source, signature, types, fields: Vec::new(), problems: Vec::new() };
    let arrow = Scanner::new(text, 0, text.len()).split("->").first().copied();
    let inputs = Scanner::new(text, 0, arrow.unwrap_or(text.len()));
    parser.side(&inputs, Role::Input);
    if let Some(arrow) = arrow {
        let outputs = Scanner::new(text, arrow + "->".len(), text.len());
        parser.side(&outputs, Role::Output);
        if parser.problems.is_empty() && parser.fields.iter().all(|field| field.role != Role::Output) {
            parser
                .problems
                .push(Problem::new(outputs.at(), "no output fields; name at least one after `->`"));
        }
    } else if parser.problems.is_empty() {
        parser.problems.push(Problem::new(text.trim_end().len(), NEXT_INPUT));
    }
    for problem in &parser.problems {
        source.report(problem, errors);
    }
    Parsed { fields: parser.fields, enums: parser.types.enums }
}

struct Parser<'a> {
    source: &'a Source,
    signature: &'a Ident,
    types: Types<'a>,
    fields: Vec<Field>,
    problems: Vec<Problem>,
}

impl Parser<'_> {
    /// The fields of one side. They are split first, so that an error in one does not hide those in others.
    fn side(&mut self, side: &Scanner<'_>, role: Role) {
        let text = self.source.text();
        let end = side.at() + side.rest().len();
        let mut start = side.at();
        for comma in side.split(",").into_iter().chain([end]) {
            let mut part = Scanner::new(text, start, comma);
            // A comma may stand after the last field.
            if !(part.done() && comma == end)
                && let Err(problem) = self.field(&mut part, role)
            {
                self.problems.push(problem);
            }
            start = comma + 1;
        }
    }

    fn field(&mut self, scan: &mut Scanner<'_>, role: Role) -> Result<(), Problem> {
        let Some((name, at)) = scan.word() else {
            return Err(Problem::new(scan.at(), "expected the name of a field"));
        };
        if let Some(purpose) = crate::signature::reserved(name) {
            return Err(Problem::new(at, format!("`{name}` is reserved for {purpose}; choose another name")));
        }
        let known = self.fields.iter().find(|field| field.name.value() == name).map(|field| field.role);
        match known {
            Some(known) if known == role => {
                return Err(Problem::new(at, format!("the field `{name}` stands here twice")));
            }
            Some(_) => return Err(Problem::new(at, format!("`{name}` is both an input and an output"))),
            None => {}
        }
        let ident = ident(name, self.source, at)?;
        let ty = self.type_of(name, scan, role);
        let text: Type = parse_quote!(::std::string::String);
        let (ty, problem) = match ty {
            Ok(ty) => (ty, None),
            Err(problem) => (text, Some(problem)),
        };
        self.fields.push(Field {
            role,
            vis: Visibility::Public(<Token![pub]>::default()),
            name: LitStr::new(name, ident.span()),
            ident,
            ty,
            docs: Docs::default(),
            aliases: Vec::new(),
            default: None,
            schema: Vec::new(),
            checks: Vec::new(),
            lints: Vec::new(),
        });
        problem.map_or(Ok(()), Err)
    }

    /// The type after the name: text if there is none.
    fn type_of(&mut self, name: &str, scan: &mut Scanner<'_>, role: Role) -> Result<Type, Problem> {
        self.types.prefix = prefix(self.signature, name);
        let tokens = if scan.eat(":") { self.types.union(scan, 0)? } else { quote!(::std::string::String) };
        if !scan.done() {
            let expected = if role == Role::Input { NEXT_INPUT } else { NEXT_OUTPUT };
            return Err(Problem::new(scan.at(), expected));
        }
        syn::parse2(tokens).map_err(|error| Problem::new(scan.at(), error.to_string()))
    }
}
