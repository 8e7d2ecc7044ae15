//! The entry point for a fuzzer: takes any bytes, does not panic, and returns whether the laws of the message
//! hold for them.

use crate::message::{Message, Request};

/// A message that is decoded is encoded to the same bytes, but for what follows a name's end; and means the same
/// again.
pub fn message(bytes: &[u8]) -> bool {
    let Ok(message) = Message::decode(bytes) else {
        return bytes.len() < Message::LEN;
    };
    let again = message.encode();
    let same_numbers = bytes.get(..48) == again.get(..48);
    let same_meaning = match Request::try_from(&message) {
        Ok(request) => Request::try_from(&request.message()) == Ok(request),
        Err(_) => true,
    };
    same_numbers && same_meaning && Message::decode(&again) == Ok(message)
}
