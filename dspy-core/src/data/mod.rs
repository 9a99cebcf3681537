//! Data sets from files: JSON Lines, JSON and CSV into signature structs, with errors that name row and field.

mod csv_rows;
mod error;
mod rows;
mod write;

pub use csv_rows::read_csv;
pub use error::DataError;
pub use rows::{parse_jsonl, read_json, read_jsonl, split, stream_jsonl};
pub(crate) use write::{write_csv, write_jsonl};
