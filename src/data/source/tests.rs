use super::*;
use std::fs;
use std::io::Write;

fn text() -> Render {
    Render::Text { column: "text".to_string() }
}

fn pair(format: &str) -> Render {
    Render::Qa { question: "q".to_string(), answer: "a".to_string(), format: format.to_string() }
}

fn read(place: &Path, render: Render, bad_lines: BadLines) -> (Vec<String>, Option<String>, u64) {
    let source = match Source::open(place, &render, bad_lines) {
        Ok(source) => source,
        Err(error) => return (vec![], Some(error.to_string()), 0),
    };
    let mut documents = source.documents();
    let (mut texts, mut failure) = (vec![], None);
    for document in documents.by_ref() {
        match document {
            Ok(document) => texts.push(document.text),
            Err(error) => failure = Some(error.to_string()),
        }
    }
    (texts, failure, documents.skipped())
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn zstd(text: &str) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(text.as_bytes(), ruzstd::encoding::CompressionLevel::Fastest)
}

#[test]
fn every_kind_of_file_gives_the_same_documents() {
    let lines =
        |range: std::ops::Range<u32>| range.map(|n| format!("{{\"text\":\"document {n} é\"}}\n")).collect::<String>();
    let expected: Vec<String> = (0..3000).map(|n| format!("document {n} é")).collect();
    let (first, second) = (lines(0..1000), lines(1000..3000));
    // A skippable frame, as some writers put before the first.
    let skippable = [&0x184d2a50u32.to_le_bytes()[..], &3u32.to_le_bytes(), b"abc"].concat();
    for (name, bytes) in [
        ("a.jsonl", format!("{first}\n  \n{}", second.trim_end()).into_bytes()),
        ("a.jsonl.gz", [gzip(&first), gzip(&second)].concat()),
        ("a.jsonl.zst", [skippable, zstd(&first), zstd(&second)].concat()),
    ] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(name), bytes).unwrap();
        let (texts, failure, skipped) = read(&dir.path().join(name), text(), BadLines::Fail);
        assert_eq!((failure, skipped), (None, 0), "{name}");
        assert_eq!(texts, expected, "{name}");
    }
}

#[test]
fn files_are_read_in_the_order_of_their_names() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{{\"text\":\"{name}\"}}\n")).unwrap();
    };
    for name in
        ["b.jsonl", "a.jsonl", "sub/c.json", ".hidden/d.jsonl", ".e.jsonl", "README.md", "a10.jsonl", "a2.jsonl"]
    {
        write(name);
    }
    let texts = |place: &Path| read(place, text(), BadLines::Fail).0;
    assert_eq!(texts(dir.path()), ["a.jsonl", "a10.jsonl", "a2.jsonl", "b.jsonl", "sub/c.json"]);
    assert_eq!(texts(&dir.path().join("a*.jsonl")), ["a.jsonl", "a10.jsonl", "a2.jsonl"]);
    assert_eq!(texts(&dir.path().join("**/?.json*")), ["a.jsonl", "b.jsonl", "sub/c.json"]);
}

#[cfg(unix)]
#[test]
fn links_that_lead_nowhere_or_in_a_circle_are_told_and_never_followed_for_ever() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::create_dir_all(at("web")).unwrap();
    std::fs::write(at("web/a.jsonl"), "{\"text\":\"a\"}\n").unwrap();
    let told = |place: &str| {
        let open = Source::open(&at(place), &text(), BadLines::Skip).and_then(|source| source.content());
        open.map_err(|error| error.to_string().replace(&dir.path().display().to_string(), "HERE")).unwrap_err()
    };
    for (name, to, expected) in [
        ("circle", "../web", "failed to list HERE/web/circle: it is a link to a folder above it"),
        ("gone.jsonl", "nowhere", "failed to list HERE/web/gone.jsonl: No such file or directory (os error 2)"),
        (
            "self.jsonl",
            "self.jsonl",
            "failed to list HERE/web/self.jsonl: Too many levels of symbolic links (os error 40)",
        ),
    ] {
        symlink(to, at("web").join(name)).unwrap();
        assert_eq!(told("web").split(" (os").next(), expected.split(" (os").next());
        assert!(told("web/*").contains(name) || told("web/*").contains("web/circle"), "{}", told("web/*"));
        std::fs::remove_file(at("web").join(name)).unwrap();
    }
    assert!(told("absent/**/*.jsonl").contains("no file matches the pattern"));
    symlink("../web", at("web/circle")).unwrap();
    assert!(told("web/**/*.jsonl").contains("web/circle: it is a link to a folder above it"));
    std::fs::remove_file(at("web/circle")).unwrap();
    // Links to elsewhere are as good as what they lead to; to nothing, they may have led to a folder of shards.
    std::fs::create_dir_all(at("other/deep/.hidden")).unwrap();
    std::fs::write(at("other/c.jsonl"), "{\"text\":\"c\"}\n").unwrap();
    std::fs::write(at("other/deep/.hidden/d.jsonl"), "{\"text\":\"d\"}\n").unwrap();
    symlink("nowhere", at("other/deep/.hidden/gone")).unwrap();
    symlink("../web/a.jsonl", at("other/b.jsonl")).unwrap();
    symlink("../../web", at("other/deep/link")).unwrap();
    assert_eq!(read(&at("other/**/*.jsonl"), text(), BadLines::Fail).0, ["a", "c", "a"]);
    symlink("nowhere", at("other/more")).unwrap();
    assert!(told("other/**/*.jsonl").contains("other/more: No such file"));
    assert_eq!(read(&at("other/*.jsonl"), text(), BadLines::Fail).0, ["a", "c"]);
    assert!(told("other").contains("other/more: No such file"));
}

#[test]
fn a_bad_line_is_named_or_counted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.jsonl");
    let bad = ["{", "[1]", "{\"text\":5}", "{\"text\":\" \"}", "{\"txt\":\"x\"}", "\"x\"", "{\"text\":\"\u{1}\"}"];
    for line in bad {
        fs::write(&path, format!("{{\"text\":\"good\"}}\n{line}\n{{\"text\":\"also good\"}}\n")).unwrap();
        let (texts, failure, _) = read(&path, text(), BadLines::Fail);
        let failure = failure.unwrap();
        assert!(texts == ["good"] && failure.contains("a.jsonl:2: "), "{line}: {failure}");
        let (texts, failure, skipped) = read(&path, text(), BadLines::Skip);
        assert_eq!((texts.len(), failure, skipped), (2, None, 1), "{line}");
    }
    fs::write(&path, b"{\"text\":\"\xff\"}\n").unwrap();
    assert!(read(&path, text(), BadLines::Fail).1.unwrap().contains(":1: "));
}

#[test]
fn an_empty_corpus_is_an_error_even_when_lines_may_be_skipped() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.jsonl");
    let failure = |place: &Path| read(place, text(), BadLines::Skip).1.unwrap();
    assert!(failure(dir.path()).contains("no file in the folder"));
    assert!(failure(&path).contains("no such file"));
    assert!(failure(&dir.path().join("*.gz")).contains("no file matches"));
    fs::write(&path, "").unwrap();
    assert!(failure(&path).contains("no document (0 bad lines"));
    fs::write(&path, "x\ny\n").unwrap();
    assert!(failure(&path).contains("no document (2 bad lines"));
}

#[test]
fn a_damaged_archive_is_an_error_under_every_policy() {
    let dir = tempfile::tempdir().unwrap();
    let lines: String = (0..500).map(|n| format!("{{\"text\":\"document {n}\"}}\n")).collect();
    for (name, bytes) in [("a.jsonl.gz", gzip(&lines)), ("a.jsonl.zst", zstd(&lines))] {
        let path = dir.path().join(name);
        for cut in [1, 5, bytes.len() / 2, bytes.len() - 1] {
            fs::write(&path, &bytes[..cut]).unwrap();
            let (texts, failure, _) = read(&path, text(), BadLines::Skip);
            assert!(failure.is_some() && texts.len() <= 500, "{name} cut to {cut}");
        }
    }
}

#[test]
fn pairs_are_written_out_as_their_format_says() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.jsonl");
    fs::write(&path, "{\"q\":\"1+1? \",\"a\":\"<think>\\nhm\\n</think>\\n2\"}\n").unwrap();
    for (format, expected) in [
        ("plain", "1+1?\n<think>\nhm\n</think>\n2"),
        ("question-answer", "Question:\n1+1?\nAnswer:\n<think>\nhm\n</think>\n2"),
        ("user-assistant", "User:1+1?\nAssistant:<think>\nhm\n</think>\n2"),
        ("think", "1+1?\nhm"),
        ("think-tags", "1+1?\n<think>\nhm\n</think>\n2"),
    ] {
        assert_eq!(read(&path, pair(format), BadLines::Fail), (vec![expected.to_string()], None, 0), "{format}");
    }
    let error = read(&path, pair("user-asistant"), BadLines::Fail).1.unwrap();
    assert!(error.contains("did you mean `user-assistant`"), "{error}");
    fs::write(&path, "{\"q\":\"1+1?\",\"a\":\"<think>hm\"}\n").unwrap();
    assert!(read(&path, pair("think"), BadLines::Fail).1.unwrap().contains("</think>"));
}

#[test]
fn a_column_may_be_a_path() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.jsonl");
    fs::write(&path, "{\"m\":[{\"c\":\"x\"},{\"c\":\"y\"}],\"m.2\":\"z\"}\n").unwrap();
    let column = |column: &str| read(&path, Render::Text { column: column.into() }, BadLines::Fail);
    assert_eq!(column("m.1.c").0, ["y"]);
    assert_eq!(column("m.2").0, ["z"]);
    let error = column("m.5.c").1.unwrap();
    assert!(error.contains("no column `m.5.c` (there are: m, m.2)"), "{error}");
}

#[test]
fn content_is_the_bytes_and_their_order_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let content = |files: &[(&str, &str)]| {
        let folder = tempfile::tempdir_in(dir.path()).unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        Source::open(folder.path(), &text(), BadLines::Fail).unwrap().content().unwrap()
    };
    let original = content(&[("a.jsonl", "1\n"), ("b.jsonl", "2\n")]);
    assert_eq!(original, content(&[("x.jsonl", "1\n"), ("y.jsonl", "2\n")]));
    assert_ne!(original, content(&[("a.jsonl", "2\n"), ("b.jsonl", "1\n")]));
    assert_ne!(original, content(&[("a.jsonl", "1\n2\n")]));
    assert_ne!(original, content(&[("a.jsonl", "1\n2"), ("b.jsonl", "\n")]));
}

#[test]
fn a_line_without_end_does_not_fill_the_memory() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.jsonl.gz");
    let mut encoder = flate2::write::GzEncoder::new(fs::File::create(&path).unwrap(), flate2::Compression::fast());
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..(lines::LONGEST_LINE >> 20) + 1 {
        encoder.write_all(&piece).unwrap();
    }
    encoder.write_all(b"\n{\"text\":\"good\"}\n").unwrap();
    encoder.finish().unwrap();
    assert_eq!(read(&path, text(), BadLines::Skip), (vec!["good".to_string()], None, 1));
    assert!(read(&path, text(), BadLines::Fail).1.unwrap().contains(":1: the line is longer"));
}

#[cfg(feature = "parquet")]
mod tables {
    use super::*;
    use parquet::basic::{Compression, Encoding};
    use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
    use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder, WriterVersion};
    use parquet::file::writer::SerializedFileWriter;
    use std::sync::Arc;

    /// Two row groups of `id`, `text` where some texts are null.
    fn write(path: &Path, rows: &[Option<&str>], properties: WriterPropertiesBuilder) {
        let schema = "message schema { required int64 id; optional binary text (UTF8); }";
        let schema = Arc::new(parquet::schema::parser::parse_message_type(schema).unwrap());
        let properties = Arc::new(properties.set_compression(Compression::SNAPPY).build());
        let mut writer = SerializedFileWriter::new(fs::File::create(path).unwrap(), schema, properties).unwrap();
        for half in rows.chunks(rows.len().div_ceil(2)) {
            let mut group = writer.next_row_group().unwrap();
            let mut column = group.next_column().unwrap().unwrap();
            let ids: Vec<i64> = (0..half.len() as i64).collect();
            column.typed::<Int64Type>().write_batch(&ids, None, None).unwrap();
            column.close().unwrap();
            let mut column = group.next_column().unwrap().unwrap();
            let levels: Vec<i16> = half.iter().map(|text| i16::from(text.is_some())).collect();
            let texts: Vec<ByteArray> = half.iter().flatten().map(|text| ByteArray::from(*text)).collect();
            column.typed::<ByteArrayType>().write_batch(&texts, Some(&levels), None).unwrap();
            column.close().unwrap();
            group.close().unwrap();
        }
        writer.close().unwrap();
    }

    #[test]
    fn rows_are_documents() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.parquet");
        write(&path, &[Some("one"), Some("zwei é"), None, Some("four")], WriterProperties::builder());
        assert_eq!(
            read(dir.path(), text(), BadLines::Skip),
            (vec!["one".into(), "zwei é".into(), "four".into()], None, 1)
        );
        let error = read(&path, text(), BadLines::Fail).1.unwrap();
        assert!(error.contains("a.parquet:3: column `text` is null"), "{error}");
        let error = read(&path, Render::Text { column: "body".into() }, BadLines::Skip).1.unwrap();
        assert!(error.contains("no column `body` (there are: id, text)"), "{error}");
        fs::write(&path, "PAR1 not really").unwrap();
        assert!(read(&path, text(), BadLines::Skip).1.unwrap().contains("failed to read"));
    }

    #[test]
    fn texts_are_the_same_in_every_encoding() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.parquet");
        // More than one block of lengths, some of them equal, and prefixes to share.
        let texts: Vec<String> = (0..1000).map(|n| "x".repeat(n / 90) + &n.to_string()).collect();
        let rows: Vec<Option<&str>> =
            texts.iter().enumerate().map(|(n, t)| (n % 7 > 0).then_some(t.as_str())).collect();
        let expected: Vec<String> = rows.iter().flatten().map(|text| text.to_string()).collect();
        for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
            for encoding in [Encoding::PLAIN, Encoding::DELTA_LENGTH_BYTE_ARRAY, Encoding::DELTA_BYTE_ARRAY] {
                let column = "text".into();
                let properties = WriterProperties::builder().set_writer_version(version).set_dictionary_enabled(false);
                write(&path, &rows, properties.set_column_encoding(column, encoding));
                let (texts, error, skipped) = read(&path, text(), BadLines::Skip);
                assert_eq!((texts == expected, error, skipped), (true, None, 143), "{version:?} {encoding}");
            }
        }
    }

    /// Files that the crate believed: found by fuzzing.
    #[test]
    fn a_file_that_lies_about_itself_is_told_at_once() {
        let found = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus/parquet");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.parquet");
        for (name, reason) in [
            ("89baf6d3", "the header of a page is damaged: "),
            ("many-words.parquet", "a dictionary of 63 values has "),
            ("c10396cf", "the header of a page is damaged: "),
            ("8182eb90", "a page of "),
        ] {
            fs::copy(found.join(name), &path).unwrap();
            let error = read(&path, text(), BadLines::Skip).1.unwrap();
            assert!(error.contains(reason), "{name}: {error}");
        }
    }
}
