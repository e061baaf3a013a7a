//! Finds the stamps in a stream of server-sent events. Pure; fed with the
//! bytes as they come, cut anywhere.

/// How a stream says text and that it has ended well.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dialect {
    /// What stands before text in a data line.
    text: &'static [u8],
    /// The line that says the end.
    end: &'static [u8],
}

/// OpenAI's stream.
pub(crate) const DIRECT: Dialect = Dialect { text: b"\"content\":\"", end: b"data: [DONE]" };

/// The native stream.
pub(crate) const WEIR: Dialect = Dialect { text: b"\"text\":\"", end: b"event: completed" };

/// What has been read of one stream.
#[derive(Debug)]
pub(crate) struct Reader {
    dialect: Dialect,
    /// A line whose end has not come.
    line: Vec<u8>,
    /// The digits of a stamp whose end has not come, as a number.
    stamp: u64,
    /// The end was said.
    pub(crate) ended: bool,
}

impl Reader {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self { dialect, line: Vec::new(), stamp: 0, ended: false }
    }

    /// Takes the next bytes and gives each stamp, in µs, that is complete.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut stamped: impl FnMut(u64)) {
        while let Some(at) = bytes.iter().position(|it| *it == b'\n') {
            let (line, rest) = bytes.split_at(at);
            bytes = &rest[1..];
            if self.line.is_empty() {
                self.read(line, &mut stamped);
            } else {
                let mut whole = std::mem::take(&mut self.line);
                whole.extend_from_slice(line);
                self.read(&whole, &mut stamped);
                whole.clear();
                self.line = whole;
            }
        }
        self.line.extend_from_slice(bytes);
    }

    fn read(&mut self, line: &[u8], stamped: &mut impl FnMut(u64)) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.ended |= line == self.dialect.end;
        let Some(data) = line.strip_prefix(b"data:") else {
            return;
        };
        let mark = self.dialect.text;
        let Some(at) = data.windows(mark.len()).position(|it| it == mark) else {
            return;
        };
        // Stamped text is digits and spaces; the quote ends it.
        for byte in &data[at + mark.len()..] {
            match byte {
                b'0'..=b'9' => self.stamp = self.stamp * 10 + u64::from(byte - b'0'),
                b' ' if self.stamp > 0 => stamped(std::mem::take(&mut self.stamp)),
                _ => break,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamps(dialect: Dialect, bytes: &[u8], piece: usize) -> (Vec<u64>, bool) {
        let mut reader = Reader::new(dialect);
        let mut stamps = Vec::new();
        for piece in bytes.chunks(piece) {
            reader.feed(piece, |it| stamps.push(it));
        }
        (stamps, reader.ended)
    }

    #[test]
    fn stamps_are_found_however_the_bytes_are_cut() {
        let weir = b"retry: 1000\n\nid: 1-1\nevent: started\ndata: {\"question\":\"{\\\"text\\\":\\\"9 \\\"}\"}\n\n\
            id: 1-2\nevent: text\ndata: {\"index\":7,\"text\":\"12 34 5\"}\n\n\
            event: text\ndata: {\"text\":\"6 \"}\n\n: ping\n\nevent: completed\ndata: {}\n\n";
        let direct =
            b"data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n\
            data: {\"choices\":[{\"delta\":{\"content\":\"78 \"}}]}\n\ndata: [DONE]\n\n";
        for piece in 1..40 {
            assert_eq!(stamps(WEIR, weir, piece), (vec![12, 34, 56], true), "{piece}");
            assert_eq!(stamps(DIRECT, direct, piece), (vec![78], true), "{piece}");
        }
    }

    #[test]
    fn a_stream_that_says_no_end_has_not_ended() {
        assert_eq!(stamps(WEIR, b"event: failed\ndata: {}\n\n", 9), (vec![], false));
    }
}
