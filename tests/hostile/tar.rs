//! Tape archives, written by hand: also such as no `tar` makes.

/// What an entry is.
pub(crate) const FILE: u8 = b'0';

/// An archive in the making.
#[derive(Default)]
pub(crate) struct Tar(Vec<u8>);

impl Tar {
    /// A package of one module, as npm makes them.
    pub(crate) fn package() -> Self {
        Self::default()
            .file(b"package/package.json", br#"{ "name": "a", "version": "1.0.0", "main": "i.js" }"#)
            .file(b"package/i.js", b"module.exports = 'a';")
    }

    pub(crate) fn file(self, name: &[u8], content: &[u8]) -> Self {
        self.entry(FILE, name, content)
    }

    /// An entry of any kind.
    pub(crate) fn entry(self, kind: u8, name: &[u8], content: &[u8]) -> Self {
        let size = format!("{:011o}\0", content.len());
        self.raw(kind, name, size.as_bytes(), b"ustar\x0000", content)
    }

    /// An entry whose size and magic are written so.
    pub(crate) fn raw(mut self, kind: u8, name: &[u8], size: &[u8], magic: &[u8], content: &[u8]) -> Self {
        let mut head = [0u8; 512];
        let mut put = |at: usize, bytes: &[u8]| head[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &name[..name.len().min(100)]);
        put(100, b"0000644\0");
        put(108, b"0000000\0");
        put(116, b"0000000\0");
        put(124, size);
        put(136, b"00000000000\0");
        put(148, b"        ");
        put(156, &[kind]);
        // Where a link would lead.
        put(157, b"/etc/passwd");
        put(257, magic);
        let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
        head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend_from_slice(&head);
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// Records of an extended head, and the entry that they are of.
    pub(crate) fn extended(self, key: &str, value: &str, name: &[u8], content: &[u8]) -> Self {
        let rest = format!(" {key}={value}\n");
        let mut length = rest.len() + 1;
        while length.to_string().len() + rest.len() != length {
            length = length.to_string().len() + rest.len();
        }
        let record = format!("{length}{rest}");
        self.entry(b'x', b"PaxHeader", record.as_bytes()).file(name, content)
    }

    /// The archive with its end.
    pub(crate) fn finish(self) -> Vec<u8> {
        let mut bytes = self.0;
        bytes.resize(bytes.len() + 1024, 0);
        bytes
    }

    /// Without one.
    pub(crate) fn cut(self) -> Vec<u8> {
        self.0
    }
}
