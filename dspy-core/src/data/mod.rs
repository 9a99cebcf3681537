//! Data sets from files: JSON Lines, JSON and CSV as signature structs, with errors that name row and field.

mod csv_rows;
mod error;
mod results;
mod rows;
mod write;

pub use csv_rows::{parse_csv, read_csv, stream_csv};
pub use error::DataError;
pub(crate) use results::ResultFile;
pub use results::{ResultRow, read_results};
pub use rows::{parse_jsonl, read_json, read_jsonl, split, stream_jsonl};
pub(crate) use write::{write_csv, write_jsonl};
