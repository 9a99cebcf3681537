//! Expansion of `#[tool]`: a description as data, and a closure that calls the function.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::spanned::Spanned;
use syn::{Expr, ExprLit, Ident, ItemFn, ItemImpl, Lit, Visibility};

use super::model::{Approval, Argument, ArgumentDefault, Function, Input};
use crate::krate::Krate;

/// Expands a function to a type of its name with the constructor `tool`.
pub(crate) fn function(krate: &Krate, item: &ItemFn, function: &Function) -> TokenStream {
    let ident = &function.ident;
    let tool = tool(krate, function, &quote!(), &quote!(#ident));
    holder(krate, item, &tool)
}

/// Returns the constructor after an error, so that code that uses it is not reported, too.
pub(crate) fn function_stub(krate: &Krate, item: &ItemFn) -> TokenStream {
    holder(krate, item, &quote!(::core::unreachable!()))
}

fn holder(krate: &Krate, ItemFn { vis, sig, attrs, .. }: &ItemFn, body: &TokenStream) -> TokenStream {
    let ident = &sig.ident;
    let cfgs: Vec<_> = attrs.iter().filter(|attr| attr.path().is_ident("cfg")).collect();
    let about = format!("The function `{0}` as a tool for models: `{0}::tool()`.", ident.unraw());
    quote! {
        #(#cfgs)*
        #[doc = #about]
        #[allow(non_camel_case_types)]
        #[derive(::core::fmt::Debug)]
        #vis enum #ident {}

        #(#cfgs)*
        impl #ident {
            /// Creates the tool.
            #[must_use]
            #vis fn tool() -> #krate::tools::Tool {
                #body
            }
        }
    }
}

/// Expands methods to a constructor for each tool, and `tools` for all.
pub(crate) fn methods(krate: &Krate, item: &ItemImpl, methods: &[(Visibility, Function)]) -> TokenStream {
    let constructors = methods.iter().map(|(vis, function)| {
        let (ident, method) = (constructor(function), &function.ident);
        let about = format!("Creates the tool that calls `{}` on this value.", method.unraw());
        let share = quote!(let __this = ::std::sync::Arc::clone(self););
        let body = tool(krate, function, &share, &quote!(__this.#method));
        let cfgs = &function.cfgs;
        quote! {
            #(#cfgs)*
            #[doc = #about]
            #[must_use]
            #[allow(dead_code)]
            #vis fn #ident(self: &::std::sync::Arc<Self>) -> #krate::tools::Tool {
                #body
            }
        }
    });
    let pushes = methods.iter().map(|(_, function)| {
        let (ident, cfgs) = (constructor(function), &function.cfgs);
        quote!(#(#cfgs)* __tools.push(self.#ident());)
    });
    let all = quote! {
        #[allow(unused_mut)]
        let mut __tools = ::std::vec::Vec::new();
        #(#pushes)*
        __tools
    };
    inherent(krate, item, &quote!(#(#constructors)*), &all)
}

/// Returns the constructors after an error, so that code that uses them is not reported, too.
pub(crate) fn methods_stub(
    krate: &Krate,
    item: &ItemImpl,
    methods: &[(Visibility, Function)],
) -> TokenStream {
    let constructors = methods.iter().map(|(vis, function)| {
        let (ident, cfgs) = (constructor(function), &function.cfgs);
        quote! {
            #(#cfgs)*
            #[allow(dead_code)]
            #vis fn #ident(self: &::std::sync::Arc<Self>) -> #krate::tools::Tool {
                ::core::unreachable!()
            }
        }
    });
    inherent(krate, item, &quote!(#(#constructors)*), &quote!(::core::unreachable!()))
}

fn inherent(krate: &Krate, item: &ItemImpl, constructors: &TokenStream, all: &TokenStream) -> TokenStream {
    let ItemImpl { attrs, self_ty, .. } = item;
    let cfgs = attrs.iter().filter(|attr| attr.path().is_ident("cfg"));
    quote! {
        #(#cfgs)*
        #[allow(unreachable_pub)]
        impl #self_ty {
            #constructors

            /// Creates the tools that call the methods of this value, which they share.
            #[must_use]
            #[allow(dead_code, clippy::vec_init_then_push)]
            pub fn tools(self: &::std::sync::Arc<Self>) -> ::std::vec::Vec<#krate::tools::Tool> {
                #all
            }
        }
    }
}

fn constructor(function: &Function) -> Ident {
    format_ident!("{}_tool", function.ident.unraw(), span = function.ident.span())
}

/// Returns the expression that creates a tool. `share` and `callee` are how the closure reaches the function.
fn tool(krate: &Krate, function: &Function, share: &TokenStream, callee: &TokenStream) -> TokenStream {
    let private = krate.private();
    let Function { name, docs, is_async, approval, .. } = function;
    let needs_defaults = matches!(approval, Some(Approval::If(_)));
    let arguments = function.arguments().map(|argument| data(krate, argument, needs_defaults));
    let takes = function.arguments().enumerate().map(|(index, argument)| {
        let (Argument { name, ty, .. }, local) = (argument, local(index));
        let default = default(argument);
        quote! {
            let #local = __arguments.take::<#ty>(#name, #default)?;
        }
    });
    let mut index = 0;
    let inputs = function.inputs.iter().map(|input| match input {
        Input::Context { by_reference: true } => quote!(&__context),
        Input::Context { by_reference: false } => quote!(__context),
        Input::Argument(_) => {
            index += 1;
            let local = local(index - 1);
            quote!(#local)
        }
    });
    let called = quote!(#callee(#(#inputs),*));
    // A future that is not `Send` is reported at the name of the function.
    let sendable = quote_spanned!(function.ident.span()=> #private::function::sendable);
    let result = if *is_async { quote!(#sendable(#called).await) } else { called };
    // In the closure the value is shared once more, because it is called many times.
    let again = (!share.is_empty()).then(|| quote!(let __this = ::std::sync::Arc::clone(&__this);));
    let approval = approval.as_ref().map(|approval| match approval {
        Approval::Always => quote!(.with_approval()),
        Approval::If(condition) => quote!(.with_approval_if(#condition)),
    });
    let converted = converted(krate, function);
    quote! {
        #share
        #private::function::tool(
            #name,
            #docs,
            &[#(#arguments),*],
            #[allow(unused_mut, unused_variables, clippy::let_unit_value)]
            move |mut __arguments, __context| {
                #again
                async move {
                    #(#takes)*
                    let __result = #result;
                    #converted
                }
            },
        )#approval
    }
}

/// Returns the conversion of the result, in a form in which rustc underlines the type of the result if there is none.
fn converted(krate: &Krate, function: &Function) -> TokenStream {
    let private = krate.private();
    let span = function.output.as_ref().map_or_else(|| function.ident.span(), Spanned::span);
    let kinds = quote! {
        #[allow(unused_imports)]
        use #private::function::{JsonKind as _, NoKind as _, OutputKind as _, ResultKind as _};
        let __kind = (&&&&#private::function::Returned::of(&__result)).kind();
    };
    let convert = quote_spanned!(span=> __kind.convert(__result));
    quote!(#kinds #convert)
}

fn local(index: usize) -> Ident {
    format_ident!("__argument_{index}")
}

/// Returns an argument as data.
fn data(krate: &Krate, argument: &Argument, needs_defaults: bool) -> TokenStream {
    let private = krate.private();
    let Argument { name, ty, docs, aliases, default, optional, .. } = argument;
    let schema = schema(krate, argument);
    let required = !optional && default.is_none();
    let shown = match (default, needs_defaults) {
        (None, _) => quote!(::core::option::Option::None),
        // The condition for approval sees every default.
        (Some(default), true) => {
            let default = default_function(argument, default);
            let shown = quote_spanned!(ty.span()=> #private::function::shown_default::<#ty>);
            quote!(#shown(#default))
        }
        (Some(default), false) => {
            let default = default_function(argument, default);
            quote!({
                #[allow(unused_imports)]
                use #private::function::{HiddenDefault as _, ShownDefault as _};
                (&&#private::function::DefaultOf::<#ty>::new(#default)).shown()
            })
        }
    };
    quote! {
        #private::function::ArgumentData {
            name: #name,
            description: #docs,
            schema: #schema,
            required: #required,
            aliases: &[#(#aliases),*],
            default: #shown,
        }
    }
}

/// Returns the function that makes the schema. An argument with schemars attributes is put into a struct of its own, so
/// that schemars itself interprets them.
fn schema(krate: &Krate, Argument { ty, schema, .. }: &Argument) -> TokenStream {
    let private = krate.private();
    let of_type = quote!(<#ty as #private::function::ToolArgument>::schema);
    if schema.is_empty() {
        return of_type;
    }
    let schemars = krate.private_str("schemars");
    let replaced =
        schema.iter().any(|option| ["with", "schema_with"].iter().any(|name| option.path().is_ident(name)));
    let with = (!replaced).then(|| quote!(schema_with = "__schema",));
    quote!({
        #[allow(dead_code)]
        fn __schema(generator: &mut #private::schemars::SchemaGenerator) -> #private::schemars::Schema {
            #of_type(generator)
        }
        #[derive(#private::schemars::JsonSchema)]
        #[schemars(crate = #schemars)]
        #[allow(dead_code)]
        struct __Constrained {
            #[schemars(#with #(#schema),*)]
            value: (),
        }
        #private::function::property_schema::<__Constrained>
    })
}

/// Returns the function that makes the default of an argument, as an option.
fn default(argument: &Argument) -> TokenStream {
    match &argument.default {
        None => quote!(::core::option::Option::None),
        Some(default) => {
            let function = default_function(argument, default);
            quote!(::core::option::Option::Some(#function))
        }
    }
}

fn default_function(Argument { ty, .. }: &Argument, default: &ArgumentDefault) -> TokenStream {
    match default {
        ArgumentDefault::Trait => quote!(<#ty as ::core::default::Default>::default),
        // A string is converted to the argument's type.
        ArgumentDefault::Value(value @ Expr::Lit(ExprLit { lit: Lit::Str(_), .. })) => {
            let into = quote_spanned!(value.span()=> ::core::convert::Into::into(#value));
            quote!(|| #into)
        }
        ArgumentDefault::Value(value) => quote!(|| #value),
    }
}
