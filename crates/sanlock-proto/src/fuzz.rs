//! One entry point per parser, taking any bytes. Each returns whether a law holds that has to hold for all
//! bytes; a fuzzer asserts it. None of them panics.

use std::collections::VecDeque;

use crate::body::{Disk, EventCallback, HostEntry, HostEvent, Lockspace, Options, Resource};
use crate::body::{ResourceHead, Rindex, RindexEntry};
use crate::command::Command;
use crate::decoder::{Decoder, Incoming};
use crate::error::DecodeError;
use crate::header::{Header, MAGIC, PROTO};
use crate::reply::{Reply, ReplyBody, reply_body};
use crate::request::Request;
use crate::state::StateRecord;
use crate::text;

/// Decoding what was encoded gives the same value, for a type whose `decode` takes a prefix of the bytes.
macro_rules! same_again {
    ($bytes:expr, $($kind:ident),*) => {
        $(match $kind::decode($bytes) {
            Err(_) => true,
            Ok(value) => {
                let mut out = Vec::new();
                value.encode(&mut out);
                out.len() <= $bytes.len() && $kind::decode(&out).as_ref() == Ok(&value)
            }
        })&&*
    };
}

/// Message headers.
pub fn header(bytes: &[u8]) -> bool {
    let Ok(header) = Header::decode(bytes) else {
        return bytes.len() < Header::LEN;
    };
    let mut out = Vec::new();
    header.encode(&mut out);
    let _ = header.fault();
    bytes.starts_with(&out)
}

/// Every struct that can follow a header.
pub fn structs(bytes: &[u8]) -> bool {
    same_again!(
        bytes,
        Disk,
        Lockspace,
        ResourceHead,
        Resource,
        Options,
        HostEntry,
        HostEvent,
        EventCallback,
        Rindex,
        RindexEntry
    )
}

/// One request: the first byte is the command, then flags, length, data and data2 as in the header, then the
/// body. A request that is understood means the same after it was encoded.
pub fn request(bytes: &[u8]) -> bool {
    let Some((command, rest)) = bytes.split_first() else {
        return true;
    };
    let Some((words, body)) = rest.split_first_chunk::<16>() else {
        return true;
    };
    let Ok(words) = Header::decode(&[&[0; 16], words.as_slice()].concat()) else {
        return false;
    };
    let header = Header {
        magic: MAGIC,
        version: PROTO,
        command: u32::from(*command),
        flags: words.length,
        length: words.seq,
        seq: 0,
        data: words.data,
        data2: words.data2,
    };
    let Ok(request) = Request::decode(&header, body) else {
        return true;
    };
    let again = request.encode();
    let (Ok(header), Some(body)) = (Header::decode(&again), again.get(Header::LEN..)) else {
        return false;
    };
    Request::decode(&header, body).as_ref() == Ok(&request)
}

/// A stream of requests: cut at any place it gives the same. The first byte says how many bytes come at
/// a time.
pub fn stream(bytes: &[u8]) -> bool {
    let Some((chunk, stream)) = bytes.split_first() else {
        return true;
    };
    let whole = take_all(stream, stream.len().max(1));
    let pieces = take_all(stream, usize::from(*chunk).max(1));
    whole == pieces
}

/// Everything a decoder gives for a stream pushed so many bytes at a time, keeping to what it asks for.
fn take_all(stream: &[u8], chunk: usize) -> Vec<Incoming> {
    let mut decoder = Decoder::new();
    let mut found = Vec::new();
    for piece in stream.chunks(chunk) {
        decoder.push(piece);
        while let Some(incoming) = decoder.next_incoming() {
            found.push(incoming);
        }
        if decoder.needed() == 0 {
            // Nothing to give, nothing needed: it would never get on.
            found.clear();
            return found;
        }
    }
    found
}

/// One reply: the first byte is the command, then header and body. A reply that is understood is the same
/// after it was encoded.
pub fn reply(bytes: &[u8]) -> bool {
    let Some((number, rest)) = bytes.split_first() else {
        return true;
    };
    let Some(command) = Command::from_number(u32::from(*number)) else {
        return true;
    };
    let (Ok(header), Some(rest)) = (Header::decode(rest), rest.get(Header::LEN..)) else {
        return true;
    };
    let body = match reply_body(command, &header) {
        Ok(ReplyBody::Bytes(len)) => rest.get(..len).unwrap_or(rest),
        Ok(ReplyBody::UntilEnd) => rest,
        Err(_) => return true,
    };
    let Ok(reply) = Reply::decode(command, &header, body) else {
        return true;
    };
    let request = Header::request(u32::from(*number), 0, 0, 0, 0);
    let again = reply.encode(&request);
    match (Header::decode(&again), again.get(Header::LEN..)) {
        (Ok(header), Some(body)) => Reply::decode(command, &header, body) == Ok(reply),
        _ => false,
    }
}

/// Status records.
pub fn state_record(bytes: &[u8]) -> bool {
    match StateRecord::decode(bytes) {
        Err(DecodeError::Short { needed, .. }) => needed > bytes.len(),
        Err(_) => true,
        Ok((record, used)) => {
            let mut out = Vec::new();
            record.encode(&mut out);
            let text_again = StateRecord::decode(&out);
            used <= bytes.len() && text_again == Ok((record, out.len()))
        }
    }
}

/// Resource strings: what is parsed and printed is parsed as the same, as far as the form can hold it.
pub fn resource_text(bytes: &[u8]) -> bool {
    let Ok(resource) = text::parse_resource(bytes) else {
        return true;
    };
    let Ok(printed) = text::format_resource(&resource) else {
        return false;
    };
    // Names are printed without backslashes, and the library drops those in a path that was
    // doubled; such a text may mean something else the next time.
    let plain = |text: &[u8]| !text.iter().any(|byte| matches!(byte, b':' | b'\\'));
    let plain_names = plain(resource.lockspace.as_bytes()) && plain(resource.name.as_bytes());
    let plain_paths = resource.disks.iter().all(|disk| {
        let path = disk.path.as_bytes();
        !path.contains(&b'\\') && text::import_path(&text::export_path(path)) == path
    });
    if !plain_names || !plain_paths || printed.len() < 3 || resource.disks.is_empty() {
        return true;
    }
    text::parse_resource(&printed).is_ok_and(|again| again.disks == resource.disks)
}

/// Lockspace strings.
pub fn lockspace_text(bytes: &[u8]) -> bool {
    let lockspace = text::parse_lockspace(bytes);
    lockspace.name.as_bytes().len() <= bytes.len()
}

/// Several resources in one string: printed and parsed again they are as many.
pub fn state_text(bytes: &[u8]) -> bool {
    match text::state_to_resources(bytes) {
        Ok(resources) => text::resources_to_state(&resources).is_ok(),
        Err(_) => true,
    }
}

/// Paths: an exported path has no bare colon or space, and imports to the path without backslashes.
pub fn path_text(bytes: &[u8]) -> bool {
    let exported = text::export_path(bytes);
    let mut rest: VecDeque<u8> = exported.iter().copied().collect();
    while let Some(byte) = rest.pop_front() {
        match byte {
            b'\\' => {
                rest.pop_front();
            }
            b':' | b' ' => return false,
            _ => {}
        }
    }
    let stripped = text::import_path(bytes);
    exported.len() <= crate::DiskPath::LEN && stripped.starts_with(&text::import_path(&exported))
}
