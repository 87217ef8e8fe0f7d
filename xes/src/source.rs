//! The bytes below the XML: compressed or plain, counted, and bounded between two marks.

use std::{
    fmt,
    io::{self, BufRead, BufReader, Cursor, Read},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use flate2::bufread::MultiGzDecoder;

use crate::limits::MARKUP_BYTES;

/// Small, so that progress moves by small steps.
const PACKED_BUFFER: usize = 16 * 1024;
const BUFFER: usize = 64 * 1024;
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Counts what is taken from the file, so before decompression.
struct Counted<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.count.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// The uncompressed bytes of a log. It counts lines, notices the end, and refuses to give more
/// than the limit between two calls of [`Source::mark`], so that no tag can fill the memory.
pub(crate) struct Source {
    inner: Box<dyn BufRead + Send>,
    compressed: Arc<AtomicU64>,
    /// Whether the file is gzip, and so whether a failed read is the archive's fault.
    pub(crate) gzip: bool,
    /// Whether the last byte has been given.
    pub(crate) ended: bool,
    /// Line feeds given so far.
    pub(crate) lines: u64,
    /// Bytes given so far.
    pub(crate) bytes: u64,
    marked: u64,
}

impl Source {
    pub(crate) fn new(file: impl Read + Send + 'static) -> io::Result<Self> {
        let compressed = Arc::new(AtomicU64::new(0));
        let mut file = Counted { inner: file, count: compressed.clone() };
        let mut magic = Vec::with_capacity(GZIP.len());
        file.by_ref().take(GZIP.len() as u64).read_to_end(&mut magic)?;
        let gzip = magic == GZIP;
        let file = BufReader::with_capacity(PACKED_BUFFER, Cursor::new(magic).chain(file));
        let inner: Box<dyn BufRead + Send> = if gzip {
            Box::new(BufReader::with_capacity(BUFFER, Filling(MultiGzDecoder::new(file))))
        } else {
            Box::new(BufReader::with_capacity(BUFFER, Filling(file)))
        };
        Ok(Self { inner, compressed, gzip, ended: false, lines: 0, bytes: 0, marked: 0 })
    }

    /// Compressed bytes taken from the file so far (with what is read ahead).
    pub(crate) fn compressed(&self) -> u64 {
        self.compressed.load(Ordering::Relaxed)
    }

    /// Begins a new stretch, of which at most the limit is given.
    pub(crate) fn mark(&mut self) {
        self.marked = self.bytes;
    }
}

/// Gives at least four bytes at once if there are so many: the XML reader looks for a byte order
/// mark in the first piece only.
struct Filling<R>(R);

impl<R: Read> Read for Filling<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buf.len().min(4) {
            match self.0.read(&mut buf[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(filled)
    }
}

impl Read for Source {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.fill_buf()?.read(buf)?;
        self.consume(n);
        Ok(n)
    }
}

impl BufRead for Source {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.bytes - self.marked > MARKUP_BYTES as u64 {
            return Err(io::Error::other(TooLong));
        }
        let available = self.inner.fill_buf()?;
        self.ended = available.is_empty();
        Ok(available)
    }

    fn consume(&mut self, n: usize) {
        // The bytes are in the buffer still, so asking for it again neither reads nor fails.
        if n > 0
            && let Ok(available) = self.inner.fill_buf()
        {
            self.lines += available[..n].iter().filter(|b| **b == b'\n').count() as u64;
        }
        self.bytes += n as u64;
        self.inner.consume(n);
    }
}

/// A tag, comment or stretch of text goes on beyond the limit.
#[derive(Debug)]
pub(crate) struct TooLong;

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "one tag, comment or text is longer than {MARKUP_BYTES} bytes")
    }
}

impl std::error::Error for TooLong {}
