// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is wrong with a fault that was asked for.

use super::kind::NAMES;

/// A fault that makes no sense, or none for this device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FaultError {
    /// No kind of fault has that name.
    #[error("there is no fault `{kind}`: use {}", NAMES.join(", "))]
    NoKind {
        /// The name.
        kind: String,
    },
    /// What should be `KEY=VALUE` is not.
    #[error("{kind}: `{text}` is no KEY=VALUE: it takes {takes}")]
    NoPair {
        /// The kind of fault.
        kind: &'static str,
        /// What there is instead.
        text: String,
        /// The keys it takes.
        takes: String,
    },
    /// The kind has no such key.
    #[error("{kind}: there is no key `{key}`: it takes {takes}")]
    NoKey {
        /// The kind of fault.
        kind: &'static str,
        /// The key.
        key: String,
        /// The keys it takes.
        takes: String,
    },
    /// A key is there twice.
    #[error("{kind}: {key} is given twice: give it once")]
    Twice {
        /// The kind of fault.
        kind: &'static str,
        /// The key.
        key: String,
    },
    /// A key is not there, and has no default.
    #[error("{kind}: {key} is missing: give {give}")]
    Missing {
        /// The kind of fault.
        kind: &'static str,
        /// The key.
        key: &'static str,
        /// What would do.
        give: &'static str,
    },
    /// A value makes no sense.
    #[error("{kind}: {key}={value}: {give}")]
    Value {
        /// The kind of fault.
        kind: &'static str,
        /// The key.
        key: &'static str,
        /// The value.
        value: String,
        /// What would do.
        give: String,
    },
    /// There is no function that could have a fault.
    #[error("the device is not attached to a bus: serve it first")]
    NoDevice,
    /// More than are kept.
    #[error("{} faults are armed already: clear some", super::MAX_FAULTS)]
    TooMany,
}
