//! A look through Thrift's compact protocol, in which a Parquet file describes itself, before the `parquet` crate reads it.
//!
//! The crate passes over what it does not know, and takes no byte for a boolean of a list. A list may say that it has two thousand
//! million of them, and a file many such lists. No part of a footer or of a page's header is a list of booleans, so such a list is
//! refused. What the crate does know it reads without a look at the type that the file states; so what the file states is held
//! against Parquet's own definition ([`FOOTER`], [`PAGE_HEADER`]), or the two readers would not see the same parts.
//!
//! (Thrift, "compact protocol encoding": a struct is fields, each with its type in the low half of a byte, and ends with 0.
//! Apache Parquet, `parquet.thrift`.)

/// What a part is by Parquet's definition.
pub enum Kind {
    Boolean,
    Byte,
    /// Of 16, 32 or 64 bits: all are written alike.
    Number,
    Double,
    Bytes,
    List(&'static Kind),
    /// A struct or a union: which field is what.
    Struct(&'static [(i16, Kind)]),
}

use Kind::{Boolean, Byte, Bytes, Double, List, Number, Struct};

/// `FileMetaData`.
pub const FOOTER: Kind = Struct(&[
    (1, Number),
    (2, List(&SCHEMA_ELEMENT)),
    (3, Number),
    (
        4,
        List(&Struct(&[
            (1, List(&COLUMN_CHUNK)),
            (2, Number),
            (3, Number),
            (4, List(&SORTING)),
            (5, Number),
            (6, Number),
            (7, Number),
        ])),
    ),
    (5, List(&KEY_VALUE)),
    (6, Bytes),
    (7, List(&Struct(&[(1, NOTHING)]))),
]);

/// `PageHeader`.
pub const PAGE_HEADER: Kind = Struct(&[
    (1, Number),
    (2, Number),
    (3, Number),
    (4, Number),
    (5, Struct(&[(1, Number), (2, Number), (3, Number), (4, Number), (5, STATISTICS)])),
    (6, NOTHING),
    (7, Struct(&[(1, Number), (2, Number), (3, Boolean)])),
    (
        8,
        Struct(&[
            (1, Number),
            (2, Number),
            (3, Number),
            (4, Number),
            (5, Number),
            (6, Number),
            (7, Boolean),
            (8, STATISTICS),
        ]),
    ),
]);

const NOTHING: Kind = Struct(&[]);
const KEY_VALUE: Kind = Struct(&[(1, Bytes), (2, Bytes)]);
const SORTING: Kind = Struct(&[(1, Number), (2, Boolean), (3, Boolean)]);
const ENCODING_STATS: Kind = Struct(&[(1, Number), (2, Number), (3, Number)]);
const SIZES: Kind = Struct(&[(1, Number), (2, List(&Number)), (3, List(&Number))]);
const BOX: Kind =
    Struct(&[(1, Double), (2, Double), (3, Double), (4, Double), (5, Double), (6, Double), (7, Double), (8, Double)]);
const TIME: Kind = Struct(&[(1, Boolean), (2, Struct(&[(1, NOTHING), (2, NOTHING), (3, NOTHING)]))]);

const STATISTICS: Kind = Struct(&[
    (1, Bytes),
    (2, Bytes),
    (3, Number),
    (4, Number),
    (5, Bytes),
    (6, Bytes),
    (7, Boolean),
    (8, Boolean),
    (9, Number),
]);

const LOGICAL_TYPE: Kind = Struct(&[
    (1, NOTHING),
    (2, NOTHING),
    (3, NOTHING),
    (4, NOTHING),
    (5, Struct(&[(1, Number), (2, Number)])),
    (6, NOTHING),
    (7, TIME),
    (8, TIME),
    (10, Struct(&[(1, Byte), (2, Boolean)])),
    (11, NOTHING),
    (12, NOTHING),
    (13, NOTHING),
    (14, NOTHING),
    (15, NOTHING),
    (16, Struct(&[(1, Byte)])),
    (17, Struct(&[(1, Bytes)])),
    (18, Struct(&[(1, Bytes), (2, Number)])),
]);

const SCHEMA_ELEMENT: Kind = Struct(&[
    (1, Number),
    (2, Number),
    (3, Number),
    (4, Bytes),
    (5, Number),
    (6, Number),
    (7, Number),
    (8, Number),
    (9, Number),
    (10, LOGICAL_TYPE),
]);

const COLUMN_CHUNK: Kind =
    Struct(&[(1, Bytes), (2, Number), (3, COLUMN), (4, Number), (5, Number), (6, Number), (7, Number)]);

/// `ColumnMetaData`.
const COLUMN: Kind = Struct(&[
    (1, Number),
    (2, List(&Number)),
    (3, List(&Bytes)),
    (4, Number),
    (5, Number),
    (6, Number),
    (7, Number),
    (8, List(&KEY_VALUE)),
    (9, Number),
    (10, Number),
    (11, Number),
    (12, STATISTICS),
    (13, List(&ENCODING_STATS)),
    (14, Number),
    (15, Number),
    (16, SIZES),
    (17, Struct(&[(1, BOX), (2, List(&Number))])),
]);

/// Types that a file states.
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
pub fn take_struct(shape: &Kind, bytes: &mut &[u8]) -> Result<(), &'static str> {
    take(STRUCT, Some(shape), bytes, DEEPEST)
}

/// Takes a value whose type the file states, and that is `known` to Parquet or not.
fn take(kind: u8, known: Option<&Kind>, bytes: &mut &[u8], depth: usize) -> Result<(), &'static str> {
    let depth = depth.checked_sub(1).ok_or("its parts lie too deep in each other")?;
    let fits = match known {
        None => true,
        Some(Boolean) => [TRUE, FALSE].contains(&kind),
        Some(Byte) => kind == BYTE,
        Some(Number) => (I16..=I64).contains(&kind),
        Some(Double) => kind == DOUBLE,
        Some(Bytes) => kind == BINARY,
        Some(List(_)) => [LIST, SET].contains(&kind),
        Some(Struct(_)) => kind == STRUCT,
    };
    if !fits {
        return Err("a part of it has another type than Parquet gives it");
    }
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
            let element = known.and_then(|known| if let List(element) = known { Some(*element) } else { None });
            take_all(count, &[(head & 15, element)], bytes, depth)
        }
        MAP => match take_number(bytes)? {
            0 => Ok(()),
            count => {
                let kinds = take_byte(bytes)?;
                take_all(count, &[(kinds >> 4, None), (kinds & 15, None)], bytes, depth)
            }
        },
        STRUCT => {
            let fields = known.map_or(&[][..], |known| if let Struct(fields) = known { fields } else { &[] });
            let mut id = 0i16;
            loop {
                let head = take_byte(bytes)?;
                if head & 15 == 0 {
                    return Ok(());
                }
                // The field after the last, or the next but some; elsewhere its number follows, twice as large if not negative.
                id = match i16::from(head >> 4) {
                    0 => take_number(bytes).map(|twice| ((twice >> 1) as i64 ^ -((twice & 1) as i64)) as i16)?,
                    next => id.wrapping_add(next),
                };
                let known = fields.iter().find(|(field, _)| *field == id);
                take(head & 15, known.map(|(_, kind)| kind), bytes, depth)?;
            }
        }
        _ => Err("a part of it has a type that there is not"),
    }
}

/// Takes elements, each a value of every kind in turn.
fn take_all(count: u64, kinds: &[(u8, Option<&Kind>)], bytes: &mut &[u8], depth: usize) -> Result<(), &'static str> {
    if count > 0 && kinds.iter().any(|(kind, _)| [TRUE, FALSE].contains(kind)) {
        return Err("it lists booleans, which no part of a Parquet file does");
    }
    (0..count).try_for_each(|_| kinds.iter().try_for_each(|(kind, known)| take(*kind, *known, bytes, depth)))
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
        assert_eq!(take_struct(&NOTHING, &mut rest), Ok(()));
        assert_eq!(rest, b"rest");
        for length in 0..bytes.len() - 4 {
            assert_eq!(take_struct(&NOTHING, &mut &bytes[..length]), Err(ENDS), "{length}");
        }
    }

    #[test]
    fn what_no_file_has_is_refused() {
        let refused = |bytes: &[u8]| take_struct(&NOTHING, &mut &bytes[..]).unwrap_err();
        for booleans in [[0x19, 0xf1], [0x1a, 0xf2]] {
            assert!(refused(&[&booleans[..], &[0xff, 0xff, 0xff, 0xff, 7], &[0]].concat()).contains("booleans"));
        }
        assert!(refused(&[0x1b, 200, 1, 0x51, 0]).contains("booleans"));
        assert!(refused(&[0x1e, 0]).contains("type"));
        assert!(refused(&[0x1c; 100]).contains("deep"));
        assert_eq!(refused(&[0x19, 0xf5, 0xff, 0xff, 0xff, 0xff, 7, 1, 1, 1]), ENDS);
        // Known parts under another type: a page's header whose data header is said to be bytes, a footer whose rows are.
        let seen = |shape: &Kind, bytes: &[u8]| take_struct(shape, &mut &bytes[..]);
        assert_eq!(seen(&PAGE_HEADER, &[0x15, 0, 0x15, 2, 0x15, 2, 0x2c, 0x15, 2, 0, 0]), Ok(()));
        assert!(seen(&PAGE_HEADER, &[0x15, 0, 0x15, 2, 0x15, 2, 0x28, 1, 0, 0]).unwrap_err().contains("another type"));
        assert_eq!(seen(&FOOTER, &[0x15, 2, 0x26, 8, 0]), Ok(()));
        assert!(seen(&FOOTER, &[0x15, 2, 0x28, 1, 0, 0]).unwrap_err().contains("another type"));
        assert!(seen(&FOOTER, &[0x08, 6, 1, 0, 0]).unwrap_err().contains("another type"), "a field by its number");
    }
}
