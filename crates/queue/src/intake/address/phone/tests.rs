//! Numbers as people write them, and every example number of libphonenumber.

use std::time::Instant;

use super::*;

/// Region, type, E.164, national form. Made by `phone_examples.py` beside it, with its source and licence.
const EXAMPLES: &str = include_str!("../../../../tests/data/phone_examples.csv");

fn rules(region: &str, strictness: Strictness) -> PhoneRules {
    PhoneRules::new(region, strictness).unwrap().anywhere()
}

fn told(text: &str, region: &str) -> Result<String, &'static str> {
    number(text, &rules(region, Strictness::Possible)).map_err(|(_, detail)| detail)
}

/// Region, E.164 and national form of each example.
fn examples() -> Vec<(&'static str, &'static str, &'static str)> {
    let lines = EXAMPLES.lines().filter(|line| !line.starts_with('#'));
    let all: Vec<_> = lines
        .map(|line| {
            let mut cells = line.split(';');
            let (region, _kind) = (cells.next().unwrap(), cells.next().unwrap());
            (region, cells.next().unwrap(), cells.next().unwrap())
        })
        .collect();
    assert!(all.len() > 1_300, "the table is cut: {} rows", all.len());
    all
}

#[test]
fn an_international_number_is_the_same_whatever_the_region() {
    for strictness in [Strictness::Possible, Strictness::Valid] {
        for default in ["", "RU", "US", "DE", "GB", "KZ"] {
            let rules = rules(default, strictness);
            for (region, e164, _) in examples() {
                let digits = &e164[1..];
                let spaced = format!("+{} {}-{}", &digits[..2], &digits[2..4], &digits[4..]);
                for given in [e164.to_owned(), format!("00{digits}"), spaced] {
                    let got = number(&given, &rules);
                    assert_eq!(
                        got,
                        Ok(e164.to_owned()),
                        "{region} {given}, default {default:?}, {strictness:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_national_number_is_that_of_its_region() {
    for strictness in [Strictness::Possible, Strictness::Valid] {
        for (region, e164, national) in examples() {
            if region != "001" {
                let got = number(national, &rules(region, strictness));
                assert_eq!(got, Ok(e164.to_owned()), "{region} {national}, {strictness:?}");
                assert_eq!(told(national, ""), Err(NO_COUNTRY.1), "{region} {national} without a region");
            }
        }
    }
}

#[test]
fn every_region_of_the_table_can_be_set() {
    for (region, ..) in examples() {
        assert_eq!(PhoneRules::new(region, Strictness::Possible).is_some(), region != "001", "{region}");
    }
    for no_region in ["XX", "ZZ", "ru", "Russia", "001", " "] {
        assert!(PhoneRules::new(no_region, Strictness::Possible).is_none(), "{no_region}");
    }
}

#[test]
fn countries_of_the_settings_get_messages_and_costly_numbers_none() {
    let all = rules("", Strictness::Possible).to(&["*".to_owned()]).unwrap();
    let lines = EXAMPLES.lines().filter(|line| !line.starts_with('#'));
    for line in lines {
        let [region, kind, e164, _] = line.split(';').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let costly = region == "001" || ["premium_rate", "shared_cost"].contains(&kind);
        match number(e164, &all) {
            Ok(_) => assert!(!costly, "{line}"),
            Err(wrong) => assert!(costly && wrong == PREMIUM, "{line}: {wrong:?}"),
        }
        if costly || !["mobile", "fixed_line"].contains(&kind) {
            continue;
        }
        // Each country by itself, and none of another's.
        let own = rules("", Strictness::Possible).to(&[region.to_owned()]).unwrap();
        let here = PHONE_NUMBER_UTIL
            .parse(e164, None)
            .ok()
            .and_then(|n| PHONE_NUMBER_UTIL.get_region_for_number(&n));
        let of_region = here.is_some_and(|here| here.to_string() == region);
        assert_eq!(number(e164, &own).is_ok(), of_region, "{line}");
    }
    let of_region = rules("RU", Strictness::Possible).to(&[]).unwrap();
    assert!(number("89991234567", &of_region).is_ok());
    assert_eq!(number("+77011234567", &of_region), Err(OTHER_COUNTRY));
    assert_eq!(number("+12025550123", &rules("", Strictness::Possible).to(&[]).unwrap()), Err(OTHER_COUNTRY));
    // A range that is nobody's is the main country's.
    assert!(number("+70001234567", &of_region).is_ok());
    for wrong in [&["ru"][..], &["XX"], &["RU", "*"], &["001"], &[""]] {
        let wrong: Vec<String> = wrong.iter().map(|name| (*name).to_owned()).collect();
        assert!(rules("", Strictness::Possible).to(&wrong).is_none(), "{wrong:?}");
    }
}

#[test]
fn numbers_are_written_as_e_164() {
    for (given, region, written) in [
        ("+7 (999) 123-45-67", "", "+79991234567"),
        ("+79991234567", "RU", "+79991234567"),
        ("8 (999) 123-45-67", "RU", "+79991234567"),
        ("89991234567", "RU", "+79991234567"),
        ("9991234567", "RU", "+79991234567"),
        ("79991234567", "RU", "+79991234567"),
        ("0049 30 901820", "", "+4930901820"),
        ("+44 20 7946 0018", "RU", "+442079460018"),
        ("+44 (0)20 7946 0018", "RU", "+442079460018"),
        ("020 7946 0018", "GB", "+442079460018"),
        ("(212) 736-5000", "US", "+12127365000"),
        // Seen to go to another number, or to none, with the region RU.
        ("+353 85 123 4567", "RU", "+353851234567"),
        ("+359 87 123 4567", "RU", "+359871234567"),
        ("+49 89 12345678", "RU", "+498912345678"),
        ("+66 81 234 5678", "RU", "+66812345678"),
        ("+7 812 123 45 67", "RU", "+78121234567"),
        ("+7 812 123 45 67", "", "+78121234567"),
        ("00 353 85 123 4567", "US", "+353851234567"),
        // Dots between groups, the last of which may be zeros.
        ("+41.44.668.18.00", "", "+41446681800"),
        // National, as dialled abroad from the region.
        ("011 353 85 123 4567", "US", "+353851234567"),
        ("8 10 353 85 123 4567", "RU", "+353851234567"),
    ] {
        assert_eq!(told(given, region), Ok(written.to_owned()), "{given}");
    }
}

#[test]
fn dashes_blanks_and_marks_that_do_not_show_are_passed_over() {
    let between = "\u{2010}\u{2011}\u{2012}\u{2013}\u{2014}\u{2015}\u{2043}\u{2212}\u{fe58}\u{fe63}\u{ff0d}\
                   -.() \u{a0}\u{2002}\u{2007}\u{2009}\u{200a}\u{202f}\u{205f}\u{3000}";
    let hidden = "\u{ad}\u{61c}\u{200b}\u{200c}\u{200d}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\
                  \u{2060}\u{2066}\u{2067}\u{2068}\u{2069}\u{feff}";
    for c in between.chars().chain(hidden.chars()) {
        for given in [format!("+7 901 123{c}45{c}67"), format!("{c}+7901{c}{c}1234567{c}")] {
            assert_eq!(told(&given, "US"), Ok("+79011234567".to_owned()), "U+{:04X}", u32::from(c));
        }
    }
    assert_eq!(told("\u{202a}+7 901 123\u{2013}45\u{2013}67\u{202c}", ""), Ok("+79011234567".to_owned()));
}

#[test]
fn what_is_no_number_is_refused_with_the_reason() {
    let many = "\u{200b}".repeat(200);
    for (bad, detail) in [
        ("", NO_NUMBER),
        ("+", NO_NUMBER),
        ("()", NO_NUMBER),
        ("++79991234567", SECOND_PLUS),
        ("7+9991234567", SECOND_PLUS),
        ("+0999123456", UNKNOWN_COUNTRY),
        ("+999999999999", UNKNOWN_COUNTRY),
        ("89991234567", NO_COUNTRY),
        ("9991234567", NO_COUNTRY),
        ("+7999CALLME1", LETTER),
        ("+79991234567 доб. 5", LETTER),
        ("+79991234567 ext. 5", LETTER),
        ("tel:+79991234567", LETTER),
        ("7.9991234567E+10", LETTER),
        ("+٧٩٩٩١٢٣٤٥٦٧", OTHER_DIGIT),
        ("+79991234567;ext=5", SECOND_NUMBER),
        ("+79991234567,+79991234568", SECOND_NUMBER),
        ("+79991234567/68", SECOND_NUMBER),
        ("+79991234567\n", CONTROL),
        ("+7999123\x0045670", CONTROL),
        ("+7999\t1234567", CONTROL),
        ("&phones=79991234567", OTHER_CHARACTER),
        ("+7999123456*", OTHER_CHARACTER),
        ("+436641234567.0", SPREADSHEET),
        ("+436641234567.0 ", SPREADSHEET),
        ("436641234567.00", SPREADSHEET),
        ("+43.664.1234567.0", SPREADSHEET),
        ("+7 901 123 45 67                                    ", TOO_LONG),
        (&many, TOO_LONG),
    ] {
        assert_eq!(told(bad, ""), Err(detail.1), "{bad:?}");
    }
    assert_eq!(told("79991234567.0", "RU"), Err(SPREADSHEET.1));
}

#[test]
fn what_has_the_length_of_no_number_is_refused() {
    let lengths = [TOO_SHORT.1, TOO_LONG.1, OTHER_LENGTH.1, LOCAL.1];
    // The last one is a number of any town.
    let bad = ["123", "+123", "+7999123456", "+799912345678", "+7999123456789012", "+12", "123-45-67"];
    for (given, default) in bad.iter().flat_map(|bad| [(bad, "RU"), (bad, "US")]) {
        let refused = told(given, default).expect_err("refused");
        assert!(lengths.contains(&refused), "{given} {default}: {refused}");
    }
}

#[test]
fn strictness_is_about_ranges_in_use() {
    // The length is right, the range is nobody's.
    let (unused, possible, valid) = ("+7 000 123 45 67", Strictness::Possible, Strictness::Valid);
    assert_eq!(number(unused, &rules("", possible)), Ok("+70001234567".to_owned()));
    assert_eq!(number(unused, &rules("", valid)), Err(NOT_IN_USE));
    assert_eq!(number(unused, &rules("", valid).lenient()), Ok("+70001234567".to_owned()));
}

#[test]
fn numbers_of_all_countries_in_turn_cost_no_more_than_those_of_one() {
    // With everything that is looked at, and countries that share a code.
    let rules = rules("RU", Strictness::Possible).to(&["RU".to_owned(), "US".to_owned()]).unwrap();
    let judge = |numbers: &[&str]| {
        let start = Instant::now();
        for e164 in numbers {
            std::hint::black_box(number(e164, &rules)).ok();
        }
        start.elapsed() / u32::try_from(numbers.len()).unwrap()
    };
    let mixed: Vec<&str> = examples().iter().map(|(_, e164, _)| *e164).collect();
    let one = vec!["+79991234567"; mixed.len()];
    // The first time each country's patterns are compiled; after that none is, however many there are.
    judge(&mixed);
    judge(&one);
    let (mixed, one) = (judge(&mixed), judge(&one));
    assert!(mixed < one * 20, "{mixed:?} a number of many countries, {one:?} one of Russia");
    if !cfg!(debug_assertions) {
        assert!(mixed.as_micros() < 10, "{mixed:?} a number: less than 100,000 a second");
    }
}
