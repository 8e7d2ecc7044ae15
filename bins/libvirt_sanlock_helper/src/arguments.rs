//! The command line.

use std::fmt;

use crate::hint;

/// What is to be done with the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Its process is ended.
    Poweroff,
    /// Its processors are stopped.
    Pause,
    /// One of the actions that the driver of the leases never asks for.
    Unsupported(&'static str),
}

/// The names of the other actions that a guest's `<on_lockfailure>` may have.
const UNSUPPORTED: [&str; 3] = ["default", "restart", "ignore"];

/// What to do to whom.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Order {
    /// Where the guest is.
    pub(crate) uri: String,
    /// Its UUID, as it was given.
    pub(crate) uuid: String,
    /// What is done.
    pub(crate) action: Action,
}

/// What is wrong with the arguments.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// In the original's words.
    pub(crate) text: String,
    /// What to do.
    pub(crate) advice: &'static str,
}

impl Order {
    /// Reads the arguments after the program's name; what is wrong with them otherwise.
    pub(crate) fn read(
        program: &[u8],
        arguments: impl Iterator<Item = Vec<u8>>,
    ) -> Result<Self, Wrong> {
        let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        // One more than are wanted is one too many.
        let arguments: Vec<Vec<u8>> = arguments.take(4).collect();
        let [uri, uuid, action] = arguments.as_slice() else {
            let text = format!("{} uri uuid action", show(program));
            let advice = hint::USAGE;
            return Err(Wrong { text, advice });
        };
        let action = match show(action).as_str() {
            "poweroff" => Action::Poweroff,
            "pause" => Action::Pause,
            name => match UNSUPPORTED.iter().find(|known| **known == name) {
                Some(known) => Action::Unsupported(known),
                None => {
                    let text = format!("invalid failure action: '{name}'");
                    let advice = hint::ACTIONS;
                    return Err(Wrong { text, advice });
                }
            },
        };
        Ok(Self {
            uri: show(uri),
            uuid: show(uuid),
            action,
        })
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Poweroff => "poweroff",
            Self::Pause => "pause",
            Self::Unsupported(name) => name,
        })
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of guest {} at {}", self.action, self.uuid, self.uri)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<Order, String> {
        let arguments = arguments.iter().map(|text| text.as_bytes().to_vec());
        Order::read(b"helper", arguments).map_err(|wrong| wrong.text)
    }

    #[test]
    fn three_arguments() {
        let order = read(&["qemu:///system", "u", "pause"]).unwrap();
        assert_eq!(order.to_string(), "pause of guest u at qemu:///system");
        let usage = Err("helper uri uuid action".to_owned());
        assert_eq!(read(&[]), usage);
        assert_eq!(read(&["a", "b", "pause", "c"]), usage);
    }

    #[test]
    fn actions() {
        let action = |name| read(&["", "", name]).map(|order| order.action);
        assert_eq!(action("poweroff"), Ok(Action::Poweroff));
        assert_eq!(action("ignore"), Ok(Action::Unsupported("ignore")));
        let unknown = Err("invalid failure action: 'Pause'".to_owned());
        assert_eq!(action("Pause"), unknown);
    }
}
