//! Cutting a byte stream into requests, without doing I/O.
//!
//! A server reads from the socket, pushes what came, and takes what is complete:
//!
//! ```
//! use sanlock_proto::{Decoder, Incoming, Request};
//!
//! let mut decoder = Decoder::new();
//! decoder.push(&Request::Version.encode());
//! decoder.push(&Request::LogDump.encode());
//! let mut seen = Vec::new();
//! while let Some(incoming) = decoder.next_incoming() {
//!     if let Incoming::Request { request, .. } = incoming {
//!         seen.push(request);
//!     }
//! }
//! assert_eq!(seen, [Request::Version, Request::LogDump]);
//! ```

use crate::body::ResourceHead;
use crate::command::Command;
use crate::error::DecodeError;
use crate::header::{Header, HeaderFault};
use crate::reply::Reply;
use crate::request::{BodyPlan, Request, body_plan};

/// A request that was understood well enough to be answered, but not honoured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Its header, to be answered with [`Rejection::reply`].
    pub header: Header,
    /// Its command. If [`Command::has_target`], look for the target first: its absence is the answer then.
    pub command: Command,
    /// The answer: -7 (too many resources, lvb too long), -12 (lvb length negative), -22 (lvb empty), -34
    /// (no disks or more than four), -95 (a newer sanlock's command).
    pub result: i32,
    /// The resource, where one had come: `read_resource` and `read_resource_owners` send it back.
    pub resource: Option<ResourceHead>,
}

impl Rejection {
    /// The answer in the shape that the client waits for.
    pub fn reply(&self) -> Reply {
        match (Reply::failure(self.command, self.result), self.resource) {
            (Reply::ReadResource { result, .. }, Some(resource)) => {
                Reply::ReadResource { result, resource }
            }
            (
                Reply::Owners {
                    result,
                    count,
                    hosts,
                    ..
                },
                Some(resource),
            ) => Reply::Owners {
                result,
                count,
                resource,
                hosts,
            },
            (other, _) => other,
        }
    }
}

/// What came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A complete request.
    Request {
        /// Its header, needed for the reply.
        header: Header,
        /// What it asks for.
        request: Request,
    },
    /// A request to be answered with an error. What is left of its body is dropped as it comes, see
    /// [`Decoder::discarding`].
    Rejected(Rejection),
    /// 32 bytes that are no request. The C daemon answers nothing and takes the next 32 bytes as a
    /// header; the decoder goes on in the same way.
    NotARequest {
        /// The bytes as a header.
        header: Header,
        /// What is wrong with it.
        fault: HeaderFault,
    },
}

/// The connection ended in the middle of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// In a header: nobody to answer.
    InHeader,
    /// In the body of this request: the C daemon answers -107 (ENOTCONN).
    InBody(Header),
}

/// Takes bytes, gives requests. It keeps no more than one request's bytes
/// (at most [`MAX_CLIENT_MSG`](crate::MAX_CLIENT_MSG) and a header) beyond what was pushed at once, and
/// allocates for bytes that came, never for a length that was announced.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// Bytes of `buffer` that have been dealt with.
    start: usize,
    discard: usize,
}

impl Decoder {
    /// A decoder at the start of a stream.
    pub fn new() -> Decoder {
        Decoder::default()
    }

    /// Takes bytes from the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        let dropped = self.discard.min(bytes.len());
        self.discard = self.discard.saturating_sub(dropped);
        self.buffer
            .extend_from_slice(bytes.get(dropped..).unwrap_or_default());
    }

    /// How many bytes are missing before [`Decoder::next_incoming`] can say more; at least 1 unless it has
    /// something to give already. A server that reads no more than this never reads into the next
    /// request.
    pub fn needed(&self) -> usize {
        let have = self.pending().len();
        let total = match self.plan() {
            Plan::Header => Header::LEN,
            Plan::Body(len) => len.saturating_add(Header::LEN),
            Plan::Ready => 0,
        };
        total.saturating_sub(have)
    }

    /// The next request, if all of it is there.
    pub fn next_incoming(&mut self) -> Option<Incoming> {
        let header = Header::decode(self.pending()).ok()?;
        if let Some(fault) = header.fault() {
            self.consume(Header::LEN);
            return Some(Incoming::NotARequest { header, fault });
        }
        // fault() has checked it
        let command = Command::from_number(header.command)?;
        let body = self.pending().get(Header::LEN..).unwrap_or_default();
        match body_plan(command, &header, body) {
            BodyPlan::AtLeast(_) => None,
            BodyPlan::Complete(len) => {
                let request = Request::decode(&header, body.get(..len)?);
                self.consume(len.saturating_add(Header::LEN));
                Some(match request {
                    Ok(request) => Incoming::Request { header, request },
                    Err(e) => rejected(header, command, &e),
                })
            }
            BodyPlan::Reject {
                result,
                consumed,
                announced_rest,
            } => {
                let resource = body
                    .get(..consumed)
                    .and_then(|b| ResourceHead::decode(b).ok());
                self.consume(consumed.saturating_add(Header::LEN));
                let here = announced_rest.min(self.pending().len());
                self.consume(here);
                self.discard = announced_rest.saturating_sub(here);
                Some(Incoming::Rejected(Rejection {
                    header,
                    command,
                    result,
                    resource,
                }))
            }
        }
    }

    /// Bytes that a rejected request announced and that have not come yet. They are dropped when pushed.
    /// The announcement may be a lie: a server waits a moment for them (the C daemon 20 ms) and then
    /// calls [`Decoder::stop_discarding`].
    pub fn discarding(&self) -> usize {
        self.discard
    }

    /// Takes what comes next as a header, whatever was announced.
    pub fn stop_discarding(&mut self) {
        self.discard = 0;
    }

    /// Bytes that were pushed and belong to no request given out yet.
    pub fn pending(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// Where the end of the stream cut a message, if it did.
    pub fn cut(&self) -> Option<Cut> {
        match Header::decode(self.pending()) {
            Ok(header) => Some(Cut::InBody(header)),
            Err(_) if self.pending().is_empty() => None,
            Err(_) => Some(Cut::InHeader),
        }
    }

    fn consume(&mut self, len: usize) {
        self.start = self.start.saturating_add(len).min(self.buffer.len());
        // Moving what is left is cheap when little is left, and once all complete requests were taken there
        // is less than one.
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
        } else if self.start > 64 * 1024 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
    }

    fn plan(&self) -> Plan {
        let Ok(header) = Header::decode(self.pending()) else {
            return Plan::Header;
        };
        match (header.fault(), Command::from_number(header.command)) {
            (None, Some(command)) => {
                let body = self.pending().get(Header::LEN..).unwrap_or_default();
                match body_plan(command, &header, body) {
                    BodyPlan::Complete(len) | BodyPlan::AtLeast(len) => Plan::Body(len),
                    BodyPlan::Reject { .. } => Plan::Ready,
                }
            }
            _ => Plan::Ready,
        }
    }
}

enum Plan {
    Header,
    Body(usize),
    Ready,
}

/// A body of the right length is a request by construction; should that ever be wrong, the client gets
/// an answer and the stream stays in step.
fn rejected(header: Header, command: Command, error: &DecodeError) -> Incoming {
    Incoming::Rejected(Rejection {
        header,
        command,
        result: error.code(),
        resource: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::Resource;
    use crate::flags::{AcquireFlags, ReleaseFlags};
    use crate::request::{Release, Target};
    use crate::{Disk, Options};

    fn header(command: Command, change: impl Fn(&mut Header)) -> Vec<u8> {
        let mut header = Header::request(command.number(), 0, 0, 0, u32::MAX);
        change(&mut header);
        let mut bytes = Vec::new();
        header.encode(&mut bytes);
        bytes
    }

    fn rejected(incoming: Option<Incoming>) -> Rejection {
        match incoming {
            Some(Incoming::Rejected(rejection)) => rejection,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn announced_lengths_and_counts_are_never_allocated() {
        for command in 1..=44 {
            for number in [0x7fff_ffff, 0xffff_ffff, 8192] {
                let mut decoder = Decoder::new();
                decoder.push(&header(Command::from_number(command).unwrap(), |h| {
                    h.length = number;
                    h.data = number;
                    h.data2 = number;
                }));
                let _ = decoder.next_incoming();
                assert!(decoder.buffer.capacity() < 1024, "{command}");
                assert!(decoder.needed() <= crate::MAX_CLIENT_MSG, "{command}");
            }
        }
    }

    #[test]
    fn the_rest_of_a_rejected_request_is_dropped_as_it_comes() {
        let resource = Resource {
            disks: vec![Disk::default()],
            ..Resource::default()
        };
        let nine = Request::Acquire {
            target: Target::ThisConnection,
            flags: AcquireFlags::NONE,
            resources: vec![resource; 9],
            options: Options::default(),
        };
        let message = nine.encode();
        let mut decoder = Decoder::new();
        decoder.push(&message[..100]);
        let rejection = rejected(decoder.next_incoming());
        assert_eq!(
            (rejection.command, rejection.result),
            (Command::Acquire, -7)
        );
        assert_eq!(decoder.discarding(), message.len() - 100);
        decoder.push(&message[100..200]);
        assert_eq!(decoder.next_incoming(), None);
        decoder.push(&[&message[200..], Request::Version.encode().as_slice()].concat());
        assert_eq!(decoder.discarding(), 0);
        assert!(matches!(
            decoder.next_incoming(),
            Some(Incoming::Request {
                request: Request::Version,
                ..
            })
        ));
    }

    #[test]
    fn an_announcement_that_was_a_lie_can_be_forgotten() {
        let mut decoder = Decoder::new();
        decoder.push(&header(Command::NewerCommand(41), |h| h.length = u32::MAX));
        assert_eq!(rejected(decoder.next_incoming()).result, -95);
        decoder.stop_discarding();
        decoder.push(&Request::LogDump.encode());
        assert!(matches!(
            decoder.next_incoming(),
            Some(Incoming::Request { .. })
        ));
    }

    #[test]
    fn a_rejected_read_sends_the_resource_back() {
        let mut head = ResourceHead {
            name: "res".parse().unwrap(),
            num_disks: 5,
            ..ResourceHead::default()
        };
        for command in [Command::ReadResource, Command::ReadResourceOwners] {
            let mut message = header(command, |h| h.length = 160);
            head.num_disks += 1;
            head.encode(&mut message);
            let mut decoder = Decoder::new();
            decoder.push(&message);
            let rejection = rejected(decoder.next_incoming());
            assert_eq!(rejection.result, -34);
            let reply = rejection.reply().encode(&rejection.header);
            assert_eq!(reply.len(), Header::LEN + ResourceHead::LEN);
            assert_eq!(ResourceHead::decode(&reply[Header::LEN..]), Ok(head));
        }
    }

    #[test]
    fn resources_that_a_release_flag_makes_superfluous_are_passed_over() {
        let list = Release::Resources(vec![ResourceHead::default(); 3]);
        let mut message = Request::Release {
            target: Target::ThisConnection,
            flags: ReleaseFlags::NONE,
            what: list,
        }
        .encode();
        for (flag, left) in [(ReleaseFlags::ALL, 0), (ReleaseFlags::ORPHAN, 0)] {
            message[12..16].copy_from_slice(&flag.bits().to_le_bytes());
            let mut decoder = Decoder::new();
            decoder.push(&message);
            assert!(matches!(
                decoder.next_incoming(),
                Some(Incoming::Request { .. })
            ));
            assert_eq!(decoder.pending().len(), left);
        }
        // If count and length disagree, only what the command needs belongs to it.
        message[24..28].copy_from_slice(&1u32.to_le_bytes());
        let mut decoder = Decoder::new();
        decoder.push(&message);
        assert!(matches!(
            decoder.next_incoming(),
            Some(Incoming::Request { .. })
        ));
        assert_eq!(decoder.pending().len(), 2 * ResourceHead::LEN);
    }

    #[test]
    fn the_end_of_the_stream_is_seen_where_it_cuts() {
        let message = Request::Align {
            disk: Disk::default(),
        }
        .encode();
        let mut decoder = Decoder::new();
        assert_eq!(decoder.cut(), None);
        decoder.push(&message[..31]);
        assert_eq!(decoder.cut(), Some(Cut::InHeader));
        assert_eq!(decoder.needed(), 1);
        decoder.push(&message[31..33]);
        assert!(matches!(decoder.cut(), Some(Cut::InBody(h)) if h.command == 12));
        assert_eq!(decoder.needed(), Disk::LEN - 1);
        decoder.push(&message[33..]);
        assert!(decoder.next_incoming().is_some());
        assert_eq!(decoder.cut(), None);
    }
}
