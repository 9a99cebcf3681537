//! Expansion of the model: data and thin impls, with absolute paths throughout.

mod checks;
mod conversions;
mod fields;
mod signature;
mod structs;

pub(crate) use signature::spec;

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{Ident, Type};

use crate::krate::Krate;

use super::attrs::Derives;
use super::model::{Field, Model, Role, Side};

/// Returns everything that is generated beside the user's struct.
pub(crate) fn signature(model: &Model) -> TokenStream {
    let whole = whole(model);
    let sides = [(&model.input, Role::Input), (&model.output, Role::Output)];
    let sides = sides.map(|(side, role)| match side {
        Side::Generated(ident) => generated(model, ident, role),
        Side::Shared(path) => structs::agreement(model, path, role),
    });
    let partial = structs::partial(model);
    let conversions = conversions::into_input(model);
    let signature = signature::implementation(model);
    quote!(#whole #(#sides)* #partial #conversions #signature)
}

/// Returns the impls of the struct that has all fields.
fn whole(model: &Model) -> TokenStream {
    let Model { ident, .. } = model;
    let all: Vec<&Field> = model.fields.iter().collect();
    let fields = fields::implementation(model, ident, &all);
    let mut traits = TokenStream::new();
    if !model.derives.has("Serialize") {
        traits.extend(quote!(Serialize));
    }
    if !model.derives.has("Deserialize") {
        traits.extend(quote!(Deserialize));
    }
    let serde = serde(model, ident, &traits);
    let usual = model.ours.then(|| structs::usual_traits(model, ident, &all, &model.derives));
    quote!(#fields #serde #usual)
}

/// Returns the struct of one side, with its impls.
fn generated(model: &Model, ident: &Ident, role: Role) -> TokenStream {
    let fields: Vec<&Field> = model.fields_of(role).collect();
    let definition = structs::definition(model, ident, role, &fields);
    let implementation = fields::implementation(model, ident, &fields);
    let serde = serde(model, ident, &quote!(Serialize Deserialize));
    let usual = structs::usual_traits(model, ident, &fields, &Derives::default());
    quote!(#definition #implementation #serde #usual)
}

fn serde(model: &Model, ident: &Ident, traits: &TokenStream) -> TokenStream {
    let krate = &model.krate;
    if traits.is_empty() {
        TokenStream::new()
    } else {
        quote!(#krate::__serde_by_fields! { #ident: #traits })
    }
}

/// Returns `<Type as FieldType>`, for calls of its methods. In this form rustc underlines the field's type if
/// it is not a `FieldType`, always with the same message, so that the many uses of an invalid type are
/// reported once.
fn field_type(krate: &Krate, ty: &Type) -> TokenStream {
    let private = krate.private();
    quote!(<#ty as #private::FieldType>)
}

/// Returns the type of one side's struct.
fn side(side: &Side) -> &dyn ToTokens {
    match side {
        Side::Generated(ident) => ident,
        Side::Shared(path) => path,
    }
}
