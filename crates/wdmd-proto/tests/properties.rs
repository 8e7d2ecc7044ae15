//! Laws that hold for all messages and all bytes.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use wdmd_proto::{Message, Name, Request, fuzz};

proptest! {
    #[test]
    fn messages_survive_the_wire(
        words in any::<[u32; 6]>(),
        times in any::<[u64; 3]>(),
        name in proptest::collection::vec(1u8.., 0..=128),
    ) {
        let [magic, command, len, flags, test_interval, fire_timeout] = words;
        let [last_keepalive, renewal_time, expire_time] = times;
        let name = Name::from_bytes(&name).unwrap();
        let message = Message {
            magic, command, len, flags, test_interval, fire_timeout,
            last_keepalive, renewal_time, expire_time, name,
        };
        prop_assert_eq!(Message::decode(&message.encode()).unwrap(), message);
    }

    #[test]
    fn requests_mean_the_same_after_the_wire(renewal: u64, expire: u64, fire_timeout: u32) {
        for request in [Request::TestLive { renewal, expire }, Request::OpenWatchdog { fire_timeout }] {
            let message = Message::decode(&request.message().encode()).unwrap();
            prop_assert_eq!(Request::try_from(&message).unwrap(), request);
        }
    }

    #[test]
    fn all_bytes_obey_the_law_of_the_fuzz_target(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        command in 0u8..9,
    ) {
        let mut bytes = bytes;
        if let Some(byte) = bytes.get_mut(4) {
            *byte = command;
        }
        prop_assert!(fuzz::message(&bytes));
    }
}
