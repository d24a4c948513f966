// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What QEMU says by QMP: one JSON object on a line (QEMU's manual, "QEMU Machine
//! Protocol Specification").

use serde::Deserialize;
use serde_json::Value;

use super::QmpError;

/// Most of a line that is shown with an error, characters.
const SHOWN: usize = 200;

/// Something that has happened in QEMU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its name, `DEVICE_DELETED` say.
    pub name: String,
    /// What it tells, an object; null for an event that tells nothing.
    pub data: Value,
}

impl Event {
    /// Whether it has this name, and tells of this device.
    #[must_use]
    pub fn is_of(&self, name: &str, device: &str) -> bool {
        let told = self.data.get("device").and_then(Value::as_str);
        self.name == name && told == Some(device)
    }
}

/// A message of QEMU's.
#[derive(Debug)]
pub(super) enum Message {
    /// The first one there is.
    Greeting,
    /// A command is carried out.
    Returned {
        /// Number of the command.
        id: Option<u64>,
        value: Value,
    },
    /// A command is not.
    Refused {
        /// Number of the command, where it could be read.
        id: Option<u64>,
        error: Refusal,
    },
    Event(Event),
    /// One that says nothing to us.
    Other,
}

/// The error of a command.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Refusal {
    /// What kind of error, `GenericError` mostly.
    pub class: String,
    /// In words.
    pub desc: String,
}

/// Any message, by the members that tell which it is.
#[derive(Deserialize)]
struct Raw {
    #[serde(rename = "QMP")]
    greeting: Option<Value>,
    #[serde(rename = "return")]
    returned: Option<Value>,
    error: Option<Refusal>,
    event: Option<String>,
    data: Option<Value>,
    id: Option<u64>,
}

impl Message {
    pub(super) fn parse(line: &[u8]) -> Result<Self, QmpError> {
        let raw: Raw = serde_json::from_slice(line).map_err(|error| QmpError::Garbled {
            line: String::from_utf8_lossy(line).chars().take(SHOWN).collect(),
            error,
        })?;
        let id = raw.id;
        Ok(match raw {
            Raw {
                error: Some(error), ..
            } => Self::Refused { id, error },
            Raw {
                returned: Some(value),
                ..
            } => Self::Returned { id, value },
            Raw {
                event: Some(name),
                data,
                ..
            } => Self::Event(Event {
                name,
                data: data.unwrap_or_default(),
            }),
            Raw {
                greeting: Some(_), ..
            } => Self::Greeting,
            _ => Self::Other,
        })
    }
}
