//! Files as they occur in practice.

use encoding_rs::{IBM866, KOI8_R, WINDOWS_1251};

use super::*;

fn people(bytes: &[u8], options: &Options) -> Result<(String, Vec<String>)> {
    let mut people = People::read(Box::new(Cursor::new(bytes.to_vec())), None, options)?;
    let mut rows = Vec::new();
    while let Some(row) = people.next_row()? {
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
    assert!(failure.to_string().contains("quote"), "{failure:?}");
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
    people(bytes, &Options::default()).expect_err("refused").to_string()
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

#[test]
fn artefacts_of_spreadsheets_are_taken_off_or_refused() {
    let rows = read(
        "id;name;email;phone\n\
         '007;'=Anna;mailto:a@x.org;'+79011234567\n\
         2;;Bo Lee <b@x.org>;=\"79011234568\"\n\
         \u{200b}3\u{a0};Vera;\u{feff}v@x.\u{200b}org;+7 901 123\u{2013}45\u{2013}69\n\
         4;Gleb;g@x.org;79011234567.0\n\
         5;Dan;d@x.org;7,90112E+10\n\
         6;Eve;e@x.org;#N/A\n\
         7.0;Fil;f@x.org;-\n\
         8;Gus;gus@x.org;\u{2014}\n"
            .as_bytes(),
    );
    let person = |line: u32, id: &str, name: &str, email: &str, phone: &str| {
        let contacts = format!(r#"{{"email":["{email}"],"sms":["{phone}"]}}"#);
        format!(r#"{line} {{"id":"{id}","name":"{name}","contacts":{contacts}}}"#)
    };
    let wanted = [
        person(2, "007", "=Anna", "a@x.org", "+79011234567"),
        person(3, "2", "Bo Lee", "b@x.org", "79011234568"),
        person(4, "3", "Vera", "v@x.org", "+7 901 123\u{2013}45\u{2013}69"),
        "line 5: the phone number ends in .0: a spreadsheet turned it into a decimal; format the column as text"
            .to_owned(),
        "line 6: the phone number is in scientific notation: a spreadsheet rounded it; format the column as text \
         and enter it again"
            .to_owned(),
        "line 7: the phone number is an error of a spreadsheet, such as #N/A or ####: correct the formula, or make \
         the column wider"
            .to_owned(),
        "line 8: the id ends in .0: a spreadsheet turned it into a decimal; format the column as text".to_owned(),
        r#"9 {"id":"8","name":"Gus","contacts":{"email":["gus@x.org"]}}"#.to_owned(),
    ];
    assert_eq!(rows, wanted);
}

#[test]
fn old_russian_encodings_are_read_as_named_or_guessed() {
    let text = "Почта;ФИО;Отдел\na@x.org;Петрова Анна Сергеевна;Бухгалтерия\nb@x.org;Иванов Борис;Склад\n";
    for (encoding, name) in [(IBM866, "cp866"), (KOI8_R, "koi8-r"), (WINDOWS_1251, "cp1251")] {
        let (bytes, _, _) = encoding.encode(text);
        let named =
            Options { encoding: Some(crate::encoding_of(name).expect("known")), ..Options::default() };
        for options in [named, Options::default()] {
            let (words, rows) = people(&bytes, &options).expect("read");
            assert_eq!(words, format!("{}, semicolon", encoding.name()));
            assert!(rows[0].contains(r#""name":"Петрова Анна Сергеевна""#) && rows.len() == 2, "{rows:?}");
            let read = People::read(Box::new(Cursor::new(bytes.to_vec())), None, &options).expect("read");
            assert_eq!(read.is_encoding_guessed(), options.encoding.is_none());
        }
    }
    let utf8 = People::read(Box::new(Cursor::new(text.as_bytes().to_vec())), None, &Options::default());
    assert!(!utf8.expect("read").is_encoding_guessed());
}

#[test]
fn an_export_of_deliveries_is_read_back() {
    let export = "recipient_id,recipient_name,channel,address,status,reason\n\
                  1,'=Anna,email,a@x.org,failed,\n\
                  1,'=Anna,sms,'+79011234567,failed,\n\
                  2,Bo,vk,2001,failed,\n\
                  3,Vera,pigeon,loft 5,failed,\n\
                  4,Gleb,email,,failed,\n";
    for mark in ["", "\u{feff}"] {
        assert_eq!(
            read(format!("{mark}{export}").as_bytes()),
            [
                r#"2 {"id":"1","name":"=Anna","contacts":{"email":["a@x.org"]}}"#,
                r#"3 {"id":"1","name":"=Anna","contacts":{"sms":["+79011234567"]}}"#,
                r#"4 {"id":"2","name":"Bo","contacts":{"vk":[2001]}}"#,
                "line 5: the channel must be one of email, sms, telegram, vk, webhook",
                "line 6: no address",
            ]
        );
    }
}

/// Rows without an end, made as they are read and counted.
struct Endless {
    row: u64,
    held: Cursor<Vec<u8>>,
    made: std::sync::Arc<std::sync::atomic::AtomicU64>,
}

impl Read for Endless {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.held.position() == self.held.get_ref().len() as u64 {
            self.held = Cursor::new(format!("a{}@x.org;Анна\n", self.row).into_bytes());
            self.row += 1;
            self.made.store(self.row, std::sync::atomic::Ordering::Relaxed);
        }
        self.held.read(to)
    }
}

#[test]
fn a_file_is_read_no_further_than_its_rows_are_taken() {
    let made = std::sync::Arc::<std::sync::atomic::AtomicU64>::default();
    let endless = Endless { row: 0, held: Cursor::default(), made: made.clone() };
    let mut people = People::read(Box::new(endless), None, &Options::default()).expect("opened");
    for taken in 1..=100_000_u64 {
        let row = people.next_row().expect("read").expect("no end");
        assert_eq!(row.expect("a person").0, taken);
        let ahead = made.load(std::sync::atomic::Ordering::Relaxed) - taken;
        assert!(ahead < 30_000, "{ahead} rows are held");
    }
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
                person.take(Field::Id, &format!("p{at}")).expect("taken");
                person.take(Field::Name, name).expect("taken");
                person.take(Field::Address(&posthaste_model::channels::EMAIL), &format!("a{at}@b.example")).expect("taken");
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
