//! A connection's bytes: of a message that is being read, or of an answer that is being sent.

use wdmd_proto::Message;

/// Room for one message, which is read piece by piece or sent as a whole.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: [u8; Message::LEN],
    filled: usize,
}

impl Buffer {
    pub(crate) fn new() -> Self {
        Self {
            bytes: [0; Message::LEN],
            filled: 0,
        }
    }

    /// Bytes of a message that is not whole yet.
    pub(crate) fn filled(&self) -> usize {
        self.filled
    }

    /// Where the next bytes go; never empty.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.filled..).unwrap_or_default()
    }

    /// So many bytes have come. The message, if it is whole now.
    pub(crate) fn take(&mut self, count: usize) -> Option<Message> {
        self.filled = self.filled.saturating_add(count);
        if self.filled < Message::LEN {
            return None;
        }
        self.filled = 0;
        Message::decode(&self.bytes).ok()
    }

    /// Keeps an answer instead.
    pub(crate) fn keep(&mut self, answer: &Message) {
        self.bytes = answer.encode();
        self.filled = 0;
    }

    /// What is kept.
    pub(crate) fn kept(&self) -> &[u8] {
        &self.bytes
    }
}
