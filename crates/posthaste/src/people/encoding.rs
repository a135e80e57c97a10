//! Which encoding a file is in. A mark at its begin says it; what is UTF-8 from begin to end is UTF-8; anything else is
//! Windows-1251, the other encoding such files come in.

use std::io::{self, Read};

use encoding_rs::{Encoding, UTF_8, WINDOWS_1251};

/// Finds the encoding by reading `from` to its end. Memory is bounded.
///
/// # Errors
/// It cannot be read.
pub(crate) fn find(mut from: impl Read) -> io::Result<&'static Encoding> {
    let mut buffer = vec![0; 64 * 1024];
    let mut held = 0;
    let mut first = true;
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
        let valid = match std::str::from_utf8(&buffer[..end]) {
            Ok(_) => end,
            // A character cut by the end of the buffer is judged with the next piece.
            Err(error) if error.error_len().is_none() && read > 0 => error.valid_up_to(),
            Err(_) => return Ok(WINDOWS_1251),
        };
        if read == 0 {
            return Ok(UTF_8);
        }
        buffer.copy_within(valid..end, 0);
        held = end - valid;
    }
}

/// Finds the encoding by the begin of a file that cannot be read twice.
pub(crate) fn guess(begin: &[u8]) -> &'static Encoding {
    if let Some((encoding, _)) = Encoding::for_bom(begin) {
        return encoding;
    }
    match std::str::from_utf8(begin) {
        Ok(_) => UTF_8,
        Err(error) if error.error_len().is_none() => UTF_8,
        Err(_) => WINDOWS_1251,
    }
}

/// The encoding with this name, for `--encoding`.
///
/// # Errors
/// There is none of that name.
pub(crate) fn encoding_of(name: &str) -> Result<&'static Encoding, String> {
    let name = match name.to_lowercase().as_str() {
        "cp1251" | "1251" => "windows-1251".to_owned(),
        other => other.to_owned(),
    };
    Encoding::for_label(name.as_bytes()).ok_or_else(|| {
        "not an encoding; utf-8, windows-1251, koi8-r, ibm866 and utf-16le are some".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use encoding_rs::{KOI8_R, UTF_16LE};

    use super::*;

    /// Gives one byte at a time.
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
            // A character that never ends.
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
        assert!(encoding_of("klingon").is_err());
    }
}
