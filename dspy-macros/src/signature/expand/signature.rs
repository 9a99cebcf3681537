//! Expansion of `impl Signature`.

use dspy_grammar::shape::{Shape, constrained, of_constructor, of_name};
use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;
use syn::{Expr, ExprLit, GenericArgument, Lit, PathArguments, Type, TypePath};

use super::super::check::Check;
use super::super::model::{Demo, Field, Model, Role};
use super::{checks, field_type, side, structs};
use crate::docs::Docs;
use crate::krate::Krate;

pub(super) fn implementation(model: &Model) -> TokenStream {
    let private = model.krate.private();
    let Model { ident, name, instruction, .. } = model;
    let mut spec = spec(&model.krate, name, instruction, &model.fields, &model.checks);
    let (input, output, partial) = (side(&model.input), side(&model.output), structs::partial_ident(model));
    let demos = (!model.demos.is_empty()).then(|| demos(model));
    let checks = checks::methods(model);
    if !checks.is_empty() {
        spec = quote!(#private::enforced(#spec, #private::enforce::<Self>));
    }
    spec = quote!(#private::declared_by(#spec, <Self as #private::Signature>::FIELDS));
    let shapes = shapes(model);
    let outputs: Vec<&Field> = model.fields_of(Role::Output).collect();
    let updates = outputs.iter().map(|Field { ident, ty, name, .. }| {
        let ty = field_type(&model.krate, ty);
        quote! {
            #name => #private::update_field(&mut partial.#ident, &change.update, #name, #ty::read, #ty::write),
        }
    });
    quote! {
        #[automatically_derived]
        impl #private::Signature for #ident {
            type Input = #input;
            type Output = #output;
            type Partial = #partial;

            const FIELDS: ::core::option::Option<&'static [#private::shape::FieldShape]> = #shapes;

            fn spec() -> &'static ::std::sync::Arc<#private::SignatureSpec> {
                static SPEC: ::std::sync::OnceLock<::std::sync::Arc<#private::SignatureSpec>> =
                    ::std::sync::OnceLock::new();
                #private::declared(&SPEC, || #spec)
            }

            #demos

            #checks

            #[allow(unused_variables, unreachable_patterns)]
            fn update(partial: &mut #partial, change: &#private::FieldChange) {
                match &*change.field {
                    #(#updates)*
                    _ => {}
                }
            }
        }
    }
}

/// Returns the fields as constants, for the comparison with saved programs at compile time.
fn shapes(model: &Model) -> TokenStream {
    let private = model.krate.private();
    let fields = model.fields.iter().map(|field| {
        let Field { name, ty, schema, .. } = field;
        let role = role(field, &private);
        let constraints = quote!(#(#schema),*).to_string();
        let shape = match constrained(of_type(ty), &constraints) {
            // Less work for the compiler than the same constant.
            Some(shape) => quote!(::core::option::Option::Some(#shape)),
            None => quote! {
                #private::shape::constrained(
                    #private::shape::Probe::<#ty, #private::shape::FullDepth>::SHAPE,
                    #constraints,
                )
            },
        };
        quote!(#private::shape::FieldShape { role: #role, name: #name, shape: #shape })
    });
    let fields: Vec<TokenStream> = fields.collect();
    quote!({
        #[allow(unused_imports)]
        use #private::shape::Unshaped as _;
        ::core::option::Option::Some(&[#(#fields),*])
    })
}

/// Returns the shape of a type that is made of standard types only.
fn of_type(ty: &Type) -> Shape {
    let Type::Path(TypePath { qself: None, path, .. }) = ty else { return None };
    let (segment, true) = (path.segments.first()?, path.segments.len() == 1 && path.leading_colon.is_none())
    else {
        return None;
    };
    let name = segment.ident.to_string();
    match &segment.arguments {
        PathArguments::None => of_name(&name),
        PathArguments::AngleBracketed(arguments) => {
            let parameter = |argument: &GenericArgument| match argument {
                GenericArgument::Type(ty) => of_type(ty).map(Some),
                _ => None,
            };
            let parameters: Option<Vec<Shape>> = arguments.args.iter().map(parameter).collect();
            of_constructor(&name, &parameters?)
        }
        PathArguments::Parenthesized(_) => None,
    }
}

/// Returns the role of a field as data.
fn role(field: &Field, private: &TokenStream) -> TokenStream {
    let role = match field.role {
        Role::Input => "Input",
        Role::Output => "Output",
        Role::Hint => "Hint",
    };
    let role = Ident::new(role, Span::call_site());
    quote!(#private::Role::#role)
}

/// Returns an expression that builds the signature as data.
pub(crate) fn spec(
    krate: &Krate,
    name: &str,
    instruction: &Docs,
    fields: &[Field],
    checks: &[Check],
) -> TokenStream {
    let private = krate.private();
    let fields = fields.iter().map(|field| data(krate, field));
    let checks = checks::texts(checks);
    quote!(#private::signature_spec(#name, #instruction, &[#(#fields),*], #checks))
}

/// Returns a field as data.
fn data(krate: &Krate, field: &Field) -> TokenStream {
    let private = krate.private();
    let Field { name, docs, default, aliases, .. } = field;
    let checks = checks::texts(&field.checks);
    let role = role(field, &private);
    let defaulted = default.is_some();
    let schema = schema(krate, field);
    quote! {
        #private::FieldData {
            role: #role,
            name: #name,
            description: #docs,
            schema: #schema,
            defaulted: #defaulted,
            aliases: &[#(#aliases),*],
            checks: #checks,
        }
    }
}

/// Returns the function that makes the schema. A field with schemars attributes is put into a struct of its
/// own, so that schemars itself interprets them.
fn schema(krate: &Krate, Field { ty, schema, .. }: &Field) -> TokenStream {
    let field_type = field_type(krate, ty);
    if schema.is_empty() {
        return quote!(#field_type::schema);
    }
    let private = krate.private();
    let schemars = krate.private_str("schemars");
    // For these, schemars must see the type. Otherwise it gets the schema from `FieldType`, so that a type
    // without a schema is reported once, with our message.
    let typed = ["with", "schema_with", "required", "default"];
    let (ty, with) = if schema.iter().any(|option| typed.iter().any(|name| option.path().is_ident(name))) {
        (quote!(#ty), None)
    } else {
        (quote!(()), Some(quote!(schema_with = "field",)))
    };
    let field = with.is_some().then(|| {
        quote! {
            fn field(_: &mut #private::schemars::SchemaGenerator) -> #private::schemars::Schema {
                #private::schema_from(#field_type::schema())
            }
        }
    });
    quote!({
        #field
        #[derive(#private::schemars::JsonSchema)]
        #[schemars(crate = #schemars)]
        #[allow(dead_code)]
        struct Constrained {
            #[schemars(#with #(#schema),*)]
            value: #ty,
        }
        #private::property_schema::<Constrained>
    })
}

fn demos(model: &Model) -> TokenStream {
    let private = model.krate.private();
    let demos = model.demos.iter().map(|demo| self::demo(model, demo));
    quote! {
        fn demos() -> ::core::result::Result<::std::vec::Vec<#private::Demo>, #private::FieldError> {
            ::core::result::Result::Ok(::std::vec![#(#demos),*])
        }
    }
}

fn demo(model: &Model, demo: &Demo) -> TokenStream {
    let private = model.krate.private();
    let text: Type = syn::parse_quote!(::std::string::String);
    let fields = demo.values.iter().filter_map(|(at, value)| Some((model.fields.get(*at)?, value)));
    let fields = fields.map(|(field, value)| (&field.ty, field.name.value(), value));
    let reasoning = demo.reasoning.iter().map(|value| (&text, "reasoning".to_owned(), value));
    let writes = fields.chain(reasoning).map(|(ty, name, value)| {
        let field_type = field_type(&model.krate, ty);
        let value = typed(ty, value);
        quote!({
            let __value: #ty = #value;
            __demo.put(#name, #field_type::erased(&__value))?;
        })
    });
    quote!({
        let mut __demo = #private::DemoWriter::default();
        #(#writes)*
        __demo.finish()
    })
}

/// Returns the value of a demonstration. A string is converted to the field's type, unless the field is a
/// number or a boolean: there rustc's "mismatched types" is clearer than a missing `From<&str>`.
fn typed(ty: &Type, value: &Expr) -> TokenStream {
    let primitive = matches!(ty, Type::Path(path) if path.path.get_ident().is_some_and(|name| {
        ["bool", "char", "f32", "f64", "i8", "i16", "i32", "i64", "i128", "isize", "u8", "u16", "u32", "u64", "u128", "usize"]
            .iter()
            .any(|primitive| name == primitive)
    }));
    match value {
        Expr::Lit(ExprLit { lit: Lit::Str(_), .. }) if !primitive => {
            quote!(::core::convert::Into::into(#value))
        }
        _ => quote!(#value),
    }
}
