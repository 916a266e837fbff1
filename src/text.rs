//! Text that people and other programs write: read whole, and where it is broken, said so that the place can be found.

use std::io::{self, ErrorKind};
use std::path::Path;

/// The text of a file. A byte order mark at its beginning is no part of it. Bytes that are not UTF-8 are an error of kind
/// `InvalidData` that tells where the first of them stands.
pub fn read(path: &Path) -> io::Result<String> {
    decode(std::fs::read(path)?)
}

/// The same for bytes that have been read.
pub fn decode(bytes: Vec<u8>) -> io::Result<String> {
    let text = String::from_utf8(bytes).map_err(|error| {
        let place = place_of(error.as_bytes(), error.utf8_error().valid_up_to());
        io::Error::new(ErrorKind::InvalidData, place)
    })?;
    match text.strip_prefix('\u{feff}') {
        Some(rest) => Ok(rest.to_string()),
        None => Ok(text),
    }
}

/// Where the first byte stands that is not UTF-8; all before `at` is.
fn place_of(bytes: &[u8], at: usize) -> String {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return "it is UTF-16, not UTF-8".to_string();
    }
    let before = String::from_utf8_lossy(&bytes[..at]);
    let line = before.rsplit('\n').next().unwrap_or("");
    let (lines, column) = (before.matches('\n').count() + 1, line.chars().count() + 1);
    format!("line {lines}, column {column} is not UTF-8 (byte 0x{:02x})", bytes[at])
}

/// What is wrong with a line of JSON. The parser counts lines too, and knows of this one only.
pub fn broken_json(error: &serde_json::Error) -> String {
    let (words, column) = (error.to_string(), error.column());
    let words = words.strip_suffix(&format!(" at line {} column {column}", error.line())).unwrap_or(&words);
    match error.classify() {
        serde_json::error::Category::Eof => format!("it is cut off after column {column}"),
        // Found missing where the record ends, which is no place to look at.
        _ if words.starts_with("missing field") => words.to_string(),
        _ => format!("{words} (column {column})"),
    }
}

/// What is wrong with a row of a table, without its place.
pub fn broken_csv(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("it has {len} of {expected_len} cells; is it cut off?")
        }
        csv::ErrorKind::Deserialize { err, .. } => match err.field() {
            Some(cell) => format!("cell {}: {}", cell + 1, err.kind()),
            None => err.kind().to_string(),
        },
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_that_is_no_text_is_found() {
        let told = |bytes: &[u8]| decode(bytes.to_vec()).unwrap_err().to_string();
        assert_eq!(told(b"who\nwas K\xf6nig?"), "line 2, column 6 is not UTF-8 (byte 0xf6)");
        assert_eq!(told("näh\n\n".as_bytes().iter().copied().chain([0x80]).collect::<Vec<_>>().as_slice()), {
            "line 3, column 1 is not UTF-8 (byte 0x80)"
        });
        assert_eq!(told(b"\xff\xfeq\0"), "it is UTF-16, not UTF-8");
        assert_eq!(decode("\u{feff}good".into()).unwrap(), "good");
    }

    #[test]
    fn a_broken_line_is_told_without_a_second_number() {
        let told = |line: &str| broken_json(&serde_json::from_str::<(u64, u64)>(line).unwrap_err());
        assert_eq!(told("[1, "), "it is cut off after column 4");
        assert_eq!(told("[1, x]"), "expected value (column 5)");
        let row = |text: &str| {
            let mut reader = csv::Reader::from_reader(text.as_bytes());
            let row = reader.deserialize::<(u64, u64)>().next().unwrap();
            broken_csv(&row.unwrap_err())
        };
        assert_eq!(row("a,b\n1\n"), "it has 1 of 2 cells; is it cut off?");
        assert_eq!(row("a,b\n1,x\n"), "cell 2: invalid digit found in string");
    }
}
