//! A look through Thrift's compact protocol, in which a Parquet file describes itself, before the `parquet` crate reads it: the
//! crate passes over what it does not know, and takes no byte for a boolean of a list. A list may say that it has two thousand
//! million of them, and a file many such lists. No part of a footer or of a page's header is a list of booleans.
//!
//! (Thrift, "compact protocol encoding": a struct is fields, each with its type in the low half of a byte, and ends with 0.)

/// Types of values.
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const BYTE: u8 = 3;
const I16: u8 = 4;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;
const UUID: u8 = 13;

/// Structs within structs.
const DEEPEST: usize = 64;

/// Takes one struct, or says why it is none that a Parquet file has.
pub fn take_struct(bytes: &mut &[u8]) -> Result<(), &'static str> {
    take(STRUCT, bytes, DEEPEST)
}

fn take(kind: u8, bytes: &mut &[u8], depth: usize) -> Result<(), &'static str> {
    let depth = depth.checked_sub(1).ok_or("its parts lie too deep in each other")?;
    match kind {
        TRUE | FALSE => Ok(()),
        BYTE => skip(1, bytes),
        I16..=I64 => take_number(bytes).map(drop),
        DOUBLE => skip(8, bytes),
        UUID => skip(16, bytes),
        BINARY => {
            let length = take_number(bytes)?;
            skip(length, bytes)
        }
        LIST | SET => {
            let head = take_byte(bytes)?;
            let count = if head >> 4 == 15 { take_number(bytes)? } else { u64::from(head >> 4) };
            take_all(count, &[head & 15], bytes, depth)
        }
        MAP => match take_number(bytes)? {
            0 => Ok(()),
            count => {
                let kinds = take_byte(bytes)?;
                take_all(count, &[kinds >> 4, kinds & 15], bytes, depth)
            }
        },
        STRUCT => loop {
            let head = take_byte(bytes)?;
            if head & 15 == 0 {
                return Ok(());
            }
            if head >> 4 == 0 {
                take_number(bytes)?; // which field, where it is not the next few
            }
            take(head & 15, bytes, depth)?;
        },
        _ => Err("a part of it has a type that there is not"),
    }
}

fn take_all(count: u64, kinds: &[u8], bytes: &mut &[u8], depth: usize) -> Result<(), &'static str> {
    if kinds.iter().any(|kind| [TRUE, FALSE].contains(kind)) {
        return Err("it lists booleans, which no part of a Parquet file does");
    }
    (0..count).try_for_each(|_| kinds.iter().try_for_each(|kind| take(*kind, bytes, depth)))
}

const ENDS: &str = "it breaks off";

fn take_byte(bytes: &mut &[u8]) -> Result<u8, &'static str> {
    let (first, rest) = bytes.split_first().ok_or(ENDS)?;
    *bytes = rest;
    Ok(*first)
}

/// Takes a number of seven bits a byte, the lowest first.
pub fn take_number(bytes: &mut &[u8]) -> Result<u64, &'static str> {
    let length = bytes.iter().take(10).position(|byte| byte & 0x80 == 0).ok_or(ENDS)? + 1;
    let (digits, rest) = bytes.split_at(length);
    *bytes = rest;
    Ok(digits.iter().rev().fold(0, |number, digit| number << 7 | u64::from(digit & 0x7f)))
}

fn skip(length: u64, bytes: &mut &[u8]) -> Result<(), &'static str> {
    let rest = usize::try_from(length).ok().and_then(|length| bytes.get(length..));
    *bytes = rest.ok_or(ENDS)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_struct_is_taken_to_its_end() {
        // 1: i32 7; 2: list of two binaries; 3: true; 4: map of i32 to struct; 20: double; 21: empty map.
        let mut bytes: Vec<u8> = vec![0x15, 14, 0x19, 0x28, 1, b'a', 0, 0x11, 0x1b, 1, 0x5c, 3, 0x11, 0, 0x07, 40];
        bytes.extend([[0; 8].as_slice(), &[0x1b, 0, 0], b"rest"].concat());
        let mut rest = &bytes[..];
        assert_eq!(take_struct(&mut rest), Ok(()));
        assert_eq!(rest, b"rest");
        for length in 0..bytes.len() - 4 {
            assert_eq!(take_struct(&mut &bytes[..length]), Err(ENDS), "{length}");
        }
    }

    #[test]
    fn what_no_file_has_is_refused() {
        let refused = |bytes: &[u8]| take_struct(&mut &bytes[..]).unwrap_err();
        for booleans in [[0x19, 0xf1], [0x1a, 0xf2]] {
            assert!(refused(&[&booleans[..], &[0xff, 0xff, 0xff, 0xff, 7], &[0]].concat()).contains("booleans"));
        }
        assert!(refused(&[0x1b, 200, 1, 0x51, 0]).contains("booleans"));
        assert!(refused(&[0x1e, 0]).contains("type"));
        assert!(refused(&[0x1c; 100]).contains("deep"));
        assert_eq!(refused(&[0x19, 0xf5, 0xff, 0xff, 0xff, 0xff, 7, 1, 1, 1]), ENDS);
    }
}
