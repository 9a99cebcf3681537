//! Expansions of representative items. After an intended change: `SNAPSHOTS=overwrite cargo test -p
//! dspy-macros`.

use std::path::Path;

use proc_macro2::TokenStream;
use quote::quote;

/// Compares the expansion, formatted as by rustfmt, with the file of that name.
fn check(name: &str, expansion: TokenStream) {
    let file = syn::parse2(expansion).expect("an expansion is a sequence of items");
    let expansion = prettyplease::unparse(&file);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/snapshots").join(format!("{name}.txt"));
    if std::env::var_os("SNAPSHOTS").is_some_and(|how| how == "overwrite") {
        std::fs::write(&path, &expansion).expect("the snapshot can be written");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(expansion == expected, "{} is no longer the expansion, which is:\n{expansion}", path.display());
}

#[test]
fn signature() {
    let item = quote! {
        /// Answer the question.
        #[demo(question = "Why?", answer = "So.")]
        pub struct Qa {
            /// What is asked.
            #[input]
            pub question: String,
            #[output]
            #[serde(rename = "final")]
            #[schemars(length(min = 1))]
            answer: String,
            #[hint]
            level: Option<u8>,
        }
    };
    check("signature", crate::signature::expand(quote!(), item));
}

#[test]
fn two_inputs_and_a_shared_output() {
    let item = quote! {
        struct Again {
            #[input]
            context: Vec<String>,
            #[input]
            question: String,
            #[output]
            answer: String,
        }
    };
    check("shared", crate::signature::expand(quote!(output = QaOutput, crate = ::other), item));
}

/// Shows only the code that the checks add.
#[test]
fn checks() {
    let item = quote! {
        #[check(self.tags.len() as f64 >= self.score, "as many tags as the score")]
        struct Rate {
            #[output]
            #[check(self.score <= 1.0, "at most 1")]
            #[check(soft, self.score > 0.0, "above 0")]
            score: f64,
            #[output]
            #[serde(alias = "labels")]
            tags: Vec<String>,
        }
    };
    let expansion = crate::signature::expand(quote!(), item);
    let file: syn::File = syn::parse2(expansion).expect("an expansion is a sequence of items");
    let signature = file.items.into_iter().find(|item| {
        matches!(item, syn::Item::Impl(item) if item.trait_.as_ref().is_some_and(|(path, _)| {
            path.segments.last().is_some_and(|last| last.ident == "Signature")
        }))
    });
    check("checks", quote!(#signature));
}

/// Shows the stand-ins that keep other code from failing after an error.
#[test]
fn errors() {
    check(
        "errors",
        crate::signature::expand(
            quote!(),
            quote!(
                struct Qa(String);
            ),
        ),
    );
}

#[test]
fn module() {
    let item = quote! {
        pub struct Program<M> {
            first: Predict<Qa>,
            #[module(name = "rest")]
            second: Vec<M>,
            #[module(skip)]
            corpus: Corpus,
        }
    };
    check("module", crate::module::expand(quote!(), item));
}

#[test]
fn tool() {
    let function = quote! {
        /// Searches.
        pub async fn search(
            /// The words.
            query: String,
            #[tool(default = 5)]
            #[schemars(range(max = 50))]
            limit: u8,
            cx: &ToolContext,
            order: Option<Order>,
        ) -> Result<Vec<Hit>, Error> {
            find(query)
        }
    };
    let methods = quote! {
        impl Archive {
            /// Clears.
            #[tool(approval)]
            fn clear(&self) {}

            #[tool(skip)]
            fn helper(&self) {}
        }
    };
    let function = crate::tool::expand(quote!(name = "find"), function);
    let methods = crate::tool::expand(quote!(crate = ::other), methods);
    check("tool", quote!(#function #methods));
}

#[test]
fn data() {
    let call = crate::string::sig(quote!("question -> answer: Literal['yes', 'no'], score: float | None"));
    check("data", quote!(const SPEC: SignatureSpec = #call;));
}
