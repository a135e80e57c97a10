//! Detects the encoding of a file. A byte order mark decides. Otherwise a file is UTF-8 if all of it is valid UTF-8, or if it
//! has more multi-byte UTF-8 characters than invalid bytes (those are reported with their rows). Anything else is guessed from
//! its letters: Windows-1251 unless many of them speak for KOI8 or IBM866.

use std::io::{self, Read};

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, IBM866, KOI8_R, KOI8_U, REPLACEMENT, UTF_8, WINDOWS_1251};

/// Bytes from which an encoding other than UTF-8 is guessed.
const GUESSED: usize = 256 * 1024;
/// With fewer letters that are not ASCII, nothing is guessed.
const FEWEST: usize = 24;

/// Detects the encoding by reading `from` to its end, in bounded memory.
///
/// # Errors
/// It cannot be read.
pub(crate) fn find(mut from: impl Read) -> io::Result<&'static Encoding> {
    let mut buffer = vec![0; 64 * 1024];
    let mut held = 0;
    let mut first = true;
    let mut balance = Balance::default();
    let mut letters = Letters::new();
    loop {
        let read = match from.read(&mut buffer[held..]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        let end = held + read;
        if std::mem::take(&mut first)
            && let Some((encoding, _)) = Encoding::for_bom(&buffer[..end])
        {
            return Ok(encoding);
        }
        // A character cut by the end of the buffer is counted with the next piece.
        let judged = balance.count(&buffer[..end], read == 0);
        letters.feed(&buffer[held..end]);
        if read == 0 {
            return Ok(balance.encoding(letters));
        }
        buffer.copy_within(judged..end, 0);
        held = end - judged;
    }
}

/// Detects the encoding from the beginning of a file that cannot be read twice.
pub(crate) fn guess(begin: &[u8]) -> &'static Encoding {
    if let Some((encoding, _)) = Encoding::for_bom(begin) {
        return encoding;
    }
    let mut balance = Balance::default();
    balance.count(begin, false);
    let mut letters = Letters::new();
    letters.feed(begin);
    balance.encoding(letters)
}

/// Evidence for and against UTF-8. Consecutive Windows-1251 letters are almost never a valid UTF-8 character.
#[derive(Debug, Default)]
struct Balance {
    /// Characters of more than one byte.
    characters: u64,
    /// Bytes that are not UTF-8.
    bad: u64,
}

impl Balance {
    /// Counts these bytes and returns how many were counted. A character cut off at the end counts as bad if they are the
    /// `last`.
    fn count(&mut self, bytes: &[u8], last: bool) -> usize {
        let mut at = 0;
        loop {
            let (valid, bad) = match std::str::from_utf8(&bytes[at..]) {
                Ok(text) => (text, None),
                Err(error) => {
                    let valid = std::str::from_utf8(&bytes[at..at + error.valid_up_to()]).unwrap_or_default();
                    (valid, Some(error.error_len()))
                }
            };
            self.characters += valid.chars().filter(|c| !c.is_ascii()).count() as u64;
            at += valid.len();
            match bad {
                None => return at,
                Some(None) if !last => return at,
                Some(length) => {
                    let length = length.unwrap_or(bytes.len() - at);
                    self.bad += length as u64;
                    at += length;
                }
            }
        }
    }

    fn encoding(&self, letters: Letters) -> &'static Encoding {
        if self.bad == 0 || self.characters > self.bad { UTF_8 } else { letters.encoding() }
    }
}

/// Evidence for one of the encodings of one byte per letter.
struct Letters {
    detector: EncodingDetector,
    fed: usize,
    letters: usize,
}

impl Letters {
    fn new() -> Self {
        Self { detector: EncodingDetector::new(Iso2022JpDetection::Deny), fed: 0, letters: 0 }
    }

    fn feed(&mut self, bytes: &[u8]) {
        let bytes = &bytes[..bytes.len().min(GUESSED - self.fed)];
        self.detector.feed(bytes, false);
        self.fed += bytes.len();
        self.letters += bytes.iter().filter(|byte| !byte.is_ascii()).count();
    }

    fn encoding(self) -> &'static Encoding {
        // A few capitals may be anything.
        if self.letters < FEWEST {
            return WINDOWS_1251;
        }
        match self.detector.guess(Some(b"ru"), Utf8Detection::Deny) {
            koi8 if koi8 == KOI8_U || koi8 == KOI8_R => KOI8_R,
            found if found == IBM866 => found,
            _ => WINDOWS_1251,
        }
    }
}

/// The encoding with this name, for `--encoding`.
///
/// # Errors
/// The name is unknown.
pub fn encoding_of(name: &str) -> Result<&'static Encoding, String> {
    let name = match name.to_lowercase().as_str() {
        "cp1251" | "cp-1251" | "win-1251" | "win1251" | "1251" => "windows-1251".to_owned(),
        "cp-866" | "dos" => "cp866".to_owned(),
        "koi8r" => "koi8-r".to_owned(),
        "koi8u" => "koi8-u".to_owned(),
        "utf8-bom" | "utf-8-bom" | "utf-8-sig" => "utf-8".to_owned(),
        other => other.to_owned(),
    };
    Encoding::for_label(name.as_bytes())
        .filter(|found| *found != REPLACEMENT)
        .ok_or_else(|| "unknown encoding; examples: utf-8, windows-1251, koi8-r, ibm866, utf-16le".to_owned())
}

#[cfg(test)]
mod tests {
    use encoding_rs::UTF_16LE;

    use super::*;

    /// Returns one byte at a time.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
            let take = self.0.len().min(to.len()).min(1);
            to[..take].copy_from_slice(&self.0[..take]);
            self.0 = &self.0[take..];
            Ok(take)
        }
    }

    #[test]
    fn encodings_are_found() {
        let (cyrillic, _, _) = WINDOWS_1251.encode("Почта,Имя\na@b.example,Анна\n");
        let long = "я".repeat(100_001) + "\n";
        for (bytes, encoding) in [
            (&b""[..], UTF_8),
            (b"email\na@b.example\n", UTF_8),
            ("\u{feff}email,имя\n".as_bytes(), UTF_8),
            ("имя\n".as_bytes(), UTF_8),
            (long.as_bytes(), UTF_8),
            (&cyrillic, WINDOWS_1251),
            (b"\xff\xfee\0m\0", UTF_16LE),
            // One invalid byte does not change the encoding.
            ("Анна\n".repeat(3).as_bytes(), UTF_8),
            (&["Анна\nБор".as_bytes(), b"\xe8\n"].concat(), UTF_8),
            // An incomplete character.
            (b"name\xd0", WINDOWS_1251),
        ] {
            assert_eq!(find(bytes).expect("read"), encoding);
        }
        assert_eq!(find(Slow("имя\n".as_bytes())).expect("read"), UTF_8);
        assert_eq!(guess(&cyrillic), WINDOWS_1251);
        assert_eq!(guess(&"я".as_bytes()[..1]), UTF_8);
    }

    #[test]
    fn encodings_have_names() {
        assert_eq!(encoding_of("CP1251"), Ok(WINDOWS_1251));
        assert_eq!(encoding_of("koi8-r"), Ok(KOI8_R));
        assert_eq!(encoding_of("KOI8R"), Ok(KOI8_R));
        for name in ["cp866", "CP866", "ibm866", "866", "dos"] {
            assert_eq!(encoding_of(name), Ok(IBM866), "{name}");
        }
        assert!(encoding_of("klingon").is_err());
        assert!(encoding_of("iso-2022-kr").is_err(), "an encoding that can't be decoded");
    }

    #[test]
    fn other_encodings_are_guessed_from_their_letters() {
        let russian = [
            "Почта;Имя\na@b.example;Анна\n",
            "Почта;ФИО;Отдел\na@b.example;Петрова Анна Сергеевна;Бухгалтерия\nc@d.example;Иванов Борис;Склад\n",
            "email,name\na@b.example,Анна\nc@d.example,Борис\n",
            "email,name\na@b.example,ПЕТРОВА АННА\n",
            "email;name\na@b.example;Алёна «Склад» №5\n",
            "email;name\na@b.example;Юля\n",
            "email;name\na@b.example;Ия\nc@d.example;Лев\n",
            "email;name\na@b.example;ИВАНОВ И.И.\n",
        ];
        for text in russian {
            let (bytes, _, _) = WINDOWS_1251.encode(text);
            assert_eq!(guess(&bytes), WINDOWS_1251, "{text}");
        }
        let (bytes, _, _) = KOI8_R.encode(russian[1]);
        assert_eq!(guess(&bytes), KOI8_R);
        let (bytes, _, _) = IBM866.encode(russian[1]);
        assert_eq!(guess(&bytes), IBM866);
    }
}
