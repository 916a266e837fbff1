//! What stands between the `parquet` crate and a file that lies about itself: the crate believes some counts that are not so.

use super::thrift::{self, FOOTER, PAGE_HEADER};
use bytes::Bytes;
use parquet::basic::Encoding;
use parquet::bloom_filter::Sbbf;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result as Parsed};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::{ChunkReader, FileReader, Length, RowGroupReader, SerializedFileReader};
use parquet::record::reader::RowIter;
use parquet::schema::types::{ColumnDescPtr, ColumnDescriptor, Type};
use std::fs::File;
use std::io::{Cursor, ErrorKind, Read, Seek, SeekFrom};

/// A file that the `parquet` crate can be given: it reads footers and headers that [`thrift`] has looked through, and pages
/// that unpack to a size that their bytes can give, because the crate makes room for what a header says.
pub struct Chunks(File);

impl Chunks {
    /// Looks through the footer: what it describes, how long that is, and `PAR1`.
    pub fn new(mut file: File) -> Result<Chunks, String> {
        let told = |error: std::io::Error| error.to_string();
        let mut end = [0; 8];
        let length = file.seek(SeekFrom::End(0)).map_err(told)?;
        let at = length.checked_sub(8).ok_or("it is too short to be a Parquet file")?;
        file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(&mut end)).map_err(told)?;
        let described = u64::from(u32::from_le_bytes([end[0], end[1], end[2], end[3]]));
        // Other files end otherwise, encrypted ones among them; the crate says what they are.
        if let Some(start) = at.checked_sub(described).filter(|_| &end[4..] == b"PAR1") {
            let mut footer = vec![];
            file.seek(SeekFrom::Start(start)).map_err(told)?;
            file.by_ref().take(described).read_to_end(&mut footer).map_err(told)?;
            thrift::take_struct(&FOOTER, &mut &footer[..])
                .map_err(|reason| format!("its footer is damaged: {reason}"))?;
        }
        Ok(Chunks(file))
    }
}

/// What the crate reads the header of a page from.
pub struct Header {
    bytes: Cursor<Vec<u8>>,
    /// Whether it has been looked through. A header that is known is asked for and not read.
    checked: bool,
}

/// Bytes of a header, at most: its statistics are a few values.
const HEADER: u64 = 1 << 16;

/// Bytes that any page may have.
const PAGE: u64 = 1 << 26;

/// What a larger one may have for each of its bytes in the file: deflate comes to 1032, snappy to 22.
const UNPACKED: u64 = 1100;

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.0.len()
    }
}

impl ChunkReader for Chunks {
    type T = Header;

    fn get_read(&self, start: u64) -> Parsed<Header> {
        let mut bytes = vec![];
        self.0.get_read(start)?.take(HEADER).read_to_end(&mut bytes)?;
        // The last eight bytes are no header: the crate asks where the footer begins.
        Ok(Header { bytes: Cursor::new(bytes), checked: start + 8 >= self.len() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Parsed<Bytes> {
        self.0.get_bytes(start, length)
    }
}

impl Read for Header {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if !self.checked {
            self.checked = true;
            check(self.bytes.get_ref()).map_err(|reason| std::io::Error::new(ErrorKind::InvalidData, reason))?;
        }
        self.bytes.read(into)
    }
}

/// Whether a page may have this header. Its first fields are the kind of page, the size of the page, and that in the file.
fn check(bytes: &[u8]) -> Result<(), String> {
    thrift::take_struct(&PAGE_HEADER, &mut &bytes[..])
        .map_err(|reason| format!("the header of a page is damaged: {reason}"))?;
    let mut rest = bytes;
    let mut field = || {
        // The next field, a number of 32 bits, which is written as twice itself where it is not negative.
        let (0x15, behind) = rest.split_first()? else { return None };
        rest = behind;
        thrift::take_number(&mut rest).ok().map(|twice| twice / 2)
    };
    match (field(), field(), field()) {
        (Some(_), Some(unpacked), Some(packed)) if unpacked <= PAGE.max(UNPACKED.saturating_mul(packed)) => Ok(()),
        (Some(_), Some(unpacked), Some(packed)) => Err(format!("a page of {unpacked} bytes lies in {packed}")),
        _ => Err("the header of a page begins with something else".into()),
    }
}

/// A file whose dictionaries and lengths of texts are no more than their bytes can hold: the crate makes room for what their
/// headers count.
pub struct Checked(pub SerializedFileReader<Chunks>);

struct Group<'a>(Box<dyn RowGroupReader + 'a>);

struct Pages {
    inner: Box<dyn PageReader>,
    column: ColumnDescPtr,
}

impl FileReader for Checked {
    fn metadata(&self) -> &ParquetMetaData {
        self.0.metadata()
    }

    fn num_row_groups(&self) -> usize {
        self.0.num_row_groups()
    }

    fn get_row_group(&self, i: usize) -> Parsed<Box<dyn RowGroupReader + '_>> {
        Ok(Box::new(Group(self.0.get_row_group(i)?)))
    }

    fn get_row_iter(&self, projection: Option<Type>) -> Parsed<RowIter<'_>> {
        RowIter::from_file(projection, self)
    }
}

impl RowGroupReader for Group<'_> {
    fn metadata(&self) -> &RowGroupMetaData {
        self.0.metadata()
    }

    fn num_columns(&self) -> usize {
        self.0.num_columns()
    }

    fn get_column_page_reader(&self, i: usize) -> Parsed<Box<dyn PageReader>> {
        let column = self.0.metadata().column(i).column_descr_ptr();
        Ok(Box::new(Pages { inner: self.0.get_column_page_reader(i)?, column }))
    }

    fn get_column_bloom_filter(&self, i: usize) -> Option<&Sbbf> {
        self.0.get_column_bloom_filter(i)
    }

    fn get_row_iter(&self, projection: Option<Type>) -> Parsed<RowIter<'_>> {
        RowIter::from_row_group(projection, self)
    }
}

impl Iterator for Pages {
    type Item = Parsed<Page>;

    fn next(&mut self) -> Option<Parsed<Page>> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Parsed<Option<Page>> {
        let Some(page) = self.inner.get_next_page()? else { return Ok(None) };
        let (what, count, bytes) = match (&page, page.encoding()) {
            (Page::DictionaryPage { buf, num_values, .. }, _) => {
                ("dictionary", Some(u64::from(*num_values)).filter(|count| *count > buf.len() as u64), buf.len())
            }
            (_, encoding @ (Encoding::DELTA_BYTE_ARRAY | Encoding::DELTA_LENGTH_BYTE_ARRAY)) => {
                let values = values(&page, &self.column);
                ("page", too_many_lengths(values, encoding == Encoding::DELTA_BYTE_ARRAY), values.len())
            }
            _ => ("page", None, 0),
        };
        match count {
            Some(count) => Err(ParquetError::General(format!("a {what} of {count} values has {bytes} bytes"))),
            None => Ok(Some(page)),
        }
    }

    fn peek_next_page(&mut self) -> Parsed<Option<PageMetadata>> {
        self.inner.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Parsed<()> {
        self.inner.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> Parsed<bool> {
        self.inner.at_record_boundary()
    }
}

/// The values of a page of data, behind its levels; empty where the page says what can't be, which the crate refuses.
fn values<'p>(page: &'p Page, column: &ColumnDescriptor) -> &'p [u8] {
    let bytes = page.buffer();
    let behind = |at: usize| bytes.get(at..).unwrap_or_default();
    match page {
        Page::DataPage { num_values, rep_level_encoding, def_level_encoding, .. } => {
            let levels = [(column.max_rep_level(), rep_level_encoding), (column.max_def_level(), def_level_encoding)];
            levels.into_iter().filter(|(most, _)| *most > 0).fold(&bytes[..], |rest, (most, encoding)| {
                let length = match (encoding, rest.first_chunk()) {
                    (Encoding::RLE, Some(length)) => 4 + u32::from_le_bytes(*length) as usize,
                    // What is left is packed, without a length.
                    _ => (*num_values as usize * (i16::BITS - most.leading_zeros()) as usize).div_ceil(8),
                };
                rest.get(length..).unwrap_or_default()
            })
        }
        Page::DataPageV2 { rep_levels_byte_len, def_levels_byte_len, .. } => {
            behind(*rep_levels_byte_len as usize + *def_levels_byte_len as usize)
        }
        Page::DictionaryPage { .. } => bytes,
    }
}

/// Lengths that a byte can stand for, at most: writers put 128 into a block, which takes five bytes even if all are equal.
const LENGTHS_A_BYTE: u64 = 64;

/// The count of lengths that `values` have no bytes for, if they begin with one. Prefixes come with a second run of lengths,
/// those of what follows them.
fn too_many_lengths(values: &[u8], prefixes: bool) -> Option<u64> {
    let too_many = |run: &Run| run.count > LENGTHS_A_BYTE * values.len() as u64;
    let mut rest = values;
    let first = run(&mut rest)?;
    if too_many(&first) || !prefixes {
        return Some(first.count).filter(|_| too_many(&first));
    }
    skip(&first, &mut rest)?;
    run(&mut rest).filter(too_many).map(|second| second.count)
}

/// Delta-encoded integers (Parquet's format, "Delta encoding"): this, the first of them, and blocks for the others.
struct Run {
    /// Values of a miniblock.
    each: u64,
    /// Miniblocks of a block.
    miniblocks: usize,
    count: u64,
}

/// Takes what a run begins with; `None` where it is none.
fn run(bytes: &mut &[u8]) -> Option<Run> {
    let mut number = || thrift::take_number(bytes).ok();
    let (block, miniblocks, count, _first) = (number()?, number()?, number()?, number()?);
    Some(Run { each: block.checked_div(miniblocks)?, miniblocks: miniblocks.try_into().ok()?, count })
}

/// Takes the blocks of a run: in each the least delta, a width for each miniblock, and the miniblocks.
fn skip(run: &Run, bytes: &mut &[u8]) -> Option<()> {
    let mut left = run.count.saturating_sub(1);
    while left > 0 {
        thrift::take_number(bytes).ok()?;
        let (widths, mut rest) = bytes.split_at_checked(run.miniblocks)?;
        for width in widths {
            // Miniblocks behind the last value have a width and are not there.
            let width = if left > 0 { *width } else { 0 };
            let length = (run.each / 8).checked_mul(width.into())?;
            rest = rest.get(length.try_into().ok()?..)?;
            left = left.saturating_sub(run.each);
        }
        *bytes = rest;
    }
    Some(())
}
