//! The archive of Python's standard library.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Component, Path};

/// The part of the standard library that is imported; see `scripts/pack-python-stdlib`.
pub(crate) const LIBRARY: &[u8] = include_bytes!("../stdlib/python-3.14.tar.zst");

const BLOCK: usize = 512;

/// Writes the files of the archive into a folder.
pub(crate) fn unpack(into: &Path) -> io::Result<()> {
    let mut tar = Vec::new();
    zstd::Decoder::new(LIBRARY)?.read_to_end(&mut tar)?;
    let damaged =
        || io::Error::new(io::ErrorKind::InvalidData, "the archive of the standard library is damaged");
    let mut rest = tar.as_slice();
    while let Some((header, after)) = rest.split_at_checked(BLOCK) {
        let text = |range: std::ops::Range<usize>| {
            let field = &header[range];
            let end = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
            std::str::from_utf8(&field[..end]).map_err(|_| damaged())
        };
        let name = text(0..100)?;
        if name.is_empty() {
            break;
        }
        let size = usize::from_str_radix(text(124..136)?.trim(), 8).map_err(|_| damaged())?;
        let (contents, after) = after.split_at_checked(size.next_multiple_of(BLOCK)).ok_or_else(damaged)?;
        let path = Path::new(name);
        if !path.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(damaged());
        }
        let path = into.join(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, &contents[..size])?;
        rest = after;
    }
    Ok(())
}
