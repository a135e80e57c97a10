//! Files as they occur in practice.

use encoding_rs::WINDOWS_1251;

use super::*;

fn people(bytes: &[u8], options: &Options) -> Result<(String, Vec<String>)> {
    let mut people = People::read(Box::new(Cursor::new(bytes.to_vec())), None, options)?;
    let mut rows = Vec::new();
    while let Some(row) = people.next()? {
        rows.push(match row {
            Ok((line, person)) => format!("{line} {}", serde_json::to_string(&person).expect("JSON")),
            Err(error) => error.to_string(),
        });
    }
    Ok((people.words(), rows))
}

#[test]
fn a_plain_file_is_read() {
    let (words, rows) =
        people(b"email,name\na@b.example,Anna\nc@d.example,Bo\n", &Options::default()).expect("read");
    assert_eq!(words, "UTF-8, comma");
    assert_eq!(
        rows,
        [
            r#"2 {"id":"line-2","name":"Anna","contacts":{"email":["a@b.example"]}}"#,
            r#"3 {"id":"line-3","name":"Bo","contacts":{"email":["c@d.example"]}}"#,
        ]
    );
}

#[test]
fn a_windows_spreadsheet_is_read() {
    let text = "Почта;Имя;Код\r\na@b.example;Анна;7\r\n;;\r\nc@d.example;Борис;8\r\n";
    let (bytes, _, _) = WINDOWS_1251.encode(text);
    let (words, rows) = people(&bytes, &Options::default()).expect("read");
    assert_eq!(words, "windows-1251, semicolon");
    assert_eq!(
        rows,
        [
            r#"2 {"id":"line-2","name":"Анна","contacts":{"email":["a@b.example"]}}"#,
            r#"4 {"id":"line-4","name":"Борис","contacts":{"email":["c@d.example"]}}"#,
        ]
    );
    let with_mark = format!("\u{feff}{text}");
    assert_eq!(people(with_mark.as_bytes(), &Options::default()).expect("read").1, rows);
    let utf16: Vec<u8> = with_mark.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(people(&utf16, &Options::default()).expect("read").1, rows);
}

#[test]
fn bad_rows_are_reported_by_line_and_do_not_end_the_file() {
    let mut bytes =
        b"email,name\n\"a@b.example\",\"two\nlines\"\n,Nobody\nx@y.example,Bo,one,too many\n\n".to_vec();
    bytes.extend(b"c@d.example,\xd0\nlast@d.example,Last\n");
    let options = Options { encoding: Some(UTF_8), ..Options::default() };
    let (_, rows) = people(&bytes, &options).expect("read");
    assert_eq!(
        rows,
        [
            r#"2 {"id":"line-2","name":"two lines","contacts":{"email":["a@b.example"]}}"#,
            "line 4: no address",
            "line 5: the row has 4 fields, but the file has 2 columns",
            "line 7: the name is not UTF-8; if the file has another encoding, set --encoding",
            r#"8 {"id":"line-8","name":"Last","contacts":{"email":["last@d.example"]}}"#,
        ]
    );
}

#[test]
fn a_list_of_addresses_needs_no_titles() {
    let (_, rows) = people(b"a@b.example\nc@d.example\n", &Options::default()).expect("read");
    assert_eq!(rows.len(), 2);
    assert!(rows[0].starts_with("1 "), "{rows:?}");
}

#[test]
fn an_open_quote_ends_within_bounds() {
    let mut bytes = b"email,name\na@b.example,\"".to_vec();
    bytes.extend(std::iter::repeat_n(b"x,\n", 1_000_000).flatten());
    let failure = people(&bytes, &Options::default()).expect_err("an endless row");
    assert!(failure.lines().join(" ").contains("quote"), "{failure:?}");
}

#[test]
fn an_empty_file_is_refused() {
    assert!(people(b"", &Options::default()).is_err());
    assert_eq!(people(b"email\n", &Options::default()).expect("titles alone").1.len(), 0);
}

fn case(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/cases/{name}", env!("CARGO_MANIFEST_DIR"))).expect("a case")
}

fn read(bytes: &[u8]) -> Vec<String> {
    people(bytes, &Options::default()).expect("read").1
}

fn refused(bytes: &[u8]) -> String {
    people(bytes, &Options::default()).expect_err("refused").lines().remove(0)
}

#[test]
fn bad_quotes_refuse_the_file_by_line() {
    let open = "line 3: a quote is opened here and never closed; nothing was sent";
    assert_eq!(refused(&case("open-quote.csv")), open);
    let two = b"Email,Name,Comment\na@x.org,Anna,ok\nb@x.org,Boris,\"12 inch\nv@x.org,Vera,ok\n\
                g@x.org,Gleb,\"5\" in\n";
    let after = "line 5: text after a closing quote; the field begins on line 3; nothing was sent";
    assert_eq!(refused(two), after);
    assert!(refused(b"Email,Name\na@x.org,Anna \"A\" Lee\n").starts_with("line 2: a quote in the middle"));
    // Well-formed by chance: the second quote closes the first one two rows later.
    let swallowed = b"Email,Name,Comment\nb@x.org,Boris,\"12 inch\nv@x.org,Vera,ok\ng@x.org,Gleb,5\"\n\
                      d@x.org,Dan,ok\n";
    let rows = read(swallowed);
    assert_eq!(rows[0], "line 2: a cell contains whole rows; is a quote not closed?");
    assert!(rows[1].starts_with("5 ") && rows.len() == 2, "{rows:?}");
}

#[test]
fn files_as_spreadsheets_leave_them_are_read() {
    let anna = |line: u32, name: &str| {
        format!(
            r#"{line} {{"id":"line-{line}","name":"{name}","contacts":{{"email":["anna.k@example.org"]}}}}"#
        )
    };
    let rows = read(&case("line-break-in-name.csv"));
    assert_eq!(rows[0], anna(2, "Ali Valiev"));
    assert!(rows[1].starts_with("4 ") && rows.len() == 2, "{rows:?}");
    let (words, rows) = people(&case("sep-line.csv"), &Options::default()).expect("read");
    assert_eq!((words.as_str(), rows), ("UTF-8, semicolon", vec![anna(3, "Anna")]));
    assert_eq!(read(&case("title-with-address.csv")), [anna(2, "Anna")]);
    let blank = "Email,Name\na@x.org,Anna\n\u{a0},\u{a0}\n \t\u{200b}\n\nb@x.org,Bo\n";
    let rows = read(blank.as_bytes());
    assert!(rows.len() == 2 && rows[1].starts_with("6 "), "{rows:?}");
    // A code that is the same in all rows is not an id.
    let rows = read(&case("repeated-code.csv"));
    assert!(rows.len() == 3 && rows[2].starts_with(r#"4 {"id":"line-4","name":"Вера""#), "{rows:?}");
}

#[test]
fn one_bad_byte_is_one_bad_row() {
    let (words, rows) = people(&case("one-bad-byte.csv"), &Options::default()).expect("read");
    assert_eq!(words, "UTF-8, semicolon");
    assert!(rows[0].contains("Анна1") && rows[2].contains("Анна3"), "{rows:?}");
    assert_eq!(rows[3], "line 5: the name is not UTF-8; if the file has another encoding, set --encoding");
}

proptest::proptest! {
    #[test]
    fn what_an_rfc_4180_writer_writes_is_read_back(
        names in proptest::collection::vec("[a-zA-Zа-яА-Я\",;'|\t .\n\r-]{0,12}", 1..40),
        delimiter in proptest::sample::select(vec![b',', b';', b'\t', b'|']),
        always in proptest::bool::ANY,
        crlf in proptest::bool::ANY,
        mark in proptest::bool::ANY,
    ) {
        let style = if always { csv::QuoteStyle::Always } else { csv::QuoteStyle::Necessary };
        let end = if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') };
        let mut builder = csv::WriterBuilder::new();
        let mut writer = builder.delimiter(delimiter).quote_style(style).terminator(end).from_writer(Vec::new());
        writer.write_record(["id", "name", "email"]).expect("written");
        for (at, name) in names.iter().enumerate() {
            let row = [format!("p{at}"), name.clone(), format!("a{at}@b.example")];
            writer.write_record(row).expect("written");
        }
        let mut bytes = if mark { "\u{feff}".as_bytes().to_vec() } else { Vec::new() };
        bytes.extend(writer.into_inner().expect("written"));
        let wanted: Vec<String> = names
            .iter()
            .enumerate()
            .map(|(at, name)| {
                let mut person = Person::new(String::new());
                person.take(crate::recipients_file::Field::Id, &format!("p{at}"));
                person.take(crate::recipients_file::Field::Name, name);
                person.take(crate::recipients_file::Field::Address(&posthaste_model::channels::EMAIL), &format!("a{at}@b.example"));
                serde_json::to_string(&person).expect("JSON")
            })
            .collect();
        for given in [Some(delimiter), None] {
            let options = Options { delimiter: given, ..Options::default() };
            let rows = people(&bytes, &options).expect("read").1;
            let read: Vec<&str> = rows.iter().map(|row| row.split_once(' ').expect("a line").1).collect();
            proptest::prop_assert_eq!(read, wanted.clone());
        }
    }
}
