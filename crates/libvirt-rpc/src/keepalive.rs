//! Ping and pong, which go between any two programs.

use crate::packet::{Header, MessageType, Packet, Procedure, Program, Serial, Status, Version};

/// The program's number.
pub const PROGRAM: Program = Program(0x6b65_6570);
/// Its version.
pub const VERSION: Version = Version(1);
/// Are you there?
pub const PING: Procedure = Procedure(1);
/// I am here.
pub const PONG: Procedure = Procedure(2);

/// Such a packet; neither has a payload.
#[must_use]
pub fn packet(procedure: Procedure) -> Packet {
    let header = Header {
        program: PROGRAM,
        version: VERSION,
        procedure,
        kind: MessageType::MESSAGE,
        serial: Serial(0),
        status: Status::OK,
    };
    Packet::new(header, &())
}

/// Whether a packet is of this program.
#[must_use]
pub fn is_one(header: &Header) -> bool {
    (header.program, header.version, header.kind) == (PROGRAM, VERSION, MessageType::MESSAGE)
}
